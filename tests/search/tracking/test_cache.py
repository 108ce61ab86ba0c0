"""What was read of a study's runs is kept, and the store alone says what still counts: SQLite and PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from helpers.records import record_of
from helpers.servers import Server
from mlflow import MlflowClient
from sqlalchemy import Engine, event

import common.stamps
from benchmarks._stores import document, fill
from search import study as studies
from search.planning.plan import plan
from search.study import Study
from search.tracking import _cache
from search.tracking._logged import FEW, Logged, logged
from search.tracking._record import TrialRecord
from search.tracking.mlflow_writer import Settings, Writer
from trainables.trial import Trial

TRIALS = 585  # a multiple of what the study has per learning rate, and more than FEW


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial]]:
    """A folder with a study file and a SQLite store of all its trials, to be copied."""
    folder = tmp_path_factory.mktemp("whole")
    of = written(folder, f"sqlite:///{folder}/mlflow.db")
    trials = plan(of).trials
    assert fill(of, trials) == TRIALS > FEW
    return folder, list(trials)


def written(folder: Path, tracking: str) -> Study:
    (folder / "study.yaml").write_text(yaml.safe_dump(document(TRIALS, 3, folder, tracking)))
    return studies.load(folder / "study.yaml")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: what is kept lies there."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written a moment ago counts as settled: a list of runs is kept at once."""
    monkeypatch.setattr(common.stamps, "SETTLED_SECONDS", -1.0)


