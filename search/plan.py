"""From a study to its work: cells, assignments, trials and packs, without those that are finished. Pure; no Ray."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search.samplers import GridSampler, RandomSampler, Sampler
from search.study import Study, spec_if_known
from trainables import methods
from trainables.tasks import Task
from trainables.trial import BackboneSource, Pack, Trial

#: Tokens of one training step on a GPU, where a study does not say: 16 sequences of 128 tokens for 8 members.
GPU_PACK_TOKENS = 16_384


@dataclass(frozen=True)
class Cell:
    """The work of one (backbone, task, method): its trials, and the packs of those that are still to be trained."""

    backbone: str
    task: str
    method: str
    assignments: int
    trials: tuple[Trial, ...]
    packs: tuple[Pack, ...]

    @property
    def pending(self) -> int:
        """Trials that are still to be trained."""
        return sum(len(pack.trials) for pack in self.packs)

    @property
    def finished(self) -> int:
        """Trials that need no training any more."""
        return len(self.trials) - self.pending


@dataclass(frozen=True)
class Plan:
    """All the work of a study, cell by cell in the order of the file: backbones, then tasks, then methods."""

    study: str
    cells: tuple[Cell, ...]

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial, finished or not."""
        return tuple(trial for cell in self.cells for trial in cell.trials)

    @cached_property
    def packs(self) -> tuple[Pack, ...]:
        """The packs that are still to be trained."""
        return tuple(pack for cell in self.cells for pack in cell.packs)

    @property
    def counts(self) -> dict[str, int]:
        """How much there is of everything; ``epochs_at_most`` if no trial that is pending stops early."""
        return {
            "cells": len(self.cells),
            "assignments": sum(cell.assignments for cell in self.cells),
            "trials": len(self.trials),
            "finished": sum(cell.finished for cell in self.cells),
            "pending": sum(cell.pending for cell in self.cells),
            "packs": len(self.packs),
            "epochs_at_most": sum(trial.protocol.epochs for pack in self.packs for trial in pack.trials),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values: the study, the counts, and a row per cell."""
        rows = [
            {
                "backbone": cell.backbone,
                "task": cell.task,
                "method": cell.method,
                "assignments": cell.assignments,
                "trials": len(cell.trials),
                "finished": cell.finished,
                "pending": cell.pending,
                "packs": len(cell.packs),
            }
            for cell in self.cells
        ]
        return {"study": self.study, "counts": self.counts, "cells": rows}


def plan(study: Study, finished: Collection[str] = ()) -> Plan:
    """The work of ``study`` (loaded with ``bind``) without the trials whose ids are ``finished``."""
    finished = frozenset(finished)
    cells = []
    for backbone in study.backbones:
        for task in study.tasks:
            protocol = study.protocol_for(task)
            for method in study.methods:
                assignments = list(_assignments(study, backbone, task, method))
                trials = tuple(
                    Trial(backbone, task, method, assignment, seed, protocol)
                    for assignment in assignments
                    for seed in study.seeds
                )
                packs = tuple(_packs(trials, pack_size(study, task, method), finished))
                cells.append(Cell(backbone.name, task.name, method, len(assignments), trials, packs))
    return Plan(study.name, tuple(cells))


def sampler(study: Study, backbone: BackboneSource, task: Task, method: str) -> Sampler:
    """The sampler of a cell. Its seed comes from the search seed and the cell, whatever else the study holds."""
    grids = study.grids(task.name, method)
    if study.search.strategy == "grid":
        return GridSampler(grids)
    name = f"{study.search.seed}|{backbone.name}|{task.name}|{method}"
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    if study.search.n is None:
        raise ValueError("a random search needs n, the assignments to draw per cell")
    return RandomSampler(grids, study.search.n, seed)


def pack_size(study: Study, task: Task, method: str) -> Callable[[Trial], int]:
    """How many trials like a given one are trained together: as many as the tokens of one step allow, and one at least.

    On the CPU a larger batch is not faster per example, so a pack is one trial unless the study says otherwise.
    """
    budget = study.resources.pack_tokens
    if budget is None:
        budget = GPU_PACK_TOKENS if study.resources.gpu > 0 else 0
    most = methods.get(method).max_members

    def size(trial: Trial) -> int:
        fitting = budget // (trial.batch_size * trial.protocol.max_length * task.choices)
        return max(1, fitting if most is None else min(fitting, most))

    return size


def _assignments(study: Study, backbone: BackboneSource, task: Task, method: str) -> Iterator[dict[str, Any]]:
    """Hyperparameters of the trials: ``learning_rate``, ``batch_size`` and all fields of the method's config."""
    config = methods.get(method).Config
    seen = set()
    asked = sampler(study, backbone, task, method)
    while (drawn := asked.ask()) is not None:
        own = config(**{name: value for name, value in drawn.items() if name in config.model_fields}).model_dump()
        assignment = {**own, "learning_rate": float(drawn["learning_rate"]), "batch_size": int(drawn["batch_size"])}
        key = tuple(assignment.items())
        if key not in seen:  # two ways to write one assignment, such as a default and its value
            seen.add(key)
            yield assignment


def _packs(trials: Sequence[Trial], size: Callable[[Trial], int], finished: Collection[str]) -> Iterator[Pack]:
    """Trials that differ only in learning rate and seed, together; parts of a group have as good as equal sizes.

    Finished trials leave a pack only after it was made: what is left is still the pack whose checkpoint there is.
    """
    groups: dict[tuple[Any, ...], list[Trial]] = {}
    for trial in trials:
        shape = tuple(value for name, value in trial.hyperparameters.items() if name != "learning_rate")
        groups.setdefault(shape, []).append(trial)
    for group in groups.values():
        parts = -(-len(group) // size(group[0]))
        for part in range(parts):
            members = tuple(group[part * len(group) // parts : (part + 1) * len(group) // parts])
            done = [trial for trial in members if trial.id in finished]
            pack = Pack(members).without(finished) if done else Pack(members)
            if pack is not None:
                yield pack


@dataclass(frozen=True)
class Size:
    """Trainable parameters of a method with one set of its own hyperparameters, on one backbone.

    ``parameters``: without the head; ``None`` where the backbone's sizes are unknown without a network. ``heads``: the
    parameters of the classification head for each number of outputs among the study's tasks.
    """

    backbone: str
    method: str
    hyperparameters: dict[str, Any]
    parameters: int | None
    heads: dict[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "heads": {str(outputs): count for outputs, count in self.heads.items()}}


def sizes(study: Study, work: Plan) -> list[Size]:
    """The trainable parameters of every method and rank of the plan, each once."""
    found: dict[tuple[Any, ...], Size] = {}
    specs = {backbone.name: spec_if_known(backbone) for backbone in study.backbones}
    outputs = sorted({task.outputs for task in study.tasks})
    for cell in work.cells:
        for trial in cell.trials:
            own = trial.method_config
            key = (cell.backbone, cell.method, *own.items())
            if key in found:
                continue
            spec = specs[cell.backbone]
            kind = methods.get(cell.method)
            count = None if spec is None else kind(kind.Config(**own), spec).count()
            heads = {} if spec is None else {n: n * (spec.width + 1) for n in outputs}
            found[key] = Size(cell.backbone, cell.method, own, count, heads)
    return sorted(found.values(), key=lambda size: [b.name for b in study.backbones].index(size.backbone))
