"""Tokenised data: made once per task, tokenizer and length, kept on disk, shared by all trials and processes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from trainables import backbones
from trainables.data.batches import generator
from trainables.data.encoding import TextFacts, encode
from trainables.data.examples import Examples
from trainables.tasks import DataError, Files, Task
from trainables.tasks._content import digest_of
from trainables.tasks._source import SPLITS, Split
from trainables.tasks._text import Texts, render
from trainables.trial import BackboneSource, Protocol, digest
from trainables.whole_files import replacing

#: Raised with every change of how text becomes tokens; older files are then made anew.
CACHE_VERSION = 2

#: Shares of text from which on they are told as warnings: 5 % of the tokens unknown, 20 % of the sequences cut.
MUCH_UNKNOWN, MUCH_CUT = 0.05, 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TaskData:
    """Both splits of a task, tokenised, and what is to be told of each."""

    train: Examples
    dev: Examples
    facts: Mapping[Split, TextFacts]

    @property
    def text(self) -> dict[str, float]:
        """``train_cut``, ``train_unknown``, ``dev_cut``, ``dev_unknown``: shares, 0 to 1; see ``TextFacts``."""
        return {f"{split}_{name}": getattr(self.facts[split], name) for split in SPLITS for name in ("cut", "unknown")}


def load(task: Task, backbone: BackboneSource, protocol: Protocol, cache_dir: Path) -> TaskData:
    """The task's data in the backbone's tokens; from the cache where it has been made before.

    Row limits of the protocol take a random subset of the rows that depends on the task's name and the split alone: it
    is the same for every method, backbone and seed, and the rows of a smaller limit are among those of a larger one.

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
    path = token_file(task, backbone, max_length, rows, cache_dir)
    if not path.exists():
        _write(path, *_tokenise(task, backbone, max_length, rows))
    loaded = _read(path, task.choices)
    for split, facts in loaded.facts.items():
        much = facts.cut > MUCH_CUT or facts.unknown > MUCH_UNKNOWN
        words = "%s %s: %.1f %% of sequences cut at %d tokens, %.1f %% of tokens unknown"
        shares = 100 * facts.cut, max_length, 100 * facts.unknown
        _log.log(logging.WARNING if much else logging.INFO, words, task.name, split, *shares)
    return loaded


def token_file(
    task: Task, backbone: BackboneSource, max_length: int, rows: tuple[int | None, int | None], cache_dir: str
) -> Path:
    """Where the tokens of a task are kept, or will be."""
    identity = task.identity()
    del identity["metric"]
    key = {
        "version": CACHE_VERSION,
        "task": identity,
        "backbone": backbone.identity or [backbone.source, backbone.revision],
        "max_length": max_length,
        "rows": list(rows),
    }
    return Path(cache_dir) / "tokens" / f"{task.name.replace('/', '-')}-{digest(key)}.safetensors"


def _tokenise(
    task: Task, backbone: BackboneSource, max_length: int, rows: tuple[int | None, int | None]
) -> tuple[dict[str, np.ndarray], dict[Split, TextFacts]]:
    most = backbones.spec(backbone).max_tokens
    if max_length > most:
        raise ValueError(
            f"max_length must be at most {most} for backbone {backbone.name}, but got {max_length}; lower it"
        )
    tokenizer = backbones.tokenizer(backbone)
    arrays: dict[str, np.ndarray] = {}
    facts: dict[Split, TextFacts] = {}
    whole = {split: render(task, split) for split in SPLITS}
    _check_unchanged(task, whole)
    for split, limit in zip(SPLITS, rows, strict=True):
        texts = _limited(whole[split], task, split, limit)
        made, facts[split] = encode(texts, tokenizer, max_length, task.truncation)
        arrays |= {f"{split}.{name}": array for name, array in (made | {"labels": texts.labels}).items()}
    return arrays, facts


def _check_unchanged(task: Task, texts: Mapping[Split, Texts]) -> None:
    source = task.source
    known = source.digest and task.read_as == task.recipe
    if known and digest_of(texts["train"], texts["dev"]) != source.digest:
        place = f" ({', '.join((*source.train, *source.dev))})" if isinstance(source, Files) else ""
        raise DataError(
            f"the rows of task {task.name} changed since the study was planned{place}; start the study again"
        )


def rows_within(task: Task, split: Split, rows: int, limit: int | None) -> np.ndarray:
    """Of so many rows those that a limit leaves, as indices in their order."""
    if limit is None or limit >= rows:
        return np.arange(rows)
    return np.sort(generator(task.name, split, "rows").permutation(rows)[:limit])


def _limited(texts: Texts, task: Task, split: Split, limit: int | None) -> Texts:
    kept = rows_within(task, split, len(texts.labels), limit)
    if len(kept) == len(texts.labels):
        return texts
    sequences = (kept[:, None] * task.choices + np.arange(task.choices)).ravel()
    second = None if texts.second is None else [texts.second[i] for i in sequences]
    return Texts([texts.first[i] for i in sequences], second, texts.labels[kept])


def _write(path: Path, arrays: dict[str, np.ndarray], facts: Mapping[Split, TextFacts]) -> None:
    """Whole or not at all: processes that make the same file at once each put the same content in its place."""
    told = {split: asdict(each) for split, each in facts.items()}
    with replacing(path) as new:
        save_file(arrays, new, metadata={"facts": json.dumps(told)})


def _read(path: Path, choices: int) -> TaskData:
    with safe_open(path, framework="numpy") as file:

        def split(name: str) -> Examples:
            parts = {part: file.get_tensor(f"{name}.{part}") for part in ("ids", "types", "offsets", "labels")}
            return Examples(**parts, choices=choices)

        return TaskData(split("train"), split("dev"), _facts(file))


def facts_in(path: Path) -> dict[Split, TextFacts]:
    """What a file of tokens says of itself."""
    with safe_open(path, framework="numpy") as file:
        return _facts(file)


def _facts(file: Any) -> dict[Split, TextFacts]:
    told = json.loads(file.metadata()["facts"])
    return {split: TextFacts(**told[split]) for split in SPLITS}
