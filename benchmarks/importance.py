"""What hyperparameter importances cost on a frame of the paper's size, by PED-ANOVA as in a report and by fANOVA.

    python -m benchmarks.importance [--trees 16]

Processor time in seconds; the scores are generated. One evaluation of fANOVA per cell, without what chance gives;
the report's four (one, and three of shuffled scores).
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

import argparse
import time

import optuna
import pandas as pd

from analysis.reports import importance
from analysis.selection import CELL, assignments
from benchmarks._frames import paper_frame


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=16, help="of fANOVA's forest")
    trees = parser.parse_args().trees
    frame = paper_frame()
    start = time.process_time()
    cells = importance.compute(frame).groupby(CELL).ngroups
    print(f"PED-ANOVA and three shuffles: {time.process_time() - start:.1f} s for {cells} cells")
    table = assignments(frame).dropna(subset="median")
    start = time.process_time()
    done = sum(_fanova(own, trees) for _, own in table.groupby(CELL))
    print(f"fANOVA, {trees} trees: {time.process_time() - start:.1f} s for {done} cells")


def _fanova(table: pd.DataFrame, trees: int) -> bool:
    """One evaluation of a cell that a report would evaluate."""
    values = importance.varying(table)
    if len(table) < importance.LEAST or len(values) < 2:
        return False
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    medians = table["median"].tolist()
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=trees, seed=0)
    evaluator.evaluate(importance.optuna_study(values), target=lambda trial: medians[trial.number])
    return True


if __name__ == "__main__":
    main()
