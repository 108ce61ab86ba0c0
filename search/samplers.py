"""Which assignments of a cell to try: ``ask`` for the next one, ``tell`` its score.

A sampler of the plan (grid, random) never looks at the scores, so all of its assignments are known beforehand; one that
learns from them fits the same two calls. Random numbers are Optuna's.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from math import prod
from typing import Any
from typing import Protocol as Interface

from search.study import Grids, Range

Assignment = dict[str, Any]


class Sampler(Interface):
    """Chooses the assignments of one cell."""

    def ask(self) -> Assignment | None:
        """The next assignment, different from all before; ``None`` where there are no more."""
        ...

    def tell(self, assignment: Mapping[str, Any], score: float) -> None:
        """The score of an assignment that was asked for: its median over seeds, in percent, larger is better."""
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

    def tell(self, assignment: Mapping[str, Any], score: float) -> None:
        """Nothing to learn: every assignment is tried."""


class RandomSampler:
    """``n`` different assignments, drawn independently by Optuna; all of them where there are no more than ``n``.

    The draws depend on ``seed`` alone: a larger ``n`` keeps the assignments of a smaller one and adds to them.
    """

    def __init__(self, grids: Grids, n: int, seed: int) -> None:
        import optuna
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions: dict[str, optuna.distributions.BaseDistribution] = {}
        for name, grid in grids.items():
            if not isinstance(grid, Range):
                self._distributions[name] = CategoricalDistribution(grid)
            elif grid.whole:
                self._distributions[name] = IntDistribution(int(grid.low), int(grid.high), log=grid.log)
            else:
                self._distributions[name] = FloatDistribution(grid.low, grid.high, log=grid.log)
        self._remaining = min(n, _size(grids))
        self._seen: set[tuple[Any, ...]] = set()
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed))

    def ask(self) -> Assignment | None:
        if self._remaining == 0:
            return None
        self._remaining -= 1
        while True:
            drawn = self._study.ask(self._distributions).params
            assignment = {name: drawn[name] for name in self._distributions}
            if (key := tuple(assignment.values())) not in self._seen:
                self._seen.add(key)
                return assignment

    def tell(self, assignment: Mapping[str, Any], score: float) -> None:
        """Nothing to learn: the draws are independent."""


def _size(grids: Grids) -> float:
    """The number of different assignments; infinite where a hyperparameter is real."""
    sizes: list[float] = []
    for grid in grids.values():
        if not isinstance(grid, Range):
            sizes.append(len(grid))
        else:
            sizes.append(grid.high - grid.low + 1 if grid.whole else float("inf"))
    return prod(sizes)
