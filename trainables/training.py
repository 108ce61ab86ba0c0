"""Training of a pack, from its trials to their results: the one loop.

    for progress in train(pack, workspace):
        ...                                     # one item per epoch

The members of a pack share one frozen backbone and one forward pass; nothing of one member reaches another
(learning rate, shuffling, initialisation and stopping are each member's own). The loop leaves a checkpoint behind
every minute, also within an epoch, and goes on from it: a run that is killed and started again gives the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from common import metrics
from trainables import data, knee, methods
from trainables.change import Change
from trainables.checkpoint import Storage
from trainables.pack_checkpoint import PackCheckpoint
from trainables.pack_state import PackState, Workspace
from trainables.roster import Roster
from trainables.trial import Epoch, Pack, Result

#: Padded tokens per forward pass of an evaluation; more is no faster on a CPU, fewer leaves a GPU idle.
EVALUATION_TOKENS = {"cpu": 2_048, "cuda": 65_536}


@dataclass(frozen=True)
class Progress:
    """One epoch of a pack: what each member reached in it, and the results of those that ended with it.

    ``earlier``: what members reached before an interruption, by trial id and in order, and ``resumed``: the last whole
    epoch then and the steps of the next one; in the first item of a pack alone. ``done``: all packs have ended.
    """

    epoch: int
    epochs: Mapping[str, Epoch]  # by trial id
    results: tuple[Result, ...]
    done: bool
    earlier: tuple[tuple[str, Epoch], ...] = ()
    resumed: tuple[int, int] = (0, 0)


#: How many trials like those of a pack to train together on a device.
members = knee.members

T = TypeVar("T")
Training = Generator[Progress, Change | None, None]


def train(pack: Pack, workspace: Workspace) -> Training:
    """Train ``pack`` to its end, an epoch at a time; members that stop early leave it.

    After an interruption the first item has no new epoch: it brings what the members reached before, and once more the
    results of those that had ended. A ``Change`` that is sent in names trials to be cut short: they leave the pack as
    ``pruned``, and the next item brings their results; and packs of the same shape, each trained to its end along with
    the first (``roster.py``). A generator that is closed leaves a checkpoint of each.
    Raises ``DataError`` or ``ValueError`` where a trial cannot be trained at all, ``torch.OutOfMemoryError`` where
    the pack does not fit on the device.
    """
    if workspace.threads:
        torch.set_num_threads(workspace.threads)
    roster = Roster(workspace)
    metrics.import_ahead(pack.trials[0].task.metric)
    try:
        yield from _begun(roster, pack)
        while roster.left:
            yield from _told(roster, _epoch(roster))
    except GeneratorExit:  # between two epochs: somebody stops the study, or another one has its turn
        roster.save()
        raise


def _begun(roster: Roster, pack: Pack) -> Training:
    """Take a pack in; one that goes on after an interruption says how far it was."""
    run = roster.add(pack)
    if run.epoch:
        resumed = run.closed, run.step
        done = not roster.left
        yield from _told(roster, Progress(run.closed, {}, run.ended_before, done, run.earlier, resumed))


def _told(roster: Roster, progress: Progress) -> Training:
    """Give an item, and do what is said in answer to it."""
    change = yield progress
    if change is None:
        return
    for pack in change.along:
        yield from _begun(roster, pack)
    if results := roster.cut_short(change.cut):
        yield from _told(roster, Progress(progress.epoch, {}, results, done=not roster.left))


def _epoch(roster: Roster) -> Progress:
    """Train whose turn it is for an epoch, or for what is left of it, and see what the members have reached."""
    run = roster.next()
    run.begin_epoch()
    losses = _train_epoch(run)
    predictions = _predict(run)
    scores = [metrics.score(run.task.metric, row, run.data.dev.labels) for row in predictions]
    ended = time.perf_counter()
    seconds = (ended - run.began) / len(run.active)
    epochs = {}
    for i, member in enumerate(run.active):
        kept = partial(run.weights, i), partial(run.kept_predictions, predictions[i])
        epochs[member.trial.id] = member.close_epoch(scores[i], losses[i], seconds, *kept)
    results = run.close_epoch()
    roster.save_due()
    run.spent = time.perf_counter() - ended
    return Progress(run.epoch, epochs, results, done=not roster.left)


def discard(pack: Pack, workspace: Workspace) -> None:
    """Delete the checkpoint of a pack whose results have been recorded."""
    PackCheckpoint(Storage(workspace.storage), pack, workspace.checkpoint_seconds).discard()


def _train_epoch(run: PackState) -> list[float]:
    """One pass of every member over its own order of the train split; mean loss of each, NaN for a diverged one."""
    batches = data.train_batches(
        run.data.train,
        seeds=[m.trial.seed for m in run.active],
        epoch=run.epoch,
        batch_size=run.active[0].trial.batch_size,
        task_name=run.task.name,
        pad_token_id=run.backbone.spec.pad_token_id,
        distinct=methods.distinct_tokens(run.method),
        first=run.step,
    )
    with closing(_in_time((batch.staged(run.device) for batch in batches), run.device)) as staged:
        for step, batch in enumerate(staged, run.step):
            losses = run.losses(batch.to(run.device))
            run.members.step(losses.sum())
            run.totals += losses.detach()  # stays on the device: reading it would wait for the step
            run.step = step + 1
            if run.due:
                run.save()
    return (run.totals / max(run.step, 1)).tolist()


def _in_time(items: Generator[T, None, None], device: torch.device) -> Generator[T, None, None]:
    """Items made while a GPU computes; on a CPU the thread would take from the cores, 0.1 ms a batch, what it saves."""
    return data.ahead(items) if device.type == "cuda" else items


@torch.no_grad()
def _predict(run: PackState) -> np.ndarray:
    """Every member's answers on the dev split ``(k, examples)``: class ids or values, NaN where they are not finite.

    They stay on the device until all are there: reading one would wait for its batch.
    """
    examples = run.data.dev
    answers, places = [], []
    batches = data.dev_batches(
        examples,
        members=len(run.active),
        tokens=EVALUATION_TOKENS.get(run.device.type, 8_192),
        pad_token_id=run.backbone.spec.pad_token_id,
        distinct=methods.distinct_tokens(run.method),
    )
    with closing(_in_time(((b.staged(run.device), indices) for b, indices in batches), run.device)) as staged:
        for batch, indices in staged:
            outputs = run.outputs(batch.to(run.device))
            if run.task.kind != "regression":
                finite = outputs.isfinite().all(-1)
                outputs = torch.where(finite, outputs.argmax(-1).float(), torch.nan)
            answers.append(outputs.float())
            places.append(indices)
    predictions = np.empty((len(run.active), len(examples)))
    predictions[:, np.concatenate(places)] = torch.cat(answers, 1).cpu().numpy()
    return predictions
