"""What is told of a task before training, against what training then has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainables import data, tasks
from trainables.tasks._text import render
from trainables.tasks.custom import Columns, custom_task, files
from trainables.trial import BackboneSource, Protocol

SHORT = Protocol(epochs=1, patience=1, max_length=64)


def test_of_few_rows_all_is_known_before_they_are_tokenised(
    real_data: str, minilm: BackboneSource, tmp_path: Path
) -> None:
    task = tasks.resolve(tasks.get("superglue/cb"), real_data)
    told = data.text_facts(task, minilm, SHORT, tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing is written"
    loaded = data.load(task, minilm, SHORT, tmp_path)
    assert told == loaded.facts == data.text_facts(task, minilm, SHORT, tmp_path)
    assert told["dev"].cut == pytest.approx(41 / 56)
    assert (told["dev"].sequences, told["dev"].tokens) == (56, loaded.dev.offsets[-1])


def test_of_many_rows_a_sample_is_told_as_an_estimate(real_data: str, minilm: BackboneSource, tmp_path: Path) -> None:
    task, protocol = tasks.resolve(tasks.get("glue/mrpc"), real_data), replace(SHORT, dev_rows=100)
    told = data.text_facts(task, minilm, protocol, tmp_path)
    loaded = data.load(task, minilm, protocol, tmp_path)
    assert (told["train"].estimated, told["dev"].estimated) == (True, False)
    assert told["dev"] == loaded.facts["dev"]
    true = loaded.facts["train"]
    assert told["train"].sequences == true.sequences == 3668
    assert told["train"].cut == pytest.approx(true.cut, abs=4 * np.sqrt(true.cut * (1 - true.cut) / data.SAMPLE))
    assert told["train"].tokens == pytest.approx(true.tokens, rel=0.05)
    assert data.text_facts(task, minilm, protocol, tmp_path)["train"] == true, "from the cache once it is there"


def test_what_is_on_the_hub_is_not_fetched(minilm: BackboneSource, tmp_path: Path) -> None:
    assert data.text_facts(tasks.get("glue/rte"), minilm, SHORT, tmp_path) is None
    assert data.row_facts(tasks.get("glue/rte"), SHORT) is None
    elsewhere = BackboneSource("encoder", "nobody/encoder")
    assert data.text_facts(tasks.get("demo/sentiment"), elsewhere, SHORT, tmp_path) is None


def test_rows_and_classes_are_those_that_are_trained_on(real_data: str, minilm: BackboneSource, tmp_path: Path) -> None:
    task, protocol = tasks.resolve(tasks.get("superglue/cb"), real_data), replace(SHORT, train_rows=40)
    told = data.row_facts(task, protocol)
    train = data.load(task, minilm, protocol, tmp_path).train
    assert told.rows == {"train": 40, "dev": 56}
    assert told.classes == {name: int((train.labels == i).sum()) for i, name in enumerate(task.labels)}
    assert list(told.classes) == ["entailment", "contradiction", "neutral"]
    assert told.values is None


def test_a_regression_has_values_in_place_of_classes(real_data: str) -> None:
    task = tasks.resolve(tasks.get("glue/sts-b"), real_data)
    told, labels = data.row_facts(task, SHORT), render(task, "train").labels
    assert told.classes is None
    assert told.values == pytest.approx((labels.min(), labels.mean(), labels.max()))


def test_a_class_without_a_row_is_told_as_none(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(json.dumps({"text": f"row {i}", "label": "ab"[i % 2]}) for i in range(5))
    )
    source = files("rows.jsonl", "rows.jsonl", tmp_path)
    task = tasks.resolve(custom_task("x", source=source, columns=Columns(("text",)), labels=["a", "b", "c"]))
    assert data.row_facts(task, SHORT).classes == {"a": 3, "b": 2, "c": 0}
