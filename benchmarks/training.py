"""How fast trials are trained, and how well, beside Ray Tune with one Trainer and PEFT per trial.

    python benchmarks/training.py --size cpu --json training.json                # aot run; 2 cores, under 15 minutes
    python benchmarks/training.py --size cpu --engine plain                      # the same without Ray and MLflow
    python benchmarks/training.py --size gpu                                     # one card, under 8 minutes
    python benchmarks/training.py --size cpu --engine plain --scores             # eight seeds of a task that is learnt
    python benchmarks/training.py --size gpu --curve pack tokens --plot c.png    # where packing stops paying

Both train the same trials by turns in one call. docs/performance.md says what is measured and what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks import _training_curves as curves
from benchmarks import _training_rounds as rounds
from benchmarks import _training_show as show
from benchmarks._training_data import ARCHITECTURES, data_folder
from benchmarks._training_grid import Cell, Grid, Outcome, Way, prepare
from benchmarks._training_plain import Plain
from benchmarks._training_sizes import PRECISIONS, SIZES, Section, both

PACKAGES = ("torch", "transformers", "peft", "accelerate", "ray")
RESERVE_SECONDS = 20  # for the last lines and for processes that end
PROFILE_SECONDS = 90  # for a trial of each side alone, where none was timed
LOAD = round(os.getloadavg()[0], 1)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Bench:
    """What all sections share: where they run, and until when (of time.time)."""

    engine: str
    device: str
    threads: int
    folder: Path
    data_dir: str | None
    until: float

    def cells(self, name: str, grid: Grid, ways: Sequence[Way]) -> dict[str, Cell]:
        """The grid at every precision that a way has."""
        precisions = dict.fromkeys(way.precision for way in ways)
        slug = "".join(c if c.isalnum() else "-" for c in name)
        return {p: prepare(f"{slug}-{p}", replace(grid, precision=p), self.folder, self.data_dir) for p in precisions}


@dataclass(frozen=True)
class _First:
    """The plain engine with fewer trials for the peer, and timers where they cost nothing."""

    engine: Plain
    peer_trials: int | None

    def run(self, cell: Cell, way: Way) -> Outcome:
        packs = None
        if way.who == "peer" and self.peer_trials is not None:
            trials = 1 if way.compiled else max(self.peer_trials, way.workers)
            packs = [list(range(min(cell.grid.trials, trials)))]
        return self.engine.run(cell, way, packs, timed=self.engine.device == "cpu")


def compare(bench: Bench, plain: Plain, section: Section) -> dict[str, Any]:
    """Measure a section, and say in numbers what came of it."""
    say(f"{section.name}: {section.grid.trials} trials, {bench.engine} engine")
    cells = bench.cells(section.name, section.grid, section.ways)
    engine: rounds.Engine = _First(plain, section.peer_trials)
    until = bench.until - RESERVE_SECONDS
    if bench.engine == "ray":
        from benchmarks._training_ray import WithRay

        engine, until = WithRay(bench.device, bench.data_dir), until - PROFILE_SECONDS
    elif bench.device == "cuda":
        plain.start(section.ways)
    found = rounds.interleaved(engine, cells, section.ways, section.rounds, until, say)
    ours, peer = rounds.best(found, "ours"), rounds.best(found, "peer")
    profiles = {way.who: profile(bench, plain, cells[way.precision], way, found) for way in (ours, peer) if way}
    return {
        "name": section.name,
        "grid": asdict(section.grid),
        "peer_method": section.grid.peers.method,
        "texts_drawn": next(iter(cells.values())).drawn,
        "random_weights": section.grid.backbone in ARCHITECTURES,
        **rounds.summary(found, ours, peer),
        "padding_share": rounds.padding(profiles.get("ours")),
        "peer_padding_share": rounds.padding(profiles.get("peer")),
        "where": {who: rounds.places(outcome) for who, outcome in profiles.items()},
    }


def profile(bench: Bench, plain: Plain, cell: Cell, way: Way, found: Sequence[rounds.Round]) -> Outcome | None:
    """An outcome that says where the time went: of the last round, or of one more pack or trial, alone, by the plain
    engine, where none was timed. Start-up is that of one worker."""
    timed = [r[way] for r in found if way in r and r[way].where]
    if not timed:
        if time.time() > bench.until - RESERVE_SECONDS:
            return None
        alone = replace(way, workers=1, pack=way.pack or 1)
        packs = cell.runs(alone)[:1] if way.who == "ours" else [[0]]
        timed = [plain.run(cell, alone, packs, timed=True)]
    outcome = timed[-1]
    start_up = outcome.where.get("start-up", 0.0) + outcome.start_up * outcome.way.workers
    return replace(outcome, where={**outcome.where, "start-up": start_up})


def settings(asked: argparse.Namespace, folder: Path) -> tuple[Bench, tuple[Section, ...]]:
    """Where to measure, and what: a size, as the options change it. ``folder``: for whatever is written."""
    size = SIZES[asked.size]
    device = asked.device or size.device
    engine = asked.engine or size.engine
    minutes = size.minutes if asked.minutes is None else asked.minutes
    cores = len(os.sched_getaffinity(0))
    threads = 1 if device == "cpu" else max(1, cores // 4)
    bench = Bench(engine, device, threads, folder, data_folder(asked.data), time.time() + 60 * minutes)
    sections = size.sections
    if asked.scores:
        ways = sections[0].ways if device == "cuda" else both(PRECISIONS, 2, 1)
        kinds = {way.who: way for way in reversed(ways)}
        pairs = tuple(replace(kinds[who], precision=p) for p in asked.precision or ["float32"] for who in kinds)
        sections = (Section("scores", size.scores, pairs, rounds=1),)
    return bench, tuple(_changed(section, asked, engine) for section in sections)


def _changed(section: Section, asked: argparse.Namespace, engine: str) -> Section:
    names = ("backbone", "task", "method", "rows", "dev_rows", "batch_size", "max_length", "epochs")
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    if "method" in given:
        given["config"] = {}
    if asked.seeds is not None:
        given["seeds"] = tuple(range(asked.seeds))
    ways = section.ways
    if asked.precision:
        ways = tuple(way for way in ways if way.precision in asked.precision)
    if asked.pack is not None or engine == "plain":
        ways = tuple(replace(way, pack=_pack(engine, asked.pack or way.pack)) for way in ways)
    if asked.workers is not None:
        ways = tuple(replace(way, workers=asked.workers) for way in ways)
    ways = tuple(dict.fromkeys(ways))
    return replace(section, grid=replace(section.grid, **given), ways=ways, rounds=asked.rounds or section.rounds)


def _pack(engine: str, pack: int | None) -> int | None:
    """The plain engine has no plan to ask: on the CPU, where the plan's packs are of one, its packs are too."""
    return pack or (1 if engine == "plain" else None)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="cpu", help="what is trained, and for how long at most")
    parser.add_argument(
        "--engine", choices=("ray", "plain"), help="aot run and Ray Tune, or neither (default: by size)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: by size)")
    parser.add_argument("--data", metavar="FOLDER", help="GLUE in the hub's layout (default: AOT_DATA_DIR)")
    parser.add_argument("--rounds", type=int, metavar="N", help="at most so many, as far as time allows")
    parser.add_argument("--minutes", type=float, help="what runs then is given up (default: by size)")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, help="only these")
    parser.add_argument("--workers", type=int, metavar="N", help="trials or packs at a time, in every way")
    parser.add_argument("--pack", type=int, metavar="K", help="members of our packs (default: the plan's; plain: 1)")
    parser.add_argument("--backbone", help="a source as in a study, roberta-base or roberta-large")
    parser.add_argument("--task")
    parser.add_argument("--method", help="with the defaults of its config")
    for name, what in (("rows", "train rows"), ("dev-rows", ""), ("batch-size", ""), ("max-length", "tokens")):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=what)
    parser.add_argument("--epochs", type=int, metavar="N")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N - 1")
    parser.add_argument("--scores", action="store_true", help="train eight seeds of a task that is learnt instead")
    parser.add_argument("--curve", nargs="+", choices=("pack", "tokens", "devices"), help="measure these instead")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure what the command line asks for, as far as time allows; print it and write it down."""
    asked = parsed()
    with tempfile.TemporaryDirectory(prefix="aot-training-") as folder:
        result = measure(asked, Path(folder))
    if asked.json:
        asked.json.write_text(json.dumps(show.plain(result), indent=2) + "\n")
    if asked.plot and result["curves"]:
        curves.plot(result["curves"], asked.plot)
    print(show.text(result))
    if result["sections"] and result["ratio"] is None:
        raise SystemExit("one side or both could not be measured, see above")


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Curves, or else sections; the first section's numbers stand at the top as well."""
    bench, sections = settings(asked, folder)
    began, found, drawn = time.time(), [], {}
    with Plain(bench.device, bench.threads, bench.folder, bench.until) as plain:
        if asked.curve:
            drawer = curves.Curves(plain, sections[0].grid, bench.folder, bench.data_dir, say)
            drawn = {name: curves.measure(name, drawer, asked.workers or 2) for name in asked.curve}
        else:
            for section in sections:
                if found and time.time() > bench.until - 2 * RESERVE_SECONDS:
                    say(f"no time for {section.name}")
                    continue
                found.append(compare(bench, plain, section))
    return {
        **(found[0] if found else {}),
        "sections": found,
        "curves": drawn,
        "engine": bench.engine,
        "device": show.device(bench.device),
        "versions": {name: version for name in PACKAGES if (version := show.version(name))},
        "load_before": LOAD,
        "seconds": time.time() - began,
    }


if __name__ == "__main__":
    main()
