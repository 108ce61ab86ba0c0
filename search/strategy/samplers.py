"""Which assignments of a cell to try: ``ask`` for the next one, ``tell`` its score.

Grid and random never look at the scores, so all of their assignments are known beforehand; TPE learns from them. Random
numbers are Optuna's.
"""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Iterator, Mapping
from typing import Any
from typing import Protocol as Interface

from search.study import Grid, Grids, Range, assignments

Assignment = dict[str, Any]

#: TPE may propose what it had before; after so many times something new is drawn at random.
MOST_PROPOSALS = 20


class Sampler(Interface):
    """Chooses the assignments of one cell."""

    def ask(self) -> Assignment | None:
        """The next assignment, different from all before; ``None`` where there are no more."""
        ...

    def tell(
        self, assignment: Mapping[str, Any], score: float | None, complete: bool = True, failed: bool = False
    ) -> None:
        """The score of an assignment that was asked for: its median over seeds, in percent, larger is better.

        ``complete`` is false where a seed was cut short or failed; ``score`` None where none reached a score, which is
        the worst of all, unless all of them ``failed`` and nothing is known of the assignment.
        """
        ...


class GridSampler:
    """Every assignment of a grid, the last hyperparameter changing fastest.

    Optuna's grid sampler searches all earlier trials for each new one, which is quadratic; the product is not.
    """

    def __init__(self, grids: Grids) -> None:
        lists = {name: grid for name, grid in grids.items() if not isinstance(grid, Range)}
        if len(lists) < len(grids):
            ranges = ", ".join(grids.keys() - lists)
            raise ValueError(f"a grid search needs lists of values, but got a range for {ranges}; use a random search")
        self._names = tuple(lists)
        self._remaining = itertools.product(*lists.values())

    def ask(self) -> Assignment | None:
        values = next(self._remaining, None)
        return None if values is None else dict(zip(self._names, values, strict=True))

    def tell(
        self, assignment: Mapping[str, Any], score: float | None, complete: bool = True, failed: bool = False
    ) -> None:
        """Nothing to learn: every assignment is tried."""


class RandomSampler:
    """``n`` different assignments, drawn independently by Optuna; all of them where there are no more than ``n``.

    The draws depend on ``seed`` alone: a larger ``n`` keeps the assignments of a smaller one and adds to them.
    """

    def __init__(self, grids: Grids, n: int, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {name: _distribution(grid) for name, grid in grids.items()}
        self._remaining = min(n, assignments(grids))
        lists = [grid for grid in grids.values() if not isinstance(grid, Range)]
        self._all: Iterator[tuple[Any, ...]] | None = None
        if len(lists) == len(grids) and n >= assignments(
            grids
        ):  # drawing would meet the last ones only after very long
            whole = list(itertools.product(*lists))
            random.Random(seed).shuffle(whole)
            self._all = iter(whole)
        self._seen: set[tuple[Any, ...]] = set()
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed))

    def ask(self) -> Assignment | None:
        if self._all is not None:
            values = next(self._all, None)
            return None if values is None else dict(zip(self._distributions, values, strict=True))
        if self._remaining == 0:
            return None
        self._remaining -= 1
        while True:
            drawn = self._study.ask(self._distributions).params
            assignment = {name: drawn[name] for name in self._distributions}
            if (key := tuple(assignment.values())) not in self._seen:
                self._seen.add(key)
                return assignment

    def tell(
        self, assignment: Mapping[str, Any], score: float | None, complete: bool = True, failed: bool = False
    ) -> None:
        """Nothing to learn: the draws are independent."""


class TPESampler:
    """Up to ``n`` different assignments that Optuna's TPE proposes (Bergstra et al. 2011), all where there are no more.

    Assignments that are asked for and not yet told count as bad ones (constant liar), so that parallel asks spread. The
    first draws are random: a quarter of ``n``, at least four and at most ten. A list of numbers is taken as ordered.
    """

    def __init__(self, grids: Grids, n: int, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = _Space(grids)
        self.left = int(min(n, assignments(grids)))
        startup = max(4, min(10, n // 4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constant_liar
            sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=startup)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        self._asked: dict[tuple[Any, ...], Any] = {}  # Optuna's trials

    def add(self, assignment: Assignment) -> bool:
        """An assignment of an earlier run: it counts as asked for. Says whether it is new and in the space."""
        key = tuple(assignment.get(name) for name in self._space.distributions)
        params = self._space.encode(assignment)
        if not self.left or key in self._asked or params is None:
            return False
        self._study.enqueue_trial(params)
        self._take(self._study.ask(self._space.distributions), key)
        return True

    def ask(self) -> Assignment | None:
        import optuna

        if not self.left:
            return None
        for _ in range(MOST_PROPOSALS):
            trial = self._study.ask(self._space.distributions)
            assignment = self._space.decode(trial.params)
            key = tuple(assignment.values())
            if key not in self._asked:
                self._take(trial, key)
                return assignment
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return self._any()

    def _any(self) -> Assignment:
        """Where TPE proposes nothing new any more: something at random."""
        while True:
            drawn = self._random.ask(self._space.distributions).params
            assignment = self._space.decode(drawn)
            if self.add(assignment):
                return assignment

    def _take(self, trial: Any, key: tuple[Any, ...]) -> None:
        self.left -= 1
        self._asked[key] = trial

    def tell(
        self, assignment: Mapping[str, Any], score: float | None, complete: bool = True, failed: bool = False
    ) -> None:
        from optuna.trial import TrialState

        trial = self._asked[tuple(assignment[name] for name in self._space.distributions)]
        if failed:  # TPE leaves it out
            self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        elif complete and score is not None:
            self._study.tell(trial, score, skip_if_finished=True)
        else:  # TPE takes it for worse than all that are complete, and for the worst of all where it has no score
            if score is not None:
                trial.report(score, 1)
            self._study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)


class _Space:
    """Grids as Optuna's distributions. Of a list of numbers it sees their ranks, so that near ones are near."""

    def __init__(self, grids: Grids) -> None:
        self._grids = grids
        self._ranked: dict[str, list[Any]] = {}
        self.distributions: dict[str, Any] = {}
        for name, grid in grids.items():
            if not isinstance(grid, Range) and len(grid) > 1 and all(_number(value) for value in grid):
                from optuna.distributions import IntDistribution

                self._ranked[name] = sorted(grid)
                self.distributions[name] = IntDistribution(0, len(grid) - 1)
            else:
                self.distributions[name] = _distribution(grid)

    def decode(self, params: Mapping[str, Any]) -> Assignment:
        """An assignment from what Optuna drew."""
        return {n: self._ranked[n][params[n]] if n in self._ranked else params[n] for n in self.distributions}

    def encode(self, assignment: Assignment) -> dict[str, Any] | None:
        """What Optuna would have drawn for an assignment; None where it is none of this space."""
        if not all(name in assignment and _inside(assignment[name], grid) for name, grid in self._grids.items()):
            return None
        return {n: self._ranked[n].index(assignment[n]) if n in self._ranked else assignment[n] for n in self._grids}


def _inside(value: Any, grid: Grid) -> bool:
    if isinstance(grid, Range):
        return _number(value) and grid.low <= value <= grid.high and (not grid.whole or isinstance(value, int))
    return value in grid


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _distribution(grid: Grid) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(grid, Range):
        return CategoricalDistribution(grid)
    if grid.whole:
        return IntDistribution(int(grid.low), int(grid.high), log=grid.log)
    return FloatDistribution(grid.low, grid.high, log=grid.log)
