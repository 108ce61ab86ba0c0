"""A plan as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search._words import duration, plain, trials, wide_console
from search.planning.confirmation import ConfirmationEstimate
from search.planning.estimates import CellEstimate, Estimate, Total
from search.planning.plan import Plan, Size
from search.planning.texts import TaskFacts, share
from search.study import Study, confirmation_seeds
from trainables.data import TextFacts
from trainables.tasks import Split

#: Of a task with more labels so many are shown.
LABELS_SHOWN = 12


def print_plan(study: Study, plan: Plan, sizes: Sequence[Size], kept: str = "", console: Console | None = None) -> None:
    """Print the cells of a plan and their sums, and the trainable parameters of each method and rank, to stdout.

    ``kept``: a sentence on what the trials leave in the storage.
    """
    console = console or wide_console()
    console.print(_cells(study, plan))
    if study.search.words != "grid" or study.search.budget.words:
        budget = f"; budget: {study.search.budget.words}" if study.search.budget.words else ""
        console.print(f"Search: {study.search.words}{budget}.", soft_wrap=True)
    if undecided := plan.counts["undecided"]:
        console.print(
            f"At most so many trials: {undecided:,} depend on the scores of others, and so do their packs (+).\n",
            soft_wrap=True,
        )
    for line in _confirmation(study, plan):
        console.print(line, soft_wrap=True)
    if any(cell.unmeasured for cell in plan.cells):
        console.print("?: how many members pay is measured before these packs train; until then it goes by tokens.\n")
    if kept:
        console.print(f"{kept}\n", highlight=False, soft_wrap=True)
    console.print(_parameters(study, sizes))


def _confirmation(study: Study, plan: Plan) -> Iterator[str]:
    """What is trained again of what is selected, on which seeds."""
    counts = plan.confirmation_counts
    if study.confirm:
        seeds = confirmation_seeds(study)
        named = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} fresh seeds ({seeds[0]} to {seeds[-1]})"
        waiting = ", when the search of their cell is over" if counts["undecided"] else ""
        numbers = f"{trials(counts['total'])}, {counts['finished']:,} finished, {counts['pending']:,} to train{waiting}"
        yield f"Confirmation of each cell's selected assignment on {named}: {numbers}.\n"
    if counts["others"]:
        what = (
            "trial confirms an assignment that is" if counts["others"] == 1 else "trials confirm assignments that are"
        )
        yield f"{counts['others']:,} {what} not selected, or not any more; they stay, and reports do not use them.\n"


def _table(title: str) -> Table:
    """A table that spends no width on lines, so that names stay whole on 80 columns."""
    return Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True
    )


def _cells(study: Study, plan: Plan) -> Table:
    counts = plan.counts
    table = _table(f"Study {study.name}")
    table.show_footer = True
    table.add_column("backbone", f"{counts['cells']} cell{'s' * (counts['cells'] != 1)}", overflow="fold")
    table.add_column("task", "", overflow="fold")
    table.add_column("method", "", overflow="fold")
    for name in ("assignments", "trials", "finished"):
        table.add_column(name, f"{counts[name]:,}", justify="right", no_wrap=True)
    table.add_column("packs", _packs(counts["packs"], counts["undecided"]), justify="right", no_wrap=True)
    if together := any(cell.largest > 1 for cell in plan.cells):
        table.add_column("of", "", justify="right", no_wrap=True)
    before = None
    for cell in plan.cells:
        place = cell.key[:2]
        if before is not None and place != before:
            table.add_section()
        shown = ("", "") if place == before else place
        numbers = (f"{number:,}" for number in (cell.assignments, cell.total, cell.finished))
        members = (f"{cell.largest or ''}{'?' * (cell.unmeasured > 0)}",) if together else ()
        table.add_row(*plain(*shown, cell.key.method, *numbers, _packs(len(cell.packs), cell.undecided), *members))
        before = place
    return table


def _packs(decided: int, undecided: int) -> str:
    """Packs that are still to be trained; with a plus where trials that are not decided on will add to them."""
    return f"{decided:,}" + ("+" if undecided else "")


def _parameters(study: Study, sizes: Sequence[Size]) -> Table:
    table = _table("Trainable parameters")
    for name in ("backbone", "method", "hyperparameters"):
        table.add_column(name, overflow="fold")
    for name in ("parameters", "+ head"):
        table.add_column(name, justify="right", no_wrap=True)
    before = ("", "")
    for size in sizes:
        place = (size.backbone, size.method)
        if before[0] and place[0] != before[0]:
            table.add_section()
        shown = ("" if place[0] == before[0] else place[0], "" if place == before else place[1])
        table.add_row(*plain(*shown, _hyperparameters(study, size), *_counts(size)))
        before = place
    return table


def _hyperparameters(study: Study, size: Size) -> str:
    """Those that the study sets itself; the rest have the method's defaults."""
    names = {name for task in study.tasks for name in study.grids(task.name, size.method)}
    return ", ".join(f"{name}={value}" for name, value in size.hyperparameters.items() if name in names)


def _counts(size: Size) -> tuple[str, str]:
    if size.parameters is None:
        return "unknown offline", ""
    heads = sorted(size.heads.values())
    ends = heads if len(heads) < 2 else (heads[0], heads[-1])
    return f"{size.parameters:,}", " - ".join(f"{head:,}" for head in ends)


def print_estimate(found: Estimate | None, console: Console | None = None) -> None:
    """Print what the pending trials take, method by method, and in all, to stdout; nothing where nothing is known."""
    if found is None or not found.cells:
        return
    console = console or wide_console()
    console.print(_by_method(found))
    console.print("\n".join(_totals(found)), highlight=False, soft_wrap=True)


