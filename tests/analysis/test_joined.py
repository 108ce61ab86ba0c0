"""Frames of several studies and files as one: what counts once, what is united, what is refused."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis import coverage
from analysis.frame import FrameError, tidy
from analysis.joined import join, summed


def rows(
    study: str = "one", assignments: str = "ab", seeds: int = 2, method: str = "lora", **values: object
) -> pd.DataFrame:
    """A trial per assignment and seed; ids do not depend on the study, as those of trials do not."""
    made = [
        {
            "study": study, "benchmark": "glue", "backbone": "x", "task": "glue/rte", "method": method,
            "assignment_id": name, "trial_id": f"{method}-{name}-{seed}", "seed": seed, "status": "finished",
            "score": 70.0 + ord(name) - 97 + seed, "best_epoch": 1, "epochs": 2, "trainable_parameters": 5,
            "seconds": 3.0, "hp.rank": 8, "planned_in_cell": len(assignments) * seeds,
            "planned_in_study": len(assignments) * seeds, "max_length": 128, "patience": None, **values,
        }
        for name in assignments
        for seed in range(seeds)
    ]  # fmt: skip
    return tidy(pd.DataFrame(made))


def refusal(*frames: pd.DataFrame) -> str:
    with pytest.raises(FrameError) as error:
        join(list(zip(("a.yaml", "b.csv", "c.csv"), frames, strict=False)))
    return str(error.value)


def test_one_source_is_itself() -> None:
    frame = rows()
    assert join([("a", frame)]) is frame


def test_assignments_of_one_cell_are_united_and_trials_count_once() -> None:
    one, other = rows("one", "ab"), rows("two", "bc", seconds=9.0)
    both = join([("a", one), ("b", other)])
    assert both["trial_id"].tolist() == [f"lora-{name}-{seed}" for name in "abc" for seed in (0, 1)]
    assert both["study"].tolist() == ["one"] * 4 + ["two"] * 2
    assert both["seconds"].tolist() == [3.0] * 4 + [9.0] * 2
    cells, elsewhere = coverage.of_frame(both)
    assert cells[["planned", "finished", "not_run"]].to_numpy().tolist() == [[6, 6, 0]]
    assert elsewhere == 0


def test_a_file_twice_is_the_file() -> None:
    frame = rows()
    pd.testing.assert_frame_equal(join([("a", frame), ("again", frame)]), frame)


def test_hyperparameters_of_either_are_kept() -> None:
    other = rows("two", "c").assign(**{"hp.prompt_length": 5})
    both = join([("a", rows()), ("b", other)])
    assert both["hp.prompt_length"].isna().tolist() == [True] * 4 + [False] * 2


def test_a_trial_that_one_study_names_is_no_other_version() -> None:
    left_over = rows("one", "ab").assign(in_study=False)
    both = join([("a", tidy(left_over)), ("b", tidy(rows("two", "bc").assign(in_study=True)))])
    own = both.set_index("trial_id")["in_study"]
    assert own.to_dict() == {f"lora-{n}-{s}": n != "a" for n in "abc" for s in (0, 1)}
    assert both.set_index("trial_id").at["lora-b-0", "study"] == "two"


def test_different_results_of_one_trial_are_refused() -> None:
    other = rows("two", "bc")
    other.loc[0, "score"] = 1.0
    told = refusal(rows(), other)
    assert "trial 'lora-b-0' differs in score (a.yaml: 71.0; b.csv: 1.0)" in told
    assert "1 problem" in told


@pytest.mark.parametrize(
    ("column", "first", "second", "words"),
    [
        ("max_length", 128, 256, "max_length (128 and 256)"),
        ("patience", None, 5, "patience (none and 5)"),
        ("precision", "float32", "bfloat16", "precision (float32 and bfloat16)"),
        ("data_hash", "abc", "def", "data_hash (abc and def)"),
    ],
)
def test_a_cell_of_two_protocols_is_refused(column: str, first: object, second: object, words: str) -> None:
    told = refusal(rows("one", "ab", **{column: first}), rows("two", "cd", **{column: second}))
    assert f"cell glue × x × glue/rte × lora is in a.yaml and in b.csv, which differ in {words}" in told
    assert "report them apart" in told


def test_cells_apart_may_have_protocols_of_their_own() -> None:
    both = join([("a", rows()), ("b", rows("two", method="bitfit", max_length=256))])
    assert set(both["max_length"]) == {128, 256}


@pytest.mark.parametrize("column", ["data_hash", "metric", "max_length"])
def test_what_one_side_does_not_know_is_no_difference(column: str) -> None:
    known = rows("one", "ab", **{column: 128 if column == "max_length" else "abc"})
    unknown = rows("two", "cd").drop(columns=column, errors="ignore")
    assert len(join([("a", known), ("b", tidy(unknown))])) == 8


def test_what_the_study_does_not_name_is_not_compared() -> None:
    others = tidy(rows("two", "cd", max_length=999).assign(in_study=False))
    assert len(join([("a", rows()), ("b", others)])) == 8


def test_one_assignment_and_seed_under_two_ids_are_refused() -> None:
    other = rows("two", "a")
    told = refusal(rows("one", "a"), other.assign(trial_id="new-" + other["trial_id"]))
    assert "assignment 'a' with seed 0 on glue × x × glue/rte × lora is a trial of a.yaml and another of b.csv" in told


def test_three_sources() -> None:
    both = join([("a", rows("one", "ab")), ("b", rows("two", "bc")), ("c", rows("three", "cd"))])
    assert both["assignment_id"].tolist() == list("aabbccdd")
    cells, _ = coverage.of_frame(both)
    assert cells["planned"].tolist() == [8]


def of_study(frame: pd.DataFrame) -> pd.DataFrame:
    """The coverage of a whole study, as the command line has it."""
    cell = dict(
        zip(
            ["benchmark", "backbone", "task", "method"], ["glue", "x", "glue/rte", frame["method"].iloc[0]], strict=True
        )
    )
    counts = dict.fromkeys(coverage.COUNTS, 0)
    assignments = frame["assignment_id"].nunique()
    told = {"planned": len(frame), "finished": len(frame), "assignments": assignments, "complete": assignments}
    return pd.DataFrame([cell | counts | told], columns=list(coverage.COLUMNS))


def test_coverage_is_summed_per_cell_and_what_both_plan_once() -> None:
    one, other, apart = rows("one", "ab"), rows("two", "bc"), rows("three", "a", method="bitfit")
    frames = [one, other, apart]
    total = summed([of_study(frame) for frame in frames], frames)
    assert total is not None
    assert total.columns.tolist() == list(coverage.COLUMNS)
    counts = total.set_index("method")[["planned", "finished", "assignments", "complete"]].to_numpy().tolist()
    assert counts == [[6, 6, 3, 3], [2, 2, 1, 1]]
    assert summed([of_study(one), None], [one, other]) is None
