"""The report of runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.uris import masked, without_user
from search._words import plain, wide_console
from search.cli import _outputs, _watch
from search.cli._shared import fail, faults, say
from search.cli._sources import RUNS, Runs, gather

if TYPE_CHECKING:
    from pandas import DataFrame

    from analysis.reports import MethodInfo, Options
    from analysis.timings import Timings

ADDRESS = ("http://", "https://")
OUT, MARGIN = Path("report"), 1.0


class EstimatorName(StrEnum):
    """Estimators of Expected Validation Performance."""

    u = "u"
    v = "v"


class Failures(StrEnum):
    """What failed trials count with in Expected Validation Performance."""

    floor = "floor"
    drop = "drop"


def register(app: typer.Typer) -> None:
    """Add the command to ``aot``."""
    app.command(
        epilog="Examples: `aot report studies/demo.yaml --out report`; `aot report a.yaml b.yaml --runs old.csv "
        '--paper`; `aot report --list`; `aot report a.yaml --only "Table 2" --only figure-3`'
    )(report)


@dataclass(frozen=True)
class _Asked:
    """What the command line asks of a report."""

    studies: Sequence[Path]
    files: Sequence[Path]
    out: Path
    paper: bool
    only: Sequence[str]
    against: str | None
    margin: float
    price: float | None
    estimator: EstimatorName
    failures: Failures
    predictions: Path | None
    tokens: Path | None
    tracking_url: str | None
    speed: Sequence[Path]

    @property
    def command(self) -> str:
        """What makes the same report again, as it is typed."""
        words = ["aot", "report", *map(str, self.studies)]
        for path in self.files:
            words += ["--runs", str(path)]
        for path in self.speed:
            words += ["--speed", str(path)]
        words += ["--out", str(self.out)] if self.out != OUT else []
        words += ["--paper"] if self.paper else []
        for name in self.only:
            words += ["--only", name]
        words += ["--against", self.against] if self.against is not None else []
        words += ["--margin", f"{self.margin:g}"] if self.margin != MARGIN else []
        words += ["--price", f"{self.price:g}"] if self.price is not None else []
        words += ["--estimator", self.estimator.value] if self.estimator != EstimatorName.u else []
        words += ["--failures", self.failures.value] if self.failures != Failures.floor else []
        words += ["--predictions", str(self.predictions)] if self.predictions is not None else []
        words += ["--tokens", str(self.tokens)] if self.tokens is not None else []
        words += ["--tracking-url", self.tracking_url] if self.tracking_url is not None else []
        return shlex.join(words)

    def options(self, runs: Runs) -> Options:
        """The same as the reports take it, with what is known of the runs. SpeedFileError: of a file of times."""
        from analysis.reports import Options
        from analysis.selection import is_scored
        from search.cli import _predictions

        unscored = frozenset(runs.frame.loc[~is_scored(runs.frame), "trial_id"])
        try:
            infos = method_infos()
        except ValueError as error:  # of a method's file
            fail(str(error))
        return Options(
            paper=self.paper,
            estimator=self.estimator.value,
            failures=self.failures.value,
            against=None if self.against is None else _compared(self.against, runs.frame, infos),
            margin=self.margin,
            price=self.price,
            methods=infos,
            coverage=runs.planned,
            predictions=_predictions.reader(self.studies, self.predictions, unscored),
            tokens=self.moved_tokens(),
            studies=runs.texts,
            command=self.command,
            tracking=self.tracking_url or runs.tracking,
            speed=self.times(),
        )

    def times(self) -> Timings | None:
        """The inference times of the files that were given, if any was."""
        from analysis import timings

        return timings.load(self.speed) if self.speed else None

    def moved_tokens(self) -> DataFrame | None:
        """The rows of the file of ``aot tokens`` that was given, if one was."""
        from analysis import tokens

        return None if self.tokens is None else tokens.read(self.tokens)


def report(
    study_files: Annotated[
        list[Path] | None, typer.Argument(metavar="[STUDY]...", help="Report the runs of these studies.")
    ] = None,
    runs: Annotated[
        list[Path] | None, typer.Option(help="Report a file of runs, .csv or .parquet; may be given several times.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that takes the report.")] = OUT,
    paper: Annotated[bool, typer.Option("--paper", help="Set the paper's published numbers beside ours.")] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List what a report holds, with the paper's tables and figures.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help='Only this part, such as results, "Table 2" or figure-3; several times.'),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD[:METHOD,...]", help="Compare this method with all others, or with these; else the best one."
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(min=0, max=100, metavar="POINTS", help="Within so many points methods are practically equal."),
    ] = MARGIN,
    price: Annotated[
        float | None, typer.Option(min=0, max=1e9, metavar="PER_DEVICE_HOUR", help="Show the budget in money as well.")
    ] = None,
    estimator: Annotated[
        EstimatorName, typer.Option(help="EVP's estimator: u, without replacement (Tang 2020); v, with (Dodge 2019).")
    ] = EstimatorName.u,
    failures: Annotated[
        Failures, typer.Option(help="In EVP, failed trials count with chance (floor), or are left out (drop).")
    ] = Failures.floor,
    predictions: Annotated[
        Path | None, typer.Option(help="Answers on dev that aot export --predictions copied; a STUDY has its own.")
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(help="The tokens.csv of aot tokens, on what AoT does to which words; also by itself."),
    ] = None,
    tracking_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The experiment's page in MLflow's UI, for links to its runs.")
    ] = None,
    speed: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Inference times that aot speed measured; also by itself; several times."),
    ] = None,
    attach: Annotated[
        bool, typer.Option(help="Put the report of one study into its experiment in MLflow, where aot ui shows it.")
    ] = True,
    watch: Annotated[
        float | None, typer.Option(min=0.1, max=86_400, metavar="SECONDS", help="Look again so often until Ctrl-C.")
    ] = None,
) -> None:
    """Write the report: what came out, how sure it is, what to choose, and what of the paper holds.

    It is of one study or of several, of files of runs, or of both together; or of inference times or tokens alone.
    """
    if listed:
        wide_console().print(_list())
        return
    if not study_files and not runs and not speed and tokens is None:
        fail(
            "give at least one STUDY, --runs FILE, --speed FILE or --tokens FILE; what a report holds is told by: "
            "aot report --list"
        )
    for path in study_files or ():
        if path.suffix.lower() in RUNS:
            fail(f"a STUDY is a YAML file, but {path} is a file of runs; report it with: aot report --runs {path}")
    if tracking_url is not None and not tracking_url.startswith(ADDRESS):
        fail(f"--tracking-url must be an address that starts with http:// or https://, but got {masked(tracking_url)}")
    _outputs.check_folder(out, "--out")
    url = without_user(tracking_url).rstrip("/") if tracking_url else None
    sources = study_files or (), runs or ()
    asked = _Asked(
        *sources, out, paper, only or (), against, margin, price, estimator, failures, predictions, tokens, url,
        speed or (),
    )  # fmt: skip
    names = _only(asked.only)
    from analysis.frame import FrameError
    from analysis.tokens import TokensError
    from common.speed import SpeedFileError

    with faults(FrameError, TokensError, SpeedFileError):
        if not study_files and not runs:
            if watch is not None:
                fail("--watch follows studies and runs, but there is none; leave it out")
            page = _write_without_runs(asked, names)
            say("the report is written; open")
            typer.echo(page)
            return
        if watch is not None:
            _watch.until_interrupted(asked.studies, asked.files, watch, lambda found: _write(asked, names, found))
            return
        found = gather(asked.studies, asked.files)
        page = _write(asked, names, found)
    _tell(found)
    if attach and len(asked.studies) == 1 and not asked.files and not names:  # a whole report, of a study
        _attach(asked.studies[0], page, found.tracking)
    say("the report is written; open")
    typer.echo(page)


def _write(asked: _Asked, names: Sequence[str], runs: Runs) -> Path:
    from analysis.report import write_report

    return write_report(runs.frame, asked.out, asked.options(runs), notes=runs.notes, only=names)


def _write_without_runs(asked: _Asked, names: Sequence[str]) -> Path:
    """The report of inference times and tokens alone."""
    from analysis import reports
    from analysis.report import write_report_without_runs

    if of_trials := [name for name in names if reports.needs_runs(reports.get(name))]:
        fail(f"--only {of_trials[0]} is a report of trials; give a STUDY or --runs FILE as well")
    options = reports.Options(
        methods=method_infos(), speed=asked.times(), tokens=asked.moved_tokens(), command=asked.command
    )
    return write_report_without_runs(asked.out, options, only=names)


def _attach(path: Path, page: Path, experiment: str | None) -> None:
    """Put the page into the study's experiment; a store that takes none is told of, and the report stands.

    ``experiment``: its address in MLflow's UI, where that is known.
    """
    from search.cli._shared import load
    from search.errors import RefusedError
    from search.tracking import mlflow_front
    from search.tracking.mlflow_access import AwayError

    study = load(path, bind=False, offline=True)
    try:
        run_id = mlflow_front.attach(study.name, study.tracking, page, study.description)
    except (AwayError, RefusedError) as error:
        say(f"the report is not put into MLflow: {error}")
        return
    if run_id is not None and experiment is not None:
        say(f"it is in MLflow, too: {mlflow_front.report_page(experiment, run_id)}")


def _only(wanted: Sequence[str]) -> list[str]:
    """The reports that are meant, each name or several with commas between; ends the command where one is unknown."""
    from analysis import reports

    try:
        return [name for text in wanted for part in text.split(",") for name in reports.find(part)]
    except ValueError as error:
        fail(f"--only: {error}")


def _list() -> object:
    """Every report: its name, what it is of the paper, its title."""
    from rich import box
    from rich.table import Table as RichTable

    from analysis import reports

    table = RichTable("name", "in the paper", "title", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in reports.names():
        report = reports.get(name)
        table.add_row(*plain(name, ", ".join(reports.paper_names(report)), report.TITLE))
    return table


def _compared(text: str, frame: DataFrame, methods: dict[str, MethodInfo]) -> str:
    """``METHOD[:METHOD,…]`` with the methods' ids, whatever names were given; ends the command where one is unknown."""
    from analysis import style

    ids = style.methods(frame["method"])
    labels = {name: methods[name].label if name in methods else style.method(name) for name in ids}
    known = {style.plain(text): name for name in ids for text in (labels[name], name)}

    def one(name: str) -> str:
        if style.plain(name) not in known:
            fail(f"--against: {name!r} is no method of these runs; known: {', '.join(ids)}")
        return known[style.plain(name)]

    reference, colon, others = text.partition(":")
    first = one(reference)
    chosen = dict.fromkeys(one(name) for name in others.split(",")) if colon else {}
    if first in chosen:
        fail(f"--against: {first!r} cannot be compared with itself; name other methods behind the colon")
    return f"{first}:{','.join(chosen)}" if chosen else first


def _tell(runs: Runs) -> None:
    """What a report leaves out, and what is not trained, in a line each."""
    from analysis import coverage

    own, others = coverage.of_study(runs.frame)
    cells, elsewhere = (runs.planned, 0) if runs.planned is not None else coverage.of_frame(own)
    for line in coverage.sentences(cells, elsewhere, coverage.caveats(own, others)):
        say(line)


def method_infos() -> dict[str, MethodInfo]:
    """What the methods of the folder say of themselves: the reports know none of them. ValueError: of a file there."""
    from analysis.reports import MethodInfo
    from trainables import methods

    kinds = {name: methods.get(name) for name in methods.names()}
    return {name: MethodInfo(kind.label, kind.sizes) for name, kind in kinds.items()}
