"""The report of expected validation performance: what is drawn, and what is said of it."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis import figures
from analysis.frame import tidy
from analysis.reports import Options, evp
from analysis.reports._section import Picture


def drawn_at_random(frame: pd.DataFrame) -> pd.DataFrame:
    cells = frame.groupby(["task", "method"])["assignment_id"]
    return tidy(frame.assign(draw=cells.transform(lambda names: pd.factorize(names)[0] + 1)))


@pytest.fixture
def runs(make_runs: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return make_runs(methods=("lora", "aot_fc"), tasks=("rte", "cola"), seeds=3)


def picture(frame: pd.DataFrame) -> tuple[Picture, str]:
    section = evp.render(evp.compute(frame))
    return next(block for block in section.blocks if isinstance(block, Picture)), section.intro


def test_a_grid_is_drawn_to_its_end_and_a_sample_dotted_from_half(runs: pd.DataFrame) -> None:
    for frame, solid in ((runs, 12), (drawn_at_random(runs), 6)):
        found, intro = picture(frame)
        assert ("half of the assignments" in intro) == (solid == 6)
        assert ("the best of the whole grid" in intro) == (solid == 12)
        assert found.place == ("glue", "roberta-base")
        for axis in found.figure.axes:
            assert axis.get_xscale() == "log"
            ends = {line.get_linestyle(): line.get_xdata()[-1] for line in axis.lines}
            assert ends == ({"-": 6, ":": 12} if solid == 6 else {"-": 12})


def test_the_macros_panel_is_the_mean_of_the_tasks(runs: pd.DataFrame) -> None:
    data = evp.compute(runs)
    found, _ = picture(runs)
    assert [axis.get_title() for axis in found.figure.axes] == ["Macro", "RTE", "CoLA"]
    means = data.curves.groupby(["method", "n"])["expected"].mean()
    ours = data.macro.set_index(["method", "n"])["expected"]
    pd.testing.assert_series_equal(ours.sort_index(), means.sort_index())
    assert set(data.macro["n_tasks"]) == {2}


def test_a_macro_counts_the_tasks_that_are_planned(runs: pd.DataFrame) -> None:
    assert evp.compute(tidy(runs.assign(planned_tasks=8))).macro.empty
    one = runs[(runs["method"] == "lora") | (runs["task"] == "glue/rte")]
    assert set(evp.compute(tidy(one)).macro["method"]) == {"lora"}


def test_all_of_a_method_is_marked_and_its_points_speak(runs: pd.DataFrame) -> None:
    found, _ = picture(runs)
    for axis in found.figure.axes:
        gids = [artist.get_gid() for artist in (*axis.lines, *axis.collections)]
        assert set(gids) == {"method:lora", "method:aot_fc"}
    line = found.figure.axes[1].lines[0]
    _, tips = figures.marked(line.get_figure(root=True))[line]
    first = tips[0]
    row = evp.compute(runs).curves.query("task == 'glue/rte' and method == 'lora' and n == 1").iloc[0]
    assert first == f"n = 1: {row['expected']:.1f} ({row['lower']:.1f} to {row['upper']:.1f})"
    assert len(tips) == 12


def test_the_words_say_how_many_count_with_the_floor_and_what_it_is(runs: pd.DataFrame) -> None:
    lost = (runs["task"] == "glue/cola") & (runs["hp.learning_rate"] == 5e-3) & (runs["method"] == "lora")
    frame = runs.assign(status=runs["status"].where(~lost, "failed"), score=runs["score"].where(~lost))
    (words,) = [block for block in evp.render(evp.compute(tidy(frame))).blocks if isinstance(block, str)]
    assert words.startswith("GLUE · RoBERTa-Base: 3 assignments of 48 have a seed that failed")
    assert "CoLA (floor 0.0, chance is not known): LoRA 3." in words
    known = tidy(frame.assign(majority=np.where(runs["task"] == "glue/cola", 0.0, 52.7)))
    (words,) = [block for block in evp.render(evp.compute(known)).blocks if isinstance(block, str)]
    assert "CoLA (floor 0.0): LoRA 3." in words
    left_out = evp.compute(known, Options(failures="drop"))
    assert not [block for block in evp.render(left_out).blocks if isinstance(block, str)]
    assert left_out.curves.query("task == 'glue/cola' and method == 'lora'")["n"].max() == 9


def test_the_estimator_is_named() -> None:
    assert "U-statistic" in evp._NAMES[Options().estimator], "by default"
