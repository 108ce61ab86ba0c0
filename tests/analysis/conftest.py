"""Generated runs that look like real ones: methods that differ, grids, seeds, and trials that were lost."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import MethodInfo
from search.cli.reporting import method_infos

#: per method: offset in points, spread over seeds, sizes and their hyperparameter, trainable parameters of size 1
METHODS = {
    "fine_tuning": (1.5, 0.6, (None,), "", 0),
    "adapters": (1.2, 0.7, (16, 64, 256), "rank", 37_000),
    "lora": (0.3, 0.9, (2, 16, 64), "rank", 37_000),
    "bitfit": (0.0, 0.8, (None,), "", 0),
    "p_tuning_v1": (-9.0, 2.5, (5, 20, 100), "prompt_length", 768),
    "p_tuning_v2": (0.1, 1.4, (5, 20, 100), "prompt_length", 18_432),
    "aot_kronecker": (-0.6, 0.7, (5, 25, 50), "rank", 98_000),
    "aot_fc": (0.4, 0.5, (32, 128, 512), "rank", 18_500),
}
GLUE = {"sts-b": 89, "sst-2": 94, "rte": 78, "qqp": 87, "qnli": 91, "mrpc": 89, "mnli": 85, "cola": 60}
SUPERGLUE = {"rte": 86, "copa": 84, "wsc": 74, "wic": 70, "multirc": 82, "cb": 96, "boolq": 84}
RATES = (1e-4, 5e-4, 1e-3, 5e-3)


def runs(
    benchmark: str = "glue",
    backbone: str = "roberta-base",
    methods: Sequence[str] = tuple(METHODS),
    tasks: Sequence[str] = ("rte", "mrpc", "cola"),
    seeds: int = 3,
    losses: float = 0.0,
) -> pd.DataFrame:
    """A frame over the grid of sizes and learning rates; a share ``losses`` of the trials failed or diverged."""
    draw = np.random.default_rng(zlib.crc32(f"{benchmark}{backbone}".encode()))
    base = GLUE if benchmark == "glue" else SUPERGLUE
    scale = 0 if backbone.endswith("base") else 3
    rows = []
    for task in tasks:
        for method in methods:
            offset, spread, sizes, name, unit = METHODS[method]
            for i, size in enumerate(sizes):
                for rate in RATES:
                    ideal = 5e-5 if method == "fine_tuning" else 1e-3
                    miss = -1.6 * abs(np.log10(rate / ideal)) ** 1.5 * (1 + (method == "p_tuning_v1"))
                    center = (
                        base[task] + scale + offset * (1 - base[task] / 130) * 2 + miss + 0.9 * i + draw.normal(0, 0.7)
                    )
                    for seed in range(seeds):
                        fate = draw.random()
                        status = "finished" if fate >= losses else "failed" if fate < losses / 2 else "diverged"
                        score = min(100.0, center + draw.normal(0, spread))
                        count = (
                            125_000_000
                            if method == "fine_tuning"
                            else 102_000
                            if method == "bitfit"
                            else unit * (size or 0)
                        )
                        identity = f"{benchmark}-{backbone}-{task}-{method}-{size}-{rate}"
                        rows.append({
                            "study": "generated", "benchmark": benchmark, "backbone": backbone,
                            "task": f"{benchmark}/{task}",
                            "method": method, "assignment_id": identity, "trial_id": f"{identity}-{seed}", "seed": seed,
                            "status": status, "score": None if status == "failed" else score,
                            "best_epoch": int(draw.integers(1, 9)),
                            "epochs": 10, "trainable_parameters": count + 1538, "seconds": float(draw.gamma(4, 15)),
                            "hp.learning_rate": rate, "hp.batch_size": 16, "hp.rank": size if name == "rank" else None,
                            "hp.prompt_length": size if name == "prompt_length" else None,
                        })  # fmt: skip
    return tidy(pd.DataFrame(rows))


@pytest.fixture(scope="session")
def make_runs() -> Callable[..., pd.DataFrame]:
    """The generator itself."""
    return runs


@pytest.fixture(scope="session")
def methods() -> dict[str, MethodInfo]:
    """What ``aot report`` tells the reports of the methods in the folder."""
    return method_infos()


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """Eight methods on three tasks, three seeds, a tenth of the trials lost."""
    return runs(losses=0.1)
