"""The engine with everything on: ``aot run`` on a study file, and the peer's trials under Ray Tune.

python -m benchmarks._training_ray CELL.pickle WAY.pickle DEVICE OUT.json      the peer's driver
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._training_grid import Cell, Outcome, Way

ROOT = Path(__file__).parents[1]


class WithRay:
    """Trains cells in ways, each run from the start of its processes to their end."""

    def __init__(self, device: str, data_dir: str | None) -> None:
        self.device, self._data_dir = device, data_dir

    def run(self, cell: Cell, way: Way) -> Outcome:
        """Train the cell."""
        with tempfile.TemporaryDirectory(prefix="aot-training-") as folder:
            log, began = Path(folder, "log"), time.time()
            command = self._study(cell, way, Path(folder)) if way.who == "ours" else self._tune(cell, way, Path(folder))
            with open(log, "w") as words:
                ran = subprocess.run(command, cwd=ROOT, env=_environment(), stdout=words, stderr=words, check=False)
            ended = time.time()
            if ran.returncode:
                return Outcome(way, 0, 0.0, 0.0, {}, error=f"code {ran.returncode}: {log.read_text()[-2_000:]}")
            rows = _journal(Path(folder)) if way.who == "ours" else json.loads(Path(folder, "out.json").read_text())
        scores = {(row["learning_rate"], row["seed"]): row["score"] for row in rows}
        seconds = max(row["ended"] for row in rows) - min(row["began"] for row in rows)
        return Outcome(way, len(rows), seconds, ended - began - seconds, scores)

    def _study(self, cell: Cell, way: Way, folder: Path) -> list[str]:
        import yaml

        file = folder / "study.yaml"
        file.write_text(yaml.safe_dump(study_of(cell, way, folder, self.device, self._data_dir)))
        return [sys.executable, "-m", "search.cli", "run", str(file)]

    def _tune(self, cell: Cell, way: Way, folder: Path) -> list[str]:
        for name, value in (("cell", cell), ("way", way)):
            with open(folder / f"{name}.pickle", "wb") as file:
                pickle.dump(value, file)
        paths = [str(folder / name) for name in ("cell.pickle", "way.pickle")]
        return [sys.executable, "-m", "benchmarks._training_ray", *paths, self.device, str(folder / "out.json")]


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    own = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TOKENIZERS_PARALLELISM": "false"}


def study_of(cell: Cell, way: Way, folder: Path, device: str, data_dir: str | None) -> dict[str, Any]:
    """The study whose trials are the cell's."""
    grid, trial = cell.grid, cell.trials("ours")[0]
    resources: dict[str, Any] = {"cpu": 1, "gpu": 1 / way.workers if device == "cuda" else 0}
    resources["concurrent_packs"] = way.workers
    if way.pack is not None:
        resources["pack_tokens"] = way.pack * grid.batch_size * grid.max_length
    study = {
        "study": "training",
        "backbones": [{"source": trial.backbone.source, "name": trial.backbone.name}],
        "tasks": [grid.task],
        "methods": {grid.method: {**grid.config, "learning_rate": list(grid.learning_rates)}},
        "defaults": {"batch_size": grid.batch_size},
        "seeds": list(grid.seeds),
        "protocol": {
            "epochs": grid.epochs,
            "patience": grid.epochs,
            "max_length": grid.max_length,
            "precision": grid.precision,
            "train_rows": grid.rows,
            "dev_rows": grid.dev_rows,
        },
        "resources": resources,
        "storage": str(folder / "runs"),
        "tracking": f"sqlite:///{folder / 'mlflow.db'}",
    }
    return study | ({"data_dir": data_dir} if data_dir else {})


def _journal(folder: Path) -> list[dict[str, Any]]:
    """The trials of the study as rows; a trial began as many seconds before its end as its pack took."""
    rows = []
    for line in (folder / "runs" / "training" / "journal.jsonl").read_text().splitlines():
        entry = json.loads(line)
        spent = sum(epoch[3] for epoch in entry["history"]) * (entry.get("pack_size") or 1)
        rows.append(
            {
                "learning_rate": entry["hyperparameters"]["learning_rate"],
                "seed": entry["seed"],
                "score": entry["score"],
                "began": entry["time"] - spent,
                "ended": entry["time"],
            }
        )
    return rows


def main() -> None:
    """Ray Tune with one of the peer's trials per core, or per part of a GPU; writes a row per trial."""
    cell_file, way_file, device, out = sys.argv[1:]
    with open(cell_file, "rb") as first, open(way_file, "rb") as second:
        cell, way = pickle.load(first), pickle.load(second)
    import ray
    from ray import tune

    def train(config: dict[str, int]) -> None:
        import torch

        from benchmarks import _training_peer as peer
        from benchmarks._training_timers import Timers

        torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
        peer.load(cell, way, device)
        began, timers = time.time(), Timers()
        timers.on = False
        best = peer.train(cell, way, config["number"], device, timers, lambda score: tune.report({"score": score}))
        tune.report({"score": best, "began": began, "ended": time.time(), "number": config["number"]})

    ray.init("local", num_cpus=way.workers, include_dashboard=False, log_to_driver=False)
    share = {"cpu": 1, "gpu": 1 / way.workers} if device == "cuda" else {"cpu": 1}
    tuner = tune.Tuner(
        tune.with_resources(train, share),
        param_space={"number": tune.grid_search(list(range(cell.grid.trials)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(name="peer", storage_path=str(Path(out).parent / "tune"), verbose=0),
    )
    results = tuner.fit()
    ray.shutdown()
    if results.num_errors:
        raise SystemExit(str(results.errors[0]))
    trials = cell.trials("peer")
    rows = []
    for result in results:
        found = result.metrics
        trial = trials[found["number"]]
        own = {name: found[name] for name in ("score", "began", "ended")}
        rows.append({"learning_rate": trial.learning_rate, "seed": trial.seed, **own})
    Path(out).write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
