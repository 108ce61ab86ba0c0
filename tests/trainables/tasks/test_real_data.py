"""The fifteen tasks on the published data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from trainables.tasks import DataError, Files, get, names, resolve
from trainables.tasks._text import render

REAL = [n for n in names() if not n.startswith("demo/")]

#: task: rows of the train and the dev split (MNLI, QNLI and QQP are subsets), and counts of the dev split's labels
ROWS = {
    "glue/cola": (8551, 1043, {"acceptable": 721}),
    "glue/sst-2": (67349, 872, {"positive": 444}),
    "glue/mrpc": (3668, 408, {"equivalent": 279}),
    "glue/sts-b": (5749, 1500, {}),
    "glue/qqp": (8999, 1000, {"not_duplicate": 623}),
    "glue/mnli": (9999, 9815, {"entailment": 3479}),
    "glue/qnli": (9999, 5463, {"not_entailment": 2761}),
    "glue/rte": (2490, 277, {"entailment": 146}),
    "superglue/boolq": (9427, 3270, {"True": 2033}),
    "superglue/cb": (250, 56, {"contradiction": 28, "entailment": 23, "neutral": 5}),
    "superglue/copa": (400, 100, {"choice1": 55}),
    "superglue/multirc": (27243, 4848, {"False": 2773}),
    "superglue/rte": (2490, 277, {"entailment": 146}),
    "superglue/wic": (5428, 638, {"True": 319}),
    "superglue/wsc": (554, 104, {"False": 66}),
}

#: The beginnings of the first dev example's segments.
FIRST = {
    "glue/cola": ("The sailors rode the breeze",),
    "glue/mrpc": ("He said the foodservice pie", '" The foodservice pie business does'),
    "glue/qnli": ("What came into force", "As of that day"),
    "superglue/boolq": ("Ethanol fuel -- All biomass", "does ethanol take more energy make that produces?"),
    "superglue/copa": (
        "The man turned on the faucet. What was the effect?",
        "The toilet filled with water.",
    ),
    "superglue/multirc": ("What causes a change in motion?", "Would the mass of a baseball"),
    "superglue/wic": ("class: An emerging", "class: Apologizing for"),
    "superglue/wsc": ("Bernard , who had not told", "him refers to anyone"),
}


@pytest.mark.parametrize("name", REAL)
def test_rows_labels_and_texts(name: str, real_data: str) -> None:
    task = resolve(get(name), real_data)
    train, dev, counts = ROWS[name]
    for split, rows in (("train", train), ("dev", dev)):
        texts = render(task, split)
        assert len(texts.labels) == rows
        assert len(texts.first) == rows * task.choices
        assert (texts.second is None) == (len(task.text) == 1)
        if task.labels is not None:
            assert set(texts.labels) == set(range(len(task.labels)))
    if task.labels is None:
        assert texts.labels.dtype == np.float32
        assert (texts.labels.min(), texts.labels.max()) == (0, 5)
    else:
        found = Counter(task.labels[i] for i in texts.labels)
        assert {label: found[label] for label in counts} == counts
    for segment, start in zip((texts.first, texts.second), FIRST.get(name, ()), strict=False):
        assert segment is not None
        assert segment[0].startswith(start)


@pytest.mark.parametrize("name", [n for n in REAL if n != "glue/sts-b"])
def test_label_names_are_the_published_ones(name: str, real_data: str) -> None:
    from datasets import Features

    task = resolve(get(name), real_data)
    assert isinstance(task.source, Files)
    for file in (*task.source.train, *task.source.dev):
        names_ = tuple(Features.from_arrow_schema(parquet.read_schema(file))["label"].names)
        assert names_ == task.labels


def test_copa_asks_of_every_choice(real_data: str) -> None:
    texts = render(resolve(get("superglue/copa"), real_data), "dev")
    assert texts.first[0] == texts.first[1]
    assert texts.second is not None
    assert texts.second[:2] == ["The toilet filled with water.", "Water flowed from the spout."]
    assert {t.rsplit(" was the ", 1)[1] for t in texts.first} == {"cause?", "effect?"}


def test_wsc_marks_both_spans_of_every_row(real_data: str) -> None:
    task = resolve(get("superglue/wsc"), real_data)
    for split in ("train", "dev"):
        texts = render(task, split)
        assert all(t.count("*") == 2 and t.count("_") == 2 for t in texts.first)
    assert "iron *safe* . Some day they might want to use _it_ ," in texts.first[42]  # its index is off by a word


def test_the_variable_names_the_folder_too(real_data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AOT_DATA_DIR", real_data)
    assert resolve(get("glue/rte")) == resolve(get("glue/rte"), real_data)


def test_identity_follows_the_content_and_not_the_place(real_data: str, tmp_path) -> None:
    target = tmp_path / "glue" / "rte"
    target.mkdir(parents=True)
    for split in ("train", "validation"):
        data = (Path(real_data) / "glue" / "rte" / f"{split}.parquet").read_bytes()
        (target / f"{split}-00000-of-00001.parquet").write_bytes(data)
    there, here = resolve(get("glue/rte"), real_data), resolve(get("glue/rte"), str(tmp_path))
    assert there.identity() == here.identity()
    assert there.identity() != get("glue/rte").identity()


def test_a_missing_folder_or_split_says_what_is_there(real_data: str, tmp_path) -> None:
    (tmp_path / "glue" / "cola").mkdir(parents=True)
    (tmp_path / "glue" / "cola" / "train.parquet").touch()
    with pytest.raises(DataError, match=r"no folder 'glue/rte' in the data folder .*glue/cola"):
        resolve(get("glue/rte"), str(tmp_path))
    with pytest.raises(DataError, match=r"no split 'validation' in .*cola .*train\.parquet"):
        resolve(get("glue/cola"), str(tmp_path))
    with pytest.raises(DataError, match="the data folder itself does not exist"):
        resolve(get("glue/cola"), str(tmp_path / "elsewhere"))


def test_without_a_network_the_error_names_the_dataset_and_the_folder_it_could_come_from() -> None:
    with pytest.raises(
        DataError, match=r"nyu-mll/glue on the hub \(config rte, split train\).*glue/rte/train\.parquet"
    ):
        render(get("glue/rte"), "train")
