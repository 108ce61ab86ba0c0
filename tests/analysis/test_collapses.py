"""Runs that collapse are counted, and leave an interval only where it holds: by hand, and where the truth is known."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest

from analysis import collapses, estimates, inference
from analysis.reports import Options, comparison, confirmation
from analysis.summary import findings
from benchmarks import _rates_inference as simulation
from tests.analysis.test_estimates import confirmed, study


def test_a_run_far_below_the_median_of_its_assignment_has_collapsed() -> None:
    nan = math.nan
    cell = [
        [80.0, 81.0, 79.0, 50.0],  # the best median, 79.5
        [78.0, 80.0, 79.0, 78.0],
        [79.0, 77.0, 50.0, nan],  # not as many seeds, and yet as good
        [60.0, 61.0, 59.0, 40.0],  # nowhere near the best: its collapse says nothing of the chosen one
        [50.0, nan, nan, nan],  # of one seed nobody knows
    ]
    collapsed, runs = collapses.counted(np.array([cell]))
    # from their medians runs are 0.5, 1.5 and 29.5; 0.5, 0.5, 0.5 and 1.5; 2 and 27; 0.5, 0.5, 1.5 and 19.5 away
    assert (collapsed.tolist(), runs.tolist()) == ([2], [11])
    assert [count.tolist() for count in collapses.counted(np.full((1, 2, 3), nan))] == [[0], [0]]
    same = np.full((1, 2, 3), 70.0)
    assert [count.tolist() for count in collapses.counted(same)] == [[0], [6]]


def test_few_runs_that_are_merely_spread_count_as_collapsed() -> None:
    """Of normal scores, and of the weak scores of a task on which nothing is learned."""
    draw = np.random.default_rng(0)
    for shape in ((200, 8, 5), (200, 1, 5), (200, 12, 3), (200, 8, 2)):
        collapsed, runs = collapses.counted(55 + draw.normal(size=shape))
        assert collapsed.sum() / runs.sum() < 0.002


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_a_median_collapses_with_half_of_its_seeds(n: int) -> None:
    """By brute force over which seeds collapse."""
    p = 0.1
    expected = sum(
        math.prod(p if fell else 1 - p for fell in seeds)
        for seeds in product((False, True), repeat=n)
        if np.median([0.0 if fell else 100.0 for fell in seeds]) < 100
    )
    assert collapses.of_median(np.array(n), np.array(p)) == pytest.approx(expected)


def test_the_seeds_that_are_needed_are_the_fewest_that_are_safe() -> None:
    for share, tasks in product((0.001, 0.02, 0.05, 0.1, 0.2), (1, 8)):
        needed = collapses.needed(share, tasks)
        safe = [not collapses.too_often(collapses.of_median(np.array(n), share), np.array(tasks)) for n in range(1, 60)]
        assert needed == 1 + safe.index(True)
    assert [collapses.needed(share, 8) for share in (0.0005, 0.004, 0.02, 0.05, 0.1)] == [1, 2, 3, 3, 5]
    assert collapses.of_median(np.array(1), np.array(0.01)) == pytest.approx(1 - 0.99**10)
    assert collapses.needed(0.5, 8) == collapses.MOST_SEEDS + 1


def collapsing(tasks: int = 8, seeds: int = 5) -> pd.DataFrame:
    """A search in which every twentieth run of LoRA falls by 25 points; BitFit's never do."""
    frame = study({"lora": (12, 2.0), "bitfit": (12, 0.0)}, tasks=tasks, seeds=seeds)
    fell = (frame["method"] == "lora") & (np.arange(len(frame)) % 20 == 3)
    return frame.assign(score=frame["score"].where(~fell, frame["score"] - 25))


