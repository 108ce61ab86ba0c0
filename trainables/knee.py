"""Where packing stops paying on this device: found with a few real training steps of packs of 1, 2, 4, … members.

    most, said = members(pack, workspace, part=1.0)

Throughput grows with the members as long as the step of a few leaves the device idle, and then no more; the last size
that gained is the knee. It is remembered (``pack_sizes.py``): a shape of trials is measured once on a kind of device.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trainables import data, methods
from trainables.batch import Batch
from trainables.data.batches import collate, schedule
from trainables.data.examples import Examples
from trainables.pack_sizes import MOST_MEMBERS, Device, Knee, PackSizes
from trainables.pack_state import PackState, Workspace, device_name
from trainables.trial import Pack, Trial

#: A pack of twice the members is worth it if it trains so many times the tokens per second.
GAIN = 1.1
#: Training steps for each size: the longest batch, one to get warm, and those that are timed.
TIMED, STEPS = 3, 5
#: The most of a pack's training, as time, that measuring may take.
SHARE = 0.03


def knee(rate: Callable[[int], float], most: int, gain: float = GAIN) -> Knee:
    """The members of a pack beyond which twice as many gain less than ``gain``, or do not fit into memory.

    ``rate``: tokens per second of so many members; it raises ``torch.OutOfMemoryError`` where they do not fit.
    ``most``: no more members are tried.
    """
    members, before = 1, 0.0
    while members <= most:
        try:
            now = rate(members)
        except torch.OutOfMemoryError:
            return Knee(max(1, members // 2), ended=True)
        if now < gain * before:
            return Knee(members // 2, ended=True)
        members, before = 2 * members, now
    return Knee(max(1, members // 2), ended=False)


def affordable(pack: Pack, rows: int) -> int:
    """The most members that are tried, a power of two, for a train split of so many ``rows``; 1: nothing is measured.

    A step takes at least as long with more members, and at the best rate the training of T steps of one member takes
    T/k steps of k members. So trying 1, 2, … k takes at most ``STEPS`` (log₂ k + 1) of T/k such steps.
    """
    first = pack.trials[0]
    steps = len(pack.trials) * first.protocol.epochs * -(-rows // first.batch_size)
    sizes, most = 1, 1  # how many are tried, and the last of them
    while 2 * most <= min(len(pack.trials), MOST_MEMBERS) and STEPS * (sizes + 1) * 2 * most <= SHARE * steps:
        sizes, most = sizes + 1, 2 * most
    return most


def members(pack: Pack, workspace: Workspace, part: float) -> tuple[int, str]:
    """How many trials like those of ``pack`` to train together on this device, and words where it was measured now.

    As it is remembered in the workspace's cache; else measured where that is ``affordable``, and remembered.
    ``part``: of the GPU, that the pack may take; or CPU threads. Raises as ``train`` does.
    """
    first = pack.trials[0]
    here, sizes = Device(device_name(workspace.torch_device()), part), PackSizes(Path(workspace.cache_dir))
    known, said = sizes.knee(first, here), ""
    if known is None or not known.ended:
        examples = data.load(first.task, first.backbone, first.protocol, Path(workspace.cache_dir)).train
        most = affordable(pack, len(examples))
        if most > (known.members if known else 1):
            found, rates = measured(pack, workspace, most, part)
            told = ", ".join(f"{rate:,.0f}" for rate in rates.values())
            said = f"on {here.name} packs of 1, 2, 4, … members train {told} tokens per second"
            try:
                sizes.learn(first, here, found, rates)
            except OSError as error:
                said += f", which cannot be remembered: {error}"
            said = f"{sizes.members(first, here)} at a time: {said}"
    return sizes.members(first, here), said


def measured(pack: Pack, workspace: Workspace, most: int, part: float) -> tuple[Knee, dict[int, float]]:
    """The knee of trials like those of ``pack``, and the tokens per second of each size that was tried.

    Nothing is left of the training; on a GPU it takes no more memory than its ``part``.
    """
    rates: dict[int, float] = {}

    def rate(k: int) -> float:
        own = PackState(Pack(pack.trials[:k]), replace(workspace, storage=folder))
        rates[k] = _tokens_per_second(own)
        return rates[k]

    if workspace.threads:
        torch.set_num_threads(workspace.threads)
    with tempfile.TemporaryDirectory(prefix="aot-knee-") as folder, _limited(workspace.torch_device(), part):
        return knee(rate, most), rates


def _tokens_per_second(state: PackState) -> float:
    """Real tokens per second of training steps on a batch of middle length, after one of the longest: it needs the most
    memory. The members' batches hold the same rows; in training they are of like lengths."""
    state.begin_epoch()
    longest, middle = (_batch(state, rows) for rows in _longest_and_middle(state.data.train, state.active[0].trial))
    _step(state, longest)
    _step(state, middle)
    seconds = [_step(state, middle) for _ in range(TIMED)]
    return int(middle.attention_mask.sum()) / statistics.median(seconds)


def _longest_and_middle(examples: Examples, trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Two whole batches of a trial's first epoch, as its examples' indices."""
    batches = schedule(examples, seed=trial.seed, epoch=1, batch_size=trial.batch_size, task_name=trial.task.name)
    size = max(map(len, batches))
    whole = sorted((b for b in batches if len(b) == size), key=lambda rows: int(examples.lengths[rows].max()))
    return whole[-1], whole[len(whole) // 2]


def _batch(state: PackState, rows: np.ndarray) -> Batch:
    k, pad = len(state.active), state.backbone.spec.pad_token_id
    distinct = methods.distinct_tokens(state.method)
    batch = collate(state.data.train, np.stack([rows] * k), pad, distinct=distinct)
    return replace(batch, streams=torch.arange(k)).to(state.device)


def _step(state: PackState, batch: Batch) -> float:
    """Seconds of a training step; a GPU is waited for before and after."""
    _wait(state.device)
    began = time.perf_counter()
    state.members.step(state.losses(batch).sum())
    _wait(state.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _limited(device: torch.device, part: float) -> Iterator[None]:
    """No more than ``part`` of a GPU's memory, which others may share, and none of it kept."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_per_process_memory_fraction(min(1.0, part), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        gc.collect()
        torch.cuda.empty_cache()
