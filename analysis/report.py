"""The whole report: every file of ``reports/`` in order, as Markdown, HTML, CSV, LaTeX, PNG and PDF."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf

from analysis import coverage, reports, style, summary, svg
from analysis.frame import FrameError, tidy
from analysis.latex import to_latex
from analysis.page import Document, markdown, page
from analysis.reports._section import DEFAULT, Answer, Options, Picture, Section
from analysis.selection import APART, kept, split_roles
from analysis.standings import standings
from analysis.tables import Table

#: What a report has written into its folder, one path a line: the next one removes what it does not write itself.
MANIFEST = ".report-files"
_BEGUN, _ABANDONED = ".report-in-", 3600  # folders of reports in the making; seconds without a sign of life
_OWN = re.compile(r"report\.(md|html)|(figures|tables)/[^/]+")  # what it may remove, whatever stands in that file


def write_report(
    frame: pd.DataFrame,
    out: str | Path,
    options: Options = DEFAULT,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Path:
    """Write the report of a frame into the folder ``out`` and return the path of its HTML page.

    ``out`` then holds ``report.md``, ``report.html`` (one self-contained file), ``figures/*.png`` and ``*.pdf``,
    ``tables/*.csv`` (``results.csv``, ``macro.csv``, ``evp.csv`` and others) and ``tables/*.tex``.

    ``options``: what was asked of it, and what is known beside the frame. ``notes``: what else to know of where the
    runs come from. ``only``: the reports that it is to hold, by name; all where none is named. Trials that the study
    does not name (``in_study``) are counted and left out. The same frame gives the same files.

    Raises FrameError for a frame that has no trial of the study or breaks the schema, ValueError for an unknown
    estimator, way with failures or report.
    """
    if options.estimator not in ("v", "u"):
        raise ValueError(f"the estimator must be 'v' (with replacement) or 'u' (without), but is {options.estimator!r}")
    if options.failures not in ("floor", "drop"):
        raise ValueError(f"failures must be 'floor' (they count with chance) or 'drop', but is {options.failures!r}")
    chosen = [name for name in reports.names() if not only or name in only]
    for name in only:
        reports.get(name)
    frame, others = coverage.of_study(tidy(frame))
    if frame.empty:
        left = f" (it has {len(others)} that the study does not name)" if len(others) else ""
        raise FrameError(
            "report", [f"the frame has no trial{left}; run the study first (aot run STUDY), or check the runs file"]
        )
    keys = ["benchmark", "backbone", "task", "method", "assignment_id", "seed", "trial_id"]
    frame = frame.sort_values(keys, ignore_index=True)
    frame, confirmation = split_roles(frame)
    planned = options.coverage
    options = replace(options, confirmation=None if confirmation.empty else confirmation)
    cells, elsewhere = (planned, 0) if planned is not None else coverage.of_frame(frame)
    care = coverage.sentences(cells, elsewhere, [*notes, *coverage.caveats(frame, others)])
    labels = {name: method.label for name, method in options.methods.items()}
    sizes = frame[frame["method"] == APART].groupby("backbone")["trainable_parameters"].max().dropna().to_dict()
    methods = [*frame["method"], *([] if options.speed is None else options.speed.table["method"])]
    with _fresh(Path(out)) as fresh, style.context(labels, methods, sizes), kept(frame):
        sections, answers = _sections(frame, options, chosen, fresh)
        care += summary.caveats(frame, planned)
        absent = [name for name in only if name not in sections]
        care += [f"{reports.get(name).TITLE}: these runs have nothing for it." for name in absent]
        document = Document(
            title or "Report: " + ", ".join(sorted(frame["study"].unique())),
            summary.what(frame),
            (*summary.findings(frame, options), *answers),
            tuple(care),
            tuple(sections.values()),
            standings(frame),
        )
        _write(document, fresh)
    return Path(out) / "report.html"


def write_report_without_runs(out: str | Path, options: Options, *, only: Sequence[str] = ()) -> Path:
    """Write the report of what ``options`` hold, with no trial: times, tokens. Otherwise as :func:`write_report`.

    Raises ValueError for a report that does not exist or is of trials.
    """
    chosen = [name for name in reports.names() if not reports.needs_runs(reports.get(name))]
    if of_trials := [name for name in only if reports.needs_runs(reports.get(name))]:
        raise ValueError(f"{reports.get(of_trials[0]).TITLE!r} is a report of trials; give a study or --runs as well")
    labels = {name: method.label for name, method in options.methods.items()}
    methods: list[str] = [] if options.speed is None else [*options.speed.table["method"]]
    methods += [] if options.tokens is None else [*options.tokens["method"]]
    with _fresh(Path(out)) as fresh, style.context(labels, methods):
        sections, answers = _sections(pd.DataFrame(), options, [n for n in chosen if not only or n in only], fresh)
        what = "What was measured without a study: no trial is in this report."
        titles = [f"{one.title[0].lower()}{one.title[1:]}" for one in sections.values()]
        title = f"Report: {'; '.join(titles)}" if titles else "Report"
        _write(Document(title, what, tuple(answers), (), tuple(sections.values())), fresh)
    return Path(out) / "report.html"


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """A folder for a new report, which takes the place of the earlier one in ``folder`` where nothing goes wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    with tempfile.TemporaryDirectory(prefix=_BEGUN, dir=folder) as fresh:
        yield Path(fresh)
        _move(Path(fresh), folder)


def _write(document: Document, fresh: Path) -> None:
    """The figures, the page and the Markdown of a document."""
    images = _pictures(document.sections, fresh / "figures")
    (fresh / "report.md").write_text(markdown(document), encoding="utf-8")
    (fresh / "report.html").write_text(page(document, images), encoding="utf-8")


def _sweep(folder: Path) -> None:
    """Remove what reports that were killed had begun; a recent one may still be at work."""
    for begun in folder.glob(f"{_BEGUN}*/"):
        if time.time() - begun.stat().st_mtime > _ABANDONED:
            shutil.rmtree(begun, ignore_errors=True)


