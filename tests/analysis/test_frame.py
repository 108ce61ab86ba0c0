"""The frame: every fault of a file named at once, and the same values to the last bit through every form."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.frame import COLUMNS, OPTIONAL, FrameError, from_rows, hyperparameters, read, tidy, write

ROW = {
    "study": "s", "benchmark": "glue", "backbone": "b", "task": "glue/rte", "method": "lora", "assignment_id": "a",
    "trial_id": "t0", "seed": 0, "status": "finished", "score": 70.5, "best_epoch": 2, "epochs": 3,
    "trainable_parameters": 1000, "seconds": 1.5,
}  # fmt: skip


def raw(*changes: dict) -> pd.DataFrame:
    """Rows that differ in seed and trial, each with its changes."""
    return pd.DataFrame([ROW | {"seed": i, "trial_id": f"t{i}"} | change for i, change in enumerate(changes)])


def problems(frame: pd.DataFrame) -> tuple[str, ...]:
    with pytest.raises(FrameError) as error:
        tidy(frame)
    return error.value.problems


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet", "deep/er/RUNS.CSV"])
def test_a_frame_survives_a_file(frame: pd.DataFrame, tmp_path: Path, name: str) -> None:
    write(frame, tmp_path / name)
    pd.testing.assert_frame_equal(read(tmp_path / name), frame, check_exact=True)
    assert [p.name for p in (tmp_path / name).parent.iterdir()] == [Path(name).name]  # nothing is left beside it


@settings(max_examples=25, deadline=None)
@given(scores=arrays(float, 5, elements=st.floats(-100, 100, allow_nan=False)))
def test_scores_survive_csv_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, scores: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("bits") / "runs.csv"
    write(tidy(raw(*({"score": s} for s in scores))), path)
    assert read(path)["score"].to_numpy().tobytes() == scores.tobytes()


def test_columns_have_their_order_and_types(frame: pd.DataFrame) -> None:
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    assert all(c.startswith("hp.") for c in frame.columns[len(COLUMNS) :])
    assert frame["score"].dtype == "float64"
    assert frame["seed"].dtype == "Int64"
    assert frame["hp.rank"].dtype == "Int64"
    assert frame["hp.learning_rate"].dtype == "float64"


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([16, 16.0, "16", None], "Int64", [16, 16, 16, pd.NA]),
        (["1e-3", 0.5, "", "nan"], "float64", [0.001, 0.5, np.nan, np.nan]),
        (["True", "false", True, "null"], "boolean", [True, False, True, pd.NA]),
        (["8", "auto", 2.0, None], "str", ["8", "auto", "2", np.nan]),
        ([None, "None", "", "null"], "Int64", [pd.NA] * 4),
    ],
)
def test_hyperparameters_of_any_source_become_one_type(values: list, dtype: str, expected: list) -> None:
    column = tidy(raw(*({"hp.x": v} for v in values)))["hp.x"]
    assert column.dtype == dtype
    pd.testing.assert_series_equal(column, pd.Series(pd.array(expected, dtype=dtype), name="hp.x"))


def test_a_file_without_hyperparameters_is_a_frame() -> None:
    assert tuple(tidy(raw({})).columns) == COLUMNS


def test_other_columns_are_kept() -> None:
    assert tidy(raw({"note": "kept"}))["note"].tolist() == ["kept"]


def test_missing_columns_are_named_together() -> None:
    found = problems(raw({}).drop(columns=["score", "seed"]))
    assert [p.split(";")[0] for p in found] == ["column 'seed' is missing", "column 'score' is missing"]
    assert "trainable_parameters" in found[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "done"}, ["row 1", "'status'", "'done'", "finished, diverged, failed, pruned"]),
        ({"status": None}, ["row 1", "'status'", "None"]),
        ({"score": "high"}, ["row 1", "'score'", "'high'", "not a number"]),
        ({"score": "inf"}, ["'inf'", "not finite"]),
        ({"score": None}, ["a finished trial has a score"]),
        ({"seed": "1.5"}, ["'seed'", "'1.5'", "whole"]),
        ({"seed": ""}, ["'seed'", "empty"]),
        ({"epochs": -1}, ["'epochs'", "-1", "negative"]),
        ({"seconds": "1_0"}, ["'seconds'", "'1_0'", "not a number"]),
        ({"method": " "}, ["'method'", "empty"]),
        ({"trial_id": None}, ["'trial_id'", "empty"]),
    ],
)
def test_a_wrong_value_is_told_with_row_column_value_and_rule(change: dict, words: list[str]) -> None:
    (found,) = problems(raw(change))[:1]
    assert all(word in found for word in words), found


def test_all_problems_come_at_once() -> None:
    found = problems(raw({"status": "done"}, {"score": "x", "seconds": "y"}, {"task": ""}))
    assert len(found) == 5  # a score that is no number is also a finished trial without one


def test_a_trial_twice_is_told_with_both_rows() -> None:
    (found,) = problems(raw({}, {"trial_id": "t0"}))
    assert "'t0'" in found
    assert "row 1 and row 2" in found


def test_a_seed_twice_in_an_assignment_is_told() -> None:
    (found,) = problems(raw({}, {"seed": 0}))
    assert "row 1 and row 2" in found
    assert "seed 0" in found


def test_the_same_assignment_id_in_another_cell_is_another_assignment() -> None:
    assert len(tidy(raw({}, {"seed": 0, "task": "glue/cola"}))) == 2


@pytest.mark.parametrize("status", ["failed", "diverged", "pruned"])
def test_only_a_finished_trial_needs_a_score(status: str) -> None:
    change = {"status": status, "score": None, "best_epoch": None, "trainable_parameters": None, "seconds": None}
    assert tidy(raw(change))["score"].isna().all()


def test_problems_in_a_csv_carry_lines(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    raw({}, {"status": "done"}).to_csv(path, index=False)
    with pytest.raises(FrameError, match=r"row 2 \(line 3\), column 'status': 'done'"):
        read(path)


def test_names_that_look_like_missing_values_stay_names(tmp_path: Path) -> None:
    write(tidy(raw({"task": "null", "assignment_id": "007"})), tmp_path / "r.csv")
    assert read(tmp_path / "r.csv").loc[0, ["task", "assignment_id"]].tolist() == ["null", "007"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("no.csv", None, "no such file"),
        ("runs.xlsx", b"", "must be .csv or .parquet"),
        ("runs.parquet", b"not parquet", "not a parquet file"),
        ("runs.csv", b"\xff\xfe\x00a", "not a CSV file in UTF-8"),
        ("runs.csv", b"study,task\na\n", "line 2 has 1 values; the header names 2"),
        ("runs.csv", b"study,study\na,b\n", "'study' occurs more than once"),
        ("runs.csv", b"", "column 'study' is missing"),
    ],
)
def test_a_file_that_is_no_frame_is_told(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FrameError, match=words):
        read(tmp_path / name)


def test_a_long_list_of_problems_is_cut_in_print_only() -> None:
    with pytest.raises(FrameError, match="and 15 more") as error:
        tidy(raw(*({"status": "x"} for _ in range(40))))
    assert len(error.value.problems) == 40


# --- what may be known beside the columns -----------------------------------------------------------------------------


def test_optional_columns_have_their_place_and_types_and_survive_files(tmp_path: Path) -> None:
    """Behind the hyperparameters, in their order, whichever of them a file has; all may be empty."""
    known = dict.fromkeys(OPTIONAL) | {"in_study": False, "planned_seeds": 5, "dropout": 0.1, "device": "cpu"}
    frame = from_rows([raw({"mine": 3, "hp.rank": 2, **known}).iloc[0].to_dict()])
    assert list(frame.columns) == [*COLUMNS, "hp.rank", *OPTIONAL, "mine"]
    types = {name: str(frame[name].dtype) for name in ("in_study", "planned_seeds", "max_length", "dropout", "commit")}
    assert types == {"in_study": "boolean", "planned_seeds": "Int64", "max_length": "Int64", "dropout": "float64",
                     "commit": "str"}  # fmt: skip
    for name in ("r.csv", "r.parquet"):
        write(frame, tmp_path / name)
        pd.testing.assert_frame_equal(read(tmp_path / name).drop(columns="mine"), frame.drop(columns="mine"))
    assert list(tidy(raw({"device": "cpu", "pack_size": "4"})).columns)[-2:] == ["pack_size", "device"]


def test_a_truth_value_that_is_none_is_told() -> None:
    with pytest.raises(FrameError, match=r"row 1, column 'in_study': 'perhaps' is neither true nor false"):
        tidy(raw({"in_study": "perhaps"}))


def test_rows_become_a_sorted_frame() -> None:
    rows = [raw({"seed": seed, "trial_id": f"t{seed}", "hp.b": 1, "hp.a": seed}).iloc[0].to_dict() for seed in (2, 1)]
    frame = from_rows(rows)
    assert frame["seed"].tolist() == [1, 2]
    assert hyperparameters(frame) == ["hp.a", "hp.b"]
    assert list(from_rows([]).columns) == list(COLUMNS)


# --- every value is looked at once, whatever the type of its column -------------------------------------------------


def test_values_that_are_equal_and_of_several_types_are_told_apart() -> None:
    """To Python 1, 1.0 and True are one."""
    (found,) = problems(raw({"epochs": 1}, {"epochs": True}, {"epochs": 1.0}))
    assert found == "row 2, column 'epochs': True is not a number"
    assert tidy(raw({"hp.x": 1}, {"hp.x": True}))["hp.x"].tolist() == ["1", "True"]


@pytest.mark.parametrize("dtype", ["float64", "Float64", "object", "str"])
def test_the_rows_of_a_wrong_value_are_all_told_in_their_order(dtype: str) -> None:
    frame = raw({"seconds": -2.5}, {"seconds": 1.0}, {"seconds": -2.5}, {"seconds": -1.0})
    found = problems(frame.astype({"seconds": dtype}))
    shown = ["'-2.5'", "'-2.5'", "'-1.0'"] if dtype == "str" else ["-2.5", "-2.5", "-1.0"]
    assert found == tuple(
        f"row {row}, column 'seconds': {value} is negative" for row, value in zip((1, 3, 4), shown, strict=True)
    )


def test_large_whole_numbers_are_exact() -> None:
    large = 2**53 + 1
    for values in ([large, 3], [str(large), "3"], [large, "3"]):
        assert tidy(raw(*({"trainable_parameters": v} for v in values)))["trainable_parameters"].tolist() == [large, 3]


def test_the_same_rows_in_any_form_are_the_same_frame(frame: pd.DataFrame, tmp_path: Path) -> None:
    """As records of plain values, with None for what is missing; from CSV, parquet, and once more."""
    rows = [{k: None if v is pd.NA or v != v else v for k, v in row.items()} for row in frame.to_dict("records")]
    ordered = frame.sort_values([*COLUMNS[1:6], "seed"], ignore_index=True)
    names = sorted(hyperparameters(ordered))
    ordered = ordered[[*COLUMNS, *names, *(c for c in ordered if c not in (*COLUMNS, *names))]]
    made = from_rows(rows)
    pd.testing.assert_frame_equal(made, ordered, check_exact=True)
    pd.testing.assert_frame_equal(tidy(made), made, check_exact=True)
    pd.testing.assert_frame_equal(tidy(made.astype(object)), made, check_exact=True)