def test_two_confirmed_seeds_give_no_interval_where_the_search_saw_collapses() -> None:
    frame = collapsing()
    options = Options(confirmation=confirmed(frame, 2))
    found = estimates.estimates(frame, options.confirmation)
    counts = found.collapses.set_index("method")
    assert counts["collapsed"].to_dict() == {"bitfit": 0, "lora": 24}
    assert counts["runs"].to_dict() == {"bitfit": 8 * 12 * 5 + 16, "lora": 8 * 12 * 5 + 16}
    assert counts["too_often"].to_dict() == {"bitfit": False, "lora": True}
    shown = estimates.macros(found).set_index("method")["lower"].notna().to_dict()
    assert shown == {"bitfit": True, "lora": False}
    (row,) = estimates.differences(found).to_dict("records")
    assert (row["safe_seeds"], comparison.verdict(row, 1.0)) == (3, "could not have been shown")
    section = confirmation.render(confirmation.compute(frame, options))
    assert section is not None
    assert "On GLUE · b 3 fresh seeds per cell would be needed: LoRA (24 of 496)." in str(section.blocks[0])
    table = section.blocks[1]
    signs = {row[0].text: (row[4].text, row[4].signs) for row in table.rows}  # type: ignore[union-attr]
    assert signs["LoRA"] == ("—", "¶")
    assert signs["BitFit"][1] == ""
    assert "it would need at least 3 fresh seeds per cell." in findings(frame, options)[1].text
    three = estimates.estimates(frame, confirmed(frame, 3))
    assert estimates.macros(three)["lower"].notna().all()
    assert not three.collapses["too_often"].any()


def test_a_search_of_one_seed_is_judged_by_its_confirmation() -> None:
    frame = study({"lora": (3, 0.0), "bitfit": (3, 0.0)}, seeds=1)
    found = estimates.estimates(frame, confirmed(frame.assign(seed=0), 1))
    assert found.collapses["too_often"].all(), "no run tells whether any collapses"
    fresh = pd.concat([confirmed(frame, 1, random=r).assign(seed=100 + r) for r in range(5)], ignore_index=True)
    found = estimates.estimates(frame, fresh.assign(trial_id=fresh["trial_id"] + fresh["seed"].astype(str)))
    assert set(found.collapses["runs"]) == {40}
    assert estimates.macros(found)["lower"].notna().all()


# --- do they hold the truth? ----------------------------------------------------------------------------------------

_REPEATS = 600


@pytest.fixture(scope="module", params=[0.02, 0.05], ids=str)
def run(request: pytest.FixtureRequest) -> simulation.Simulated:
    design = simulation.Design(assignments=12, collapse=request.param)
    return simulation.simulated(design, _REPEATS, np.random.default_rng(3))


def _missed(truth: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    return float(np.mean((truth < lower) | (upper < truth)))


def test_of_two_seeds_that_miss_nothing_is_shown_and_of_three_what_is_shown_holds(run: simulation.Simulated) -> None:
    shown = {}
    for seeds in (2, 3):
        medians = collapses.of_median(np.array(seeds), run.collapsing(seeds))
        shown[seeds] = ~collapses.too_often(medians, np.array(8))
    _, lower, upper, _ = simulation.macro_confirmed(run, 2)
    assert _missed(run.truth(2), lower, upper) > 0.1, "or nothing is to be repaired"
    assert shown[2].mean() < 0.02
    _, lower, upper, _ = simulation.macro_confirmed(run, 3)
    assert shown[3].mean() > 0.8
    assert _missed(run.truth(3)[shown[3]], lower[shown[3]], upper[shown[3]]) < 0.07


@pytest.mark.parametrize("held", [False, True])
def test_interquartile_means_and_profiles_allow_for_collapses_that_were_not_drawn(
    run: simulation.Simulated, held: bool
) -> None:
    scores = run.held_out()[0] if held else run.fresh[:, :, :5]
    share = run.collapsing(None if held else 5)
    truth, inflation = run.interquartile_mean(), inference.HELD_OUT_MIDDLE if held else 1.0
    assert _missed(truth, *inference.interquartile_mean(scores, inflation, share)[1:]) < 0.07
    thresholds = np.linspace(50, 100, 51)
    above = np.stack([(run.fresh > t).mean(axis=(1, 2)) for t in thresholds], axis=-1)
    inside = (above > 0.02) & (above < 0.98)
    _, lower, upper = inference.profile(scores, thresholds, inference.HELD_OUT if held else 1.0, share)
    assert np.mean(((above < lower) | (upper < above))[inside]) < 0.06
    if not held:
        assert _missed(truth, *inference.interquartile_mean(scores)[1:]) > 0.07, "or nothing is to be repaired"
