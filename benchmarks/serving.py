"""Many tasks in one batch: ours beside PEFT and beside one model per task, by turns in one call.

    python benchmarks/serving.py --size cpu --json serving.json      # 2 cores, under 15 minutes
    python benchmarks/serving.py --size gpu --json serving.json      # one card, under 8 minutes; no Ray, no MLflow
    python benchmarks/serving.py --load --json load.json             # a server under load; at most 60 s of it
    python benchmarks/serving.py --size tiny                         # that all of it works

Every row of a batch is a text of one task. docs/serving_speed.md says what is measured and what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks import _serving_rounds as rounds
from benchmarks import _serving_show as show
from benchmarks import _training_show as training_show
from benchmarks._serving_case import Case, Wanted, prepare
from benchmarks._serving_processes import Processes, check
from benchmarks._serving_sizes import SIZES, Bench, Point, Section
from benchmarks._training_data import ARCHITECTURES, data_folder
from benchmarks._training_grid import MINILM

PACKAGES = ("torch", "transformers", "peft", "tokenizers")
RESERVE_SECONDS = 20  # for the last lines and for processes that end
LOAD = round(os.getloadavg()[0], 1)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def compare(bench: Bench, section: Section, until: float) -> dict[str, Any]:
    """Measure a section, with one round at least and then until ``until``; what came of it in numbers."""
    say(f"{section.name}: {len(section.points)} points, {len(section.ways)} ways")
    tasks = max(point.tasks for point in section.points)
    folder = bench.folder / "".join(c if c.isalnum() else "-" for c in section.name)
    case = prepare(wanted(bench, section, tasks), folder, bench.data_dir, bench.device)
    at = case.save(folder / "case.pickle")
    with Processes(bench, at, folder) as processes:
        failed = processes.start(section.ways, at_once=len(os.sched_getaffinity(0)))
        for way, error in failed.items():
            say(f"  {way}: failed: {error}")
        logits, memory = check(processes, section.ways, checked(section), section.precision)
        unlike = {row["way"]: row["error"] for row in logits if row["error"] and row["with"]}
        for name, error in unlike.items():
            say(f"  {name}: {error}")
        ways = [way for way in section.ways if str(way) not in unlike]
        limits = rounds.Limits(section.rounds, until, bench.until - RESERVE_SECONDS)
        found = rounds.interleaved(processes, section.points, ways, limits, say)
    return described(section, case, tasks) | {
        "logits": logits,
        "rounds": len(found),
        "points": rounds.rows(found, memory),
        "ratios": rounds.comparisons(found),
        "failed": {str(way): error for way, error in failed.items()},
    }


def wanted(bench: Bench, section: Section, tasks: int) -> Wanted:
    """The artifacts of a section: LoRA's of every task, of those with rows of P as many as the size has."""
    configs: dict[str, dict[str, Any]] = {"lora": {"rank": section.rank}, "aot_fc": {"rank": section.aot_rank}}
    distinct = {"lora": tasks, "aot_fc": bench.size.distinct}
    return Wanted(section.backbone, section.texts, tasks, configs, distinct, section.max_length, section.precision)


def loaded(bench: Bench, section: Section) -> Wanted:
    """The artifacts of both servers: as many tasks, those with rows of P and those that are whole models."""
    own = wanted(bench, section, max(point.tasks for point in section.points))
    distinct = dict.fromkeys(("aot_fc", "fine_tuning"), bench.size.distinct)
    return replace(own, configs={"aot_fc": own.configs["aot_fc"], "fine_tuning": {}}, distinct=distinct)


def checked(section: Section) -> list[Point]:
    """Where logits are compared and memory is looked at: the largest batch of each number of tasks, ascending."""
    most: dict[int, int] = {}
    for point in section.points:
        most[point.tasks] = max(point.rows, most.get(point.tasks, 0))
    return [Point(tasks, most[tasks]) for tasks in sorted(most)]


def described(section: Section, case: Case, tasks: int) -> dict[str, Any]:
    """What a section measured, without any number of it."""
    return {
        "name": section.name,
        "backbone": section.backbone,
        "texts": section.texts,
        "precision": section.precision,
        "tasks": tasks,
        "distinct": case.distinct["aot_fc"],
        "rank": section.rank,
        "aot_rank": section.aot_rank,
        "max_length": section.max_length,
        "texts_drawn": case.drawn,
        "random_weights": section.backbone in ARCHITECTURES,
    }


def settings(asked: argparse.Namespace, folder: Path) -> tuple[Bench, tuple[Section, ...]]:
    """Where to measure, and what: a size, as the options change it. ``folder``: for whatever is written."""
    size = SIZES[asked.size]
    size = replace(size, calls=asked.calls or size.calls, distinct=asked.distinct or size.distinct)
    device = asked.device or size.device
    cores = len(os.sched_getaffinity(0))
    threads = asked.threads or (cores if device == "cpu" else max(1, min(8, cores)))
    minutes = size.minutes if asked.minutes is None else asked.minutes
    bench = Bench(size, device, threads, folder, data_folder(asked.data), time.time() + 60 * minutes)
    sections: dict[str, Section] = {}
    for section in size.sections:
        if asked.precision in (None, section.precision):
            own = _changed(section, asked)
            sections.setdefault(own.name, own)  # of those that the options made the same, the first
    return bench, tuple(sections.values())


