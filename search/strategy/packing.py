"""From trials to packs: which are trained together, and how many at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence

from search.study import Study, spec_if_known
from trainables import methods, pack_sizes
from trainables.pack_sizes import Device, PackSizes
from trainables.tasks import Task
from trainables.trial import Pack, Trial

#: Trials of several sizes share a pack where padding adds at most this part of the backbone's products for a token to
#: those of a trial. Measured on a CPU, that is 2 to 4 % of a step, and 7 % with prefixes, whose keys pass through
#: softmax and dropout as well (docs/design/packs_and_seams.md).
MOST_PADDING = 0.02


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

    What would not fill a pack shares one with trials of other ranks or prefix lengths, where the method pads them, that
    costs little, and makes fewer packs.

    Trials that have ended leave a pack only after it was made: what is left still finds the pack's checkpoint. In that,
    trials that were ``cut`` short have ended too: those to be trained again make a pack of their own.
    """
    groups = _alike(trials, ("learning_rate",))
    for group in (*groups, *_shared(groups, size)):
        parts = -(-len(group) // size(group[-1])) if group else 0
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


def _alike(trials: Sequence[Trial], apart_from: Collection[str]) -> list[list[Trial]]:
    """Trials in groups that differ in nothing but the seed and these hyperparameters."""
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        shape = tuple(value for name, value in trial.hyperparameters.items() if name not in apart_from)
        groups.setdefault(shape, []).append(trial)
    return list(groups.values())


def _shared(groups: Sequence[list[Trial]], size: Callable[[Trial], int]) -> list[list[Trial]]:
    """Groups of several sizes, which are taken out of ``groups`` of one: what is left of each beside full packs."""
    padded = methods.padded(methods.get(groups[0][0].method)) if groups else ()
    if not padded:
        return []
    unfilled = {group[0].id: group for group in groups if len(group) % size(group[0])}
    shared = []
    for family in _alike([group[0] for group in unfilled.values()], ("learning_rate", *padded)):
        for run in _runs(sorted(family, key=lambda trial: [trial.hyperparameters[name] for name in padded])):
            own, most = [unfilled[trial.id] for trial in run], size(run[-1])
            rests = [group[len(group) // most * most :] for group in own]
            if -(-sum(map(len, rests)) // most) < sum(map(bool, rests)):
                shared.append([trial for rest in rests for trial in rest])
                for group in own:
                    del group[len(group) // most * most :]
    return shared


def _runs(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials in the order of their sizes, cut wherever padding the first of a run to the next would cost too much."""
    runs: list[list[Trial]] = []
    for trial in trials:
        if runs and padding_is_small([*runs[-1], trial]):
            runs[-1].append(trial)
        else:
            runs.append([trial])
    return runs


def padding_is_small(trials: Sequence[Trial]) -> bool:
    """Whether the products of the largest sizes are few beside the backbone's: a trained number is one for a token.

    False where the backbone's sizes are unknown without a network.
    """
    spec = spec_if_known(trials[0].backbone)
    if spec is None:
        return False
    kind = methods.get(trials[0].method)
    widest, *own = (
        kind(kind.Config(**trial.method_config), spec).count() for trial in (Pack(tuple(trials)).widest, *trials)
    )
    return widest - min(own) <= MOST_PADDING * 12 * spec.layers * spec.width**2


def taken_like(queue: deque[Pack], pack: Pack, *, first_only: bool) -> Pack | None:
    """The first pack of a queue that can be trained along with ``pack``, taken out of it; None where there is none.

    ``first_only``: where the order of the queue decides what is trained, only the next one can be.
    """
    for place, waiting in enumerate(queue):
        if waiting.shape_id == pack.shape_id:
            del queue[place]
            return waiting
        if first_only:
            break
    return None
