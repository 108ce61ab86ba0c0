"""Tokenising and the cache, with the tokenizer of a real encoder."""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from trainables import backbones, data, tasks
from trainables.data import loading
from trainables.tasks import DataError, Task, Truncation
from trainables.tasks._text import render
from trainables.tasks.custom import Columns, custom_task, files
from trainables.trial import BackboneSource, Protocol

SHORT = Protocol(epochs=1, patience=1, max_length=32)


@pytest.fixture(autouse=True)
def _fresh_process() -> None:
    loading._load.cache_clear()


def decode(examples: data.Examples, sequence: int, tokenizer) -> str:
    return tokenizer.decode(examples.ids[examples.offsets[sequence] : examples.offsets[sequence + 1]])


def equal(one: data.Examples, other: data.Examples) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("ids", "types", "offsets", "labels")
    )


@pytest.mark.parametrize("name", ["demo/sentiment", "demo/choice"])
def test_tokens_are_those_of_the_tokenizer(name: str, minilm: BackboneSource, tmp_path: Path) -> None:
    task = tasks.resolve(tasks.get(name))
    loaded = data.load(task, minilm, SHORT, tmp_path)
    tokenizer = backbones.tokenizer(minilm)
    for split in ("train", "dev"):
        examples, texts = getattr(loaded, split), render(task, split)
        assert len(examples) == len(texts.labels)
        assert examples.choices == task.choices
        for i in (0, 1, len(texts.first) - 1):
            expected = tokenizer(texts.first[i], texts.second[i] if texts.second else None)
            span = slice(examples.offsets[i], examples.offsets[i + 1])
            assert examples.ids[span].tolist() == expected["input_ids"]
            assert examples.types[span].tolist() == expected["token_type_ids"]
        np.testing.assert_array_equal(examples.labels, texts.labels)
        lengths = np.diff(examples.offsets).reshape(-1, task.choices).max(1)
        np.testing.assert_array_equal(examples.lengths, lengths)
    assert loaded.text == dict.fromkeys(("train_cut", "train_unknown", "dev_cut", "dev_unknown"), 0)


def test_real_pairs_are_cut_at_the_longer_segment(
    real_data: str, minilm: BackboneSource, tmp_path: Path, caplog
) -> None:
    task = tasks.resolve(tasks.get("glue/rte"), real_data)
    with caplog.at_level(logging.INFO):
        loaded = data.load(task, minilm, SHORT, tmp_path)
    tokenizer = backbones.tokenizer(minilm)
    texts = render(task, "dev")
    whole = [len(ids) for ids in tokenizer(texts.first, texts.second)["input_ids"]]
    assert loaded.facts["dev"].cut == pytest.approx(np.mean([n > 32 for n in whole]))
    np.testing.assert_array_equal(loaded.dev.lengths, np.minimum(whole, 32))
    hypothesis = tokenizer(texts.second[0], add_special_tokens=False)["input_ids"]
    first = loaded.dev.ids[: loaded.dev.offsets[1]].tolist()
    assert first[-len(hypothesis) - 1 : -1] == hypothesis
    assert f"glue/rte dev: {100 * loaded.facts['dev'].cut:.1f} % of sequences cut at 32 tokens" in caplog.text


def test_the_second_time_comes_from_the_file(minilm: BackboneSource, tmp_path: Path, monkeypatch) -> None:
    task = tasks.resolve(tasks.get("demo/entailment"))
    first = data.load(task, minilm, SHORT, tmp_path)
    assert data.load(task, minilm, SHORT, tmp_path) is first  # in the process
    loading._load.cache_clear()
    monkeypatch.setattr(loading, "_tokenise", lambda *_: pytest.fail("tokenised again"))
    again = data.load(task, minilm, dataclasses.replace(SHORT, epochs=9, dropout=0.5), tmp_path)
    assert equal(again.train, first.train)
    assert equal(again.dev, first.dev)
    assert (again.train.ids.dtype, again.train.offsets.dtype) == (np.int32, np.int64)
    scored_otherwise = dataclasses.replace(task, metric="accuracy")
    assert equal(data.load(scored_otherwise, minilm, SHORT, tmp_path).dev, first.dev)


def test_shares_are_told_when_the_cache_is_warm_too(
    minilm: BackboneSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"text": text, "label": label} for text, label in (("short", "a"), ("long " * 40, "b"), ("\U0001f9ff", "a"))
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = files(str(tmp_path / "rows.jsonl"), str(tmp_path / "rows.jsonl"))
    task = tasks.resolve(custom_task("x", source=source, columns=Columns(("text",))))
    for _ in ("cold", "warm"):
        caplog.clear()
        loading._load.cache_clear()
        told = data.load(task, minilm, SHORT, tmp_path).text
        # of the texts' 1 + 30 + 1 tokens that stay, the third text's is unknown
        assert told == pytest.approx({f"{s}_cut": 1 / 3 for s in ("train", "dev")} | dict.fromkeys(
            ("train_unknown", "dev_unknown"), 1 / 32
        ))  # fmt: skip
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert "custom/x dev: 33.3 % of sequences cut at 32 tokens, 3.1 % of tokens unknown" in caplog.text


def test_a_task_is_cut_as_it_says(real_data: str, minilm: BackboneSource, tmp_path: Path) -> None:
    task = tasks.resolve(tasks.get("superglue/cb"), real_data)
    loaded = data.load(task, minilm, SHORT, tmp_path)
    tokenizer = backbones.tokenizer(minilm)
    texts = render(task, "dev")
    for i, (premise, hypothesis) in enumerate(zip(texts.first, texts.second, strict=True)):
        parts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (premise, hypothesis)]
        room = 32 - 3 - len(parts[1])
        tail = parts[0][-room:] if len(parts[0]) > room else parts[0]
        kept = loaded.dev.ids[loaded.dev.offsets[i] : loaded.dev.offsets[i + 1]].tolist()
        assert kept == [tokenizer.cls_token_id, *tail, tokenizer.sep_token_id, *parts[1], tokenizer.sep_token_id]