def print_confirmation(found: ConfirmationEstimate | None, console: Console | None = None) -> None:
    """Print what the confirmation takes beside the search, in one line to stdout; nothing where none is to come."""
    if found is None or not found.wall_seconds:
        return
    words = _total(found.device, Total(found.device_hours, found.wall_seconds, found.cost))
    left_out = f", without {found.unknown} cells that are not known" if found.unknown else ""
    line = f"Confirmation, {trials(found.pending)}: {'at most' if found.bound else 'about'} {words}{left_out}"
    (console or wide_console()).print(line, highlight=False, soft_wrap=True)


def _by_method(found: Estimate) -> Table:
    table = _table("Estimate")
    table.add_column("method", overflow="fold")
    for name in ("trials", "s per epoch", "epochs", f"{found.device}-hours", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("from", overflow="fold")
    rows: dict[str, list[CellEstimate]] = {}
    for cell in found.cells:
        rows.setdefault(cell.key.method, []).append(cell)
    for method, cells in rows.items():
        table.add_row(*plain(method, *_method_row(found, [cell for cell in cells if cell.epoch_time], cells)))
    return table


def _method_row(found: Estimate, known: Sequence[CellEstimate], cells: Sequence[CellEstimate]) -> list[str]:
    """Means over the trials of the cells whose epoch time is known; hours without what a run takes beside training."""
    trials = f"{sum(cell.pending for cell in cells):,}"
    if not known:
        return [trials, "", "", "", "", "not known"]
    times = [(cell.pending, cell.epoch_time) for cell in known if cell.epoch_time]
    number = sum(pending for pending, _ in times)
    seconds = sum(pending * time.seconds for pending, time in times) / number
    shown = [cell.about for cell in known if cell.about is not None]
    about = _amount(_hours(found, sum(shown))) if len(shown) == len(known) else ""
    epochs = [pending * time.epochs for pending, time in times if time.epochs is not None]
    mean_epochs = f"{sum(epochs) / number:.1f}" if len(epochs) == len(times) else ""
    at_most = _amount(_hours(found, sum(cell.at_most or 0.0 for cell in known)))
    sources = dict.fromkeys(time.source for _, time in times)
    partly = [] if len(known) == len(cells) else [f"{len(cells) - len(known)} cells not known"]
    return [trials, f"{seconds:.2g}", mean_epochs, about, at_most, ", ".join([*sources, *partly])]


def _hours(found: Estimate, seconds: float) -> float:
    return seconds * found.per_pack / 3_600


def _totals(found: Estimate) -> list[str]:
    """The run in one or two lines: what is expected, where that is known, and what it can come to."""
    devices = f"{found.devices} {'GPU' if found.device == 'GPU' else 'CPU core'}{'s' if found.devices > 1 else ''}"
    places = "1 pack" if found.places == 1 else f"{found.places} packs"
    lines = [] if found.about is None else [f"about {_total(found.device, found.about)}"]
    if found.about != found.at_most:
        lines.append(f"at most {_total(found.device, found.at_most)}")
    return [f"On {devices}, {places} at once:", *lines]


def _total(device: str, total: Total) -> str:
    words = f"{duration(total.wall_seconds)}, {_amount(total.device_hours)} {device}-hours"
    return words if total.cost is None else f"{words}, cost {_amount(total.cost)}"


def _amount(value: float) -> str:
    """Two decimals, or two significant digits of less than a tenth."""
    return f"{value:,.2f}" if value >= 0.1 or not value else f"{value:.2g}"


def print_tasks(described: Sequence[TaskFacts], console: Console | None = None) -> None:
    """Print the rows and labels of each task, and the shares of its texts that are cut and unknown, to stdout."""
    console = console or wide_console()
    several = len({backbone for facts in described for backbone in facts.texts}) > 1
    table = _table("Tasks: rows and shares of train / dev")
    table.add_column("task", overflow="fold")
    for name in ("rows", "max length", *(["backbone"] if several else []), "cut", "unknown"):
        table.add_column(name, justify="left" if name == "backbone" else "right", no_wrap=True)
    table.add_column("labels of train", overflow="fold")
    for facts in described:
        for number, (backbone, splits) in enumerate(facts.texts.items() or [("", {})]):
            shares = [_shares(splits, name) for name in ("cut", "unknown")]
            place = [backbone] if several else []
            first = number == 0
            head = [facts.task.name, _rows(facts), str(facts.protocol.max_length)] if first else [""] * 3
            table.add_row(*map(escape, [*head, *place, *shares, _labels(facts) if first else ""]))
    console.print(table)


def _rows(facts: TaskFacts) -> str:
    return "on the hub" if facts.row_counts is None else " / ".join(f"{n:,}" for n in facts.row_counts.values())


def _shares(splits: Mapping[Split, TextFacts], name: str) -> str:
    return " / ".join(share(getattr(facts, name), facts) for facts in splits.values())


def _labels(facts: TaskFacts) -> str:
    """Each label with its rows; of many the first; of a regression its least, mean and greatest value."""
    if facts.rows is None:
        return ", ".join(map(_short, (facts.task.labels or ())[:LABELS_SHOWN]))
    if facts.rows.values is not None:
        return "{:g} to {:g}, mean {:.3g}".format(*(facts.rows.values[i] for i in (0, 2, 1)))
    classes = [f"{_short(label)}: {count:,}" for label, count in (facts.rows.classes or {}).items()]
    more = f", … ({len(classes)} labels)" if len(classes) > LABELS_SHOWN else ""
    return ", ".join(classes[:LABELS_SHOWN]) + more


def _short(label: str) -> str:
    """A label of a user's data, without what a terminal would take for a command, and no longer than a few words."""
    printable = label if label.isprintable() else ascii(label)[1:-1]
    return printable if len(printable) <= 40 else f"{printable[:39]}…"
