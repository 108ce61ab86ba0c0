"""The journal: a file that a killed driver or a full disk does not break."""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from helpers.entries import entry, result, trial

from search.errors import StudyBusyError
from search.tracking import journal
from search.tracking.journal import Entry, Journal
from search.tracking.records import TrialRecord
from trainables import tasks
from trainables.trial import BackboneSource, Protocol, Result, Trial


@pytest.fixture
def said() -> list[str]:
    return []


def test_an_entry_is_read_as_it_was_written() -> None:
    wild = replace(entry(), reason="no\nline · «é»\u2028", score=0.1 + 0.2, metrics={"f1": 1 / 3})
    assert Entry.read(wild.line()) == wild
    assert wild.line().count(b"\n") == 1
    diverged = replace(entry(), history=((1, math.nan, math.inf, 1e-300),))
    ((epoch, score, loss, seconds),) = Entry.read(diverged.line()).history
    assert (epoch, math.isnan(score), loss, seconds) == (1, True, math.inf, 1e-300)
    assert b"NaN" not in diverged.line(), "the journal is strict JSON"


def test_a_line_is_the_same_whichever_kind_of_mapping_an_entry_holds() -> None:
    """And so is its digest, by which MLflow knows what it has."""
    plain = replace(entry(), metrics={"f1": 1 / 3, "nan": 0.5}, search={"strategy": "tpe"})
    other = replace(plain, metrics=MappingProxyType(plain.metrics), search=MappingProxyType(plain.search))
    assert other.line() == plain.line()
    assert json.loads(plain.line())["metrics"] == {"f1": 1 / 3, "nan": 0.5}
    wild = replace(plain, metrics={"f1": math.inf})
    assert json.loads(wild.line()) == json.loads(plain.line()) | {"metrics": {"f1": "inf"}}


def test_shares_of_text_are_kept_and_lines_without_them_still_read() -> None:
    told = replace(entry(), text={"train_cut": 0.64, "dev_cut": 0.73, "train_unknown": 0.0, "dev_unknown": 0.001})
    assert Entry.read(told.line()) == told
    assert Entry.of("s", trial(), replace(result(trial()), text=told.text), {}, "").text == told.text
    assert b'"text"' not in entry().line()
    assert Entry.read(entry().line()).text == {}


@pytest.mark.parametrize("majority", [52.7, 0.0])
def test_the_majority_s_score_is_kept_also_where_it_is_zero(majority: float) -> None:
    told = Entry.of("s", trial(), replace(result(trial()), majority=majority), {}, "")
    assert told.majority == majority
    assert Entry.read(told.line()) == told
    assert TrialRecord.of(told).majority == majority


def test_a_line_of_before_a_field_is_read_and_keeps_its_digest() -> None:
    """What MLflow holds by that digest is not sent again."""
    now = replace(entry(), pack_size=None, device="", result_version=None)
    line = now.line()
    assert not any(name in line for name in (b"search", b"pack_size", b"device", b"result_version", b"majority"))
    assert Entry.read(line) == now
    assert Entry.read(line).digest == now.digest == hashlib.sha256(line).hexdigest()[:16]
    assert Entry.read(entry().line()).pack_size == 4


@pytest.mark.parametrize("missing", [1, 2, 50, 600])
def test_a_last_line_that_was_cut_off(tmp_path: Path, said: list[str], missing: int) -> None:
    book = Journal(tmp_path, said.append)
    book.append([entry(0), entry(1)])
    book.close()
    os.truncate(book.path, book.path.stat().st_size - missing)
    again = Journal(tmp_path, said.append)
    again.append([entry(2)])
    again.close()
    read = [e.seed for _, _, e in journal.read(book.path, said.append)]
    if missing == 1:  # only the end of the line was missing
        assert read == [0, 1, 2]
        assert said == []
    else:
        assert read == [0, 2]
        assert len(said) == 1
        assert "was cut off" in said[0]
        assert "its trial runs again" in said[0]


def test_one_writer_even_where_the_lock_was_deleted(tmp_path: Path) -> None:
    book = Journal(tmp_path, pytest.fail)
    with pytest.raises(StudyBusyError, match="is being written by another process"):
        Journal(tmp_path, pytest.fail)
    book.close()
    Journal(tmp_path, pytest.fail).close()


def test_a_damaged_line_in_the_middle(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(entry(0).line() + b'{"time": 1}\n\xff\xfe\n' + entry(1).line())
    assert [e.seed for _, _, e in journal.read(path, said.append)] == [0, 1]
    assert len(said) == 2


def test_a_damaged_line_names_its_trial_where_that_can_be_read(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(entry(0).line()[:-9] + b"\n" + b"\xff\xfe\n" + entry(1).line())
    damaged: set[str] = set()
    assert [e.seed for _, _, e in journal.read(path, said.append, damaged=damaged)] == [1]
    assert damaged == {entry(0).trial_id}


def test_a_line_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(entry(0).line() + entry(1).line()[:-10])
    ((begin, end, first),) = journal.read(path, pytest.fail)
    path.write_bytes(entry(0).line() + entry(1).line())
    assert (begin, first.seed) == (0, 0)
    assert [e.seed for _, _, e in journal.read(path, pytest.fail, end)] == [1]


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Half a line was written when the disk was full: none of it is left, and the journal can be gone on with."""
    book = Journal(tmp_path, pytest.fail)
    book.append([entry(0)])
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (book.path.stat().st_size + 50, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            book.append([entry(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    book.append([entry(2)])
    book.close()
    assert [e.seed for _, _, e in journal.read(book.path, pytest.fail)] == [0, 2]


@pytest.mark.parametrize(
    ("folder", "local"),
    [("runs/a", "runs/a"), ("/x/runs/a", "/x/runs/a"), ("file:///x/a", "/x/a"), ("s3://bucket/lab/a", "runs/a")],
)
def test_it_lies_where_files_can_grow(folder: str, local: str) -> None:
    assert journal.local_folder(folder) == Path(local)


def test_a_reason_is_kept_without_what_is_secret() -> None:
    result = Result("t", "failed", None, None, (), None, "no \x1b[31mroute to s3://me:hunter2@bucket/x")
    trial = Trial(
        BackboneSource("b", "b"), tasks.get("glue/rte"), "lora", {"learning_rate": 0.1, "batch_size": 8}, 0,
        Protocol(epochs=1, patience=1),
    )  # fmt: skip
    assert Entry.of("s", trial, result, {}, "").reason == "no \\x1b[31mroute to s3://***@bucket/x"