def _move(fresh: Path, folder: Path) -> None:
    """Put the new report's files in the place of the earlier one's, whose others go; nobody else's are touched."""
    manifest = folder / MANIFEST
    told = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
    before = {name for name in told if _OWN.fullmatch(name)}
    files = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file())
    manifest.write_text("".join(f"{name}\n" for name in sorted(before.union(files))), encoding="utf-8")
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (fresh / name).replace(folder / name)
    for name in before.difference(files):
        (folder / name).unlink(missing_ok=True)
    manifest.write_text("".join(f"{name}\n" for name in files), encoding="utf-8")


def _sections(
    frame: pd.DataFrame, options: Options, names: Sequence[str], out: Path
) -> tuple[dict[str, Section], list[Answer]]:
    """Compute, export and render these reports: those that have something to show, by name, and what each answers."""
    sections: dict[str, Section] = {}
    answers: list[Answer] = []
    tables = out / "tables"
    tables.mkdir()
    for name in names:
        report = reports.get(name)
        data = report.compute(frame, options)
        for stem, table in reports.exports(report, data).items():
            table.to_csv(tables / f"{stem}.csv", index=False)
        answers += reports.answers(report, data)
        section = report.render(data)
        if section is not None:
            sections[name] = replace(section, part=section.part or reports.part(report))
    sections = dict(zip(sections, _with_names_apart(list(sections.values())), strict=True))
    for block in (block for section in sections.values() for block in section.blocks if isinstance(block, Table)):
        (tables / f"{block.name}.tex").write_text(to_latex(block), encoding="utf-8")
    return sections, answers


def _with_names_apart(sections: list[Section]) -> list[Section]:
    """The sections with a number behind the name of a table or figure that another one has: of backbones ``a_b`` and
    ``a-b``, whose names are one as those of files."""
    taken: set[tuple[type, str]] = set()

    def apart(block: Table | Picture | str) -> Table | Picture | str:
        if isinstance(block, str):
            return block
        names = (block.name if number == 1 else f"{block.name}-{number}" for number in count(1))
        name = next(name for name in names if (type(block), name) not in taken)
        taken.add((type(block), name))
        return replace(block, name=name)

    return [replace(section, blocks=tuple(map(apart, section.blocks))) for section in sections]


def _pictures(sections: Iterable[Section], figures: Path) -> dict[str, str]:
    """Save every picture as PNG and PDF, without a date, so that files compare. Their SVG comes back by name."""
    figures.mkdir()
    images = {}
    for number, picture in enumerate(
        block for section in sections for block in section.blocks if isinstance(block, Picture)
    ):
        figure = picture.figure
        # First, as it arranges the figure. Canvases are called directly: savefig draws a figure twice for each file.
        images[picture.name] = svg.to_svg(figure, f"f{number}", picture.title)
        FigureCanvasAgg(figure).print_png(
            figures / f"{picture.name}.png", metadata={"Software": None}, pil_kwargs={"compress_level": 3}
        )
        FigureCanvasPdf(figure).print_pdf(figures / f"{picture.name}.pdf", metadata={"CreationDate": None})
    return images
