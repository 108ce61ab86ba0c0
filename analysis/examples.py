"""Paired tests on examples: would these very models differ on other examples of the same kind?

Best assignments answer the same dev examples, so a pair of methods is compared example by example. The models are those
of the best assignments' seeds, taken as they are: an example is one observation, however many seeds answered it, as
seeds that err on the same examples are not independent of each other. What the tests hold for is other examples, given
these models; the assignments (and each model's epoch) were chosen on the same examples, which flatters the methods that
had more to choose from. Where the answers of all assignments were kept, the luck of that choice is measured by choosing
on one half of the examples and scoring on the other.

*Accuracy*: the difference of the two methods' shares of right models changes its sign in each example (``exact.signs``,
McNemar's exact test with one model each). *Other metrics on classes*: the two methods change their answers in each
example, and the difference of their mean scores is counted anew, in every way or in ``EXCHANGES`` drawn ones
(approximate randomization, Noreen 1989); the interval holds the differences that are not that far. *Correlations*: a
paired bootstrap over examples, as two methods' values need not have one scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from analysis import exact, resample, significance
from analysis.exact import LEVEL, POWER, holm
from analysis.planned import Plan
from analysis.predictions import Predictions
from analysis.selection import CELL, is_scored
from analysis.significance import IMPOSSIBLE
from common.metrics import METRICS
from common.seeds import seed_of

RESAMPLES = 1_000
EXCHANGES = 4_000
_LISTED = 11  # examples whose exchanges are all listed
COMPARED = [
    *("benchmark", "backbone", "reference", "method", "family", "task", "metric", "n_examples", "n_models"),
    *("n_reference_models", "difference", "lower", "upper", "p", "p_holm", "p_least", "p_least_holm", "needed"),
    *("detectable", "outcome"),
]
ERRORS = [*CELL, "metric", "n_examples", "n_models", "score", "standard_error"]
OPTIMISM = [*CELL, "n_examples", "n_assignments", "optimism"]
_SPLITS = 20  # of the dev examples, each used both ways round
_MOST = 5_000  # trials whose answers are read to measure the luck of the choice
_KEYS = [*CELL, "assignment_id"]
_SLACK = 1e-9  # differences that agree this far are equal

Reader = Callable[[str], Predictions | None]


@dataclass(frozen=True)
class Answers:
    """What the models of a cell's best assignment answered; ``predicted`` is ``(models, n_examples)``."""

    metric: str
    predicted: np.ndarray
    gold: np.ndarray
    resampled: np.ndarray  # mean score of the models on each bootstrap sample, ``(RESAMPLES,)``; empty for accuracy

    @property
    def score(self) -> float:
        """The mean of the models' scores, in percent."""
        whole = np.ones((1, len(self.gold)), dtype=np.float32)
        return float(resample.scores(self.metric, whole, self.predicted, self.gold).mean())

    @property
    def right(self) -> np.ndarray:
        """How many models answered each example rightly, ``(n_examples,)``."""
        return np.asarray((self.predicted == self.gold).sum(axis=0))

    @property
    def standard_error(self) -> float:
        """Of the mean score, over examples, in points."""
        if len(self.resampled):
            return float(self.resampled.std(ddof=1))
        return 100 * float(self.right.std()) / len(self.predicted) / math.sqrt(len(self.gold))


Cell = tuple[str, str, str, str]


def answers(
    frame: pd.DataFrame, winners: pd.DataFrame, reader: Reader, confirmation: pd.DataFrame | None = None
) -> tuple[dict[Cell, Answers], int]:
    """The answers of every winner's scored trials that were kept, by cell: of confirmation seeds where there are any.

    Also how many models were left out because they answered other examples, or by another metric, than most of their
    task. All cells of a task are resampled alike, so that differences are paired.
    """
    chosen = winners.dropna(subset="median")[_KEYS]
    trials = (
        frame if confirmation is None else pd.concat([confirmation, frame], keys=[True, False], names=["fresh", ""])
    )
    trials = trials.reset_index("fresh") if confirmation is not None else trials.assign(fresh=False)
    own = trials[is_scored(trials)].merge(chosen, on=_KEYS).sort_values(["fresh", "seed"], ascending=[False, True])
    found: dict[Cell, Answers] = {}
    left_out = 0
    for place, rows in own.groupby(CELL[:3]):
        read = [(m, f, reader(t)) for m, f, t in zip(rows["method"], rows["fresh"], rows["trial_id"], strict=True)]
        confirmed = {method for method, fresh, p in read if fresh and p is not None}
        kept = [(m, p) for m, fresh, p in read if p is not None and len(p.gold) and fresh == (m in confirmed)]
        kinds = [(p.metric, p.gold.tobytes()) for _, p in kept]
        most = max(kinds, key=kinds.count, default=None)
        same = [pair for pair, kind in zip(kept, kinds, strict=True) if kind == most]
        left_out += len(kept) - len(same)
        found |= {(*place, method): answer for method, answer in _resampled(same, "|".join(place))}
    return found, left_out


