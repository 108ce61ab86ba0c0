"""Ways in turn, round by round, and what follows from it: ratios, scores, and where the time went."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from benchmarks._training_grid import Cell, Outcome, Way
from benchmarks._training_timers import PLACES

Round = dict[Way, Outcome]


class Engine(Protocol):
    """Whoever can train a cell in a way."""

    def run(self, cell: Cell, way: Way) -> Outcome: ...


def interleaved(
    engine: Engine,
    cells: Mapping[str, Cell],
    ways: Sequence[Way],
    rounds: int,
    until: float,
    say: Callable[[str], None],
) -> list[Round]:
    """Every way once in each round, the order turned round from one to the next; as many rounds as fit.

    ``cells``: by precision. Another round begins only if it would end before ``until`` (of time.time), by the longest
    so far. A way that failed is left out from then on, as is after the first round what has to be compiled.
    """
    found: list[Round] = []
    longest, failed = 0.0, set()
    for number in range(rounds):
        began = time.time()
        if found and began + longest > until:
            say(f"no time for round {number + 1} of {rounds}: a round takes {longest:.0f} s")
            break
        this: Round = {}
        for way in ways if number % 2 == 0 else tuple(reversed(ways)):
            if way in failed or (way.compiled and number):
                continue
            outcome = this[way] = engine.run(cells[way.precision], way)
            if outcome.error:
                failed.add(way)
                say(f"  {way}: failed: {outcome.error}")
            else:
                each = way.workers * outcome.seconds / outcome.trials
                say(f"  {way}: {outcome.per_hour:,.0f} trials per hour ({each:.2f} s of a worker each)")
        found.append(this)
        longest = max(longest, time.time() - began)
    return found


@dataclass(frozen=True)
class Ratio:
    """Ours over the peer's, trials per hour: the median over rounds, the lowest and the highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def best(rounds: Sequence[Round], who: str, precision: str | None = None) -> Way | None:
    """The way of one side, perhaps of one precision, with the highest median of trials per hour; None: none worked."""
    ways = {w for r in rounds for w, o in r.items() if w.who == who and precision in (None, w.precision) and o.trials}
    return max(ways, key=lambda way: typical(rounds, way), default=None)


def typical(rounds: Sequence[Round], way: Way, with_start_up: bool = False) -> float:
    """The median over rounds of a way's trials per hour."""
    outcomes = [r[way] for r in rounds if way in r and r[way].trials]
    return statistics.median(o.per_hour_with_start_up if with_start_up else o.per_hour for o in outcomes)


def ratio(rounds: Sequence[Round], ours: Way | None, peer: Way | None, with_start_up: bool = False) -> Ratio | None:
    """Of the rounds in which both ways worked; None where there is no such round."""
    pairs = [(r[ours], r[peer]) for r in rounds if ours in r and peer in r and r[ours].trials and r[peer].trials]
    if not pairs:
        return None
    if with_start_up:
        values = [a.per_hour_with_start_up / b.per_hour_with_start_up for a, b in pairs]
    else:
        values = [a.per_hour / b.per_hour for a, b in pairs]
    return Ratio(statistics.median(values), min(values), max(values))


def scores(rounds: Sequence[Round], way: Way | None) -> list[float]:
    """Each trial's score in percent, from the first round in which the way worked; diverged ones left in as NaN."""
    found = next((r[way].scores for r in rounds if way in r and r[way].trials), {})
    return [found[key] for key in sorted(found)]


@dataclass(frozen=True)
class Difference:
    """Ours minus the peer's mean score, with Welch's 95 % interval: in points of percent."""

    mean: float
    low: float
    high: float


def difference(ours: Sequence[float], peer: Sequence[float]) -> Difference | None:
    """None where a side has fewer than two finite scores, or neither of them spreads."""
    from scipy import stats

    a, b = ([x for x in side if math.isfinite(x)] for side in (ours, peer))
    if min(len(a), len(b)) < 2 or not (statistics.pvariance(a) or statistics.pvariance(b)):
        return None
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return Difference(statistics.fmean(a) - statistics.fmean(b), float(interval.low), float(interval.high))


def places(outcome: Outcome | None) -> dict[str, float]:
    """Seconds per trial by what they went to; a pack's divided by its members. Empty where nothing was timed."""
    if outcome is None or not outcome.where or not outcome.trials:
        return {}
    return {place: outcome.where.get(place, 0.0) / outcome.trials for place in PLACES}


def padding(outcome: Outcome | None) -> float | None:
    """The share of padding among the tokens of the training batches, 0 to 1."""
    return None if outcome is None or not outcome.tokens[1] else 1 - outcome.tokens[0] / outcome.tokens[1]


def way_rows(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """A row per way, for people and for the file."""
    ways = dict.fromkeys(way for r in rounds for way in r)
    rows = []
    for way in ways:
        outcomes = [r[way] for r in rounds if way in r]
        sound = [o for o in outcomes if o.trials]
        row: dict[str, Any] = {"way": str(way), "who": way.who, "rounds": len(sound), "error": outcomes[-1].error}
        if sound:
            row |= {
                "trials": sound[0].trials,
                "per_hour": [round(o.per_hour, 2) for o in sound],
                "median_per_hour": typical(rounds, way),
                "median_per_hour_with_start_up": typical(rounds, way, with_start_up=True),
                "worker_seconds_per_trial": way.workers * 3_600 / typical(rounds, way),
                "start_up_seconds": statistics.median(o.start_up for o in sound),
                "scores": scores(rounds, way),
                "memory_mib": max(o.memory_mib for o in sound),
            }
        rows.append(row)
    return rows


def summary(found: Sequence[Round], ours: Way | None, peer: Way | None) -> dict[str, Any]:
    """What came of the rounds, for the file."""
    values: dict[str, Any] = {"rounds": len(found)}
    for side, way in (("ours", ours), ("peer", peer)):
        values[f"{side}_way"] = None if way is None else str(way)
        values[f"{side}_trials_per_hour"] = None if way is None else typical(found, way)
        values[f"{side}_trials_per_hour_with_start_up"] = None if way is None else typical(found, way, True)
        values[f"{side}_scores"] = scores(found, way)
    for name, with_start_up in (("ratio", False), ("ratio_with_start_up", True)):
        one = ratio(found, ours, peer, with_start_up)
        values |= {f"{name}{part}": None if one is None else value for part, value in _parts(one)}
    precisions = dict.fromkeys(way.precision for r in found for way in r)
    values["by_precision"] = {p: _at(found, p) for p in precisions}
    a, b = values["ours_scores"], values["peer_scores"]
    apart = difference(a, b)
    values["scores"] = {
        "ours": _moments(a), "peer": _moments(b), "difference": None if apart is None else asdict(apart)
    }  # fmt: skip
    values["ways"] = way_rows(found)
    return values


def _parts(one: Ratio | None) -> list[tuple[str, float]]:
    if one is None:
        return [("", math.nan), ("_low", math.nan), ("_high", math.nan)]
    return [("", one.median), ("_low", one.low), ("_high", one.high)]


def _at(found: Sequence[Round], precision: str) -> dict[str, float] | None:
    one = ratio(found, best(found, "ours", precision), best(found, "peer", precision))
    return None if one is None else asdict(one)


def _moments(values: Sequence[float]) -> dict[str, Any]:
    """Number, mean and sample standard deviation, the last two of the finite ones."""
    finite = [x for x in values if math.isfinite(x)]
    std = statistics.stdev(finite) if len(finite) > 1 else None
    return {"n": len(values), "mean": statistics.fmean(finite) if finite else None, "std": std}
