"""The command line: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pandas as pd
import pytest
from helpers.small_study import write_study
from typer.testing import CliRunner

from search.cli import app
from trainables import hub

ROOT = Path(__file__).parents[3]
COMMANDS = ("plan", "run", "submit", "status", "logs", "stop", "list", "ui", "export", "replay", "report")

runner = CliRunner()


# --- help and usage ---------------------------------------------------------------------------------------------------


def test_help_comes_at_once_and_without_the_heavy_libraries() -> None:
    code = (
        "import sys, search.cli\n"
        "heavy = {'torch', 'ray', 'transformers', 'mlflow', 'pandas', 'optuna', 'pydantic', 'search.study'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_the_commands_that_there_are() -> None:
    done = runner.invoke(app, ["--help"])
    assert done.exit_code == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert {info.name or info.callback.__name__ for info in app.registered_commands if info.callback} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    done = runner.invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.stdout
    assert f"aot {command}" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["plan"],
        ["plan", "x.yaml", "--jsn"],
        ["export", "x.yaml"],
        ["report"],
        ["report", "x.yaml", "--runs", "y.csv"],
        ["report", "x.yaml", "--estimator", "w"],
        ["ui", "x.yaml", "--tracking", "sqlite:///y.db"],
        ["ui", "--port", "0"],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr


@pytest.mark.parametrize("command", ["plan", "run", "export", "report", "ui"])
def test_a_malformed_study_exits_with_2_and_starts_nothing(tmp_path: Path, command: str) -> None:
    path = write_study(tmp_path, seeds=[1, 1], methods={"lora": {"rank": [0]}})
    out = ["--out", str(tmp_path / "runs.csv")] if command in ("export", "report") else []
    done = runner.invoke(app, [command, str(path), *out])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "2 problems" in done.stderr
    assert "methods.lora.rank[0] = 0 (line " in done.stderr
    assert "seeds[1] = 1 (line " in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


# --- plan -------------------------------------------------------------------------------------------------------------


def test_plan_prints_tables_and_creates_nothing(tmp_path: Path) -> None:
    done = runner.invoke(app, ["plan", str(write_study(tmp_path))], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    for words in ("demo/sentiment", "assignments", "finished", "rank=4", "147,456", "2 cells"):
        assert words in done.stdout
    assert "no trial has ended" in done.stderr
    assert "--calibrate" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


def test_plan_prints_json_for_machines(tmp_path: Path) -> None:
    done = runner.invoke(app, ["plan", str(write_study(tmp_path)), "--json"])
    told = json.loads(done.stdout)
    assert told["study"] == "small"
    assert told["counts"] == {
        "cells": 2, "assignments": 6, "trials": 12, "finished": 0, "pending": 12, "undecided": 0, "packs": 12,
        "epochs_at_most": 24,
    }  # fmt: skip
    assert [(cell["method"], cell["trials"]) for cell in told["cells"]] == [("lora", 8), ("bitfit", 4)]
    lora = told["trainable_parameters"][0]
    assert (lora["hyperparameters"]["rank"], lora["parameters"], lora["heads"]) == (2, 73_728, {"2": 1538})


def test_plan_says_what_it_cannot_know_offline_and_run_refuses(tmp_path: Path) -> None:
    path = write_study(tmp_path, backbones=["nobody/encoder"])
    done = runner.invoke(app, ["plan", str(path)], env={"COLUMNS": "120"})
    assert done.exit_code == 0
    assert "unknown offline" in done.stdout
    done = runner.invoke(app, ["run", str(path)])
    assert done.exit_code == 2
    assert "backbones[0] = 'nobody/encoder' (line " in done.stderr
    assert "neither in the local cache nor reachable" in done.stderr


def test_what_is_not_pinned_is_said_by_plan_and_refused_by_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of known sizes, but nobody can tell which commit of the weights it is, or what rows there are."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.commit.cache_clear()
    path = write_study(tmp_path, backbones=["FacebookAI/roberta-base"], tasks=["glue/rte", "demo/sentiment"])
    planned = runner.invoke(app, ["plan", str(path), "--json"])
    assert planned.exit_code == 0
    said = "neither the hub nor its cache here tells the commit or the rows of FacebookAI/roberta-base, glue/rte"
    assert planned.stderr.count("neither the hub") == planned.stderr.count(f"{said}: ") == 1
    replayed = runner.invoke(app, ["replay", str(path), "--strategy", "random", "--n", "2"])
    assert f"{said}: trials that were run are not recognised here" in replayed.stderr
    done = runner.invoke(app, ["run", str(path)])
    assert done.exit_code == 2
    assert f"{said}, so that nobody could say later what was trained; connect to the hub" in done.stderr
    assert not (tmp_path / "runs").exists()


# --- export and report ------------------------------------------------------------------------------------------------


def test_there_is_nothing_to_export_before_a_run(tmp_path: Path) -> None:
    done = runner.invoke(app, ["export", str(write_study(tmp_path)), "--out", str(tmp_path / "runs.csv")])
    assert done.exit_code == 2
    assert "run the study first" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


def runs_file(folder: Path) -> Path:
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "base", "task": f"glue/{task}", "method": method,
            "assignment_id": f"{method}{rank}", "trial_id": f"{task}{method}{rank}{seed}", "seed": seed,
            "status": "finished", "score": 60.0 + rank + seed, "best_epoch": 2, "epochs": 3,
            "trainable_parameters": 1000 * rank, "seconds": 1.5, "hp.rank": rank,
        }
        for task in ("rte", "cola") for method in ("lora", "aot_fc") for rank in (2, 4) for seed in (0, 1)
    ]  # fmt: skip
    path = folder / "runs.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_report_is_written_from_a_file_of_runs(tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = runner.invoke(app, ["report", "--runs", str(runs_file(tmp_path)), "--out", str(out), "--estimator", "u"])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(out / "report.html")
    assert (out / "report.md").is_file()
    results = pd.read_csv(out / "tables" / "results.csv")
    assert set(results["median"]) == {64.5}


def test_report_calls_methods_as_they_call_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is only in the file, and not in the folder of methods, is called after its id."""
    from trainables import methods

    folder = tmp_path / "more"
    folder.mkdir()
    lora = Path(methods.__path__[0], "lora.py").read_text(encoding="utf-8")
    (folder / "lora_twice.py").write_text(lora.replace('= "LoRA"', '= "LoRA, 2×"'), encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
    runs = runs_file(tmp_path)
    frame = pd.read_csv(runs)
    others = [frame.assign(method=name, trial_id=name + frame["trial_id"]) for name in ("lora_twice", "from_elsewhere")]
    pd.concat([frame, *(other[frame["method"] == "lora"] for other in others)]).to_csv(runs, index=False)
    done = runner.invoke(app, ["report", "--runs", str(runs), "--out", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report" / "report.md").read_text()
    assert "4 methods (LoRA, FC AoT P-Tuning, From Elsewhere and LoRA, 2×)" in page


def test_report_names_a_method_whose_file_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables import methods

    lora = Path(methods.__path__[0], "lora.py").read_text(encoding="utf-8")
    without = re.sub(r"    (sizes|fusable): .*\n", "", lora)
    (tmp_path / "lora_of_before.py").write_text(without, encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    done = runner.invoke(app, ["report", "--runs", str(runs_file(tmp_path)), "--out", str(tmp_path / "report")])
    assert done.exit_code == 2, done.output
    assert "lora_of_before.py: class LoRA must say its sizes, fusable" in done.stderr


def test_report_tells_what_is_wrong_with_the_runs(tmp_path: Path) -> None:
    path = runs_file(tmp_path)
    path.write_text(path.read_text().replace("finished", "done"))
    done = runner.invoke(app, ["report", "--runs", str(path), "--out", str(tmp_path / "report")])
    assert done.exit_code == 2
    assert "done" in done.stderr
    assert not (tmp_path / "report").exists()
