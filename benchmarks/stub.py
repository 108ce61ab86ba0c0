"""Training without torch or time: the contract of ``trainables.training``, ten epochs or whatever the protocol says.

A trial's curve follows from its id alone. Nothing is written, so that what a benchmark measures is the search.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from trainables.change import Change
from trainables.trial import Epoch, Pack, Result, Trial


@dataclass(frozen=True)
class Workspace:
    storage: str
    cache_dir: str
    threads: int | None = None
    predictions: bool = True


@dataclass(frozen=True)
class Progress:
    epoch: int
    epochs: dict[str, Epoch]
    results: tuple[Result, ...]
    done: bool
    earlier: tuple[tuple[str, Epoch], ...] = ()
    resumed: tuple[int, int] = (0, 0)


def train(pack: Pack, workspace: Workspace) -> Generator[Progress, Change | None, None]:
    """One item per epoch for all members; nobody stops early. Packs that come along are trained one after the other."""
    packs = [pack]
    for one in packs:  # more may come meanwhile
        last = one.trials[0].protocol.epochs
        for number in range(1, last + 1):
            epochs = {trial.id: epoch_of(trial, number) for trial in one.trials}
            results = tuple(map(result_of, one.trials)) if number == last else ()
            done = number == last and one is packs[-1]
            packs += ((yield Progress(number, epochs, results, done)) or Change()).along


def discard(pack: Pack, workspace: Workspace) -> None:
    """Nothing: there is no checkpoint."""


def epoch_of(trial: Trial, number: int) -> Epoch:
    """A curve between 50 and 100 that rises."""
    height = 50 + int(trial.id[:4], 16) % 4_000 / 100
    return Epoch(number, height + number / 10, 1 / number, 0.01)


def result_of(trial: Trial) -> Result:
    """The outcome after all epochs, the last of which is the best."""
    history = tuple(epoch_of(trial, number) for number in range(1, trial.protocol.epochs + 1))
    best = history[-1]
    return Result(trial.id, "finished", best.score, best.epoch, history, 1_000, metrics={"accuracy": best.score})
