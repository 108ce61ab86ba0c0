"""What others read of the analysis: the columns of every file for machines, as ``surface.txt`` beside this has them.

A column that appears or goes is a change for whoever reads these files: change the list on purpose, docs/reports.md
where it names the column, and CHANGELOG.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from helpers.stored import write_down
from typer.testing import CliRunner

from analysis import timings, tokens
from analysis.frame import COLUMNS, OPTIONAL, tidy
from analysis.report import write_report
from analysis.reports import Options
from search import study
from search.cli import app
from search.planning.plan import plan

#: Times that were made up for tests.
SPEED = Path(__file__).parent / "data" / "speed.csv"

STUDY = """
study: surface
backbones: [{source: FacebookAI/roberta-base, name: base}]
tasks: [demo/sentiment]
methods: {lora: {rank: 2}}
defaults: {batch_size: 16, learning_rate: 1.0e-3}
seeds: 1
"""


def frozen() -> dict[str, list[str]]:
    """The columns by file; ``hp.NAME`` stands for one column per hyperparameter."""
    lines = (Path(__file__).parent / "surface.txt").read_text().splitlines()
    return {name: columns.split() for name, columns in (line.split(":") for line in lines)}


def columns(table: pd.DataFrame) -> list[str]:
    """The columns of a table, those of all hyperparameters as one."""
    return list(dict.fromkeys("hp.NAME" if name.startswith("hp.") else name for name in table.columns))


def test_the_columns_of_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``aot export`` of one trial. Every export has them all, whatever the search; those of the design come first."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "surface.yaml"
    path.write_text(STUDY + f"storage: {tmp_path / 'runs'}\n")
    of = study.load(path)
    write_down(of, plan(of).trials)
    done = CliRunner().invoke(app, ["export", str(path), "--out", str(tmp_path / "runs.csv")])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "runs.csv")
    assert columns(table) == frozen()["runs.csv"] == [*COLUMNS, "hp.NAME", *OPTIONAL]
    own = ["hp.alpha", "hp.batch_size", "hp.learning_rate", "hp.rank"]
    assert [name for name in table.columns if name.startswith("hp.")] == own


def test_the_columns_of_every_table_of_a_report(make_runs: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    """On runs that have something for every report: several seeds, a promotion, a backbone of the paper's."""
    frame = make_runs(methods=("fine_tuning", "lora"), tasks=("rte", "cola"), seeds=2)
    planned = {"planned_in_cell": 24, "planned_in_study": 96, "planned_seeds": 2}
    frame = tidy(frame.assign(promotion=frame["seed"].map({0: "first", 1: "promoted"}), **planned))
    token = dict.fromkeys(tokens.COLUMNS, 1) | {"backbone": "roberta-base", "task": "glue/rte", "method": "aot_fc"}
    moved = tokens.table([token | {"token": "she"}])
    write_report(frame, tmp_path, Options(paper=True, tokens=moved, speed=timings.load([SPEED])))
    written = {path.name: columns(pd.read_csv(path)) for path in (tmp_path / "tables").glob("*.csv")}
    assert written == {name: listed for name, listed in frozen().items() if name != "runs.csv"}
