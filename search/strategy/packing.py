"""From trials to packs: which are trained together, and how many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from search.study import Study
from trainables import methods
from trainables.tasks import Task
from trainables.trial import Pack, Trial

#: Tokens of one training step on a GPU, where a study does not say: 16 sequences of 128 tokens for 8 members.
GPU_PACK_TOKENS = 16_384


def pack_size(study: Study, task: Task, method: str) -> Callable[[Trial], int]:
    """How many trials like a given one are trained together: as many as the tokens of one step allow, and one at least.

    On the CPU a larger batch is not faster per example, so a pack is one trial unless the study says otherwise.
    """
    budget = study.resources.pack_tokens
    if budget is None:
        budget = GPU_PACK_TOKENS if study.resources.gpus > 0 else 0
    most = methods.get(method).max_members

    def size(trial: Trial) -> int:
        fitting = budget // (trial.batch_size * trial.protocol.max_length * task.choices)
        return max(1, fitting if most is None else min(fitting, most))

    return size


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
