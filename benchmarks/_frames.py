"""A frame of the paper's size: every trial of its five studies, with a generated score (``benchmarks/reports.py``)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.frame import from_rows
from search import study as studies
from search.planning.plan import CellPlan, plan
from search.study import Study
from trainables.trial import RESULT_VERSION

FOLDER = Path(__file__).parents[1] / "studies"
PAPER = ("glue_roberta_base", "glue_roberta_large", "superglue_roberta_base", "superglue_roberta_large",
         "superglue_deberta_xl")  # fmt: skip
LOST = 0.01  # of the trials failed, and as many diverged


def paper_frame(seed: int = 0) -> pd.DataFrame:
    """58,682 rows: the paper's grids, seeds and names."""
    generator = np.random.default_rng(seed)
    loaded = [studies.load(FOLDER / f"{name}.yaml", bind=False, offline=True) for name in PAPER]
    return from_rows(row for study in loaded for row in _rows(study, generator))


def _rows(study: Study, generator: np.random.Generator) -> Iterator[dict[str, Any]]:
    planned = plan(study)
    tasks = {task.name: task for task in study.tasks}
    for cell in planned.cells:
        place = {
            "study": study.name,
            "benchmark": tasks[cell.key.task].benchmark,
            **cell.key._asdict(),
            "planned_seeds": len(study.seeds),
            "planned_in_cell": cell.total,
            "planned_tasks": len(study.tasks),
            "planned_in_study": planned.total,
        }
        yield from _of_cell(cell, place, generator)


def _of_cell(cell: CellPlan, place: dict[str, Any], generator: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Scores in points: a level of the cell, less the further the learning rate is from a good one, and noise."""
    level, best = generator.normal(80, 5), generator.uniform(-4, -3)
    for trial in cell.trials:
        size = max((v for k, v in trial.method_config.items() if k in ("rank", "prompt_length")), default=0)
        fate = generator.random()
        failed, diverged = fate < LOST, LOST <= fate < 2 * LOST
        score = level - 4 * abs(math.log10(trial.learning_rate) - best) + generator.normal(0, 1)
        epochs = int(generator.integers(1, trial.protocol.epochs + 1))
        yield {
            **place,
            "assignment_id": trial.assignment_id,
            "trial_id": trial.id,
            "seed": trial.seed,
            "status": "failed" if failed else "diverged" if diverged else "finished",
            "score": None if failed else min(score, 100.0),
            "best_epoch": None if failed else epochs,
            "epochs": epochs,
            "trainable_parameters": 355_000_000 if trial.method == "fine_tuning" else 100_000 + 1_000 * size,
            "seconds": 60.0 * epochs,
            **{f"hp.{name}": value for name, value in trial.hyperparameters.items()},
            "max_length": trial.protocol.max_length,
            "precision": trial.protocol.precision,
            "max_epochs": trial.protocol.epochs,
            "patience": trial.protocol.patience,
            "pack_size": 8,
            "device": "NVIDIA A100-SXM4-80GB",
            "result_version": RESULT_VERSION,
        }
