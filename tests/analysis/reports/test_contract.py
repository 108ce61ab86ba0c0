"""What every report in the folder promises, on ordinary runs and on poor ones. A new file is tested unnamed."""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import reports, style, timings, tokens
from analysis.latex import to_latex
from analysis.predictions import Predictions
from analysis.reports import MethodInfo, Options
from analysis.reports._section import Picture
from analysis.svg import to_svg
from analysis.tables import Table, to_html, to_markdown
from common.seeds import seed_of

#: Times that were made up for tests.
SPEED = Path(__file__).parents[1] / "data" / "speed.csv"


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
    "unfinished": lambda make: make(losses=0.1).assign(
        planned_in_cell=40, planned_in_study=2_000, planned_seeds=5, planned_tasks=8
    ),
    "two protocols": lambda make: make(methods=("lora",)).assign(
        max_length=[64 + 64 * (i % 2) for i in range(len(make(methods=("lora",))))], precision="", device=None
    ),
    "a ninth method": lambda make: make(methods=("lora",), tasks=("rte",)).assign(method="_new & 100%"),
    "a strange benchmark": lambda make: make(methods=("lora", "bitfit"), tasks=("rte",)).assign(
        benchmark="demo", task="x"
    ),
}

KNOWN = {"lora": MethodInfo("LoRA", ("rank",)), "bitfit": MethodInfo("BitFit", ())}


@pytest.fixture(scope="module", params=FRAMES)
def runs(request: pytest.FixtureRequest, make_runs: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return FRAMES[request.param](make_runs)


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with style.context():
        yield


def check_table(table: Table) -> None:
    """Every cell arrives in all three forms, in its place, and each form is well made."""
    head, *body = [
        ["".join(cell.itertext()) for cell in row] for row in ElementTree.fromstring(to_html(table)).iter("tr")
    ]
    assert head == list(table.columns)
    assert body == [[cell.text + cell.signs for cell in row] for row in table.rows]
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(table.rows)
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {2 + len(table.columns)}
    latex = to_latex(table)
    grids = [
        [re.split(r"(?<!\\)&", line) for line in part.splitlines() if line.endswith(r" \\")]
        for part in latex.split(r"\toprule")[1:]
    ]
    pages = latex.count(r"\begin{table}")
    assert sum(len(grid[0]) - table.left for grid in grids) == pages * (len(table.columns) - table.left)
    assert pages * sum(len(grid) - 1 for grid in grids) == len(grids) * len(table.rows)
    assert all(len(row) == len(grid[0]) for grid in grids for row in grid)
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")


def check_picture(picture: Picture) -> None:
    """Every panel shows something, and the legend names what the panels draw."""
    panels = [axis for axis in picture.figure.axes if axis.get_visible()]
    assert panels
    assert all(axis.has_data() for axis in panels)
    assert all(axis.get_title() for axis in panels)
    drawn = {line.get_color() for axis in panels for line in axis.lines}
    assert {line.get_color() for legend in picture.figure.legends for line in legend.get_lines()} <= drawn
    root = ElementTree.fromstring(to_svg(picture.figure, "f", picture.title))
    marked = {name for name in root.iter("g") if name.get("data-method")}
    inside = {part for group in marked for part in group.iter()}
    colors = {f"{kind}-m{i}" for kind in "sf" for i in range(16)}
    loose = [part for part in root.iter() if part not in inside and colors & set(part.get("class", "").split())]
    entries = {part for group in root.iter("g") if group.get("data-legend") for part in group.iter()}
    assert not set(loose) - entries, "everything that is drawn of a method is marked (style.mark)"
    assert picture.title


@pytest.mark.parametrize(
    "options",
    [Options(), Options(paper=True, estimator="u", methods=KNOWN, speed=timings.load([SPEED]))],
    ids=["plain", "everything"],
)
@pytest.mark.parametrize("name", reports.names())
def test_a_report_computes_and_renders_any_runs(name: str, options: Options, runs: pd.DataFrame) -> None:
    report = reports.get(name)
    before = runs.copy()
    data = report.compute(runs, options)
    for stem, table in reports.exports(report, data).items():
        assert stem.isidentifier()
        assert isinstance(table, pd.DataFrame)
    section = report.render(data)
    pd.testing.assert_frame_equal(runs, before)
    if section is None:
        return
    assert section.title == report.TITLE
    assert section.intro.endswith((".", "?"))
    names = [block.name for block in section.blocks if not isinstance(block, str)]
    assert len(set(names)) == len(names)
    for block in section.blocks:
        if isinstance(block, Table):
            check_table(block)
        elif isinstance(block, Picture):
            check_picture(block)
        else:
            assert block.endswith(".")


def answered(trial_id: str) -> Predictions:
    """Forty answers to one dev set, most of them right."""
    gold = np.arange(40) % 2
    return Predictions(
        "accuracy", np.where(np.random.default_rng(seed_of(trial_id)).random(40) < 0.2, 1 - gold, gold), gold
    )


def moved_tokens() -> pd.DataFrame:
    """What ``aot tokens`` finds in one artifact of twelve layers."""
    place = {"backbone": "roberta-large", "task": "glue/rte", "method": "aot_fc"}
    return tokens.table(
        {**place, "layer": layer, "rank": rank, "token_id": rank, "token": token, "norm": 9.0 - rank + layer / 12}
        | {"special": token == "</s>", "seen": seen}
        for layer in range(12)
        for rank, (token, seen) in enumerate([("␣she", True), ("</s>", True), ("$x$|&%_#", False)], start=1)
    )


@pytest.mark.parametrize("name", reports.names())
def test_a_report_shows_something_of_ordinary_runs(name: str, make_runs: Callable[..., pd.DataFrame]) -> None:
    large = make_runs(backbone="roberta-large", tasks=("rte", "cola"))
    frame = pd.concat([make_runs(tasks=("rte", "cola"), losses=0.1), promoted(large)], ignore_index=True)
    frame = frame.assign(
        planned_in_cell=40, planned_in_study=2_000, max_length=128, dev_cut=0.25, reason="a", commit="b"
    )
    report, speed = reports.get(name), timings.load([SPEED])
    options = Options(paper=True, predictions=answered, tokens=moved_tokens(), speed=speed)
    section = report.render(report.compute(frame, options))
    assert section is not None
    assert section.blocks


def test_the_folder_is_the_registry() -> None:
    assert len(reports.names()) >= 10
    positions = [reports.get(name).POSITION for name in reports.names()]
    assert positions == sorted(set(positions))
    with pytest.raises(ValueError, match=r"unknown report 'nope'; known: .*coverage, .*epochs, .*evp"):
        reports.get("nope")
