"""Ways in turn, point by point and round by round, and what follows from it: times, ratios, memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from benchmarks._serving_sizes import PLAIN, Point, Way


@dataclass(frozen=True)
class Outcome:
    """A turn: the seconds of each batch, from texts to answers, and those of them in which texts became tokens.
    ``facts``: the engine's counters."""

    seconds: tuple[float, ...] = ()
    text: tuple[float, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def median(self) -> float:
        """Seconds of a batch."""
        return statistics.median(self.seconds)

    @property
    def without_text(self) -> float:
        """The same without making tokens."""
        return statistics.median(a - b for a, b in zip(self.seconds, self.text, strict=True))


Round = dict[tuple[Point, Way], Outcome]
#: MiB of a way's process that has so many tasks, by what they are.
Memory = Mapping[tuple[Way, int], Mapping[str, float]]


class Runner(Protocol):
    """Whoever can let a way answer batches."""

    def run(self, way: Way, point: Point) -> Outcome: ...


@dataclass(frozen=True)
class Limits:
    """At most so many ``rounds``. Moments of time.time: no round begins that would end after ``until``, by the longest
    so far, and no point begins after ``last``."""

    rounds: int
    until: float
    last: float


def interleaved(
    runner: Runner, points: Sequence[Point], ways: Sequence[Way], limits: Limits, say: Callable[[str], None]
) -> list[Round]:
    """Every way once at every point in each round; the order of the ways is turned round from one to the next.

    The ways take turns at each point, so that what the machine does meanwhile meets all of them. A way that failed at a
    point is left out there from then on, and where there are more tasks.
    """
    found: list[Round] = []
    longest, failed = 0.0, dict[Way, Point]()
    for number in range(limits.rounds):
        began = time.time()
        if found and began + longest > limits.until:
            say(f"no time for round {number + 1} of {limits.rounds}: a round takes {longest:.0f} s")
            break
        this: Round = {}
        found.append(this)
        for point in points:
            if time.time() > limits.last:
                say(f"no time for {point} and what follows")
                return found
            for way in ways if number % 2 == 0 else tuple(reversed(ways)):
                if not way.fits(point) or _hopeless(failed.get(way), point):
                    continue
                outcome = this[point, way] = runner.run(way, point)
                if outcome.error:
                    failed[way] = point
                    say(f"  {point}: {way}: failed: {outcome.error}")
                else:
                    say(f"  {point}: {way}: {1_000 * outcome.median:,.1f} ms")
        longest = max(longest, time.time() - began)
    return found


def _hopeless(failed: Point | None, point: Point) -> bool:
    return failed is not None and point.tasks >= failed.tasks


@dataclass(frozen=True)
class Ratio:
    """The median over rounds, the lowest and the highest."""

    median: float
    low: float
    high: float


def ratio(rounds: Sequence[Round], point: Point, over: Way, under: Way, text: bool = True) -> Ratio | None:
    """The time of ``over`` as a multiple of that of ``under``, in each round in which both worked; None: in none."""
    values = []
    for this in rounds:
        a, b = this.get((point, over)), this.get((point, under))
        if a and b and a.seconds and b.seconds:
            values.append(a.median / b.median if text else a.without_text / b.without_text)
    return Ratio(statistics.median(values), min(values), max(values)) if values else None


def best(rounds: Sequence[Round], point: Point, side: str, form: str | None = None) -> Way | None:
    """The way of a side, perhaps of one form, that takes the least time at a point; None: none worked."""
    ways = {w for r in rounds for p, w in r if p == point and w.side == side and form in (None, w.form)}
    working = [way for way in ways if outcomes(rounds, point, way)]
    return min(working, key=lambda way: typical(rounds, point, way), default=None)


def outcomes(rounds: Sequence[Round], point: Point, way: Way) -> list[Outcome]:
    """The turns of a way at a point that worked."""
    return [r[point, way] for r in rounds if (point, way) in r and r[point, way].seconds]


def typical(rounds: Sequence[Round], point: Point, way: Way) -> float:
    """The median over rounds of a batch's seconds."""
    return statistics.median(outcome.median for outcome in outcomes(rounds, point, way))


def rows(found: Sequence[Round], memory: Memory) -> list[dict[str, Any]]:
    """A row per point and way, for people and for the file."""
    keys = dict.fromkeys(key for this in found for key in this)
    order = {point: i for i, point in enumerate(dict.fromkeys(point for point, _ in keys))}
    ordered = sorted(keys, key=lambda key: order[key[0]])
    return [_row(found, point, way) | {"mib": dict(memory.get((way, point.tasks), {}))} for point, way in ordered]


def _row(found: Sequence[Round], point: Point, way: Way) -> dict[str, Any]:
    sound = outcomes(found, point, way)
    row: dict[str, Any] = {"tasks": point.tasks, "batch": point.rows, "mix": point.mix, "way": str(way)}
    row |= {"side": way.side, "form": way.form, "rows": way.rows, "rounds": len(sound)}
    row["error"] = next((r[point, way].error for r in reversed(found) if (point, way) in r), "")
    if not sound:
        return row
    seconds = typical(found, point, way)
    return row | {
        "milliseconds": 1_000 * seconds,
        "milliseconds_low": 1_000 * min(outcome.median for outcome in sound),
        "milliseconds_high": 1_000 * max(outcome.median for outcome in sound),
        "milliseconds_of_text": 1_000 * statistics.median(t for outcome in sound for t in outcome.text),
        "rows_per_second": point.rows / seconds,
        "of_plain": _values(ratio(found, point, way, PLAIN)),
        "of_plain_without_text": _values(ratio(found, point, way, PLAIN, text=False)),
        "facts": dict(sound[-1].facts),
    }


def comparisons(found: Sequence[Round]) -> list[dict[str, Any]]:
    """At each point, each of our ways against the best way of each kind of peer: above 1, ours answers more rows."""
    compared = []
    for point in dict.fromkeys(point for this in found for point, _ in this):
        ours = dict.fromkeys(way for this in found for p, way in this if p == point and way.side == "ours")
        for form in ("peft", "models"):
            peer = best(found, point, "peer", form)
            for way in ours if peer else ():
                assert peer is not None
                both = {text: _values(ratio(found, point, peer, way, text)) for text in (True, False)}
                if both[True] is None:
                    continue
                at = {"tasks": point.tasks, "batch": point.rows, "mix": point.mix}
                kinds = {"way": str(way), "peer": form, "peer_way": str(peer)}
                compared.append({**at, **kinds, "ratio": both[True], "ratio_without_text": both[False]})
    return compared


def _values(one: Ratio | None) -> dict[str, float] | None:
    return None if one is None else asdict(one)
