"""Tokenised data: made once per task, tokenizer and length, kept on disk, shared by all trials and processes."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from trainables import backbones
from trainables.data.batches import generator
from trainables.data.examples import Examples
from trainables.tasks import DataError, Files, Task
from trainables.tasks._content import digest_of
from trainables.tasks._source import SPLITS, Split
from trainables.tasks._text import Texts, render
from trainables.trial import BackboneSource, Protocol, digest

#: Raised with every change of how text becomes tokens; older files are then made anew.
CACHE_VERSION = 1

_CHUNK = 4096  # sequences tokenised at a time
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TaskData:
    """Both splits of a task, tokenised. ``truncated_*``: the share of sequences, 0 to 1, cut at ``max_length``."""

    train: Examples
    dev: Examples
    truncated_train: float
    truncated_dev: float


def load(task: Task, backbone: BackboneSource, protocol: Protocol, cache_dir: Path) -> TaskData:
    """The task's data in the backbone's tokens; from the cache where it has been made before.

    Of a pair, the longer segment is cut first (``longest_first``). Row limits of the protocol take a random subset of
    the rows that depends on the task's name and the split alone: it is the same for every method, backbone and seed,
    and the rows of a smaller limit are among those of a larger one.

    Args:
        task: as ``trainables.tasks.resolve`` gives it.
        backbone: its tokenizer is used.
        protocol: ``max_length``, ``train_rows`` and ``dev_rows`` count.
        cache_dir: a folder, made if it is missing. Several processes may use it at once.

    Raises:
        DataError: the data cannot be used as it is, or changed since the task was resolved.
        ValueError: ``max_length`` is more than the backbone can read.
    """
    return _load(task, backbone, protocol.max_length, protocol.row_limits(task), str(cache_dir))


@lru_cache(maxsize=4)
def _load(
    task: Task, backbone: BackboneSource, max_length: int, rows: tuple[int | None, int | None], cache_dir: str
) -> TaskData:
    identity = task.identity()
    del identity["metric"]
    key = {
        "version": CACHE_VERSION,
        "task": identity,
        "backbone": backbone.identity or [backbone.source, backbone.revision],
        "max_length": max_length,
        "rows": list(rows),
    }
    path = Path(cache_dir) / "tokens" / f"{task.name.replace('/', '-')}-{digest(key)}.safetensors"
    if not path.exists():
        _write(path, _tokenise(task, backbone, max_length, rows))
    return _read(path, task.choices)


def _tokenise(
    task: Task, backbone: BackboneSource, max_length: int, rows: tuple[int | None, int | None]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    most = backbones.spec(backbone).max_tokens
    if max_length > most:
        raise ValueError(
            f"max_length must be at most {most} for backbone {backbone.name}, but got {max_length}; lower it"
        )
    tokenizer = backbones.tokenizer(backbone)
    arrays: dict[str, np.ndarray] = {}
    shares: dict[str, str] = {}
    whole = {split: render(task, split) for split in SPLITS}
    _check_unchanged(task, whole)
    for split, limit in zip(SPLITS, rows, strict=True):
        texts = _limited(whole[split], task, split, limit)
        made, truncated = _encode(texts, tokenizer, max_length)
        arrays |= {f"{split}.{name}": array for name, array in made.items()}
        shares[f"truncated_{split}"] = repr(truncated)
        level = logging.WARNING if truncated > 0.05 else logging.INFO
        _log.log(level, "%s %s: %.1f %% of sequences cut at %d tokens", task.name, split, 100 * truncated, max_length)
    return arrays, shares


def _check_unchanged(task: Task, texts: Mapping[Split, Texts]) -> None:
    source = task.source
    known = source.digest and task.read_as == task.recipe
    if known and digest_of(texts["train"], texts["dev"]) != source.digest:
        place = f" ({', '.join((*source.train, *source.dev))})" if isinstance(source, Files) else ""
        raise DataError(
            f"the rows of task {task.name} changed since the study was planned{place}; start the study again"
        )


def _limited(texts: Texts, task: Task, split: Split, limit: int | None) -> Texts:
    examples = len(texts.labels)
    if limit is None or limit >= examples:
        return texts
    kept = np.sort(generator(task.name, split, "rows").permutation(examples)[:limit])
    sequences = (kept[:, None] * task.choices + np.arange(task.choices)).ravel()
    second = None if texts.second is None else [texts.second[i] for i in sequences]
    return Texts([texts.first[i] for i in sequences], second, texts.labels[kept])


def _encode(texts: Texts, tokenizer: Any, max_length: int) -> tuple[dict[str, np.ndarray], float]:
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    truncated: list[bool] = []
    for encoding in _encodings(texts, tokenizer, max_length):
        ids.append(np.array(encoding.ids, dtype=np.int32))
        types.append(np.array(encoding.type_ids, dtype=np.uint8))
        truncated.append(bool(encoding.overflowing))
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    all_types = np.concatenate(types)
    if "token_type_ids" not in tokenizer.model_input_names:  # as for RoBERTa: the model has one type, 0
        all_types[:] = 0
    arrays = {"ids": np.concatenate(ids), "types": all_types, "offsets": offsets, "labels": texts.labels}
    return arrays, float(np.mean(truncated))


def _encodings(texts: Texts, tokenizer: Any, max_length: int) -> Iterator[Any]:
    for start in range(0, len(texts.first), _CHUNK):
        part = slice(start, start + _CHUNK)
        pair = None if texts.second is None else texts.second[part]
        yield from tokenizer(texts.first[part], pair, truncation="longest_first", max_length=max_length).encodings


def _write(path: Path, content: tuple[dict[str, np.ndarray], dict[str, str]]) -> None:
    """Whole or not at all: processes that make the same file at once each put the same content in its place."""
    arrays, metadata = content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".partial")
    os.close(handle)
    try:
        save_file(arrays, temporary, metadata={"shares": json.dumps(metadata)})
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(path: Path, choices: int) -> TaskData:
    with safe_open(path, framework="numpy") as file:
        shares = json.loads(file.metadata()["shares"])

        def split(name: str) -> Examples:
            parts = {part: file.get_tensor(f"{name}.{part}") for part in ("ids", "types", "offsets", "labels")}
            return Examples(**parts, choices=choices)

        return TaskData(split("train"), split("dev"), float(shares["truncated_train"]), float(shares["truncated_dev"]))
