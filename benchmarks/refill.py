"""How full packs are when members stop by patience, alone and with others that go along: counted, nothing is trained.

    python benchmarks/refill.py [--members 8 32] [--packs 4 16] [--workers 1 4] [--most 1 2 3 4]

``fill``: epochs of members for each epoch of a place. ``time``: until the last worker is done, in epochs of a pack,
where one takes the same time however many members it has (a GPU that a few members do not fill). ``full``: the same
where it takes as long as it has members, so that nothing can be gained and only an uneven end can cost.

Scores are drawn: each trial rises towards its best with a pace of its own, 1 to 30 % of the way in an epoch, and some
noise of the dev split. What stops it, who is trained next and together, and when a worker is given another pack are the
product's own (``Patience``, ``together``, ``behind``, ``packs_along``).
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

import argparse
import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import product
from unittest import mock

from search.tune import searcher
from trainables.patience import Patience
from trainables.roster import behind, together

#: Epochs and patience of the paper: CoLA, MRPC, SST-2 and STS-B; RTE.
PROTOCOLS = ((100, 10), (200, 20))


def stop(drawn: random.Random, epochs: int, patience: int) -> int:
    """The epoch with which a trial ends."""
    pace, rule = 10 ** drawn.uniform(-2, -0.5), Patience(patience)
    for epoch in range(1, epochs + 1):
        score = 100 * (1 - (1 - pace) ** epoch) + drawn.gauss(0, 1)
        if rule.update(score):
            return epoch
    return epochs


@dataclass
class Run:
    """A pack in training, whose members are the epochs with which they end."""

    active: list[int]
    epoch: int = 0
    step: int = 0

    @property
    def closed(self) -> int:
        return self.epoch

    def absorb(self, other: Run) -> None:
        self.active += other.active


@dataclass
class Worker:
    """What it trains, and what that came to."""

    places: int
    runs: list[Run] = field(default_factory=list)
    trained: int = 0  # epochs of members
    rounds: int = 0  # epochs of packs

    def epoch(self) -> int:
        """Train one; says how many members were in it."""
        self.runs = together(self.runs, self.places)
        run = behind(self.runs)
        members = len(run.active)
        run.epoch += 1
        run.active = [last for last in run.active if last > run.epoch]
        self.trained += members
        self.rounds += 1
        return members

    @property
    def members(self) -> int:
        return sum(len(run.active) for run in self.runs)


def play(packs: list[list[int]], places: int, workers: int, *, full: bool = False) -> tuple[float, float]:
    """Fill, and the time until all have ended; ``full``: an epoch takes as long as it has members."""
    waiting = deque(packs)
    crew = [Worker(places) for _ in range(workers)]
    turns = [(0.0, number) for number in range(workers)]
    end = 0.0
    while turns:
        now, number = heapq.heappop(turns)
        worker = crew[number]
        if not worker.members and not waiting:
            continue
        if not worker.members:
            worker.runs = [Run(list(waiting.popleft()))]
        for _ in range(searcher.packs_along(worker.members, places, len(waiting), workers)):
            worker.runs.append(Run(list(waiting.popleft())))
        members = worker.epoch()
        end = max(end, now + (members / places if full else 1.0))
        heapq.heappush(turns, (now + (members / places if full else 1.0), number))
    return sum(w.trained for w in crew) / (places * sum(w.rounds for w in crew)), end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--packs", type=int, nargs="+", default=[4, 16], help="packs of one shape for each worker")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--most", type=int, nargs="+", default=[1, 2, 3, 4], help="of MOST_ALONG; 1: each alone")
    options = parser.parse_args()
    print(f"{'epochs':>8}{'members':>9}{'workers':>9}{'packs':>7}{'most':>6}{'fill':>7}{'time':>7}{'full':>7}")
    for (epochs, patience), places, workers, number in product(
        PROTOCOLS, options.members, options.workers, options.packs
    ):
        drawn = random.Random(0)
        packs = [[stop(drawn, epochs, patience) for _ in range(places)] for _ in range(number * workers)]
        for most in options.most:
            with mock.patch.object(searcher, "MOST_ALONG", most):
                fill, time = play(packs, places, workers)
                _, full = play(packs, places, workers, full=True)
            case = f"{epochs:>8}{places:>9}{workers:>9}{number * workers:>7}"
            print(f"{case}{most:>6}{100 * fill:>6.0f}%{time:>7.0f}{full:>7.0f}")


if __name__ == "__main__":
    main()