@pytest.fixture
def tracking(whole: tuple[Path, list[Trial]], tmp_path: Path) -> str:
    shutil.copy(whole[0] / "mlflow.db", tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@contextmanager
def asked() -> Iterator[set[str]]:
    """Ids of the runs whose values are read meanwhile, by the statements that reach the database."""
    runs: set[str] = set()

    def listen(connection: object, cursor: object, statement: str, values: object, *_: object) -> None:
        if "FROM params" in statement:
            runs.update(values.values() if isinstance(values, dict) else values)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield runs
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of any database meanwhile."""
    sent: list[str] = []

    def listen(connection: object, cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


def read(tracking: str) -> Logged:
    found = logged("reports", tracking, pytest.fail)
    assert found is not None
    return found


def run_of(tracking: str, trial: Trial) -> str:
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name("reports")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`aot.trial_id` = '{trial.id}'")
    return run.info.run_id


def test_what_is_read_is_what_mlflow_says_and_is_read_once(tracking: str, home: Path) -> None:
    by_mlflow = read(tracking.replace("sqlite:", "sqlite+pysqlite:"))
    assert len(by_mlflow.records) == TRIALS
    assert not home.exists()
    with asked() as first:
        assert read(tracking) == by_mlflow
    with asked() as second:
        assert read(tracking) == by_mlflow
    assert (len(first), len(second)) == (TRIALS, 0)
    assert [file.suffix for file in (home / ".cache" / "aot-search" / "logged").iterdir()] == [".parquet"]


def test_curves_are_those_of_the_store(tracking: str) -> None:
    by_mlflow = logged("reports", tracking.replace("sqlite:", "sqlite+pysqlite:"), pytest.fail, curves=True)
    for _ in ("read", "kept"):
        assert logged("reports", tracking, pytest.fail, curves=True) == by_mlflow


def test_a_trial_that_was_logged_again_is_read_again(tracking: str, whole: tuple[Path, list[Trial]]) -> None:
    before = read(tracking)
    again = whole[1][7:10]
    fill(written(Path(tracking.removeprefix("sqlite:///")).parent, tracking), again, moved=1.5)
    with asked() as runs:
        after = read(tracking)
    assert len(runs) == 3
    assert {i for i, record in after.records.items() if record != before.records[i]} == {trial.id for trial in again}
    for trial in again:
        assert after.records[trial.id].score == pytest.approx(before.records[trial.id].score + 1.5)
    assert after == read(tracking.replace("sqlite:", "sqlite+pysqlite:"))


def test_runs_that_are_deleted_restored_or_begun_again(tracking: str, whole: tuple[Path, list[Trial]]) -> None:
    before = read(tracking)
    client, (deleted, begun) = MlflowClient(tracking), whole[1][:2]
    gone, running = run_of(tracking, deleted), run_of(tracking, begun)
    client.delete_run(gone)
    client.update_run(running, status="RUNNING")
    after = read(tracking)
    assert after.begun == {deleted.id, begun.id}
    assert before.records.keys() - after.records.keys() == {deleted.id, begun.id}
    client.restore_run(gone)
    client.update_run(running, status="FINISHED")
    assert read(tracking) == before


def test_a_store_that_was_made_anew_is_not_the_one_that_was_read(tracking: str, tmp_path: Path) -> None:
    assert read(tracking).records
    (tmp_path / "mlflow.db").unlink()
    assert read(tracking) == Logged()
    MlflowClient(tracking).create_experiment("reports")
    assert read(tracking) == Logged()


@pytest.mark.parametrize("damage", ["empty", "cut off", "one byte", "no parquet", "another version", "other columns"])
def test_a_file_that_does_not_fit_is_thrown_away(tracking: str, damage: str) -> None:
    before = read(tracking)
    path = _cache.place("reports", tracking)
    content = path.read_bytes()
    table = pq.read_table(path)
    if damage == "another version":
        pq.write_table(table.replace_schema_metadata({"aot": "of last year"}), path)
    elif damage == "other columns":
        pq.write_table(table.drop_columns(["score"]), path)
    else:
        turned = content[:200] + bytes([content[200] ^ 255]) + content[201:]
        spoilt = {"empty": b"", "cut off": content[:-99], "one byte": turned, "no parquet": b"runs" * 9}
        path.write_bytes(spoilt[damage])
    assert _cache.read(path) == {}
    with asked() as runs:
        assert read(tracking) == before
    assert len(runs) == TRIALS
    assert len(_cache.read(path)) == TRIALS
    with asked() as runs:
        assert read(tracking) == before
    assert not runs


def test_a_file_that_is_the_same_is_not_asked(tracking: str, whole: tuple[Path, list[Trial]]) -> None:
    """Neither what its runs hold nor which there are; after any write it is."""
    before = read(tracking)
    with statements() as sent:
        assert read(tracking) == before
    assert sent == []
    MlflowClient(tracking).create_experiment("another study")
    with statements() as sent:
        assert read(tracking) == before
    assert len(sent) == 1
    MlflowClient(tracking).delete_run(run_of(tracking, whole[1][3]))
    assert read(tracking).begun == {whole[1][3].id}


def test_of_a_file_that_is_being_written_no_list_is_kept(tracking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common.stamps, "SETTLED_SECONDS", 3600.0)
    for _ in range(2):
        with statements() as sent:
            assert len(read(tracking).records) == TRIALS
        assert sent


@pytest.mark.parametrize("damage", ["cut off", "no parquet", "another version"])
def test_a_list_that_does_not_fit_is_made_anew(tracking: str, damage: str) -> None:
    before = read(tracking)
    path = _cache.place("reports", tracking, "listed")
    if damage == "another version":
        pq.write_table(pq.read_table(path).replace_schema_metadata({"aot": "of last year"}), path)
    else:
        path.write_bytes(path.read_bytes()[:-99] if damage == "cut off" else b"runs" * 9)
    with statements() as sent:
        assert read(tracking) == before
    assert len(sent) == 1


def test_the_writer_learns_from_the_tables_what_mlflow_says(
    tracking: str, tmp_path: Path, whole: tuple[Path, list[Trial]]
) -> None:
    """Also of runs that are deleted, on their way, or logged twice, of which the oldest counts."""
    client, own = MlflowClient(tracking), whole[1]
    client.delete_run(run_of(tracking, own[0]))
    client.update_run(run_of(tracking, own[1]), status="RUNNING")
    client.set_tag(run_of(tracking, own[2]), "aot.trial_id", own[3].id)

    def known(uri: str) -> tuple[object, object]:
        writer = Writer(Settings(str(tmp_path / "folder"), uri, "reports"))
        writer.connect()
        return writer.runs, {cell: (list(own.scores.items()), own.run_id) for cell, own in writer.cells.items()}

    with statements() as sent:
        runs, cells = known(tracking)
    assert sum("latest_metrics" in statement for statement in sent) <= 3, "not a request for each page of runs"
    assert len(runs) == TRIALS - 2
    assert runs[own[1].id].entry_digest is None
    assert (runs, cells) == known(tracking.replace("sqlite:", "sqlite+pysqlite:"))


def test_several_readers_at_once(tracking: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(read, [tracking] * 4)
    assert len(first.records) == TRIALS
    assert all(other == first for other in others)
    assert [file.name for file in _cache.place("reports", tracking).parent.iterdir()] == [
        _cache.place("reports", tracking).name
    ]
    with asked() as runs:
        assert read(tracking) == first
    assert not runs


def test_where_nothing_can_be_kept_the_store_is_read(tracking: str, home: Path) -> None:
    home.write_text("a file")
    for _ in range(2):
        with asked() as runs:
            assert len(read(tracking).records) == TRIALS
        assert len(runs) == TRIALS


def test_a_record_is_kept_to_the_last_bit(tmp_path: Path, whole: tuple[Path, list[Trial]]) -> None:
    """Every field but the curve; also one that is empty, and a hyperparameter that is null, a truth or a text."""
    bare = record_of(whole[1][0])
    odd = {"a": None, "deep": True, "kind": "ä ☃", "rate": 0.1 + 0.2, "big": 2**53 + 1}
    records = [
        replace(bare, history=(), score=1 / 3, seconds=5e-324, hyperparameters=odd, text={"train_cut": 0.1}),
        replace(bare, history=(), score=None, status="failed", trainable_parameters=None, best_epoch=None),
        replace(bare, history=(), pack_size=8, device="NVIDIA", search={"strategy": "tpe"}, protocol={"dropout": None}),
    ]
    runs = {f"r{i}": (f"FINISHED {i}", record) for i, record in enumerate(records)}
    _cache.write(tmp_path / "kept.parquet", runs)
    kept = _cache.read(tmp_path / "kept.parquet")
    assert kept == runs
    for run, (_, record) in kept.items():
        for field in fields(TrialRecord):
            assert type(getattr(record, field.name)) is type(getattr(runs[run][1], field.name)), field.name


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_postgresql_is_read_as_sqlite_is(
    tracking: str, tmp_path: Path, postgresql: tuple[Server, str], whole: tuple[Path, list[Trial]]
) -> None:
    _, uri = postgresql
    of = written(tmp_path, uri)
    fill(of, whole[1])
    with asked() as first:
        found = read(uri)
    with asked() as second:
        assert read(uri) == found
    here, there = ({i: replace(r, run_id="") for i, r in each.records.items()} for each in (found, read(tracking)))
    assert here == there, "but for the runs' own ids"
    assert (len(first), len(second)) == (TRIALS, 0)
    fill(of, whole[1][:2], moved=1.0)
    MlflowClient(uri).delete_run(run_of(uri, whole[1][5]))
    with asked() as third:
        after = read(uri)
    assert len(third) == 2
    assert after.begun == {whole[1][5].id}
    assert after.records[whole[1][0].id].score == pytest.approx(found.records[whole[1][0].id].score + 1.0)
    curves = logged("reports", uri, pytest.fail, curves=True)
    assert curves is not None
    assert [len(record.history) for record in curves.records.values()] == [3] * (TRIALS - 1)
