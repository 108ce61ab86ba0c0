"""What a task's data will be, told before anything is trained; nothing is downloaded or written for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trainables import backbones
from trainables.data.encoding import TextFacts, encode
from trainables.data.loading import facts_in, rows_within, token_file
from trainables.tasks import Hub, Task
from trainables.tasks._read import read
from trainables.tasks._source import SPLITS, Split
from trainables.tasks._text import labels_of, rendered
from trainables.trial import BackboneSource, Protocol

#: Rows of a split that are tokenised where its tokens are not at hand.
SAMPLE = 500


@dataclass(frozen=True)
class RowFacts:
    """The rows of a task that are trained and evaluated on, after row limits, and the labels of the train split.

    ``classes``: each label's examples, in the order of the labels' ids; ``values``: least, mean and greatest of a
    regression. The other one is ``None``.
    """

    rows: Mapping[Split, int]
    classes: Mapping[str, int] | None
    values: tuple[float, float, float] | None


def row_facts(task: Task, protocol: Protocol) -> RowFacts | None:
    """Rows and labels of a resolved task; ``None`` where its data is on the hub and not here.

    Raises:
        DataError: anything that ``render`` refuses in the labels.
    """
    if _elsewhere(task):
        return None
    found = {split: _labels(task, split, protocol) for split in SPLITS}
    rows, train = {split: len(labels) for split, labels in found.items()}, found["train"]
    if task.labels is None:
        return RowFacts(rows, None, (float(train.min()), float(train.mean()), float(train.max())))
    counts = Counter(train.tolist())
    return RowFacts(rows, {label: counts[i] for i, label in enumerate(task.labels)}, None)


def _labels(task: Task, split: Split, protocol: Protocol) -> np.ndarray:
    labels = labels_of(task, read(task.source, split, (task.label,)))
    return labels[rows_within(task, split, len(labels), _limit(protocol, split))]


def text_facts(
    task: Task, backbone: BackboneSource, protocol: Protocol, cache_dir: Path
) -> dict[Split, TextFacts] | None:
    """Both splits in the backbone's tokens: from the cache where they are there, else from a sample of ``SAMPLE`` rows.

    ``None`` where that would need the network: the data or the tokenizer is on the hub.

    Raises:
        DataError: anything that ``render`` refuses in the sample.
        ValueError: the tokenizer does not fit the backbone.
    """
    path = token_file(task, backbone, protocol.max_length, protocol.row_limits(task), str(cache_dir))
    if path.is_file():
        return facts_in(path)
    tokenizer = None if _elsewhere(task) else backbones.tokenizer_if_here(backbone)
    if tokenizer is None:
        return None
    facts: dict[Split, TextFacts] = {}
    for split in SPLITS:
        table = read(task.source, split, (*task.columns, task.label))
        whole = len(rows_within(task, split, len(table), _limit(protocol, split)))
        chosen = rows_within(task, split, len(table), min(whole, SAMPLE))
        _, told = encode(rendered(task, table.take(chosen)), tokenizer, protocol.max_length, task.truncation)
        facts[split] = _scaled(told, whole / len(chosen))
    return facts


def _scaled(facts: TextFacts, factor: float) -> TextFacts:
    sequences, tokens = round(facts.sequences * factor), round(facts.tokens * factor)
    return replace(facts, sequences=sequences, tokens=tokens, estimated=factor > 1)


def _limit(protocol: Protocol, split: Split) -> int | None:
    return protocol.train_rows if split == "train" else protocol.dev_rows


def _elsewhere(task: Task) -> bool:
    """Whether the rows are on the hub, and neither it nor its cache gave them when the task was resolved."""
    return isinstance(task.source, Hub) and not task.source.digest
