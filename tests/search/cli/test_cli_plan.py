"""`aot plan`: tables, JSON, and what it cannot know offline."""

from __future__ import annotations

import json
import re
from pathlib import Path

import huggingface_hub.constants
import pytest
from helpers.small_study import write_study
from typer.testing import CliRunner

from search.cli import app
from trainables import hub

runner = CliRunner()


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


def test_plan_says_how_large_packs_are_and_what_is_yet_to_be_measured(tmp_path: Path) -> None:
    path = str(write_study(tmp_path, resources={"gpu": 1}, seeds=1, protocol={"max_length": 512, "train_rows": 16}))
    done = runner.invoke(app, ["plan", path], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert re.search(r"lora +4 +4 +0 +2 +2\?", done.stdout)
    assert "?: how many members pay is measured before these packs train" in done.stdout
    told = json.loads(runner.invoke(app, ["plan", path, "--json"]).stdout)
    assert [(cell["largest_pack"], cell["unmeasured_packs"]) for cell in told["cells"]] == [(2, 2), (2, 1)]
    assert "members pay" not in runner.invoke(app, ["plan", str(write_study(tmp_path))]).stdout


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
