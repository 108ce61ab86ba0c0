"""What the deviations over seeds are said to be worth, against simulated normal scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import seeds
from analysis.tables import Table


def note_of(count: int) -> str:
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": "glue/rte", "method": "lora",
            "assignment_id": "a", "trial_id": f"{seed}", "seed": seed, "status": "finished", "score": 60.0 + seed,
            "best_epoch": 1, "epochs": 2, "trainable_parameters": 5, "seconds": 1.0,
        }
        for seed in range(count)
    ]  # fmt: skip
    frame = tidy(pd.DataFrame(rows))
    section = seeds.render(seeds.compute(frame))
    assert section is not None
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    return table.notes[0]


@pytest.mark.parametrize("count", [2, 5])
def test_the_uncertainty_is_that_of_so_many_seeds(count: int) -> None:
    said = note_of(count)
    assert said.startswith(f"A deviation of {count} seeds is itself uncertain")
    lower, upper = (float(word) for word in said.split("true one is ")[1].split(" times")[0].split(" to "))
    draws = np.random.default_rng(0).normal(size=(200_000, count)).std(axis=1, ddof=1)
    inside = ((lower * draws <= 1) & (upper * draws >= 1)).mean()
    assert inside == pytest.approx(0.95, abs=0.03)  # the multiples are rounded to one digit
