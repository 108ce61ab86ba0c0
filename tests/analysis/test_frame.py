"""The frame: every fault of a file named at once, and the same values to the last bit through every form."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.frame import COLUMNS, FrameError, from_mlflow, read, tidy, write

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


# --- a real MLflow store ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one study: a finished trial run twice, a failed one, one that has not ended, a cell's parent run."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("mine")

    def log(start: int, score: float | None, kind: str = "trial", **tags: str) -> None:
        names = {"benchmark": "glue", "backbone": "b", "task": "glue/rte", "method": "lora", "assignment_id": "a"}
        every = {f"aot.{k}": v for k, v in (names | tags).items()} | {"aot.kind": kind, "aot.study": "mine"}
        run = client.create_run(experiment, start_time=start, tags=every).info.run_id
        params = {"seed": tags.get("trial_id", "0")[-1], "learning_rate": "0.001", "a": "null", "protocol.epochs": "4"}
        for name, value in params.items():
            client.log_param(run, name, value)
        metrics = {"score": score, "best_epoch": 3.0, "epochs": 4.0, "trainable_parameters": 592130.0, "seconds": 0.25}
        for name, number in metrics.items():
            if number is not None:
                client.log_metric(run, name, number)
        if "status" in tags:
            client.set_terminated(run, "FAILED" if tags["status"] == "failed" else "FINISHED")

    log(1, 60.0, trial_id="t1", status="failed")
    log(2, 70.1 + 0.2, trial_id="t1", status="finished")
    log(3, None, trial_id="t2", status="failed")
    log(4, 99.0, trial_id="t3")
    log(5, None, kind="cell")
    return uri


def test_mlflow_gives_the_newest_ended_run_of_each_trial(store: str) -> None:
    frame = from_mlflow(store, "mine")
    assert frame["trial_id"].tolist() == ["t1", "t2"]
    assert frame["status"].tolist() == ["finished", "failed"]
    assert frame["score"][0] == 70.1 + 0.2
    assert frame["seed"].tolist() == [1, 2]
    assert frame["trainable_parameters"].tolist() == [592130, 592130]
    assert [c for c in frame if c.startswith("hp.")] == ["hp.a", "hp.learning_rate"]
    assert frame["hp.learning_rate"].tolist() == [0.001, 0.001]


def test_a_frame_from_mlflow_survives_files(store: str, tmp_path: Path) -> None:
    frame = from_mlflow(store, "mine")
    for name in ("r.csv", "r.parquet"):
        write(frame, tmp_path / name)
        pd.testing.assert_frame_equal(read(tmp_path / name), frame)


def test_mlflow_pages_are_all_read(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = from_mlflow(store, "mine")
    monkeypatch.setattr("analysis.frame._PAGE", 1)
    pd.testing.assert_frame_equal(from_mlflow(store, "mine"), whole)


def test_an_unknown_study_names_the_known_ones(store: str) -> None:
    with pytest.raises(FrameError, match="no experiment 'yours'; known: Default, mine"):
        from_mlflow(store, "yours")


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="run the study first"):
        from_mlflow(f"sqlite:///{tmp_path / 'none.db'}", "mine")
    assert not list(tmp_path.iterdir())


def test_a_broken_store_is_told_without_its_password(tmp_path: Path, make_runs: Callable) -> None:
    (tmp_path / "bad.db").write_text("this is no database")
    with pytest.raises(FrameError, match="MLflow cannot be read"):
        from_mlflow(f"sqlite:///{tmp_path / 'bad.db'}", "mine")
    with pytest.raises(FrameError, match="MLflow cannot be read") as error:
        from_mlflow("http://me:secret@127.0.0.1:9", "mine")
    assert "secret" not in str(error.value)
    with pytest.raises(FrameError, match="MLflow cannot be read") as error:
        from_mlflow("http://127.0.0.1:9/?password=secret", "mine")
    assert "secret" not in str(error.value)
