"""The search in one cell: which packs to train next, given how the earlier ones ended.

Grid, random and TPE, with all seeds or with promotion, are all one object to whoever trains the packs, be it Ray Tune
(``search/tune/``) or a replay of recorded curves (``replay.py``): ``next`` for a pack, ``tell`` how it went.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from common.seeds import seed_of
from common.selection import Seed, best_assignment, candidates
from search.strategy.packing import pack_size, packs, taken_like
from search.strategy.samplers import Assignment, GridSampler, RandomSampler, Sampler, TPESampler
from search.study import Study
from trainables import methods
from trainables.tasks import Task
from trainables.trial import BackboneSource, CellKey, Pack, Status, Trial

#: Assignments that an adaptive sampler was asked for together, each with its id.
Proposal = Sequence[tuple[str, Assignment]]


@dataclass(frozen=True)
class Ending:
    """How a trial ended; ``score`` in percent, None where it reached none."""

    status: str
    score: float | None
    trainable_parameters: int | None = None

    @property
    def counts(self) -> bool:
        """Whether statistics use it."""
        return self.score is not None and self.status in ("finished", "diverged")


def final_statuses(study: Study) -> frozenset[Status]:
    """What ends a trial of this study for good: a failed one is trained again, and so is one that an earlier search
    cut short where this one cuts nothing short."""
    kept: frozenset[Status] = frozenset({"finished", "diverged"})
    return kept | {"pruned"} if study.search.early_stopping else kept


class CellSearch:
    """One (backbone, task, method) of a study.

    ``before``: how trials ended in earlier runs, by trial id. ``proposals``: what an earlier run asked an adaptive
    sampler for; ``on_proposal`` is told what this one does. ``trials`` holds every trial that is decided on, ended or
    not, and ``undecided`` how many more there can be. ``settled``: nothing is trained now, so that a trial that failed
    before has ended, and what was decided after it is as it was.
    """

    def __init__(
        self,
        study: Study,
        backbone: BackboneSource,
        task: Task,
        method: str,
        before: Mapping[str, Ending] | None = None,
        proposals: Iterable[Proposal] = (),
        on_proposal: Callable[[CellKey, Proposal], None] = lambda cell, proposal: None,
        *,
        settled: bool = False,
    ) -> None:
        self.key = CellKey(backbone.name, task.name, method)
        self.backbone, self.task, self.method = backbone, task, method
        self.protocol = study.protocol_for(task)
        self.grids = study.grids(task.name, method)
        self.trials: dict[str, Trial] = {}
        self.out: set[str] = set()
        self.promoted: frozenset[str] | None = None  # assignment ids, once they are chosen
        self._settings, self._seeds = study.search, study.seeds
        self._final = final_statuses(study) | (frozenset({"failed"}) if settled else frozenset())
        self._before = before or {}
        self._endings: dict[str, Ending] = {}
        self._size = pack_size(study, task, method)
        self._assignments: dict[str, Assignment] = {}  # by assignment id, as drawn
        self._firsts: dict[str, list[Trial]] = {}  # by assignment id, of the seeds that every assignment gets
        self._queue: deque[Pack] = deque()
        self._on_proposal = on_proposal
        self._sampler: Sampler = self._make_sampler(study)
        self._begin(proposals)

    @property
    def assignments(self) -> int:
        """How many there are, or may become."""
        return len(self._assignments) + self.unasked

    @property
    def pending(self) -> tuple[Pack, ...]:
        """Packs that are decided on and not handed out."""
        return tuple(self._queue)

    @property
    def undecided(self) -> int:
        """At most so many trials are still to be decided on."""
        later = 0
        if self._settings.promote is not None and self.promoted is None:
            later = self._places(self.assignments) * (len(self._seeds) - 1)
        return self.unasked * len(self._first_seeds) + later

    @property
    def total(self) -> int:
        """Trials of the cell, at most."""
        return len(self.trials) + self.undecided

    @property
    def left(self) -> int:
        """Trials that are still to be handed out, at most."""
        return sum(len(pack.trials) for pack in self._queue) + self.undecided

    def origin(self, trial: Trial) -> dict[str, str]:
        """What a report must know of how the trial came about: adaptive searches draw no fair sample.

        ``strategy`` where scores chose the assignment; ``promotion``: ``first`` for the first seed of an assignment,
        ``promoted`` for the others, which only the best assignments get.
        """
        told = {"strategy": "tpe"} if self._settings.strategy == "tpe" else {}
        if self._settings.promote is not None:
            told["promotion"] = "first" if trial.seed == self._seeds[0] else "promoted"
        return told

    def compared(self, trial: Trial) -> bool:
        """Whether a trial may be cut short for falling behind: the further seeds of a promoted assignment may not."""
        return self._settings.promote is None or trial.seed == self._seeds[0]

    @property
    def first(self) -> Pack | None:
        """The pack that is handed out next, of those that are decided on."""
        return self._queue[0] if self._queue else None

    def longest_first(self, work: Callable[[Pack], float]) -> None:
        """Hand out the packs that are decided on in the order of their work; equal ones stay as they are."""
        self._queue = deque(sorted(self._queue, key=work, reverse=True))

    def next(self, most: int | None = None) -> Pack | None:
        """The next pack to train, of at most so many trials; None where there is none, or none before others ended."""
        while not self._queue and self.unasked:
            self._ask()  # more than once where what is asked for was trained before, under another name
        if not self._queue:
            self._promote_if_due()
        if not self._queue:
            return None
        pack = self._queue.popleft()
        if most is not None and len(pack.trials) > most:  # the rest keeps its place, and the pack's checkpoint
            rest = pack.without({trial.id for trial in pack.trials[:most]})
            first = pack.without({trial.id for trial in pack.trials[most:]})
            assert first is not None and rest is not None  # noqa: PT018
            self._queue.appendleft(rest)
            pack = first
        self.out.update(trial.id for trial in pack.trials)
        return pack

    def next_like(self, pack: Pack, *, first_only: bool) -> Pack | None:
        """Hand out a pack that waits and can be trained along with one of this cell (``packing.taken_like``)."""
        found = taken_like(self._queue, pack, first_only=first_only)
        if found is not None:
            self.out.update(trial.id for trial in found.trials)
        return found

    def tell(self, trial: Trial, ending: Ending) -> None:
        """How a trial that was handed out ended."""
        self.out.discard(trial.id)
        self._endings[trial.id] = ending
        self._learn(trial.assignment_id)

    @property
    def over(self) -> bool:
        """Whether every trial has ended, in whatever way, and none can come."""
        return not self.out and not self.left

    def best_assignment(self) -> str | None:
        """The id of the assignment that reports select, by the trials that have ended; None where none has a score."""
        seeds = []
        for trial_id, ending in self._endings.items():
            trial = self.trials[trial_id]
            promoted = self.origin(trial).get("promotion") == "promoted"
            seeds.append(Seed(trial.assignment_id, ending.status, ending.score, ending.trainable_parameters, promoted))
        return best_assignment(candidates(seeds, len(self._seeds)))

    # --- assignments and their first seeds -------------------------------------------------------------------------

    @property
    def _first_seeds(self) -> tuple[int, ...]:
        return self._seeds if self._settings.promote is None else self._seeds[:1]

    @property
    def unasked(self) -> int:
        """Assignments that an adaptive sampler will yet be asked for."""
        return self._sampler.left if isinstance(self._sampler, TPESampler) else 0

    def _make_sampler(self, study: Study) -> Sampler:
        match study.search.strategy:
            case "grid":
                return GridSampler(self.grids)
            case "random":
                return RandomSampler(self.grids, study.search.n or 0, self._seed())
            case "tpe":
                return TPESampler(self.grids, study.search.n or 0, self._seed())

    def _begin(self, proposals: Iterable[Proposal]) -> None:
        """Decide on all that is known without a score of this run."""
        if isinstance(self._sampler, TPESampler):
            for proposal in proposals:
                own = [drawn for assignment_id, drawn in proposal if self._id_of(drawn) == assignment_id]
                self._add([drawn for drawn in own if self._sampler.add(drawn)])
        else:
            self._add(list(iter(self._sampler.ask, None)))
        if not self._queue:
            self._promote_if_due()

    def _seed(self) -> int:
        """From the search seed and the cell, whatever else the study holds."""
        return seed_of("|".join([str(self._settings.seed), *self.key]), size=4)

    def _add(self, assignments: Sequence[Assignment]) -> None:
        """Decide on the first seeds of assignments that were asked for together."""
        trials: list[Trial] = []
        for drawn in assignments:
            made = self._trials(self._hyperparameters(drawn), self._first_seeds)
            if made[0].assignment_id in self._assignments:
                continue  # two ways to write one assignment, such as a default and its value
            self._assignments[made[0].assignment_id] = drawn
            self._firsts[made[0].assignment_id] = made
            trials += made
        self._enqueue(trials)
        for assignment_id in dict.fromkeys(trial.assignment_id for trial in trials):
            self._learn(assignment_id)

    def _id_of(self, drawn: Assignment) -> str | None:
        """The assignment's id; None where the method has no such hyperparameters (any more)."""
        try:
            return self._trials(self._hyperparameters(drawn), self._seeds[:1])[0].assignment_id
        except (KeyError, ValueError):
            return None

    def _trials(self, hyperparameters: Mapping[str, Any], seeds: Sequence[int]) -> list[Trial]:
        return Trial(self.backbone, self.task, self.method, hyperparameters, seeds[0], self.protocol).on(seeds)

    def _hyperparameters(self, drawn: Assignment) -> dict[str, Any]:
        """``learning_rate``, ``batch_size`` and all fields of the method's config, defaults included."""
        config = methods.get(self.method).Config
        own = config(**{name: value for name, value in drawn.items() if name in config.model_fields}).model_dump()
        return {**own, "learning_rate": float(drawn["learning_rate"]), "batch_size": int(drawn["batch_size"])}

    def _enqueue(self, trials: Sequence[Trial]) -> None:
        cut = set()
        for trial in trials:
            self.trials[trial.id] = trial
            ending = self._before.get(trial.id)
            if ending is not None and ending.status in self._final:
                self._endings[trial.id] = ending
            elif ending is not None and ending.status == "pruned":
                cut.add(trial.id)
        self._queue.extend(packs(trials, self._size, self._endings.keys(), cut))

    def _learn(self, assignment_id: str) -> None:
        """Tell the sampler of an assignment whose first seeds have all ended."""
        own = [self._endings.get(trial.id) for trial in self._firsts[assignment_id]]
        ended = [ending for ending in own if ending is not None]
        if len(ended) == len(own):
            scores = [ending.score for ending in ended if ending.score is not None and ending.status != "failed"]
            complete = all(ending.counts for ending in ended)
            failed = all(ending.status == "failed" for ending in ended)
            self._sampler.tell(self._assignments[assignment_id], median(scores) if scores else None, complete, failed)

    # --- what follows from how others ended ---------------------------------------------------------------------------

    def _promote_if_due(self) -> None:
        """Once every assignment has a score for its first seed, or has none for good."""
        if self._settings.promote is not None and self.promoted is None and not self.out and not self.unasked:
            self._promote(self._settings.promote)

    def _ask(self) -> None:
        """As many assignments as make a pack, and one at least; what they have in common is packed."""
        proposal: list[tuple[str, Assignment]] = []
        while (drawn := self._sampler.ask()) is not None:
            (first,) = self._trials(self._hyperparameters(drawn), self._seeds[:1])
            proposal.append((first.assignment_id, drawn))
            if len(proposal) * len(self._first_seeds) >= self._size(first):
                break
        if proposal:
            self._on_proposal(self.key, proposal)
            self._add([drawn for _, drawn in proposal])

    def _places(self, assignments: int) -> int:
        """How many assignments get all seeds."""
        return math.ceil((self._settings.promote or 0) * assignments - 1e-9)

    def _promote(self, part: float) -> None:
        """The other seeds for the best assignments by their first; only those whose first was trained to its end."""
        firsts = [trial for trial in self.trials.values() if trial.seed == self._seeds[0]]
        scored = [(self._endings[t.id].score or 0.0, t) for t in firsts if self._endings[t.id].counts]
        ranked = sorted(scored, key=lambda pair: -pair[0])[: self._places(len(firsts))]
        chosen = {trial.assignment_id for _, trial in ranked}
        self.promoted = frozenset(chosen)
        others = [
            later
            for trial in firsts
            if trial.assignment_id in chosen
            for later in self._trials(trial.hyperparameters, self._seeds[1:])
        ]
        self._enqueue(others)
