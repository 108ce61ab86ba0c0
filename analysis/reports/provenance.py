"""Where the results come from: data and weights, code and versions, devices and dates, and how to make this again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from analysis import style
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, slug
from analysis.tables import EMPTY, Cell, Table

TITLE = "Provenance"
POSITION = 440
_INTRO = (
    "What it takes to make these numbers again: the hashes of weights and rows, the commit and the versions of the "
    "libraries, the devices, and when the trials ended. Where trials differ, all values stand there with their number "
    "of trials."
)
_SIGNS = 12  # of a hash or a commit
_EACH = ("commit", "result_version", "device", "pack_size")
_HEADS = {"commit": "Commit", "result_version": "Result version", "device": "Device", "pack_size": "Trials in a pack"}


@dataclass(frozen=True)
class Provenance:
    """``hashes``: per benchmark, backbone and task its ``backbone_hash`` and ``data_hash``, as lists. ``counts``:
    ``what, value, trials, first, last``, a row per value of the commit, device and so on, with the dates of its first
    and last trial. ``versions``: ``library, version, trials``. ``studies`` by name, and the ``command``.
    """

    hashes: pd.DataFrame
    counts: pd.DataFrame
    versions: pd.DataFrame
    studies: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Provenance:
    """All that the runs tell, confirmation seeds among them, and what the reader asked."""
    runs = frame if options.confirmation is None else pd.concat([frame, options.confirmation], ignore_index=True)
    return Provenance(_hashes(runs), _counts(runs), _versions(runs), options.studies, options.command)


def _told(frame: pd.DataFrame, name: str) -> bool:
    return name in frame and bool((frame[name].notna() & (frame[name].astype(str) != "")).any())


def _hashes(frame: pd.DataFrame) -> pd.DataFrame:
    known = [name for name in ("backbone_hash", "data_hash") if _told(frame, name)]
    keys = ["benchmark", "backbone", "task"]
    if not known:
        return pd.DataFrame(columns=keys)
    return frame.groupby(keys)[known].agg(lambda values: sorted(set(values.dropna()) - {""})).reset_index()


def _counts(frame: pd.DataFrame) -> pd.DataFrame:
    ended = (
        frame["ended"].where(frame["ended"] != "") if "ended" in frame else pd.Series(None, frame.index, dtype="str")
    )
    rows = []
    for name in ("study", *_EACH):
        if not _told(frame, name):
            continue
        values = frame[name].astype(object).where(frame[name].notna(), "")
        table = ended.groupby(values).agg(["size", "min", "max"])
        for value, size, first, last in table.itertuples(name=None):
            rows.append((name, str(value), int(size), _text(first), _text(last)))
    return pd.DataFrame(rows, columns=["what", "value", "trials", "first", "last"])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _versions(frame: pd.DataFrame) -> pd.DataFrame:
    """Per library each version with the number of trials that had it; ``""`` of trials that do not tell."""
    rows: dict[tuple[str, str], int] = {}
    texts = frame["versions"].fillna("").value_counts() if "versions" in frame else pd.Series(dtype=int)
    parsed = {text: json.loads(text) if text else {} for text in texts.index}
    libraries = sorted({name for found in parsed.values() for name in found})
    for text, found in parsed.items():
        for name in libraries:
            key = (name, str(found.get(name, "")))
            rows[key] = rows.get(key, 0) + int(texts[text])
    table = [(name, version, count) for (name, version), count in sorted(rows.items())]
    return pd.DataFrame(table, columns=["library", "version", "trials"])


def exports(data: Provenance) -> dict[str, pd.DataFrame]:
    """``provenance.csv``: ``what, value, trials, first, last``, libraries among them."""
    versions = data.versions.rename(columns={"library": "what", "version": "value"}).assign(first="", last="")
    return {"provenance": pd.concat([data.counts, versions], ignore_index=True)[list(data.counts.columns)]}


def render(data: Provenance) -> Section | None:
    """The command, what differs, then tables; ``None`` where nothing is known."""
    blocks: list[Table | str] = []
    if data.command:
        title = "The command that makes this report again"
        blocks.append(Table("command", title, ("Command",), ((Cell(data.command),),)))
    blocks += [f"{text}." for text in _differences(data)]
    if len(data.counts):
        blocks.append(_of_counts(data.counts))
    if len(data.versions):
        blocks.append(_of_versions(data.versions))
    blocks += [_of_hashes(*group) for group in groups(data.hashes)] if len(data.hashes.columns) > 3 else []
    blocks += [_of_study(name, text) for name, text in data.studies.items()]
    known = (
        data.command or data.studies or len(data.versions) or len(data.hashes) or set(data.counts["what"]) - {"study"}
    )
    return Section(TITLE, _INTRO, tuple(blocks)) if known else None


def _differences(data: Provenance) -> list[str]:
    """What trials differ in that may move a result."""
    found = []
    several = data.versions.groupby("library")["version"].nunique() if len(data.versions) else pd.Series(dtype=int)
    if names := sorted(several[several > 1].index):
        found.append(f"Trials were made with different versions of {', '.join(names)}")
    for name in ("commit", "result_version", "device"):
        if (count := int((data.counts["what"] == name).sum())) > 1:
            found.append(f"Trials are of {count} {_HEADS[name].lower()}s")
    for name, words in (("backbone_hash", "weights of a backbone"), ("data_hash", "rows of a task")):
        if name in data.hashes and (data.hashes[name].map(len) > 1).any():
            found.append(f"The {words} differ between trials: they are not comparable")
    return found


def _of_counts(counts: pd.DataFrame) -> Table:
    body = []
    names = {"study": "Study", **_HEADS}
    for what, rows in ((name, counts[counts["what"] == name]) for name in names):
        for i, row in enumerate(rows.to_dict("records")):
            value = row["value"][:_SIGNS] if what == "commit" else row["value"]
            texts = (names[what] if not i else "", value or "not known", _day(row["first"]), _day(row["last"]))
            body.append(tuple(map(Cell, (*texts, f"{row['trials']:,}"))))
    columns = ("What", "Value", "First ended (UTC)", "Last ended (UTC)", "Trials")
    return Table("provenance", "Code, devices and dates", columns, tuple(body), left=4)


def _day(moment: str) -> str:
    """``2026-01-31 12:00`` of an ISO 8601 moment."""
    return moment[:16].replace("T", " ") or EMPTY


def _of_versions(versions: pd.DataFrame) -> Table:
    several = versions.groupby("library")["version"].transform("nunique") > 1
    body = []
    for row, differs in zip(versions.to_dict("records"), several, strict=True):
        version = Cell(row["version"] or "not known", "", "*" if differs else "")
        body.append((Cell(row["library"]), version, Cell(f"{row['trials']:,}")))
    notes = ("* Trials were made with different versions.",) if several.any() else ()
    return Table("versions", "Versions of Python and libraries", ("Library", "Version", "Trials"), tuple(body), notes,
                 left=2, folded=True)  # fmt: skip


def _of_hashes(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    found = {row["task"]: row for row in rows.to_dict("records")}
    heads = {"backbone_hash": "Weights", "data_hash": "Rows"}
    names = [name for name in heads if name in rows]
    body = []
    for task in style.tasks(found):
        texts = (", ".join(value[:_SIGNS] for value in found[task][name]) or EMPTY for name in names)
        body.append((Cell(style.task(task)), *map(Cell, texts)))
    title = f"{heading(benchmark, backbone)}: hashes of weights and rows, their first {_SIGNS} signs"
    return Table(slug("hashes", benchmark, backbone), title, ("Task", *(heads[name] for name in names)), tuple(body),
                 left=1 + len(names), folded=True, place=(benchmark, backbone))  # fmt: skip


def _of_study(name: str, text: str) -> Table:
    """The text of a study's file, a line to a row."""
    lines = [line.expandtabs().rstrip() for line in text.splitlines()]
    # A cell drops spaces at its start, where YAML has its meaning: these stay.
    body = tuple((Cell("\u00a0" * (len(line) - len(line.lstrip())) + line.lstrip()),) for line in lines)
    return Table(slug("study", name), f"The study {name}", (f"{name}.yaml",), body, folded=True)
