"""What a pack will take beside others: long ones are handed out first, so that the last do not leave devices idle."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.study import Budget, Study, spec_if_known
from trainables import data, methods
from trainables.trial import CellKey, Pack, Trial

#: The price of a token in training, in forward passes, where hidden states alone take gradients.
TRAINING = 2.0


def longest_first(study: Study) -> bool:
    """Whether packs are handed out by their work; otherwise their order decides what is trained, and is the file's.

    That is so with a budget, where the seeds of the best follow scores, and in an adaptive search.
    """
    return not study.search.open_ended and study.search.budget == Budget()


class Work:
    """The work of a study's packs, relative to each other and at most: no trial stops before its last epoch.

    Counted are members, epochs, rows, the mean tokens of their texts and of a prompt, and 12 l d² products for a token
    in the layers: once in an evaluation, ``TRAINING`` times in training, and once more for the gradients of the weights
    as far as a method trains as many numbers as the backbone has. Nothing is trained or downloaded for it; where the
    rows or the backbone are unknown it is infinite.
    """

    def __init__(self, study: Study) -> None:
        self._cache_dir = Path(study.cache_dir)
        self._splits: dict[tuple[str, str], tuple[_Split, _Split] | None] = {}  # by backbone and task
        self._trials: dict[tuple[CellKey, tuple[Any, ...]], float] = {}  # by cell and the method's own hyperparameters

    def __call__(self, pack: Pack) -> float:
        widest = pack.widest
        shape = widest.cell, tuple(widest.method_config.items())
        if shape not in self._trials:
            self._trials[shape] = self._of_trial(widest)
        return len(pack.trials) * self._trials[shape]

    def _of_trial(self, trial: Trial) -> float:
        place = trial.backbone.name, trial.task.name
        if place not in self._splits:
            self._splits[place] = _splits(trial, self._cache_dir)
        spec, splits = spec_if_known(trial.backbone), self._splits[place]
        if spec is None or splits is None:
            return math.inf
        kind = methods.get(trial.method)
        method = kind(kind.Config(**trial.method_config), spec)
        train, dev = (split.tokens + split.sequences * methods.prompt_tokens(method) for split in splits)
        passes = (TRAINING + method.count() / max(1, spec.parameters)) * train + dev
        return trial.protocol.epochs * passes * 12 * spec.layers * spec.width**2


@dataclass(frozen=True)
class _Split:
    sequences: int
    tokens: float


def _splits(trial: Trial, cache_dir: Path) -> tuple[_Split, _Split] | None:
    """Train and dev in the backbone's tokens; as long as can be where these are not at hand, None without the rows."""
    task, protocol = trial.task, trial.protocol
    with suppress(ValueError, OSError):  # training will say what is wrong with them
        if facts := data.text_facts(task, trial.backbone, protocol, cache_dir):
            train, dev = (_Split(facts[split].sequences, facts[split].tokens) for split in ("train", "dev"))
            return train, dev
    if task.source.rows is None:
        return None
    limits = protocol.row_limits(task)
    sequences = [task.choices * (n if most is None else most) for n, most in zip(task.source.rows, limits, strict=True)]
    train, dev = (_Split(n, n * protocol.max_length) for n in sequences)
    return train, dev
