"""From trials to packs: which are trained together, and how many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from search.study import Study
from trainables import methods, pack_sizes
from trainables.pack_sizes import Device, PackSizes
from trainables.tasks import Task
from trainables.trial import Pack, Trial


def pack_size(study: Study, task: Task, method: str) -> Callable[[Trial], int]:
    """How many trials like a given one are planned as a pack, one at least.

    As many as the tokens of one step allow, where the study says how many these are. Where packs are as large as pays,
    so many that the device that trains them will have them in parts; but an adaptive search, which asks for a pack's
    assignments at once, goes by tokens there as well.
    """
    resources, most = study.resources, methods.get(method).max_members
    adaptive = study.search.strategy == "tpe"

    def size(trial: Trial) -> int:
        if isinstance(resources.pack_tokens, int):
            fitting = resources.pack_tokens // pack_sizes.tokens(trial)
        elif resources.measured and not adaptive:
            fitting = pack_sizes.MOST_MEMBERS
        else:
            fitting = pack_sizes.by_tokens(trial, gpu=resources.gpus > 0)
        return max(1, fitting if most is None else min(fitting, most))

    return size


def parts(pack: Pack, most: int) -> list[Pack]:
    """``pack`` itself, or the parts of its plan that have at most so many members."""
    if len(pack.planned) <= most:
        return [pack]
    return [part for half in pack.split() for part in parts(half, most)]


def on_device(study: Study, pack: Pack, sizes: PackSizes, device: str) -> tuple[list[Pack], bool]:
    """The parts in which ``pack`` is trained on a device of that name, by what is known of it, and whether their size
    is yet to be measured."""
    first, here = pack.trials[0], Device(device, study.resources.part)
    if len(pack.planned) == 1:
        return [pack], False
    if not study.resources.measured:
        return parts(pack, sizes.fitting(first, here) or len(pack.planned)), False
    return parts(pack, sizes.members(first, here)), sizes.knee(first, here) is None


def packs(
    trials: Sequence[Trial], size: Callable[[Trial], int], ended: Collection[str], cut: Collection[str] = ()
) -> Iterator[Pack]:
    """Trials that differ only in learning rate and seed, together; parts of a group have as good as equal sizes.

    Trials that have ended leave a pack only after it was made: what is left still finds the pack's checkpoint. In that,
    trials that were ``cut`` short have ended too: those to be trained again make a pack of their own.
    """
    groups: dict[tuple[Any, ...], list[Trial]] = {}
    for trial in trials:
        shape = tuple(value for name, value in trial.hyperparameters.items() if name != "learning_rate")
        groups.setdefault(shape, []).append(trial)
    for group in groups.values():
        parts = -(-len(group) // size(group[0]))
        for part in range(parts):
            members = tuple(group[part * len(group) // parts : (part + 1) * len(group) // parts])
            again = tuple(trial for trial in members if trial.id in cut)
            out = {trial.id for trial in members if trial.id in ended or trial.id in cut}
            if len(out) == len(members) and not again:
                continue
            whole = Pack(members)
            if (rest := whole.without(out)) is not None:
                yield rest
            if again:
                yield Pack(again, f"{whole.group}-again")
