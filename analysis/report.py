"""The whole report: every file of ``reports/`` in order, as Markdown, HTML, CSV, LaTeX, PNG and PDF."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf

from analysis import coverage, reports, style, summary, svg
from analysis.evp import Estimator, Failures
from analysis.frame import FrameError, tidy
from analysis.latex import to_latex
from analysis.page import Document, markdown, page
from analysis.predictions import Predictions
from analysis.reports._section import DEFAULT, Answer, MethodInfo, Options, Picture, Section
from analysis.selection import APART, kept, split_roles
from analysis.standings import standings
from analysis.tables import Table

#: What a report has written into its folder, one path a line: the next one removes what it does not write itself.
MANIFEST = ".report-files"
_OWN = re.compile(r"report\.(md|html)|(figures|tables)/[^/]+")  # what it may remove, whatever stands in that file


def write_report(
    frame: pd.DataFrame,
    out: str | Path,
    *,
    paper: bool = False,
    estimator: Estimator = "u",
    failures: Failures = "floor",
    methods: Mapping[str, MethodInfo] = MappingProxyType({}),
    title: str | None = None,
    planned: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    predictions: Callable[[str], Predictions | None] = DEFAULT.predictions,
) -> Path:
    """Write the report of a frame into the folder ``out`` and return the path of its HTML page.

    ``out`` then holds ``report.md``, ``report.html`` (one self-contained file), ``figures/*.png`` and ``*.pdf``,
    ``tables/*.csv`` (``results.csv``, ``macro.csv``, ``evp.csv`` and others) and ``tables/*.tex``. ``paper`` sets the
    paper's published numbers beside ours; ``estimator`` is that of the EVP curves, in which ``failures`` count with the
    floor score (chance) or are dropped; ``methods`` is what is known of the methods, and one that is not among them is
    called after its id. ``planned``: what of each cell of the study is
    trained, where that is known beside the frame (``analysis.coverage.COLUMNS``); ``notes``: what else to know of where
    the runs come from; ``predictions``: a trial's answers on dev, by trial id, where they were kept. Trials that the
    study does not name (``in_study``) are counted and left out. The same frame gives the same files.

    Raises FrameError for a frame that has no trial of the study or breaks the schema, ValueError for an unknown
    estimator or way with failures.
    """
    if estimator not in ("v", "u"):
        raise ValueError(f"the estimator must be 'v' (with replacement) or 'u' (without), but is {estimator!r}")
    if failures not in ("floor", "drop"):
        raise ValueError(f"failures must be 'floor' (they count with chance) or 'drop', but is {failures!r}")
    frame, others = coverage.of_study(tidy(frame))
    if frame.empty:
        left = f" (it has {len(others)} that the study does not name)" if len(others) else ""
        raise FrameError(
            "report", [f"the frame has no trial{left}; run the study first (aot run STUDY), or check the runs file"]
        )
    keys = ["benchmark", "backbone", "task", "method", "assignment_id", "seed", "trial_id"]
    frame = frame.sort_values(keys, ignore_index=True)
    frame, confirmation = split_roles(frame)
    options = Options(
        paper=paper,
        estimator=estimator,
        failures=failures,
        methods=methods,
        coverage=planned,
        confirmation=None if confirmation.empty else confirmation,
        predictions=predictions,
    )
    cells, elsewhere = (planned, 0) if planned is not None else coverage.of_frame(frame)
    care = coverage.sentences(cells, elsewhere, [*notes, *coverage.caveats(frame, others)])
    labels = {name: method.label for name, method in methods.items()}
    sizes = frame[frame["method"] == APART].groupby("backbone")["trainable_parameters"].max().dropna().to_dict()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as fresh:
        with style.context(labels, frame["method"], sizes), kept(frame):
            sections, answers = _sections(frame, options, Path(fresh))
            images = _pictures(sections, Path(fresh, "figures"))
            care += summary.caveats(frame, planned)
            document = Document(
                title or "Report: " + ", ".join(sorted(frame["study"].unique())),
                summary.what(frame),
                tuple(summary.findings(frame, options)),
                tuple(care),
                tuple(sections),
                tuple(answers),
                standings(frame),
            )
            Path(fresh, "report.md").write_text(markdown(document), encoding="utf-8")
            Path(fresh, "report.html").write_text(page(document, images), encoding="utf-8")
        _move(Path(fresh), folder)
    return folder / "report.html"


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


def _sections(frame: pd.DataFrame, options: Options, out: Path) -> tuple[list[Section], list[Answer]]:
    """Compute, export and render every report that has something to show, and what each answers."""
    sections: list[Section] = []
    answers: list[Answer] = []
    tables = out / "tables"
    tables.mkdir()
    for name in reports.names():
        report = reports.get(name)
        data = report.compute(frame, options)
        for stem, table in reports.exports(report, data).items():
            table.to_csv(tables / f"{stem}.csv", index=False)
        answers += reports.answers(report, data)
        section = report.render(data)
        if section is not None:
            sections.append(replace(section, part=section.part or reports.part(report)))
    sections = _with_names_apart(sections)
    for block in (block for section in sections for block in section.blocks if isinstance(block, Table)):
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
