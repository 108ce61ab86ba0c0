"""Median and deviation over seeds, the best assignment, macro scores: against hand arithmetic and brute force."""

import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.frame import read, tidy, write
from analysis.report import write_report
from analysis.reports.paper import published
from analysis.selection import _assignments, assignments, best_assignments, best_trials, kept, macro_scores, split_roles
from analysis.tables import rounded


def trial(assignment: str, seed: int, score: float | None, **changes: object) -> dict:
    row = {
        "study": "s", "benchmark": "glue", "backbone": "b", "task": "glue/rte", "method": "lora",
        "assignment_id": assignment, "seed": seed, "status": "finished" if score is not None else "failed",
        "score": score, "best_epoch": None, "epochs": 1, "trainable_parameters": 10, "seconds": 1.0,
    } | changes  # fmt: skip
    return row | {"trial_id": "-".join(str(row[k]) for k in ("task", "method", "assignment_id", "seed"))}


def winner(*rows: dict) -> pd.Series:
    (row,) = best_assignments(assignments(tidy(pd.DataFrame(list(rows))))).iloc
    return row


def test_median_and_sample_deviation_by_hand() -> None:
    row = winner(trial("a", 0, 60.0), trial("a", 1, 62.0), trial("a", 2, 67.0))
    assert row["median"] == 62.0
    assert row["std"] == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert row["n_seeds"] == 3


def test_one_seed_has_no_deviation() -> None:
    assert math.isnan(winner(trial("a", 0, 60.0))["std"])


def test_diverged_scores_count_and_failed_and_pruned_do_not() -> None:
    row = winner(
        trial("a", 0, 60.0),
        trial("a", 1, 70.0, status="diverged"),
        trial("a", 2, None, status="diverged"),
        trial("a", 3, 99.0, status="failed"),
        trial("a", 4, 99.0, status="pruned"),
        trial("b", 0, None),
    )
    assert (row["median"], row["n_seeds"], row["fewer_seeds"]) == (65.0, 2, True)
    assert (row["n_assignments"], row["n_scored_assignments"], row["n_trials"]) == (2, 1, 6)
    assert (row["n_finished"], row["n_diverged"], row["n_failed"], row["n_pruned"]) == (1, 2, 2, 1)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([trial("a", 0, 60.0), trial("b", 0, 61.0)], "b"),
        ([trial("a", 0, 60.0), trial("a", 1, 64.0), trial("b", 0, 61.0), trial("b", 1, 63.0)], "a"),
        ([trial("a", 0, 60.0), trial("b", 0, 59.0), trial("b", 1, 61.0)], "b"),  # the one with its seeds
        ([trial("a", 0, 60.0, trainable_parameters=9), trial("b", 0, 60.0, trainable_parameters=8)], "b"),
        ([trial("a", 0, 60.0, trainable_parameters=None), trial("b", 0, 60.0)], "b"),
        ([trial("b", 0, 60.0), trial("a", 0, 60.0)], "a"),
        # 0.1 + 0.2 is not 0.3 in binary: still a tie, which the smaller size decides
        ([trial("a", 0, 0.1 + 0.2), trial("b", 0, 0.3, trainable_parameters=1)], "b"),
        ([trial("a", 0, None), trial("b", 0, 1.0)], "b"),
    ],
)
def test_ties_go_to_fewer_parameters_and_then_to_the_smaller_id(rows: list[dict], expected: str) -> None:
    assert winner(*rows)["assignment_id"] == expected


def test_luck_with_one_surviving_seed_does_not_win_over_all_seeds() -> None:
    rows = [trial("steady", s, 70.0 + s) for s in range(5)]
    rows += [trial("lucky", 0, 80.0), *(trial("lucky", s, None) for s in range(1, 5))]
    row = winner(*rows)
    assert (row["assignment_id"], row["n_seeds"], row["seeds_given"], row["fewer_seeds"]) == ("steady", 5, 5, False)
    row = winner(*(r | {"planned_seeds": 6} for r in rows))
    assert (row["assignment_id"], row["n_seeds"], row["seeds_given"], row["fewer_seeds"]) == ("steady", 5, 6, True)


def test_a_macro_is_complete_with_all_tasks_that_are_planned() -> None:
    rows = [trial("a", 0, 60.0, planned_tasks=2, planned_in_cell=3)]
    winners = best_assignments(assignments(tidy(pd.DataFrame(rows))))
    assert winners["n_missing"].tolist() == [2]
    assert macro_scores(winners)["complete"].tolist() == [False]
    one = winners.assign(planned_tasks=1)
    assert macro_scores(one)["complete"].tolist() == [True]