def _resampled(kept: list[tuple[str, Predictions]], name: str) -> Iterator[tuple[str, Answers]]:
    if not kept:
        return
    metric, gold = kept[0][1].metric, kept[0][1].gold
    methods = np.array([method for method, _ in kept])
    predicted = np.stack([p.predicted for _, p in kept])
    drawn = np.empty((0, len(kept)))
    if metric != "accuracy":
        blocks = resample.bootstrap(len(gold), RESAMPLES, np.random.default_rng(seed_of(f"examples|{name}")))
        drawn = np.concatenate([resample.scores(metric, weights, predicted, gold) for weights in blocks])
    for method in dict.fromkeys(methods.tolist()):
        mine = methods == method
        yield method, Answers(metric, predicted[mine], gold, drawn[:, mine].mean(axis=1))


def standard_errors(found: dict[Cell, Answers]) -> pd.DataFrame:
    """What sampling the dev examples does to a score: a row per cell, in points."""
    rows = [(*cell, a.metric, len(a.gold), len(a.predicted), a.score, a.standard_error) for cell, a in found.items()]
    return pd.DataFrame(rows, columns=ERRORS)


def compared(found: dict[Cell, Answers], references: dict[tuple[str, str], str], plan: Plan) -> pd.DataFrame:
    """The planned comparisons on each task; ``references`` by benchmark and backbone, for a plan that names none.

    ``difference`` is that of the models' mean scores, method - reference, in points; ``lower`` and ``upper`` its 95 %
    interval over examples; the rest as in :func:`analysis.significance.over_seeds`, corrected within the task.
    """
    tables = []
    for benchmark, backbone, task in sorted({cell[:3] for cell in found}):
        place = (benchmark, backbone, task)
        reference = plan.reference or references.get((benchmark, backbone))
        if reference is None or (*place, reference) not in found:
            continue
        others = plan.methods or sorted({cell[3] for cell in found if cell[:3] == place} - {reference})
        rows = []
        for method in (m for m in others if (*place, m) in found):
            names = {"benchmark": benchmark, "backbone": backbone, "task": task, "reference": reference,
                     "method": method, "family": significance.in_family(plan, reference, method)}  # fmt: skip
            rows.append(names | _pair(found[*place, method], found[*place, reference]))
        tables += _corrected(rows)
    return pd.DataFrame(tables, columns=COMPARED).astype({"needed": "Int64"})


