"""Which data it is: the same rows from wherever, and other rows even where little differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from trainables.tasks import Files, Task, get, resolve
from trainables.tasks.custom import Columns, custom_task, files

ROWS = [{"one": f"text {i}", "two": f"{i} more\n", "label": i % 3 > 0, "unread": i} for i in range(12)]
ROWS = [{**row, "label": int(row["label"])} for row in ROWS]
Write = Callable[[Path, Sequence[dict]], tuple[Path, ...]]


def as_parquet(folder: Path, rows: Sequence[dict], **options: object) -> tuple[Path, ...]:
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), folder / "rows.parquet", **options)
    return (folder / "rows.parquet",)


def as_compressed_groups(folder: Path, rows: Sequence[dict]) -> tuple[Path, ...]:
    return as_parquet(folder, rows, row_group_size=2, compression="gzip", use_dictionary=False)


def as_large_strings(folder: Path, rows: Sequence[dict]) -> tuple[Path, ...]:
    table = pyarrow.Table.from_pylist(list(rows))
    large = pyarrow.schema([f.with_type(pyarrow.large_string()) if f.name == "one" else f for f in table.schema])
    parquet.write_table(table.cast(large), folder / "large.parquet")
    return (folder / "large.parquet",)


def as_class_labels(folder: Path, rows: Sequence[dict]) -> tuple[Path, ...]:
    from datasets import ClassLabel, Dataset

    data = Dataset.from_list(list(rows)).cast_column("label", ClassLabel(names=["no", "yes"]))
    data.to_parquet(folder / "classes.parquet")
    return (folder / "classes.parquet",)


def as_lines(folder: Path, rows: Sequence[dict]) -> tuple[Path, ...]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return (folder / "rows.jsonl",)


def as_csv(folder: Path, rows: Sequence[dict]) -> tuple[Path, ...]:
    quoted = [",".join(f'"{cell}"' for cell in row.values()) for row in rows]
    (folder / "rows.csv").write_text("\n".join([",".join(rows[0]), *quoted]), encoding="utf-8")
    return (folder / "rows.csv",)


def as_two_files(folder: Path, rows: Sequence[dict]) -> tuple[Path, ...]:
    (folder / "a").mkdir()
    return (*as_csv(folder / "a", rows[:5]), *as_parquet(folder, rows[5:]))


def with_other_columns(folder: Path, rows: Sequence[dict]) -> tuple[Path, ...]:
    return as_parquet(folder, [{"new": 7, **{k: row[k] for k in ("label", "two", "one")}} for row in rows])


def task_of(train: Sequence[Path], dev: Sequence[Path], text: Sequence[str] = ("one", "two"), **options) -> Task:
    source = files([*map(str, train)], [*map(str, dev)])
    return custom_task("x", source=source, columns=Columns(tuple(text)), **{"labels": ("no", "yes"), **options})


def identity(folder: Path, rows: Sequence[dict] = ROWS, write: Write = as_parquet, **options) -> str:
    folder.mkdir()
    written = write(folder, rows)
    return json.dumps(resolve(task_of(written, written, **options)).identity())


@pytest.mark.parametrize(
    "write",
    [
        *(as_compressed_groups, as_large_strings, as_class_labels, as_lines, as_csv, as_two_files),
        with_other_columns,
    ],
)
def test_the_same_rows_are_the_same_data(write: Write, tmp_path: Path) -> None:
    assert identity(tmp_path / "a") == identity(tmp_path / "b", write=write)


def test_what_columns_and_labels_are_called_does_not_count(tmp_path: Path) -> None:
    renamed = [{"a": row["one"], "b": row["two"], "label": ("no", "yes")[row["label"]]} for row in ROWS]
    first = identity(tmp_path / "a")
    assert identity(tmp_path / "b", renamed, text=("a", "{b}")) == first
    assert identity(tmp_path / "c", labels=None) == first  # inferred: 0 and 1
    joined = [{"one": f"{row['one']}: {row['two']}", "label": row["label"]} for row in ROWS]
    assert identity(tmp_path / "d", joined, text=("one",)) == identity(tmp_path / "e", text=("{one}: {two}",))


def changed(row: int, **cells: object) -> list[dict]:
    return [{**r, **cells} if i == row else r for i, r in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (changed(3, one="text 3 "), {}),
        (changed(3, one="text 3\n", two="3 more"), {}),
        (changed(11, label=0), {}),
        ([ROWS[1], ROWS[0], *ROWS[2:]], {}),
        (ROWS[:-1], {}),
        (changed(0, one="text 0\ntext", two="more\n"), {}),
        (ROWS, {"labels": ("yes", "no")}),
        (ROWS, {"labels": ("no", "yes", "maybe")}),
        (ROWS, {"text": ("two", "one")}),
        (ROWS, {"text": ("{one}{two}",)}),
        (ROWS, {"metric": "f1"}),
        (ROWS, {"kind": "regression", "labels": None}),
    ],
)
def test_other_rows_are_other_data(rows: list[dict], options: dict, tmp_path: Path) -> None:
    named = [{**row, "label": ("no", "yes")[row["label"]]} for row in rows] if options.get("labels") else rows
    assert identity(tmp_path / "a", named, **options) != identity(tmp_path / "b")


def test_text_that_moves_between_rows_is_other_data(tmp_path: Path) -> None:
    rows = [{"one": "a b", "label": 0}, {"one": "c", "label": 1}]
    moved = [{"one": "a", "label": 0}, {"one": " bc", "label": 1}]
    assert identity(tmp_path / "a", rows, text=("one",)) != identity(tmp_path / "b", moved, text=("one",))


def test_the_splits_are_not_interchangeable(tmp_path: Path) -> None:
    first, second = as_csv(tmp_path, ROWS[:6]), as_lines(tmp_path, ROWS[6:])
    one, other = resolve(task_of(first, second)), resolve(task_of(second, first))
    assert one.identity() != other.identity()
    assert one.source.rows == (6, 6)


def test_a_file_that_is_written_over_is_read_again(tmp_path: Path) -> None:
    before = resolve(task_of(as_csv(tmp_path, ROWS), as_csv(tmp_path, ROWS)))
    after = resolve(task_of(as_csv(tmp_path, changed(3, one="text x")), as_csv(tmp_path, ROWS)))
    assert before.identity() == after.identity()  # written back
    as_csv(tmp_path, changed(3, one="text x"))
    assert resolve(task_of([tmp_path / "rows.csv"], [tmp_path / "rows.csv"])).identity() != before.identity()


def test_a_task_that_is_changed_after_it_was_read_is_another(tmp_path: Path) -> None:
    written = as_csv(tmp_path, ROWS)
    task = resolve(task_of(written, written))
    other = replace(task, text=("{two}",))
    assert other.identity() != task.identity()
    assert resolve(other).identity() == resolve(task_of(written, written, text=("two",))).identity()


def test_rows_are_counted(real_data: str) -> None:
    assert resolve(get("demo/choice")).source.rows == (400, 200)
    rte = resolve(get("glue/rte"), real_data).source
    assert isinstance(rte, Files)
    assert (rte.rows, rte.digest) == ((2490, 277), "cd6b594ca49150c7")
