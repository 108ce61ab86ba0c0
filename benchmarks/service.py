"""What the search itself costs: driver time and memory for trials that take no time, beside plain Ray Tune.

    python benchmarks/service.py --trials 1000 --json service.json
    python benchmarks/service.py --growth 100 1000 10000 --plot growth.png

The searcher, the scheduler, Tune, the journal and MLflow (SQLite) are the real ones; the training is a stub that
reports ten epochs. Each run is a process of its own in a new folder. docs/benchmarks.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
PEER_TRIALS = 500
POLL_SECONDS = 0.2
#: A process of the search's own that is not the driver.
WRITER = "search.tracking.mlflow_process"


@dataclass
class Helper:
    """What the process that writes to MLflow took so far: processor seconds, and peak memory in MiB."""

    cpu_seconds: float = 0.0
    peak_mib: float = 0.0

    def watch(self, driver: int, done: threading.Event) -> None:
        """Look at it from outside until ``done``; the last look misses at most ``POLL_SECONDS`` of its work."""
        while not done.wait(POLL_SECONDS):
            try:
                for child in psutil.Process(driver).children():
                    if WRITER in child.cmdline():
                        times, memory = child.cpu_times(), child.memory_info()
                        self.cpu_seconds = max(self.cpu_seconds, times.user + times.system)
                        self.peak_mib = max(self.peak_mib, memory.rss / 2**20)
            except psutil.Error:  # it has just ended
                continue


def measure(who: str, trials: int, pack: int, train: str, database: Path) -> dict[str, Any]:
    """Run one driver in a process and a folder of its own; what it took, and what its MLflow process took."""
    print(f"{who}: {trials:,} trials" + (f" in packs of {pack}" if who == "ours" else ""), file=sys.stderr)
    helper, done = Helper(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="aot-service-") as folder:
        shutil.copy(database, Path(folder) / "mlflow.db")
        settings = {"trials": trials, "pack": pack, "train": train, "folder": folder}
        log = Path(folder) / "driver.log"
        with open(log, "w") as words:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks._drivers", who, json.dumps(settings)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
            )
        watcher = threading.Thread(target=helper.watch, args=(process.pid, done))
        watcher.start()
        out, _ = process.communicate()
        done.set()
        watcher.join()
        if process.returncode:
            raise SystemExit(f"{log.read_text()}\nthe driver of {who} ended with code {process.returncode}, see above")
    found = json.loads(out.strip().splitlines()[-1])
    found |= {"mlflow_cpu_seconds": helper.cpu_seconds, "mlflow_peak_mib": helper.peak_mib}
    cpu = 1_000 * found["cpu_seconds"] / trials
    print(f"  {cpu:.1f} ms of driver time per trial, {found['wall_seconds']:.0f} s in all", file=sys.stderr)
    return found


def compare(trials: int, pack: int, peer_trials: int, train: str, database: Path) -> dict[str, Any]:
    """Ours in packs and, unless ``peer_trials`` is 0, the peer, one after the other; milliseconds per trial."""
    load = os.getloadavg()[0]
    own = measure("ours", trials, pack, train, database)
    found: dict[str, Any] = {
        "trials": trials,
        "pack": pack,
        "driver_ms_per_trial": _per_trial(own, "cpu_seconds"),
        "peer_ms_per_trial": None,
        "peak_mib": round(own["peak_mib"], 1),
        "driver_wall_ms_per_trial": _per_trial(own, "wall_seconds"),
        "mlflow_ms_per_trial": _per_trial(own, "mlflow_cpu_seconds"),
        "mlflow_peak_mib": round(own["mlflow_peak_mib"], 1),
        "sum_ms_per_trial": _per_trial(own, "cpu_seconds", "mlflow_cpu_seconds"),
        "peer_trials": peer_trials,
        "peer_wall_ms_per_trial": None,
        "peer_peak_mib": None,
        "every_epoch": train.endswith("every_epoch"),
        "processors": len(os.sched_getaffinity(0)),
        "load_before": round(load, 1),
    }
    if peer_trials:
        other = measure("peer", peer_trials, 1, train, database)
        found |= {
            "peer_ms_per_trial": _per_trial(other, "cpu_seconds"),
            "peer_wall_ms_per_trial": _per_trial(other, "wall_seconds"),
            "peer_peak_mib": round(other["peak_mib"], 1),
        }
    return found


def _per_trial(found: dict[str, Any], *seconds: str) -> float:
    return round(1_000 * sum(found[name] for name in seconds) / found["trials"], 2)


def empty_database(folder: Path) -> Path:
    """MLflow's tables without a row, made once: both sides start from a copy, and neither pays for it."""
    path = folder / "mlflow.db"
    code = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{path}').search_experiments()"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements for people; times in milliseconds of processor time per trial."""
    heads = ("trials", "pack", "driver", "MLflow process", "both", "peak MiB", "peer", "peer's trials", "peer MiB")
    keys = (
        *("trials", "pack", "driver_ms_per_trial", "mlflow_ms_per_trial", "sum_ms_per_trial", "peak_mib"),
        *("peer_ms_per_trial", "peer_trials", "peer_peak_mib"),
    )
    cells = [heads, *([_printed(row[key]) for key in keys] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _printed(value: float | None) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Driver time per trial and peak memory against the number of trials."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    trials = [row["trials"] for row in rows]
    time_axes.plot(trials, [row["driver_ms_per_trial"] for row in rows], "o-", label="driver")
    time_axes.plot(trials, [row["sum_ms_per_trial"] for row in rows], "s--", label="driver and MLflow process")
    peers = [(row["peer_trials"], row["peer_ms_per_trial"]) for row in rows if row["peer_trials"]]
    if peers:
        time_axes.plot(*zip(*peers, strict=True), "x", label="plain Ray Tune")
    memory_axes.plot(trials, [row["peak_mib"] for row in rows], "o-")
    for axes, what in ((time_axes, "processor ms per trial"), (memory_axes, "peak MiB of the driver")):
        axes.set(xscale="log", ylim=(0, 1.1 * axes.dataLim.ymax), xlabel="trials", ylabel=what)
    time_axes.legend()
    figure.savefig(path, dpi=150)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1_000, metavar="N", help="trials of ten epochs")
    parser.add_argument("--growth", type=int, nargs="+", metavar="N", help="several sizes instead, one after the other")
    parser.add_argument("--pack", type=int, default=8, help="members of a pack; 1 is a Tune trial per trial")
    parser.add_argument(
        "--peer-trials",
        type=int,
        metavar="M",
        help=f"trials of plain Ray Tune, 0 for none; default: N, {PEER_TRIALS} at most",
    )
    parser.add_argument(
        "--merge-short", action="store_true", help="let workers send short epochs together, as they do in a study"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw time and memory against trials")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure what the command line asks for."""
    asked = parsed()
    train = "benchmarks.stub" if asked.merge_short else "benchmarks.stub_every_epoch"
    rows = []
    with tempfile.TemporaryDirectory(prefix="aot-mlflow-") as folder:
        database = empty_database(Path(folder))
        for trials in asked.growth or [asked.trials]:
            peer = min(trials, PEER_TRIALS) if asked.peer_trials is None else asked.peer_trials
            started = time.perf_counter()
            rows.append(compare(trials, asked.pack, peer, train, database))
            print(f"  measured in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    if asked.json:
        asked.json.write_text(json.dumps(rows if asked.growth else rows[0], indent=2) + "\n")
    if asked.plot:
        plot(rows, asked.plot)
    print("processor milliseconds per trial, and peak memory of the driver\n" + table(rows))


if __name__ == "__main__":
    main()