def _pair(left: Answers, right: Answers) -> dict:
    """One comparison, before its family is known."""
    n, difference = len(left.gold), left.score - right.score
    if left.metric == "accuracy":
        common = math.lcm(len(left.predicted), len(right.predicted))
        gaps = left.right * (common // len(left.predicted)) - right.right * (common // len(right.predicted))
        error = 100 * float(gaps.std()) / common / math.sqrt(n)
        p, far = exact.signs(gaps)
        reach, least = 100 * far / common / n, 2.0 ** (1 - n)
        lower, upper = difference - reach, difference + reach
    elif METRICS[left.metric].on == "values":
        drawn = np.round(left.resampled - right.resampled, 9)
        error, count = float(drawn.std(ddof=1)), len(drawn) + 1
        lower, upper = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
        p = min(1.0, 2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / count)
        least = 2 / count
    else:
        far = np.abs(_exchanges(left, right))
        p, least = float(np.mean(far >= abs(difference) - _SLACK)), max(2.0 ** (1 - n), 1 / EXCHANGES)
        error, reach = float(np.sqrt(np.mean(far**2))), float(np.quantile(far, 1 - LEVEL, method="higher"))
        lower, upper = difference - reach, difference + reach
    return {
        "metric": left.metric, "n_examples": n, "n_models": len(left.predicted), "error": error,
        "n_reference_models": len(right.predicted), "difference": difference, "lower": lower, "upper": upper,
        "p": p, "p_least": min(1.0, least),
    }  # fmt: skip


def _exchanges(left: Answers, right: Answers) -> np.ndarray:
    """Differences of the mean scores where the methods change their answers in examples; the first is as observed."""
    common = math.lcm(len(left.predicted), len(right.predicted))
    sides = [np.repeat(side.predicted, common // len(side.predicted), axis=0) for side in (left, right)]
    differ = int((sides[0] != sides[1]).any(axis=0).sum())
    if differ <= _LISTED:
        swaps = np.array(list(product((0, 1), repeat=differ))).reshape(-1, differ)
    else:
        swaps = np.random.default_rng(seed_of(f"exchanges|{differ}")).integers(2, size=(EXCHANGES, differ))
        swaps[0] = 0
    return resample.exchanged(left.metric, swaps, sides, left.gold)


def _corrected(rows: list[dict]) -> list[dict]:
    done = []
    family, others = ([row for row in rows if row["family"] == whether] for whether in (True, False))
    for group in [family, *([row] for row in others)]:
        adjusted, least = (holm([row[name] for row in group]) for name in ("p", "p_least"))
        for row, p, floor in zip(group, adjusted, least, strict=True):
            answer = significance.outcome(p, floor)
            reach = stats.norm.isf(LEVEL / len(group) / 2) + stats.norm.ppf(POWER)
            done.append(row | {
                "p_holm": p if row["family"] else math.nan, "p_least_holm": floor, "outcome": answer,
                "needed": exact.needed_tasks(len(group)) if answer == IMPOSSIBLE else pd.NA,
                "detectable": math.nan if answer == IMPOSSIBLE else reach * row["error"],
            })  # fmt: skip
    return done


def optimism(frame: pd.DataFrame, table: pd.DataFrame, reader: Reader) -> tuple[pd.DataFrame, int]:
    """By how many points a choice on half of the dev examples flatters the chosen, a row per cell.

    The assignment with the highest median on a random half, its median there less that on the other half, over 20
    splits both ways round. ``table`` is of :func:`analysis.selection.assignments`. Only cells of two assignments or
    more of which all answers were kept. Also how many such cells were passed over, to read at most 5,000 trials.
    """
    several = table.groupby(CELL)["median"].transform("count") > 1
    own = frame[is_scored(frame)].merge(table.loc[several, _KEYS], on=_KEYS)
    rows, budget, passed = [], _MOST, 0
    cells = sorted(own.groupby(CELL), key=lambda item: seed_of("|".join(item[0])))
    for cell, trials in cells:
        if len(trials) > budget:
            passed += reader(trials["trial_id"].iloc[0]) is not None
            continue
        read = _all(trials["trial_id"].tolist(), reader)
        if read is not None and len(read[0].gold) > 1:
            budget -= len(trials)
            ids = trials["assignment_id"].to_numpy()
            value = _optimism(read, ids, "|".join(cell))
            rows.append((*cell, len(read[0].gold), len(np.unique(ids)), value))
    return pd.DataFrame(rows, columns=OPTIMISM).sort_values(CELL, ignore_index=True), passed


def _all(trials: list[str], reader: Reader) -> list[Predictions] | None:
    """The answers of all trials, ``None`` at the first that has none, or none on the same examples."""
    read: list[Predictions] = []
    for trial in trials:
        found = reader(trial)
        if found is None or (read and not np.array_equal(found.gold, read[0].gold)):
            return None
        read.append(found)
    return read


def _optimism(read: list[Predictions], ids: np.ndarray, name: str) -> float:
    gold = read[0].gold
    first, second = resample.halves(len(gold), _SPLITS, np.random.default_rng(seed_of(f"optimism|{name}")))
    weights = np.concatenate([first, second])
    scored = pd.DataFrame(resample.scores(read[0].metric, weights, np.stack([p.predicted for p in read]), gold).T)
    medians = scored.groupby(ids).median().to_numpy().T  # (2 splits, assignments)
    others = np.roll(medians, _SPLITS, axis=0)
    best = medians.argmax(axis=1)
    chosen = np.arange(len(best)), best
    return float((medians[chosen] - others[chosen]).mean())