def test_a_cell_without_a_score_keeps_its_row() -> None:
    row = winner(trial("a", 0, None), trial("a", 1, None))
    assert pd.isna(row["median"])
    assert pd.isna(row["assignment_id"])
    assert (row["n_seeds"], row["n_failed"], row["n_assignments"]) == (0, 2, 1)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"),
        st.tuples(
            st.lists(st.sampled_from([50.0, 60.5, 61.25, 70.0, None]), min_size=1, max_size=5), st.integers(1, 3)
        ),
        min_size=1,
    )
)
def test_the_best_assignment_is_that_of_brute_force(cell: dict[str, tuple[list[float | None], int]]) -> None:
    rows = [trial(a, i, s, trainable_parameters=p) for a, (scores, p) in cell.items() for i, s in enumerate(scores)]

    def rank(assignment: str) -> tuple:
        scores = [s for s in cell[assignment][0] if s is not None]
        return lacking(assignment), -statistics.median(scores), cell[assignment][1], assignment

    def lacking(assignment: str) -> int:
        """The best that the cell has counts where none has all that were given."""
        return max(len(seeds) for seeds, _ in cell.values()) - sum(s is not None for s in cell[assignment][0])

    scored = [a for a, (scores, _) in cell.items() if any(s is not None for s in scores)]
    row = winner(*rows)
    if not scored:
        assert pd.isna(row["assignment_id"])
        return
    expected = min(scored, key=rank)
    scores = [s for s in cell[expected][0] if s is not None]
    assert row["assignment_id"] == expected
    assert row["median"] == statistics.median(scores)
    assert row["n_failed"] == sum(s is None for values, _ in cell.values() for s in values)


def test_macro_is_the_mean_of_best_medians_and_complete_looks_at_all_methods() -> None:
    rows = [trial("a", 0, 60.0), trial("a", 0, 71.0, task="glue/cola"), trial("b", 0, 80.0, method="bitfit")]
    rows += [trial("c", 0, None, method="bitfit", task="glue/cola"), trial("d", 0, None, method="adapters")]
    rows += [trial("a", 0, 10.0, benchmark="superglue", task="superglue/rte")]
    table = macro_scores(best_assignments(assignments(tidy(pd.DataFrame(rows))))).set_index(["benchmark", "method"])
    assert table.loc[("glue", "lora"), ["macro", "n_tasks", "complete"]].tolist() == [65.5, 2, True]
    assert table.loc[("glue", "bitfit"), ["macro", "n_tasks", "complete"]].tolist() == [80.0, 1, False]
    assert table.loc[("glue", "adapters"), ["n_tasks", "complete"]].tolist() == [0, False]
    assert math.isnan(table.loc[("glue", "adapters"), "macro"])
    assert table.loc[("superglue", "lora"), ["macro", "n_tasks", "complete"]].tolist() == [10.0, 1, True]


def test_order_of_rows_changes_nothing(frame: pd.DataFrame) -> None:
    shuffled = frame.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(assignments(frame), assignments(tidy(shuffled)), check_exact=True)


@pytest.fixture(scope="module")
def paper_runs() -> pd.DataFrame:
    """The paper's medians as runs, one trial for each."""
    results, _ = published()
    rows = [
        trial("paper", 0, r["median"], **{k: r[k] for k in ("benchmark", "backbone", "method", "task")})
        for r in results.to_dict("records")
    ]
    return tidy(pd.DataFrame(rows).assign(trial_id=[str(i) for i in range(len(rows))]))


def test_the_papers_medians_give_the_papers_macro(paper_runs: pd.DataFrame) -> None:
    keys = ["benchmark", "backbone", "method"]
    table = macro_scores(best_assignments(assignments(paper_runs))).merge(
        published()[1], on=keys, suffixes=("", "_paper")
    )
    assert len(table) == 32
    assert table["complete"].all()
    off = []
    for row in table.to_dict("records"):
        gap = abs(rounded(row["macro"]) - rounded(row["macro_paper"]))
        if gap:
            off.append((row["backbone"], row["method"], rounded(row["macro"], 2), float(gap)))
    # One printed mean ends in exactly 5, where the unrounded medians decide.
    assert off == [("roberta-base", "bitfit", rounded(84.75, 2), 0.1)]


def test_every_assignment_of_every_cell_has_one_row(make_runs: Callable) -> None:
    frame = make_runs(tasks=("rte", "cola"), seeds=2)
    table = assignments(frame)
    keys = ["task", "method", "assignment_id"]
    assert set(table[keys].itertuples(index=False, name=None)) == set(frame[keys].itertuples(index=False, name=None))
    assert len(table) == 2 * (6 * 12 + 2 * 4)
    assert set(table["n_trials"]) == {2}