def test_what_changes_the_tokens_makes_another_file(minilm: BackboneSource, tmp_path: Path) -> None:
    task = tasks.resolve(tasks.get("demo/entailment"))
    data.load(task, minilm, SHORT, tmp_path)
    data.load(task, minilm, dataclasses.replace(SHORT, max_length=16), tmp_path)
    data.load(task, minilm, dataclasses.replace(SHORT, dev_rows=10), tmp_path)
    data.load(dataclasses.replace(task, text=("{premise}",)), minilm, SHORT, tmp_path)
    data.load(dataclasses.replace(task, truncation=Truncation("left")), minilm, SHORT, tmp_path)
    data.load(task, dataclasses.replace(minilm, identity="another"), SHORT, tmp_path)
    data.load(task, dataclasses.replace(minilm, name="called otherwise"), SHORT, tmp_path)
    assert len(list((tmp_path / "tokens").iterdir())) == 6


def test_row_limits_take_the_same_rows_everywhere(minilm: BackboneSource, tmp_path: Path) -> None:
    task = tasks.resolve(tasks.get("demo/choice"))
    tokenizer = backbones.tokenizer(minilm)

    def texts(rows: int | None) -> list[str]:
        train = data.load(task, minilm, dataclasses.replace(SHORT, train_rows=rows, dev_rows=5), tmp_path).train
        assert len(train) == (rows if rows is not None and rows < 400 else 400)
        assert len(train.offsets) == 2 * len(train) + 1
        return [decode(train, 2 * i, tokenizer) + str(train.labels[i]) for i in range(len(train))]

    few, more, whole = texts(20), texts(60), texts(None)
    assert set(few) < set(more) < set(whole)
    assert few != whole[:20]
    assert few == [t for t in whole if t in set(few)]  # in the order of the data
    assert texts(1000) == whole


def _load_in_another_process(arguments: tuple[Task, BackboneSource, Path]) -> int:
    task, minilm, folder = arguments
    return int(data.load(task, minilm, SHORT, folder).train.ids.sum())


def test_processes_share_the_cache(minilm: BackboneSource, tmp_path: Path) -> None:
    task = tasks.resolve(tasks.get("demo/sentiment"))
    with multiprocessing.get_context("forkserver").Pool(2) as pool:
        sums = pool.map(_load_in_another_process, [(task, minilm, tmp_path)] * 2, chunksize=1)
    assert len(set(sums)) == 1
    assert [f.suffix for f in (tmp_path / "tokens").iterdir()] == [".safetensors"]
    assert int(data.load(task, minilm, SHORT, tmp_path).train.ids.sum()) == sums[0]


def test_a_write_that_fails_leaves_nothing_behind(minilm: BackboneSource, tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(loading, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        data.load(tasks.resolve(tasks.get("demo/sentiment")), minilm, SHORT, tmp_path)
    assert list((tmp_path / "tokens").iterdir()) == []


def test_files_that_change_after_planning_are_refused(minilm: BackboneSource, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"row {i}", "label": "ab"[i % 2]}) for i in range(4)))
    task = tasks.resolve(custom_task("x", source=files(str(path), str(path)), columns=Columns(("text",))))
    path.write_text(path.read_text().replace("row", "line"))
    with pytest.raises(DataError, match=r"custom/x changed since the study was planned .*data\.jsonl"):
        data.load(task, minilm, SHORT, tmp_path)


def test_the_same_rows_elsewhere_are_the_same_tokens(minilm: BackboneSource, tmp_path: Path) -> None:
    rows = [{"text": f"row {i}", "label": "ab"[i % 2]} for i in range(6)]

    def load(name: str, text: str, **protocol: int) -> data.TaskData:
        (tmp_path / name).write_text(text)
        source = files(str(tmp_path / name), str(tmp_path / name))
        task = tasks.resolve(custom_task("x", source=source, columns=Columns(("text",))))
        return data.load(task, minilm, dataclasses.replace(SHORT, **protocol), tmp_path)

    first = load("a.jsonl", "\n".join(map(json.dumps, rows)))
    table = ["label,text", *(f"{row['label']},{row['text']}" for row in rows)]
    assert equal(load("b.csv", "\n".join(table)).train, first.train)
    load("a.jsonl", "\n".join(map(json.dumps, rows)), train_rows=6, dev_rows=1000)
    assert len(list((tmp_path / "tokens").iterdir())) == 1
    table[3] = "a,row of another kind"
    assert not equal(load("b.csv", "\n".join(table)).train, first.train)  # written over, under the same name
    assert len(list((tmp_path / "tokens").iterdir())) == 2


def test_a_length_that_the_backbone_cannot_read(minilm: BackboneSource, tmp_path: Path) -> None:
    task = tasks.resolve(tasks.get("demo/sentiment"))
    with pytest.raises(ValueError, match=r"max_length must be at most 512 .*but got 600"):
        data.load(task, minilm, dataclasses.replace(SHORT, max_length=600), tmp_path)


def test_a_tokenizer_without_token_types_gives_zeros(tmp_path: Path) -> None:
    from helpers.families import save_tiny

    save_tiny("roberta", tmp_path / "model")
    backbone = backbones.resolve(str(tmp_path / "model"))
    loaded = data.load(tasks.resolve(tasks.get("demo/entailment")), backbone, SHORT, tmp_path)
    assert not loaded.train.types.any()
