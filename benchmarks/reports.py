"""What it takes to get from many runs in MLflow to a report, beside MLflow's own way into pandas.

    python benchmarks/reports.py --trials 50000 --epochs 20 --json reports.json
    python benchmarks/reports.py --tracking postgresql://USER:PASSWORD@HOST/DATABASE
    python benchmarks/reports.py --paper-size
    python benchmarks/reports.py --allentune CLONE

The runs are made for it, as ``aot run`` logs them. Each step is a process of its own with an empty home folder, and its
numbers hold its start and its imports. docs/benchmarks.md says what they mean.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHANGED = 50  # trials that are logged again before the last export
#: A process of few MiB starts each step: what a new process is said to have held begins with what its parent holds.
LAUNCHER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - started
print(json.dumps([status, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""
PEER = """
import mlflow
mlflow.set_tracking_uri({tracking!r})
frame = mlflow.search_runs(experiment_names=["reports"], max_results=10**6)
print(frame.shape)
"""


@dataclass(frozen=True)
class Step:
    """Wall and processor seconds, and the largest resident memory in MiB, of a process and nothing else."""

    name: str
    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def measured(name: str, command: list[str], home: Path) -> Step:
    """Run a command to its end. Its words go to a file, which is shown where it fails."""
    environment = {
        **os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    print(f"  {name} …", file=sys.stderr, flush=True)
    with tempfile.TemporaryFile("w+") as words:
        launched = [sys.executable, "-c", LAUNCHER, *command]
        done = subprocess.run(launched, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=words, check=True)
        status, *found = json.loads(done.stdout)
        if status:
            words.seek(0)
            raise SystemExit(f"{words.read()}\n{name} ended with code {os.waitstatus_to_exitcode(status)}, see above")
    return Step(name, *found)


def aot(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "search.cli", *arguments]


def from_mlflow(trials: int, epochs: int, tracking: str | None, folder: Path) -> tuple[list[Step], dict[str, float]]:
    """The steps from a store with so many trials to a report, and what is known beside, with sizes in MB."""
    import yaml

    from benchmarks._stores import document, fill
    from search import study
    from search.planning.plan import plan

    home, file = folder / "home", folder / "study.yaml"
    home.mkdir()
    uri = tracking or f"sqlite:///{folder / 'mlflow.db'}"
    file.write_text(yaml.safe_dump(document(trials, epochs, folder, uri)))
    of = study.load(file)
    planned = plan(of).trials
    started = time.perf_counter()
    count = fill(of, planned)
    print(f"{count:,} trials of {epochs} epochs made in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    export = aot("export", str(file), "--out", str(folder / "runs.parquet"))
    reading = [sys.executable, "-m", "benchmarks._reader", of.name, uri]
    steps = [measured("MLflow read for the first time", reading, home), measured("read again", reading, home)]
    steps.append(measured("first export", export, folder / "elsewhere"))
    steps.append(measured("second export", export, folder / "elsewhere"))
    fill(of, planned[:CHANGED], moved=1.0)
    steps.append(measured(f"export after {CHANGED} changed", export, folder / "elsewhere"))
    page = folder / "report" / "report.html"
    report = aot("report", str(file), "--out", str(page.parent))
    steps.append(measured("report", report, folder / "elsewhere"))
    steps.append(measured("mlflow.search_runs", [sys.executable, "-c", PEER.format(tracking=uri)], home))
    kept = sum(file.stat().st_size for file in (folder / "elsewhere").rglob("logged/*.parquet"))
    return steps, {
        "trials": count, "epochs": epochs, "page_mb": page.stat().st_size / 1e6, "cache_bytes_per_trial": kept / count,
    }  # fmt: skip


def of_paper_size(folder: Path) -> tuple[list[Step], dict[str, float]]:
    """The report of the paper's five studies, from a file of runs."""
    from analysis import frame
    from benchmarks._frames import paper_frame

    table = paper_frame()
    frame.write(table, folder / "runs.parquet")
    page = folder / "report" / "report.html"
    report = aot("report", "--runs", str(folder / "runs.parquet"), "--paper", "--out", str(page.parent))
    (folder / "home").mkdir()
    step = measured("report of the paper's size", report, folder / "home")
    return [step], {"trials": len(table), "page_mb": page.stat().st_size / 1e6}


def table(steps: list[Step]) -> str:
    """The measurements for people."""
    lines = [("step", "wall s", "processor s", "peak MiB")]
    lines += [(s.name, f"{s.wall_seconds:.1f}", f"{s.cpu_seconds:.1f}", f"{s.peak_mib:.0f}") for s in steps]
    first, *widths = (max(len(line[i]) for line in lines) for i in range(4))
    return "\n".join(
        line[0].ljust(first) + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths, strict=True))
        for line in lines
    )


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=50_000, metavar="N", help="at least so many trials are made")
    parser.add_argument("--epochs", type=int, default=20, metavar="E", help="of so many epochs each")
    parser.add_argument("--tracking", metavar="URI", help="an empty database for MLflow; default: SQLite")
    parser.add_argument("--paper-size", action="store_true", help="only the report of the paper's five studies")
    parser.add_argument("--allentune", type=Path, metavar="CLONE", help="only allentune's report and curves")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure what the command line asks for."""
    asked = parsed()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="aot-reports-") as name:
        folder = Path(name)
        if asked.allentune is not None:
            from benchmarks._allentune import of_allentune

            steps, known = of_allentune(asked.trials, asked.epochs, asked.allentune, folder)
        elif asked.paper_size:
            steps, known = of_paper_size(folder)
        else:
            steps, known = from_mlflow(asked.trials, asked.epochs, asked.tracking, folder)
    known |= {"processors": len(os.sched_getaffinity(0)), "load_before": round(load, 1)}
    if asked.json:
        asked.json.write_text(json.dumps({**known, "steps": [asdict(step) for step in steps]}, indent=2) + "\n")
    print(table(steps))
    print(", ".join(f"{name} {value:,g}" for name, value in known.items()))


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder, whose statistics.py is not the one of the standard library
    main()
