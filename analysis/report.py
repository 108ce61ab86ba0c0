"""The whole report: every file of ``reports/`` in order, as Markdown, HTML, CSV, LaTeX, PNG and PDF."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf

from analysis import coverage, reports, style, summary
from analysis.evp import Estimator, Failures
from analysis.frame import FrameError, tidy
from analysis.page import Document, markdown, page
from analysis.predictions import Predictions
from analysis.reports._section import DEFAULT, MethodInfo, Options, Picture, Section
from analysis.selection import kept, split_roles
from analysis.tables import Table, to_latex


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
    folder = Path(out)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "tables").mkdir(parents=True, exist_ok=True)
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
    with style.context(labels, frame["method"]), kept(frame):
        sections = _sections(frame, options, folder / "tables")
        images = _pictures(sections, folder / "figures")
        name = title or "Report: " + ", ".join(sorted(frame["study"].unique()))
        care += summary.caveats(frame, planned)
        document = Document(
            name, summary.what(frame), tuple(summary.findings(frame, options)), tuple(care), tuple(sections)
        )
    (folder / "report.md").write_text(markdown(document), encoding="utf-8")
    (folder / "report.html").write_text(page(document, images), encoding="utf-8")
    return folder / "report.html"


def _sections(frame: pd.DataFrame, options: Options, tables: Path) -> list[Section]:
    """Compute, export and render every report that has something to show."""
    sections = []
    for name in reports.names():
        report = reports.get(name)
        data = report.compute(frame, options)
        for stem, table in reports.exports(report, data).items():
            table.to_csv(tables / f"{stem}.csv", index=False)
        section = report.render(data)
        if section is not None:
            sections.append(section)
    sections = _with_names_apart(sections)
    for block in (block for section in sections for block in section.blocks if isinstance(block, Table)):
        (tables / f"{block.name}.tex").write_text(to_latex(block), encoding="utf-8")
    return sections


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


def _pictures(sections: list[Section], figures: Path) -> dict[str, bytes]:
    """Save every picture as PNG and PDF, without a date, so that files compare. The PNGs come back by name."""
    images = {}
    for picture in (block for section in sections for block in section.blocks if isinstance(block, Picture)):
        figure, image = picture.figure, io.BytesIO()
        # Canvases are called directly: savefig draws a figure twice for each file, only to lay it out again.
        canvas = FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        canvas.print_png(image, metadata={"Software": None})
        FigureCanvasPdf(figure).print_pdf(figures / f"{picture.name}.pdf", metadata={"CreationDate": None})
        images[picture.name] = image.getvalue()
        (figures / f"{picture.name}.png").write_bytes(image.getvalue())
    return images
