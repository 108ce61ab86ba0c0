"""Backbones and texts for ``benchmarks/training.py``, also where there is no hub and no datasets library."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._training_grid import Grid
from trainables import backbones, tasks
from trainables.tasks import Files, Generated, Task
from trainables.tasks._source import SPLITS, find
from trainables.tasks._text import render

ROOT = Path(__file__).parents[1]

_ROBERTA = {
    "model_type": "roberta",
    "vocab_size": 50_265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 0,  # where the tokenizer below has it; the published ones have 1
}
#: Models from their configs with random weights: as fast as the pretrained ones, and nothing is learnt by them.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "roberta-base": {
        **_ROBERTA,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3_072,
    },
    "roberta-large": {
        **_ROBERTA,
        "hidden_size": 1_024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4_096,
    },
    "tiny": {
        **_ROBERTA,
        "vocab_size": 2_000,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    },
}

#: Natural logarithm of the tokens of a train row, MiniLM's tokenizer: mean and standard deviation.
LENGTHS = {"glue/mrpc": (3.94, 0.26), "glue/rte": (4.11, 0.52), "glue/sst-2": (2.36, 0.68)}
DRAWN_ROWS = {"train": 3_000, "dev": 1_000}
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def data_folder(asked: str | None) -> str | None:
    """The folder of GLUE: the one asked for, ``AOT_DATA_DIR``, or ``shared/data`` in or beside the repository."""
    if asked := asked or os.environ.get("AOT_DATA_DIR"):
        return asked
    places = (ROOT / "shared" / "data", ROOT.parent / "shared" / "data")
    return next((str(place) for place in places if (place / "glue").is_dir()), None)


def bound(grid: Grid, folder: Path, data_dir: str | None) -> tuple[Any, Task, bool]:
    """The backbone and the task of a grid, and whether the texts were drawn because there are none."""
    task, drawn = bound_task(grid.task, folder, data_dir)
    return bound_backbone(grid.backbone, task, folder), task, drawn


def bound_task(name: str, folder: Path, data_dir: str | None) -> tuple[Task, bool]:
    """The task of this name with its rows, and whether their texts were drawn because there are none."""
    task = tasks.get(name)
    if task.choices > 1:
        raise ValueError(f"the peer scores one sequence per example, but {name} is multiple choice; give another")
    drawn = data_dir is None and not isinstance(task.source, Generated)
    if drawn:
        task = replace(task, source=_drawn(task, folder))
    elif not isinstance(task.source, Generated) and importlib.util.find_spec("datasets") is None:
        task = replace(task, source=_as_lines(task, str(data_dir), folder))
    return tasks.resolve(task, data_dir), drawn


def bound_backbone(name: str, task: Task, folder: Path) -> Any:
    """A source as in a study, or a model of ``ARCHITECTURES`` with a tokenizer of the task's words, made once."""
    if name not in ARCHITECTURES:
        return backbones.resolve(name, "backbone")
    place = folder / f"{name}-{task.name.replace('/', '-')}"
    if not place.exists():
        _save(name, task, place)
    return backbones.resolve(str(place), name)


def _save(name: str, task: Task, place: Path) -> None:
    """A random model, with a tokenizer of the task's own words that fills its vocabulary."""
    import torch
    from transformers import AutoConfig, AutoModel, BertTokenizerFast

    from trainables.backbones._loading import quiet

    values = dict(ARCHITECTURES[name])
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config, add_pooling_layer=False)
    texts = [render(task, split) for split in SPLITS]
    words = (text for each in texts for segment in (each.first, each.second or []) for text in segment)
    with quiet():
        model.save_pretrained(place)
    inputs = ["input_ids", "attention_mask"]  # as RoBERTa's: the model has one token type
    BertTokenizerFast(vocab=_vocabulary(words, config.vocab_size), model_input_names=inputs).save_pretrained(place)


def _vocabulary(texts: Iterable[str], size: int) -> dict[str, int]:
    """Word pieces of the texts, and behind them as many that no text has as make up ``size``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    maker = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    maker.normalizer, maker.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=_SPECIAL, show_progress=False)
    maker.train_from_iterator(texts, trainer)
    pieces = sorted(maker.get_vocab().items(), key=lambda item: item[1])
    known = dict.fromkeys([*_SPECIAL, *(piece for piece, _ in pieces)])
    known |= dict.fromkeys(f"[unused{i}]" for i in range(size - len(known)))
    return {piece: i for i, piece in enumerate(known)}


def _as_lines(task: Task, data_dir: str, folder: Path) -> Files:
    """The parquet files of a task as JSON lines, which need no datasets library to be read."""
    from pyarrow import parquet

    source = find(Path(data_dir), task.source)
    columns = [*task.columns, task.label]
    found = {split: parquet.read_table(getattr(source, split)[0], columns=columns).to_pylist() for split in SPLITS}
    return _written(task, found, folder)


def _drawn(task: Task, folder: Path) -> Files:
    """Rows of made-up words, as long as the task's in the mean and the spread of their logarithm; labels at random."""
    mean, std = LENGTHS.get(task.name, LENGTHS["glue/mrpc"])
    chance = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(4_000)])
    often = 1 / np.arange(10, 10 + len(words))
    often /= often.sum()
    segments = len(task.columns)

    def row() -> dict[str, Any]:
        tokens = round(chance.lognormal(mean, std)) - 1 - segments  # without the special ones
        each = max(1, tokens // segments)
        texts = {column: " ".join(chance.choice(words, each, p=often)) for column in task.columns}
        return {**texts, task.label: int(chance.integers(task.outputs))}

    return _written(task, {split: [row() for _ in range(rows)] for split, rows in DRAWN_ROWS.items()}, folder)


def _written(task: Task, rows: dict[Any, list[dict[str, Any]]], folder: Path) -> Files:
    paths = {}
    for split, each in rows.items():
        paths[split] = folder / f"{task.name.replace('/', '-')}.{split}.jsonl"
        paths[split].write_text("".join(json.dumps(row) + "\n" for row in each), encoding="utf-8")
    return Files((str(paths["train"]),), (str(paths["dev"]),))
