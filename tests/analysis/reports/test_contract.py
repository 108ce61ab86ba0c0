"""What every report in the folder promises, on ordinary runs and on poor ones. A new file is tested unnamed."""

import math
from collections.abc import Callable, Iterator

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import reports, style
from analysis.reports._section import Options, Picture, Section
from analysis.tables import Table, to_html, to_latex, to_markdown


def failed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(status="failed", score=math.nan, trainable_parameters=pd.NA, seconds=math.nan, epochs=pd.NA)


def promoted(frame: pd.DataFrame) -> pd.DataFrame:
    """The first assignment of each cell with all seeds, the others with one."""
    best = frame.groupby(["task", "method"])["assignment_id"].transform("first") == frame["assignment_id"]
    tagged = frame.assign(promotion=frame["seed"].map(lambda seed: "promoted" if seed else "first"))
    return tagged[best | (frame["seed"] == 0)].reset_index(drop=True)


FRAMES: dict[str, Callable[[Callable[..., pd.DataFrame]], pd.DataFrame]] = {
    "ordinary": lambda make: make(losses=0.1),
    "one method": lambda make: make(methods=("lora",)),
    "fine-tuning alone": lambda make: make(methods=("fine_tuning",), tasks=("rte",)),
    "one seed": lambda make: make(methods=("lora", "bitfit"), seeds=1),
    "one trial": lambda make: make(methods=("bitfit",), tasks=("rte",), seeds=1).head(1),
    "failed": lambda make: failed(make(methods=("lora", "bitfit"), tasks=("rte",))),
    "pruned": lambda make: make(methods=("lora", "bitfit"), tasks=("rte",)).assign(status="pruned"),
    "no hyperparameters": lambda make: make(methods=("lora", "bitfit")).filter(regex="^(?!hp)"),
    "promoted": lambda make: promoted(make(methods=("lora", "bitfit"), tasks=("rte", "cola"), seeds=3)),
    "a ninth method": lambda make: make(methods=("lora",), tasks=("rte",)).assign(method="_new & 100%"),
    "a strange benchmark": lambda make: make(methods=("lora", "bitfit"), tasks=("rte",)).assign(
        benchmark="demo", task="x"
    ),
}


@pytest.fixture(scope="module", params=FRAMES)
def runs(request: pytest.FixtureRequest, make_runs: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return FRAMES[request.param](make_runs)


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with style.context():
        yield


@pytest.mark.parametrize("name", reports.names())
def test_a_report_computes_and_renders_any_runs(name: str, runs: pd.DataFrame) -> None:
    report = reports.get(name)
    before = runs.copy()
    for options in (Options(), Options(paper=True, estimator="u")):
        data = report.compute(runs, options)
    pd.testing.assert_frame_equal(runs, before)
    for stem, table in reports.exports(report, data).items():
        assert stem.isidentifier()
        assert isinstance(table, pd.DataFrame)
    section = report.render(data)
    if section is None:
        return
    assert isinstance(section, Section)
    assert section.title == report.TITLE
    assert section.intro
    names = [block.name for block in section.blocks if not isinstance(block, str)]
    assert len(set(names)) == len(names)
    for block in section.blocks:
        if isinstance(block, Table):
            assert to_html(block)
            assert to_markdown(block)
            assert to_latex(block)
        elif isinstance(block, Picture):
            assert isinstance(block.figure, Figure)
            assert block.title
        else:
            assert isinstance(block, str)


@pytest.mark.parametrize("name", reports.names())
def test_a_report_shows_something_of_ordinary_runs(name: str, make_runs: Callable[..., pd.DataFrame]) -> None:
    large = make_runs(backbone="roberta-large", tasks=("rte", "cola"))
    frame = pd.concat([make_runs(tasks=("rte", "cola")), promoted(large)], ignore_index=True)
    report = reports.get(name)
    section = report.render(report.compute(frame, Options(paper=True)))
    assert section is not None
    assert section.blocks


def test_the_folder_is_the_registry() -> None:
    assert len(reports.names()) >= 10
    positions = [reports.get(name).POSITION for name in reports.names()]
    assert positions == sorted(set(positions))
    with pytest.raises(ValueError, match=r"unknown report 'nope'; known: evp, failures"):
        reports.get("nope")
