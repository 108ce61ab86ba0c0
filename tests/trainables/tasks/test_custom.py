"""Tasks of a study's own, and what their errors say."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas
import pytest

from trainables.tasks import DataError, Hub, Task, Truncation, resolve
from trainables.tasks._text import render
from trainables.tasks.custom import Columns, custom_task, files

ROWS = [
    {"text": "a fine day", "more": "indeed", "label": "good"},
    {"text": 'he said "no", twice', "more": "well\nyes", "label": "bad"},
    {"text": "NA", "more": "null", "label": "good"},
]


def write(folder: Path, rows: list[dict], ending: str, stem: str = "train") -> str:
    path = folder / f"{stem}.{ending}"
    if ending in ("csv", "tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if ending == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif ending == "parquet":
        pandas.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return str(path)


def task_of(folder: Path, rows: list[dict], dev: list[dict] | None = None, ending: str = "jsonl", **options) -> Task:
    columns = options.pop("columns", Columns(("text",)))
    source = files(write(folder, rows, ending), write(folder, dev or rows, ending, "dev"))
    return custom_task("mine/one", source=source, columns=columns, **options)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "ndjson", "json", "parquet"])
def test_every_kind_of_file_gives_the_same_task(ending: str, tmp_path: Path) -> None:
    task = resolve(task_of(tmp_path, ROWS, ending=ending, columns=Columns(("text", "more"))))
    assert task.labels == ("bad", "good")
    texts = render(task, "train")
    assert texts.first == [r["text"] for r in ROWS]
    assert texts.second == [r["more"] for r in ROWS]
    assert texts.labels.tolist() == [1, 0, 1]


def test_names_and_benchmarks(tmp_path: Path) -> None:
    source, columns = files("a.csv", "b.csv", tmp_path), Columns(("text",))
    assert custom_task("reviews", source=source, columns=columns).name == "custom/reviews"
    assert custom_task("reviews", source=source, columns=columns, benchmark="ours").name == "ours/reviews"
    named = custom_task("mine/reviews", source=source, columns=columns)
    assert (named.name, named.benchmark) == ("mine/reviews", "mine")
    assert source.train == (str((tmp_path / "a.csv").resolve()),)
    for name in ("a/b/c", "a b", "/x", "x/"):
        with pytest.raises(ValueError, match="the name must be 'benchmark/task' or 'task'"):
            custom_task(name, source=source, columns=columns)
    with pytest.raises(ValueError, match=r"benchmark must be the first part of the name \('mine'\).*'yours'"):
        custom_task("mine/reviews", source=source, columns=columns, benchmark="yours")


def test_templates_join_columns_whatever_they_are_called(tmp_path: Path) -> None:
    rows = [{"review.title": "T", "0": "{body}", "label": "a"}, {"review.title": "U", "0": "v", "label": "b"}]
    task = resolve(task_of(tmp_path, rows, columns=Columns(("{review.title}: {0}",))))
    assert render(task, "dev").first == ["T: {body}", "U: v"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_whole_numbers_as_labels_sort_as_numbers(ending: str, tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "label": i} for i in (10, 9, 100, 9)]
    task = resolve(task_of(tmp_path, rows, ending=ending))
    assert task.labels == ("9", "10", "100")
    assert render(task, "dev").labels.tolist() == [1, 0, 2, 0]


def test_numbers_are_ids_of_labels_that_have_names(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "label": i} for i in (0, 1, 1)]
    task = task_of(tmp_path, rows, labels=["negative", "positive"])
    assert render(task, "dev").labels.tolist() == [0, 1, 1]


def test_numbers_that_are_labels_are_not_ids(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "label": i} for i in (2, 1)]
    assert render(task_of(tmp_path, rows, labels=[1, 2]), "dev").labels.tolist() == [1, 0]


def test_booleans_and_whole_floats(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": True}, {"text": "b", "label": False}]
    assert resolve(task_of(tmp_path, rows)).labels == ("False", "True")
    assert render(task_of(tmp_path, rows, labels=[False, True]), "dev").labels.tolist() == [1, 0]
    rows = [{"text": "a", "label": 1.0}, {"text": "b", "label": 0.0}]
    assert resolve(task_of(tmp_path, rows)).labels == ("0", "1")


def test_class_ids_bring_their_names_in_any_order(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    for split in ("train", "dev"):
        Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features).to_parquet(tmp_path / f"{split}.parquet")
    source = files("train.parquet", "dev.parquet", tmp_path)
    inferred = resolve(custom_task("x", source=source, columns=Columns(("text",))))
    assert inferred.labels == ("no", "yes")
    assert render(inferred, "dev").labels.tolist() == [1, 0]
    turned = custom_task("x", source=source, columns=Columns(("text",)), labels=["yes", "no"])
    assert render(turned, "dev").labels.tolist() == [0, 1]


def test_regression(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "1.5"}, {"text": "b", "label": "-2"}]
    task = task_of(tmp_path, rows, ending="csv", kind="regression")
    assert (task.metric, task.outputs, task.labels) == ("pearson_spearman", 1, None)
    labels = render(task, "dev").labels
    assert labels.dtype == np.float32
    assert labels.tolist() == [1.5, -2.0]


@pytest.mark.parametrize("label", ["b", 1])
def test_multiple_choice(label: object, tmp_path: Path) -> None:
    rows = [{"q": "why?", "a": "x", "b": "y", "c": "z", "label": label}]
    task = task_of(tmp_path, rows, columns=Columns(("q",), choices=("a", "b", "c")))
    assert (task.kind, task.choices, task.outputs) == ("multiple_choice", 3, 1)
    texts = render(task, "dev")
    assert (texts.first, texts.second) == (["why?"] * 3, ["x", "y", "z"])
    assert texts.labels.tolist() == [1]
    pair = task_of(tmp_path, rows, columns=Columns(("q", "q"), choices=("a", "b", "c")))
    assert render(pair, "dev").second == ["why? x", "why? y", "why? z"]


def test_how_texts_are_cut_is_the_tasks_own(tmp_path: Path) -> None:
    cut = Truncation("left", "second")
    assert task_of(tmp_path, ROWS, columns=Columns(("text", "more")), truncation=cut).truncation == cut
    assert (
        task_of(tmp_path, ROWS, columns=Columns(("text",), "label", ("more", "text")), truncation=cut).truncation == cut
    )
    assert task_of(tmp_path, ROWS).truncation == Truncation("right", "longest")


def test_several_files_make_one_split(tmp_path: Path) -> None:
    first, second = write(tmp_path, ROWS, "csv", "one"), write(tmp_path, ROWS[:1], "jsonl", "two")
    task = resolve(custom_task("x", source=files([first, second], first), columns=Columns(("text",))))
    assert len(render(task, "train").first) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "ranking"}, "kind must be one of classification, regression, multiple_choice, but got 'ranking'"),
        ({"metric": "pearson"}, "the metric of a classification must be one of accuracy, .*but got 'pearson'"),
        ({"metric": "bleu"}, "but got 'bleu'"),
        ({"metric": "f1", "labels": ["a", "b", "c"]}, "metric f1 needs 2 labels"),
        ({"kind": "regression", "labels": ["a", "b"]}, "a regression has no labels"),
        ({"labels": ["a", "a"]}, "labels must be different"),
        ({"labels": ["a"]}, "a classification needs two or more labels"),
        ({"truncation": Truncation("middle")}, "truncation.side must be one of left, right, but got 'middle'"),
        (
            {"truncation": Truncation(segment="all")},
            "truncation.segment must be one of longest, first, second, but got",
        ),
        ({"truncation": Truncation(segment="first")}, "belongs to tasks of two segments"),
        ({"epochs": 0}, "epochs and patience must be at least 1"),
        ({"columns": Columns(("a", "b", "c"))}, "text must be one or two columns"),
        ({"columns": Columns(("label",))}, "the label column must not be part of the text"),
        ({"columns": Columns(("text",), choices=("a",))}, "multiple_choice needs two or more choices"),
        (
            {"columns": Columns(("text",), choices=("a", "b")), "kind": "regression"},
            "choices belong to multiple_choice",
        ),
        ({"columns": Columns(("choice",), choices=("a", "b"))}, "must not be called 'choice'"),
        ({"columns": Columns(("text",), choices=("a", "b")), "labels": ["x", "y", "z"]}, "one per choice, 2 of them"),
    ],
)
def test_definitions_that_break_a_rule(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        task_of(tmp_path, ROWS, **options)
    assert "mine/one" in str(caught.value)


GOOD = [{"text": f"row {i}", "label": label} for i, label in enumerate("abab")]


def broken(row: int, **cells: object) -> list[dict]:
    return [r | cells if i == row - 1 else r for i, r in enumerate(GOOD)]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("rows", "column", "row", "message"),
    [
        (broken(3, text=""), "text", 3, "the text is empty"),
        (broken(2, text=" \t"), "text", 2, "the text is empty"),
        (broken(4, label="c"), "label", 4, "unknown label 'c' (the labels of mine/one are a, b)"),
        (broken(1, label=""), "label", 1, "the label is missing"),
    ],
)
def test_bad_cells_of_the_dev_split_are_named(
    rows: list[dict], column: str, row: int, message: str, ending: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        resolve(task_of(tmp_path, GOOD, rows, ending))
    place = f"{tmp_path / 'dev'}.{ending}, row {row} (data rows counted from 1), column {column!r}: {message}; "
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("value", [None, float("nan")])
def test_cells_without_a_value(value: object, ending: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2 .*'text': the text is missing"):
        resolve(task_of(tmp_path, GOOD, broken(2, text=value), ending))
    with pytest.raises(DataError, match=r"row 2 .*'label': the label is missing"):
        resolve(task_of(tmp_path, broken(2, label=value), GOOD, ending))


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"text": "a", "label": -1}, {"text": "b", "label": 1}], {}, "row 1 .*label -1 marks a row"),
        ([{"text": "a", "label": "x"}], {}, "needs two or more labels, but the train split has 1: x"),
        ([{"text": "a", "label": c} for c in "xyz"], {"metric": "f1"}, "metric f1 needs 2 labels, .* has 3: x, y, z"),
    ],
)
def test_labels_that_cannot_be_inferred(rows: list[dict], options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        resolve(task_of(tmp_path, rows, **options))


def test_labels_that_are_not_public(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 0}, {"text": "b", "label": -1}]
    with pytest.raises(DataError, match=r"row 2 .*label -1 marks a row whose label is not public.*choose a split"):
        render(task_of(tmp_path, GOOD, rows, labels=["a", "b"]), "dev")


@pytest.mark.parametrize("value", ["high", "nan", "inf", None])
def test_a_regression_needs_numbers(value: object, tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": value}]
    with pytest.raises(DataError, match=r"row 2 .*must be a finite number"):
        render(task_of(tmp_path, rows, kind="regression"), "train")


def test_texts_that_are_lists(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2 .*must be a string, but is a list: \['a'\]"):
        render(task_of(tmp_path, broken(2, text=["a"]), labels=["a", "b"]), "train")


@pytest.mark.parametrize("label", [["x"], {"x": 1}])
def test_labels_that_are_lists(tmp_path: Path, label: object) -> None:
    """Each list was taken for a class of its own, called as Python prints it."""
    with pytest.raises(DataError, match=r"row 2 .*a label must be text or a number, but is a (list|dict): .*one label"):
        resolve(task_of(tmp_path, broken(2, label=label)))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_missing_columns_are_named_with_those_there_are(ending: str, tmp_path: Path) -> None:
    task = task_of(tmp_path, GOOD, ending=ending, columns=Columns(("sentence",), "gold"), labels=["a", "b"])
    with pytest.raises(DataError, match=r"has no column 'sentence', 'gold'; its columns are 'text', 'label'"):
        render(task, "train")


def test_missing_files_are_named(tmp_path: Path) -> None:
    task = custom_task("x", source=files("none.csv", "dev.csv", tmp_path), columns=Columns(("text",)))
    with pytest.raises(DataError, match=r"cannot read the data file .*none\.csv: No such file"):
        resolve(task)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty; its first line must name the columns"),
        ("a.csv", "text,label\n", "has no rows"),
        ("a.csv", "text,text\na,b\n", "column names must be unique"),
        ("a.csv", "text,label\na,x\nb,c,y\n", r"row 2 \(.*line 3 of the file\) has 3 cells where the header has 2"),
        ("a.csv", "text,label\na\n", "row 1 .* has 1 cells where the header has 2"),
        ("a.csv", 'text,label\n"a,x\n', "near line 2: unexpected end of data"),
        ("a.csv", b"text,label\n\xff,x\n", "is not UTF-8 text"),
        ("a.jsonl", "", "has no rows"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": ', "line 2 is not JSON"),
        ("a.json", '[{"text": "a"}]', "line 1 must be a JSON object"),
        ("a.parquet", "text", "is not a parquet file"),
        ("a.xlsx", "text", r"must end in one of \.csv, \.tsv, .*a\.xlsx"),
    ],
)
def test_malformed_files(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    task = custom_task("x", source=files(str(path), str(path)), columns=Columns(("text",)))
    with pytest.raises(DataError, match=message) as caught:
        resolve(task)
    assert re.search(re.escape(name), str(caught.value))


def test_a_hub_dataset_that_is_out_of_reach() -> None:
    task = custom_task("x", source=Hub("someone/dataset", "plain", "main"), columns=Columns(("text",)))
    with pytest.raises(DataError, match=r"cannot load someone/dataset on the hub \(config plain, split train\)"):
        resolve(task)