class TestAdaptiveSearches:
    def test_after_a_promotion_the_best_is_one_with_all_seeds(self) -> None:
        """The first seed of ``c`` is above every median, and rests on luck alone."""
        rows = [trial(a, 0, s, promotion="first") for a, s in (("a", 80.0), ("b", 81.0), ("c", 79.9), ("d", 60.0))]
        rows += [trial("a", s, 78.0 + s, promotion="promoted") for s in (1, 2)]
        rows += [trial("b", s, 70.0 + s, promotion="promoted") for s in (1, 2)]
        row = winner(*rows)
        assert (row["assignment_id"], row["median"], row["n_seeds"]) == ("a", 80.0, 3)
        assert (row["n_promoted"], row["n_assignments"], row["fewer_seeds"]) == (2, 4, False)
        table = assignments(tidy(pd.DataFrame(rows))).set_index("assignment_id")
        assert table["promoted"].to_dict() == {"a": True, "b": True, "c": False, "d": False}

    def test_before_the_promotion_the_first_seeds_count(self) -> None:
        row = winner(trial("a", 0, 80.0, promotion="first"), trial("b", 0, 81.0, promotion="first"))
        assert (row["assignment_id"], row["n_promoted"]) == ("b", 0)

    def test_survivors_of_an_assignment_that_was_cut_short_do_not_win(self) -> None:
        rows = [trial("a", 0, 90.0), trial("a", 1, 50.0, status="pruned"), trial("b", 0, 80.0), trial("b", 1, 81.0)]
        assert winner(*rows)["assignment_id"] == "b"
        assert winner(*rows[:2])["assignment_id"] == "a", "unless there is no other"

    def test_frames_keep_how_a_trial_came_about(self, tmp_path: Path) -> None:
        frame = tidy(pd.DataFrame([trial("a", 0, 80.0, promotion="first"), trial("b", 0, 81.0, strategy="tpe")]))
        assert frame["promotion"].tolist() == ["first", ""]
        for name in ("runs.csv", "runs.parquet"):
            write(frame, tmp_path / name)
            pd.testing.assert_frame_equal(read(tmp_path / name), frame)

    def test_assignments_with_more_seeds_than_the_promoted_ones_do_not_bar_them(self) -> None:
        """Left over from a search with more seeds, before it was one with promotion."""
        rows = [trial("old", seed, 60.0) for seed in range(5)]
        rows += [trial("new", 0, 90.0, promotion="first")]
        rows += [trial("new", seed, 90.0, promotion="promoted") for seed in (1, 2)]
        assert winner(*rows)["assignment_id"] == "new"


def test_confirmation_trials_are_kept_apart(frame: pd.DataFrame) -> None:
    fresh = frame["seed"] == 2
    search, confirmation = split_roles(frame.assign(role=["confirmation" if one else "search" for one in fresh]))
    assert set(search["seed"]) == {0, 1}
    assert len(search) == (~fresh).sum()
    assert set(confirmation["seed"]) == {2}
    assert len(confirmation) == fresh.sum()
    assert len(split_roles(frame)[0]) == len(frame)
    assert split_roles(frame)[1].empty


def test_what_is_kept_of_a_frame_is_of_that_frame_alone(frame: pd.DataFrame) -> None:
    """In the block a table is made once; who changes what he was given changes nothing for the next."""
    fresh = assignments(frame)
    other = frame[frame["seed"] == frame["seed"].min()]
    of_other = assignments(other)
    with kept(frame):
        mine = assignments(frame)
        mine["median"] = 0.0
        mine.drop(index=mine.index[0], inplace=True)
        pd.testing.assert_frame_equal(assignments(frame), fresh)
        pd.testing.assert_frame_equal(assignments(other), of_other)
    pd.testing.assert_frame_equal(assignments(frame), fresh)


def test_a_report_asks_for_its_assignments_once(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the whole frame; a report may ask for those of a part of it."""
    sizes: list[int] = []

    def counted(part: pd.DataFrame) -> pd.DataFrame:
        sizes.append(len(part))
        return _assignments(part)

    monkeypatch.setattr("analysis.selection._assignments", counted)
    write_report(frame, tmp_path)
    assert sizes.count(len(frame)) == 1


def test_the_best_trial_is_the_best_seed_of_the_best_assignment() -> None:
    rows = [
        *(trial("lucky", seed, score) for seed, score in enumerate((50.0, 51.0, 99.0))),
        *(trial("best", seed, score) for seed, score in enumerate((60.0, 70.0, 70.0))),
        trial("best", 3, 98.0, role="confirmation"),
        trial("x", 0, None, method="bitfit"),
        trial("x", 0, 40.0, method="ia3", status="diverged"),
    ]
    found = best_trials(tidy(pd.DataFrame(rows)))
    assert found[["method", "assignment_id", "seed", "score"]].values.tolist() == [
        ["ia3", "x", 0, 40.0],
        ["lora", "best", 1, 70.0],
    ]


def test_without_a_score_there_is_no_best_trial() -> None:
    assert best_trials(tidy(pd.DataFrame([trial("x", 0, None)]))).empty
