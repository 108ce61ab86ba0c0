"""Ranks by hand, the critical difference by enumeration and against Demšar's, and rankings of known answers."""

import math
from collections.abc import Callable
from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import ranking
from analysis.evidence import evidence
from analysis.reports import ranking as report
from analysis.reports._section import Picture


def scores(values: dict[str, list[float]]) -> pd.DataFrame:
    """Evidence of one score per task."""
    rows = [
        {"benchmark": "glue", "backbone": "b", "task": f"glue/{i}", "method": method, "score": score}
        for method, own in values.items() for i, score in enumerate(own)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_mean_ranks_by_hand() -> None:
    table = ranking.mean_ranks(scores({
        "lora": [90, 80, 70], "bitfit": [80, 80, 60], "aot_fc": [70, 70, 80], "fine_tuning": [99, 99, 99],
        "adapters": [99, 99],
    }))  # fmt: skip
    # Ties on the second task share 1.5; fine-tuning is not ranked, and adapters lack a task.
    assert dict(zip(table["method"], table["mean_rank"], strict=True)) == pytest.approx(
        {"lora": (1 + 1.5 + 2) / 3, "bitfit": (2 + 1.5 + 3) / 3, "aot_fc": (3 + 3 + 1) / 3}
    )
    assert set(table["n_methods"]) == {3}


@pytest.mark.parametrize(("n_tasks", "n_methods"), [(3, 3), (4, 3), (5, 3), (3, 4)])
def test_the_critical_difference_by_enumeration(n_tasks: int, n_methods: int) -> None:
    orders = np.array(list(permutations(range(1, n_methods + 1))))
    ranges = np.array(
        [np.ptp(orders[list(chosen)].sum(axis=0)) for chosen in product(range(len(orders)), repeat=n_tasks)]
    )
    shares = {wide: (ranges >= wide).mean() for wide in set(ranges.tolist())}
    expected = min(wide for wide, share in shares.items() if share < 0.05) / n_tasks
    assert ranking.critical_difference(n_tasks, n_methods) == pytest.approx(expected)


def test_of_many_tasks_it_is_nemenyis() -> None:
    """Demšar's table: q of five methods is 2.728."""
    q = stats.studentized_range.ppf(0.95, 5, np.inf) / math.sqrt(2)
    assert q == pytest.approx(2.728, abs=0.002)
    assert ranking.critical_difference(60, 5) == pytest.approx(q * math.sqrt(5 * 6 / (6 * 60)), abs=0.05)


def test_too_few_tasks_tell_nothing_apart() -> None:
    assert math.isinf(ranking.critical_difference(5, 2)), "one method first five times: 2/32"
    assert ranking.critical_difference(6, 2) == 1.0
    assert math.isinf(ranking.critical_difference(2, 4)), "1/12"
    assert ranking.critical_difference(2, 7) == 6.0, "1/42"


def test_methods_that_are_not_told_apart() -> None:
    ranks = np.array([1.0, 2.0, 3.5, 5.0])
    assert ranking.together(ranks, 2.0) == [(0, 1), (1, 2), (2, 3)]
    assert ranking.together(ranks, 2.6) == [(0, 2), (2, 3)]
    assert ranking.together(ranks, 1.0) == []
    assert ranking.together(ranks, math.inf) == [(0, 3)]


def share(table: pd.DataFrame, kind: str, method: str, rank: int = 1) -> float:
    found = table[(table["resampled"] == kind) & (table["method"] == method) & (table["rank"] == rank)]
    return float(found["share"].iloc[0])


def frame_of(cells: dict[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    """Scores ``(n_assignments, n_seeds)`` by task and method."""
    rows = [
        {"benchmark": "glue", "backbone": "b", "task": task, "method": method, "assignment_id": str(i), "seed": seed,
         "status": "finished", "score": score}
        for (task, method), scores in cells.items() for i, own in enumerate(scores) for seed, score in enumerate(own)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_clear_winner_is_always_first(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora", "p_tuning_v1", "fine_tuning"), seeds=3)
    table = ranking.stability(frame)
    assert list(table.columns) == ranking.STABILITY
    assert set(table["method"]) == {"lora", "p_tuning_v1"}
    for kind in ranking.RESAMPLED:
        assert share(table, kind, "lora") == 1.0
    totals = table.groupby(["resampled", "method"])["share"].sum()
    assert np.allclose(totals, 1.0)


def test_other_seeds_by_enumeration() -> None:
    """Seeds 1, 5, 9 against three of 6.5: the median of a resample is 9 in 7 of 27 cases."""
    frame = frame_of({("rte", "a"): np.array([[1.0, 5, 9]]), ("rte", "b"): np.array([[6.5, 6.5, 6.5]])})
    table = ranking.stability(frame)
    assert share(table, "seeds", "a") == pytest.approx(7 / 27, abs=0.04)
    assert set(table["resampled"]) == {"seeds"}, "one assignment, one task: there is nothing else to draw from"


def test_a_half_of_the_seeds_chooses_and_the_rest_score() -> None:
    """By enumeration of all ways to choose by three of five seeds."""
    draw = np.random.default_rng(5)
    a, b = draw.normal(size=(6, 5)), np.full((1, 5), 0.1)
    wins = []
    for chosen in combinations(range(5), 3):
        rest = [seed for seed in range(5) if seed not in chosen]
        best = max(a, key=lambda own: np.median(own[list(chosen)]))
        wins.append(np.median(best[rest]) > 0.1)
    table = ranking.stability(frame_of({("rte", "a"): a, ("rte", "b"): b}))
    assert share(table, "seeds", "a") == pytest.approx(np.mean(wins), abs=0.05)


@pytest.mark.parametrize("kind", ranking.RESAMPLED)
def test_many_assignments_of_equal_quality_are_not_first_for_that(kind: str) -> None:
    """All of one quality, 60 against 6. By the scores that chose, the many were first in over nine of ten studies."""
    draw = np.random.default_rng(3)
    shares = []
    for _ in range(60):
        cells = {(t, m): draw.normal(size=(n, 4)) for t in "xyz" for m, n in (("many", 60), ("few", 6))}
        shares.append(share(ranking.stability(frame_of(cells)), kind, "many"))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.12)


def test_where_one_seed_chose_only_assignments_are_drawn_anew() -> None:
    draw = np.random.default_rng(3)
    cells = {(t, m): draw.normal(size=(n, 1)) for t in "xyz" for m, n in (("many", 60), ("few", 6))}
    assert set(ranking.stability(frame_of(cells))["resampled"]) == {"assignments"}


def test_other_tasks_by_enumeration() -> None:
    """Better on one of two tasks by 3 and worse by 1: first unless both draws are of the second."""
    cells = {("x", "a"): [[3.0]], ("y", "a"): [[0.0]], ("x", "b"): [[0.0]], ("y", "b"): [[1.0]]}
    table = ranking.stability(frame_of({key: np.array(value) for key, value in cells.items()}))
    assert share(table, "tasks", "a") == pytest.approx(0.75, abs=0.05)


def test_ties_fall_by_chance() -> None:
    cells = {(t, m): np.full((2, 2), 7.0) for t in "xy" for m in "ab"}
    assert share(ranking.stability(frame_of(cells)), "seeds", "a") == pytest.approx(0.5, abs=0.06)


def test_a_design_that_tells_nothing_apart_is_named(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora", "bitfit", "adapters"), tasks=("rte", "cola"), seeds=2)
    section = report.render(report.compute(frame))
    assert section is not None
    diagram, words = section.blocks[:2]
    assert isinstance(diagram, Picture)
    assert "2 tasks cannot tell 3 methods apart" in words
    one = report.render(report.compute(make_runs(methods=("lora", "bitfit"), seeds=1)))
    assert one is not None
    names = [block.name for block in one.blocks if not isinstance(block, str)]
    assert names == ["rank-stability_glue_roberta-base", "how-often-first_glue_roberta-base"], "no seed to rank by"
    assert evidence(make_runs(methods=("lora", "bitfit"), seeds=1)).empty


def test_a_method_without_a_task_is_left_out_and_named(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora", "bitfit", "adapters"), tasks=("rte", "cola"), seeds=2)
    frame = frame[(frame["method"] != "adapters") | (frame["task"] != "glue/cola")]
    section = report.render(report.compute(frame))
    assert section is not None
    table = section.blocks[-1]
    assert [row[0].text for row in table.rows] == ["LoRA", "BitFit"]
    assert "not ranked: Adapters." in table.notes[-1]