def _changed(section: Section, asked: argparse.Namespace) -> Section:
    points, ways = section.points, section.ways
    if asked.tasks or asked.batch:
        tasks = asked.tasks or dict.fromkeys(point.tasks for point in points)
        batch = asked.batch or dict.fromkeys(point.rows for point in points)
        points = tuple(Point(t, b) for t in tasks for b in batch)
    if asked.no_compile:
        ways = tuple(way for way in ways if not way.compiled)
    backbone, texts = asked.backbone or section.backbone, asked.texts or section.texts
    name = section.name
    if (backbone, texts) != (section.backbone, section.texts):
        name = f"{backbone}, {texts}, {section.precision}"
    changed = replace(section, name=name, backbone=backbone, texts=texts, points=points, ways=ways)
    return replace(changed, rounds=asked.rounds or section.rounds)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="cpu", help="what is measured, and for how long at most")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: by size)")
    parser.add_argument("--data", metavar="FOLDER", help="GLUE in the hub's layout (default: AOT_DATA_DIR)")
    parser.add_argument("--backbone", help=f"a source as in a study, such as {MINILM}, roberta-base or roberta-large")
    parser.add_argument("--texts", metavar="TASK", help="whose dev rows are asked about, such as glue/mrpc")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="only the sections of this one")
    parser.add_argument("--tasks", type=int, nargs="+", metavar="N", help="tasks in a batch")
    parser.add_argument("--batch", type=int, nargs="+", metavar="N", help="rows of a batch")
    parser.add_argument("--rounds", type=int, metavar="N", help="at most so many, as far as time allows")
    parser.add_argument("--calls", type=int, metavar="N", help="batches of a way in one turn")
    parser.add_argument("--distinct", type=int, metavar="N", help="tasks that have rows of P of their own")
    parser.add_argument("--threads", type=int, metavar="N", help="of every process (default: the machine's cores)")
    parser.add_argument("--minutes", type=float, help="what runs then is given up (default: by size)")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile, which takes a while")
    parser.add_argument("--load", action="store_true", help="put a server under load instead")
    parser.add_argument("--rate", type=float, help="requests per second of the open loop (default: half of what fits)")
    parser.add_argument("--seconds", type=float, default=48, help="of all load together, at most 60 (default: 48)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    asked = parser.parse_args(arguments)
    if not 0 < asked.seconds <= 60:
        parser.error(f"--seconds must be above 0 and at most 60, but got {asked.seconds:g}")
    return asked


def main() -> None:
    """Measure what the command line asks for, as far as time allows; print it and write it down."""
    asked = parsed()
    with tempfile.TemporaryDirectory(prefix="aot-serving-") as folder:
        result = measure(asked, Path(folder))
    if asked.json:
        asked.json.write_text(json.dumps(training_show.plain(result), indent=2) + "\n")
    print(show.text(result))
    if reasons := wrong(result):
        raise SystemExit("; ".join([*reasons, "see above"]))


def wrong(result: dict[str, Any]) -> list[str]:
    """What makes the numbers worth nothing: answers that differ, are lost, or were never given by us."""
    compared = [row for section in result["sections"] for row in section["logits"] if row["error"]]
    logits = [row for row in compared if row["with"] or row["side"] == "ours"]  # a peer may have no room or no time
    found = [f"{len(logits)} comparisons of logits failed"] if logits else []
    load = result["load"] or {"errors": {}, "phases": []}
    found += [f"{name} did not start" for name in load["errors"]]
    lost = sum(phase["failed"] + phase["unanswered"] for phase in load["phases"])
    return found + ([f"{lost} requests to servers failed or had no answer"] if lost else [])


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Sections, or a server under load."""
    bench, sections = settings(asked, folder)
    began, found, load = time.time(), [], None
    if asked.load:
        from benchmarks._serving_servers import under_load

        load = under_load(bench, loaded(bench, sections[0]), asked.seconds, asked.rate, say)
    for number, section in enumerate(() if asked.load else sections):
        left = bench.until - RESERVE_SECONDS - time.time()
        if found and left < 2 * RESERVE_SECONDS:
            say(f"no time for {section.name}")
            continue
        weights = [len(each.points) * each.rounds for each in sections[number:]]
        found.append(compare(bench, section, time.time() + left * weights[0] / sum(weights)))
    return {
        "sections": found,
        "load": load,
        "device": training_show.device(bench.device),
        "threads": bench.threads,
        "calls": bench.size.calls,
        "versions": {name: version for name in PACKAGES if (version := training_show.version(name))},
        "load_before": LOAD,
        "seconds": time.time() - began,
    }


if __name__ == "__main__":
    main()
