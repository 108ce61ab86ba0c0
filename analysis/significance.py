"""Is a difference between methods more than luck? Planned comparisons on scores that took no part in any choice.

Scores are those of :mod:`analysis.evidence`: seeds that did not choose the assignment they measure, so a method does
not win by having had more assignments. The answer to which method is better is the interval on fresh seeds
(:func:`analysis.estimates.differences`); these tests need no assumption about how scores are spread, and add what the
design could have shown. Two questions. *Over seeds*: would a method beat the reference with other seeds,
on one task, or on average over the tasks of a benchmark (exchange test)? *Over tasks*: would it on other tasks too
(Wilcoxon's signed-rank test, Demšar 2006)? Every p stands beside the least that the design allows, both after Holm
(1979) within the family of comparisons with one reference; fine-tuning stands outside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import estimates, exact
from analysis.exact import LEVEL, holm
from analysis.inference import IMPOSSIBLE, NOT_SHOWN
from analysis.planned import EVERYTHING, Plan
from analysis.references import references as of_fresh
from analysis.selection import APART
from common.seeds import seed_of

MACRO = "macro"
SHOWN = "shown"
_NAMES = ("benchmark", "backbone", "reference", "method", "family")
_RESULT = ("p", "p_holm", "p_least", "p_least_holm", "needed", "detectable", "outcome")
OVER_SEEDS = [*_NAMES, "task", "n_tasks", "n_reference", "n_method", "kind", "difference", *_RESULT]
OVER_TASKS = [*_NAMES, "n_tasks", "wins", "ties", "losses", "difference", "typical", "lower", "upper", *_RESULT]
_DIGITS = 9


@dataclass(frozen=True)
class Comparison:
    """A method and its reference on one benchmark and backbone; ``pairs`` holds both one's scores, per task.

    ``family``: whether it is corrected with the others; ``kinds``: where its scores come from (``evidence.KINDS``).
    """

    benchmark: str
    backbone: str
    reference: str
    method: str
    family: bool
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]
    kinds: tuple[str, ...]

    @property
    def names(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in _NAMES}


def comparisons(
    frame: pd.DataFrame, scores: pd.DataFrame, plan: Plan = EVERYTHING, confirmation: pd.DataFrame | None = None
) -> list[Comparison]:
    """What ``plan`` compares, wherever both have a score on a common task.

    ``scores`` is an :func:`analysis.evidence.evidence` table of the ``frame`` and its ``confirmation``. Fine-tuning is
    compared but stands outside the family, unless the plan names it. Of no plan the reference is that of the intervals.
    Held-out seeds took part in finding it, which moves the rate of false rejections little (docs/statistics.md).
    """
    best = references(frame, confirmation) if plan.reference is None else {}
    found = []
    for (benchmark, backbone), rows in scores.groupby(["benchmark", "backbone"]):
        reference = plan.reference or best.get((benchmark, backbone))
        own: dict[tuple[str, str], pd.DataFrame] = dict(iter(rows.groupby(["method", "task"])))
        values = {key: np.sort(group["score"].to_numpy()) for key, group in own.items()}
        for method in plan.methods or sorted(rows["method"].unique()):
            tasks = sorted({t for m, t in own if m == method} & {t for m, t in own if m == reference})
            if reference is None or method == reference or not tasks:
                continue
            family = in_family(plan, reference, method)
            pairs = {task: (values[method, task], values[reference, task]) for task in tasks}
            kinds = {own[name, task]["kind"].iloc[0] for name in (method, reference) for task in tasks}
            found.append(
                Comparison(str(benchmark), str(backbone), reference, method, family, pairs, tuple(sorted(kinds)))
            )
    return found


def references(frame: pd.DataFrame, confirmation: pd.DataFrame | None = None) -> dict[tuple[str, str], str]:
    """By benchmark and backbone, what methods are compared with where nobody says; see :mod:`analysis.references`."""
    found = estimates.estimates(frame, confirmation)
    return of_fresh(found.cells, found.macros)


def in_family(plan: Plan, reference: str, method: str) -> bool:
    """Whether a comparison is corrected with the others: not one with fine-tuning, unless the plan names it."""
    return bool(plan.methods) or APART not in (method, reference) or plan.reference == APART


def over_seeds(found: Iterable[Comparison]) -> pd.DataFrame:
    """Exchange tests: a row per comparison over all its tasks (``task`` is ``macro``), and one per task.

    ``difference`` is what is tested: of the means of the seeds, method - reference, in points, averaged over tasks.
    ``p_holm``: within the family on the same task, empty outside of it; ``p_least`` and ``p_least_holm``: the least
    that so many seeds allow. ``needed``: seeds of each method that could show something, where these could not.
    ``detectable``: points found in 80 of 100 cases, from the deviations that were seen.
    """
    rows: list[dict] = []
    for comparison in found:
        tasks = list(comparison.pairs)
        for task in [MACRO, *tasks]:
            pairs = [comparison.pairs[t] for t in (tasks if task == MACRO else [task])]
            rows.append(comparison.names | {"task": task} | _seeds(pairs, _stream(comparison, task))
                        | {"kind": " and ".join(comparison.kinds), "pairs": pairs})  # fmt: skip
    return _table(rows, OVER_SEEDS, ["benchmark", "backbone", "task"])


def over_tasks(found: Iterable[Comparison]) -> pd.DataFrame:
    """Signed-rank tests on the tasks' differences of means, a row per comparison.

    ``difference`` is the mean over the ``n_tasks`` tasks; ``typical`` is the estimate that belongs to the test
    (Hodges-Lehmann), with the 95 % interval of what the test does not reject (NaN under six tasks). ``needed``: tasks
    that could show something, where these could not. The rest as in :func:`over_seeds`.
    """
    return _table([_tasks(comparison) for comparison in found], OVER_TASKS, ["benchmark", "backbone"])


def outcome(p: float, least: float) -> str:
    """Three answers: a difference is shown, is not, or could not have been, whatever the scores."""
    return IMPOSSIBLE if least >= LEVEL else SHOWN if p < LEVEL else NOT_SHOWN


def _seeds(pairs: exact.Pairs, stream: np.random.Generator) -> dict:
    sizes = [(len(a), len(b)) for a, b in pairs]
    return {
        "n_tasks": len(pairs), "n_method": min(a for a, _ in sizes), "n_reference": min(b for _, b in sizes),
        "difference": exact.difference(pairs), "p": exact.exchange(pairs, stream),
        "p_least": exact.least_exchange(sizes),
    }  # fmt: skip


def _tasks(comparison: Comparison) -> dict:
    gaps = np.array([left.mean() - right.mean() for left, right in comparison.pairs.values()]).round(_DIGITS)
    typical, lower, upper = exact.typical_difference(gaps)
    return comparison.names | {
        "n_tasks": len(gaps), "wins": int((gaps > 0).sum()), "ties": int((gaps == 0).sum()),
        "losses": int((gaps < 0).sum()), "difference": math.fsum(gaps) / len(gaps),
        "typical": typical, "lower": lower, "upper": upper,
        "p": exact.signed_rank(gaps), "p_least": exact.least_signed_rank(len(gaps)), "gaps": gaps,
    }  # fmt: skip


def _table(rows: list[dict], columns: list[str], family: list[str]) -> pd.DataFrame:
    """The rows with what depends on the size of their family; one outside of any is corrected for nothing."""
    members: dict[tuple, list[dict]] = {}
    for i, row in enumerate(rows):
        members.setdefault((*(row[name] for name in family), None if row["family"] else i), []).append(row)
    for group in members.values():
        corrected = [holm([row[name] for row in group]) for name in ("p", "p_least")]
        for row, p, least in zip(group, *corrected, strict=True):
            row |= {"p_holm": p if row["family"] else math.nan, "p_least_holm": least}
            row |= {"outcome": outcome(p, least), "needed": pd.NA}
            if "pairs" in row:
                row["detectable"] = exact.detectable_exchange(row["pairs"], len(group))
            else:
                row["detectable"] = exact.detectable_signed_rank(row["gaps"], len(group))
            if row["outcome"] == IMPOSSIBLE:
                n_tasks = row["n_tasks"] if "pairs" in row else None
                row["needed"] = exact.needed_seeds(n_tasks, len(group)) if n_tasks else exact.needed_tasks(len(group))
    return pd.DataFrame(rows, columns=columns).astype({"needed": "Int64"})


def _stream(comparison: Comparison, task: str) -> np.random.Generator:
    """Random numbers that belong to one comparison, whatever else is compared."""
    names = (comparison.benchmark, comparison.backbone, task, comparison.reference, comparison.method)
    return np.random.default_rng(seed_of("|".join(("significance", *names))))
