"""A file through an engine: every row with its prediction or its error, in every format, in little memory."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.artifacts import write_artifact

from serving import _tables, artifact
from serving._tables import STDIO, Source, TableError, format_of
from serving.engine import Engine
from serving.predict import COLUMNS, Counts, predict
from serving.request import Request

ROWS = [
    {"id": 1, "task": "glue/rte", "sentence1": "a cat", "sentence2": "an animal", "note": None},
    {"id": 2, "task": "glue/sts-b", "sentence1": "a cat", "sentence2": "a dog", "note": "x"},
    {"id": 3, "task": "glue/rte", "sentence1": "a cat", "sentence2": "  ", "note": "é"},
    {"id": 4, "task": "nothing", "sentence1": "a", "sentence2": "b", "note": "y"},
]


@pytest.fixture(scope="module")
def engine(source: Callable, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("winners")
    for method, task in (("aot_fc", "glue/rte"), ("lora", "glue/sts-b")):
        write_artifact(folder / method, method, task, source("bert"))
    engine = Engine(source("bert"))
    for each in artifact.find(folder):
        engine.add(each)
    return engine


def run(engine: Engine, file: Path, out: Path, task: str | None = None) -> Counts:
    return predict(engine, Source(file), out, task, lambda counts: None)


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pd.DataFrame(rows)
    if format_of(file) == "parquet":
        frame.to_parquet(file, index=False)
    elif format_of(file) == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        frame.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    return file


def read(file: Path) -> list[dict[str, Any]]:
    if format_of(file) == "parquet":
        return pq.read_table(file).to_pylist()
    if format_of(file) == "jsonl":
        return [dict.fromkeys(COLUMNS) | json.loads(line) for line in file.read_text().splitlines()]
    with open(file, newline="") as stream:
        return [
            {name: value if value != "" else None for name, value in row.items()}
            for row in csv.DictReader(stream, delimiter="\t" if file.suffix == ".tsv" else ",")
        ]


@pytest.mark.parametrize("end", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("begin", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_to_every_other(engine: Engine, begin: str, end: str, tmp_path: Path) -> None:
    counts = run(engine, write(tmp_path / f"in.{begin}", ROWS), tmp_path / f"out.{end}")
    assert (counts.rows, counts.refused) == (4, 2)
    said = read(tmp_path / f"out.{end}")
    rte, stsb = engine.predict([Request(row["task"], row) for row in ROWS[:2]])
    assert [str(row["id"]) for row in said] == ["1", "2", "3", "4"]
    assert said[2]["note"] == "é"
    assert said[0]["predicted_label"] == rte.label
    assert float(said[0]["predicted_probability"]) == pytest.approx(max(rte.scores.values()), rel=1e-5)
    scores = said[0]["predicted_scores"]
    assert (scores if isinstance(scores, dict) else json.loads(scores)) == pytest.approx(dict(rte.scores), rel=1e-5)
    assert float(said[1]["predicted_value"]) == pytest.approx(stsb.value, rel=1e-4)
    assert said[1]["predicted_label"] is None
    assert "is empty" in said[2]["prediction_error"]
    assert "no task 'nothing'" in said[3]["prediction_error"]


def test_parquet_keeps_its_types(engine: Engine, tmp_path: Path) -> None:
    table = pa.table({"id": pa.array([2**60], pa.int64()), "sentence1": ["a"], "sentence2": ["b"], "l": [[1, 2]]})
    pq.write_table(table, tmp_path / "in.parquet")
    run(engine, tmp_path / "in.parquet", tmp_path / "out.parquet", "glue/rte")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.select(table.column_names).equals(table)
    assert written.schema.names[len(table.column_names) :] == list(COLUMNS)
    run(engine, tmp_path / "out.parquet", tmp_path / "again.parquet", "glue/sts-b")  # columns are written over
    again = pq.read_table(tmp_path / "again.parquet")
    assert again.schema == written.schema
    assert again["predicted_label"].to_pylist() == [None]


def test_rows_that_are_none_get_their_error_in_their_place(engine: Engine, tmp_path: Path) -> None:
    good = json.dumps(ROWS[0])
    lines = [good, "{", "[1]", "[" * 10_000, '{"task": "glue/rte", "sentence1": "\\ud800"}', '{"a": "b"}', "", good]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    for end in ("jsonl", "csv", "parquet"):
        counts = run(engine, tmp_path / "in.jsonl", tmp_path / f"out.{end}")
        assert (counts.rows, counts.refused) == (7, 5)
        errors = [row["prediction_error"] or "" for row in read(tmp_path / f"out.{end}")]
        for error, part in zip(errors, ["", "no JSON", "no JSON object", "", "UTF-8", "has no task", ""], strict=True):
            assert part in error


def test_rows_of_csv_that_do_not_fit_or_are_no_text(engine: Engine, tmp_path: Path) -> None:
    head = b"\xef\xbb\xbfsentence1,sentence2\n"  # with the mark that spreadsheets write
    (tmp_path / "in.csv").write_bytes(head + b'a,b\na\na,b,c\n"two\nlines",b\n\xff,b\n\na,b\n')
    counts = run(engine, tmp_path / "in.csv", tmp_path / "out.csv", "glue/rte")
    said = read(tmp_path / "out.csv")
    assert (counts.rows, counts.refused) == (6, 3)
    assert [bool(row["prediction_error"]) for row in said] == [False, True, True, False, True, False]
    assert said[3]["sentence1"] == "two\nlines"
    assert said[4]["sentence1"] == "\\udcff"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in.csv", b"", "its first line must name the columns"),
        ("in.csv", b"a,a\n1,2\n", "a column stands twice"),
        ("in.parquet", b"PAR1 no", "cannot be read as parquet"),
    ],
)
def test_files_that_are_no_table(engine: Engine, name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=words):
        run(engine, tmp_path / name, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_column_that_comes_late(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "CHUNK", 2)
    file = write(tmp_path / "in.jsonl", [*ROWS, {"late": 1}])
    assert run(engine, file, tmp_path / "out.jsonl").rows == 5
    for end in ("csv", "parquet"):
        with pytest.raises(TableError, match="late"):
            run(engine, file, tmp_path / f"out.{end}")
        assert not (tmp_path / f"out.{end}").exists()


@pytest.mark.parametrize("end", ["csv", "jsonl", "parquet"])
def test_no_rows_are_a_table_of_none(engine: Engine, end: str, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("sentence1,sentence2\n")
    assert run(engine, tmp_path / "in.csv", tmp_path / f"out.{end}", "glue/rte").rows == 0
    assert read(tmp_path / f"out.{end}") == []


def test_what_is_in_memory_is_a_chunk(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "CHUNK", 3)
    told: list[tuple[int, int]] = []
    sizes: list[int] = []
    predicted = engine.predict
    monkeypatch.setattr(engine, "predict", lambda rows: (sizes.append(len(rows)), predicted(rows))[1])
    source = Source(write(tmp_path / "in.csv", ROWS * 4))
    predict(engine, source, tmp_path / "out.csv", "glue/rte", lambda c: told.append((c.rows, c.position)))
    assert sizes == [3, 3, 3, 3, 3, 1]
    assert [rows for rows, _ in told] == [3, 6, 9, 12, 15, 16]
    assert [position for _, position in told] == sorted({position for _, position in told})
    assert told[-1][1] == source.total


@pytest.mark.parametrize(("kind", "text"), [("csv", "sentence1,sentence2\na,b\n"), ("jsonl", json.dumps(ROWS[0]))])
def test_standard_streams(
    engine: Engine, kind: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode()))))
    run(engine, STDIO, STDIO, "glue/rte")
    out = capsys.readouterr().out
    row = json.loads(out) if kind == "jsonl" else next(csv.DictReader(io.StringIO(out)))
    assert row["predicted_label"] in ("entailment", "not_entailment")
