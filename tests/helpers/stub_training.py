"""Training without torch: the contract of ``trainables.training``, with faults on request.

``<storage>/stub.json`` says what goes wrong and how long an epoch takes; what a trial scores follows from its id alone,
so that every way to the end of a study gives the same results.

    seconds     of an epoch
    fails       learning rate whose trials raise an error
    diverges    learning rate whose loss is not finite in the second epoch
    members     that fit into memory; larger packs raise MemoryError
    pays        members that are worth training together; without it, any number
    memory      learning rate whose trials raise MemoryError, whatever the pack
    kill        by learning rate as text: how often a worker is killed in the middle of epoch 3
    kill_once_in  by learning rate as text: epochs in each of which a worker is killed once
    kill_when_cut      a worker is killed once as it is to cut a member short
    kill_between_packs a worker is killed so many times as it is to take another pack, once one was killed in an epoch
    no_patience the loop ends only after all epochs, and gives no results

While there is a file ``<storage>/hold``, no epoch ends.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Collection, Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trainables.change import Change
from trainables.patience import Patience
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
    """One item per epoch; goes on from its checkpoint, with the epochs and results of before in the first item.

    Trials that are to be cut short are; packs that come along are trained one after the other.
    """
    packs = [pack]
    for one in packs:  # more may come meanwhile
        steps, change = _alone(one, workspace), Change()
        while (item := _next(steps, change.cut)) is not None:
            change = (yield replace(item, done=item.done and one is packs[-1])) or Change()
            packs += change.along


def _next(steps: Generator[Progress, Collection[str], None], cut: Collection[str]) -> Progress | None:
    try:
        return steps.send(cut) if cut else next(steps)
    except StopIteration:
        return None


def _alone(pack: Pack, workspace: Workspace) -> Generator[Progress, Collection[str], None]:
    def reported(item: Progress) -> Generator[Progress, Collection[str], None]:
        cut = (yield item) or ()
        if behind := [t for t in active if t.id in cut]:
            if wishes.get("kill_when_cut"):
                _kill_once(Path(workspace.storage) / "killed-when-cut")
            active[:] = [t for t in active if t.id not in cut]
            yield Progress(epoch, {}, tuple(_pruned(t, history[t.id]) for t in behind), not active)

    wishes = _wishes(workspace)
    if len(pack.trials) > wishes.get("members", math.inf):
        raise MemoryError(f"{len(pack.trials)} members do not fit")
    checkpoint = _checkpoint(pack, workspace)
    saved: dict[str, list[dict[str, Any]]] = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}
    history = {t.id: [Epoch(**e) for e in saved.get(t.id, [])] for t in pack.trials}
    epoch = max(map(len, history.values()))
    before = tuple(r for t in pack.trials if (r := result_of(t, history[t.id], wishes)))
    active = [t for t in pack.trials if t.id not in {r.trial_id for r in before}]
    if epoch:
        earlier = tuple((i, e) for i, reached in history.items() for e in reached)
        yield from reported(Progress(epoch, {}, before, not active, earlier))
    while active:
        epoch += 1
        time.sleep(wishes.get("seconds", 0))
        while (Path(workspace.storage) / "hold").exists():
            time.sleep(0.05)
        _fault(active, epoch, wishes, Path(workspace.storage))
        for trial in active:
            history[trial.id].append(epoch_of(trial, epoch, wishes))
        results = tuple(r for t in active if (r := result_of(t, history[t.id], wishes)))
        if checkpoint.parent.exists():
            checkpoint.write_text(json.dumps({t.id: [asdict(e) for e in history[t.id]] for t in pack.trials}))
        epochs = {t.id: history[t.id][-1] for t in active}
        active = [t for t in active if t.id not in {r.trial_id for r in results}]
        done = epoch >= 1_000 if wishes.get("no_patience") else not active
        yield from reported(Progress(epoch, epochs, results, done))


def members(pack: Pack, workspace: Workspace, part: float) -> tuple[int, str]:
    pays = _wishes(workspace).get("pays")
    return pays or len(pack.planned), f"{pays} at a time" if pays else ""


def discard(pack: Pack, workspace: Workspace) -> None:
    _checkpoint(pack, workspace).unlink(missing_ok=True)
    storage = Path(workspace.storage)
    if list(storage.glob("killed-0.*")):
        for number in range(_wishes(workspace).get("kill_between_packs", 0)):
            _kill_once(storage / f"killed-between-{number}")


def epoch_of(trial: Trial, epoch: int, wishes: dict[str, Any]) -> Epoch:
    """What a trial reaches: a curve between 50 and 100 that rises for the first epochs."""
    if trial.learning_rate == wishes.get("diverges") and epoch == 2:
        return Epoch(epoch, math.nan, math.nan, 0.01)
    height = 50 + int(trial.id[:4], 16) % 4_000 / 100
    return Epoch(epoch, height + min(epoch, 3) + epoch % 2 / 10, 1 / epoch, 0.01)


def result_of(trial: Trial, history: list[Epoch], wishes: dict[str, Any]) -> Result | None:
    """The result of a trial that has ended."""
    if wishes.get("no_patience"):
        return None
    patience = Patience(trial.protocol.patience)
    for epoch in history:
        if math.isnan(epoch.score):
            return _result(trial, "diverged", patience, history, "loss nan")
        if patience.update(epoch.score) or epoch.epoch >= trial.protocol.epochs:
            return _result(trial, "finished", patience, history, "")
    return None


def _result(trial: Trial, status: Any, patience: Patience, history: list[Epoch], reason: str) -> Result:
    return Result(
        trial.id, status, patience.best, patience.best_epoch, tuple(history), 1_000, reason, None, {"f1": 1.0}
    )


def _pruned(trial: Trial, history: list[Epoch]) -> Result:
    best = max(history, key=lambda e: e.score)
    return Result(trial.id, "pruned", best.score, best.epoch, tuple(history), 1_000, "cut short")


def _fault(active: list[Trial], epoch: int, wishes: dict[str, Any], storage: Path) -> None:
    rates = {t.learning_rate for t in active}
    if wishes.get("fails") in rates and epoch == 2:
        raise ValueError("the stub was asked to fail")
    if wishes.get("memory") in rates:
        raise MemoryError("the stub was asked for too much")
    for rate, epochs in wishes.get("kill_once_in", {}).items():
        if float(rate) in rates and epoch in epochs:
            _kill_once(storage / f"killed-{rate}-in-{epoch}")
    for rate, times in wishes.get("kill", {}).items():
        marks = len(list(storage.glob(f"killed-{rate}-*")))
        if float(rate) in rates and epoch == 3 and marks < times:
            (storage / f"killed-{rate}-{marks}").touch()
            os.kill(os.getpid(), signal.SIGKILL)


def _kill_once(mark: Path) -> None:
    """Kill this worker, unless the mark says that it was done before."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _wishes(workspace: Workspace) -> dict[str, Any]:
    path = Path(workspace.storage) / "stub.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _checkpoint(pack: Pack, workspace: Workspace) -> Path:
    return Path(workspace.storage) / "checkpoints" / f"{pack.group}.json"
