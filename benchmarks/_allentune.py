"""allentune's report and its curves on the same scores, for ``benchmarks/reports.py``.

    git clone https://github.com/allenai/allentune

It is on no package index and wants an AllenNLP of 2020. Its two files that matter here, ``report.py`` and ``plot.py``,
use nothing of that: they are loaded from the clone as they are, with a stand-in for the class that makes them commands.
What is measured is its ``report`` (a folder of three files per trial to one table) and its ``samplemax`` (the curve of
a cell). No figure is drawn.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.reports import Step, measured

CELLS = 21  # as many as the study of ``_stores.py`` has


def of_allentune(trials: int, epochs: int, clone: Path, folder: Path) -> tuple[list[Step], dict[str, float]]:
    """A folder of runs as allentune's search leaves it, then each step in a process of its own."""
    for i in range(trials):
        run = folder / f"run_{i}" / "trial"
        run.mkdir(parents=True)
        score = 50 + (i * 7_919 % 4_000) / 100
        metrics = {"best_validation_accuracy": score, "training_duration": "0:00:20", "training_epochs": epochs}
        (run / "metrics.json").write_text(json.dumps(metrics))
        (run / "config.json").write_text(json.dumps({"model": f"cell {i % CELLS}", "learning_rate": 1e-3 + i * 1e-6}))
        (run / "stdout.log").write_text("random_seed = 1\npytorch_seed = 1\nnumpy_seed = 1\n")
    own = [sys.executable, "-m", "benchmarks._allentune", str(clone), str(folder)]
    steps = [measured(f"allentune's {what}", [*own, what], folder) for what in ("report", "curves")]
    return steps, {"trials": trials, "cells": CELLS}


def _loaded(clone: Path, name: str) -> Any:
    for stub in ("allentune", "allentune.commands", "allentune.commands.subcommand", "tabulate", "seaborn"):
        sys.modules.setdefault(stub, ModuleType(stub))
    sys.modules["allentune.commands.subcommand"].Subcommand = object  # type: ignore[attr-defined]
    sys.modules["tabulate"].tabulate = str  # type: ignore[attr-defined]
    sys.modules["seaborn"].set_style = lambda _: None  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location(name, clone / "allentune" / "commands" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """One step: CLONE FOLDER report|curves."""
    clone, folder, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if what == "report":
        asked = Namespace(log_dir=folder, performance_metric="best_validation_accuracy", model=None)
        _loaded(clone, "report").generate_report(asked)
        return
    import pandas as pd

    table = pd.read_json(f"{folder}/results.jsonl", lines=True)
    if len(table) != (runs := sum(1 for _ in Path(folder).glob("run_*"))):  # it drops in silence what it cannot read
        raise SystemExit(f"allentune reported {len(table)} of {runs} runs")
    table.groupby("model")["best_validation_accuracy"].apply(_loaded(clone, "plot").samplemax)


if __name__ == "__main__":
    main()
