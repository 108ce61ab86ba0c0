"""Answers on dev, from a training to a report: of the study itself, and beside a file of its runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.commands import refused
from helpers.stub_study import write_study
from typer.testing import CliRunner

import analysis.report
from analysis.predictions import Predictions
from analysis.reports import Options
from common import metrics
from search import study
from search.cli import _predictions, app
from search.planning.plan import plan
from search.tracking.journal import Entry, Journal, local_folder
from trainables import training
from trainables.checkpoint import PREDICTIONS, Storage
from trainables.trial import Result

runner = CliRunner()
Lookup = Callable[[str], Predictions | None]


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("AOT_DATA_DIR", raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A study of two tasks, and the scores of its trials."""
    return train(tmp_path_factory.mktemp("trained"), "demo/sentiment", "demo/entailment")


def train(folder: Path, *tasks: str) -> tuple[Path, dict[str, float]]:
    """A study that is trained here, and the scores of its trials."""
    protocol = {"epochs": 2, "patience": 2, "max_length": 32, "train_rows": 32, "dev_rows": 24}
    path = write_study(folder, tasks=list(tasks), protocol=protocol, seeds=[0])
    of = study.load(path)
    where = training.Workspace(of.folder, of.cache_dir, "cpu", 1)
    entries = []
    for pack in plan(of).packs:
        ended = {r.trial_id: r for progress in training.train(pack, where) for r in progress.results}
        entries += [Entry.of(of.name, trial, ended[trial.id], {}, "abc") for trial in pack.trials]
    book = Journal(local_folder(of.folder), pytest.fail)
    book.append(entries)
    book.close()
    return path, {entry.trial_id: entry.score or 0.0 for entry in entries}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Lookup]:
    """What reports are given to look answers up with, as they are written."""
    lookups: list[Lookup] = []
    write = analysis.report.write_report

    def noted(frame: pd.DataFrame, out: Path, options: Options, **more: Any) -> Path:
        lookups.append(options.predictions)
        return write(frame, out, options, **more)

    monkeypatch.setattr(analysis.report, "write_report", noted)
    return lookups


def aot(*arguments: str | Path) -> str:
    """A command that succeeds: what it says on stderr."""
    done = runner.invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stderr


def scores(lookup: Lookup, trial_ids: Any) -> dict[str, float]:
    """The scores that follow from the answers, of the trials that have any."""
    found = {i: kept for i in trial_ids if (kept := lookup(i)) is not None}
    return {i: metrics.score(kept.metric, kept.predicted, kept.gold)["score"] for i, kept in found.items()}


def test_a_report_is_given_those_of_its_study(
    trained: tuple[Path, dict[str, float]], given: list[Lookup], tmp_path: Path
) -> None:
    path, expected = trained
    aot("report", path, "--out", tmp_path / "report")
    assert scores(given[0], [*expected, "no such trial"]) == expected


def test_they_go_with_a_file_of_runs(
    trained: tuple[Path, dict[str, float]], given: list[Lookup], tmp_path: Path
) -> None:
    path, expected = trained
    runs, folder = tmp_path / "runs.parquet", tmp_path / "answers"
    said = aot("export", path, "--out", runs, "--predictions", folder)
    assert f"the answers on dev of 4 trials copied to {folder}" in said
    table = pd.read_parquet(runs)
    assert {file.stem for file in folder.iterdir()} == set(table["trial_id"]) == set(expected)
    assert dict(zip(table["trial_id"], table["score"], strict=True)) == expected
    assert (table["majority"] >= 100 / 3).all(), "the line of chance is exported too"
    aot("report", "--runs", runs, "--predictions", folder, "--out", tmp_path / "with")
    aot("report", "--runs", runs, "--out", tmp_path / "without")
    assert [scores(lookup, expected) for lookup in given] == [expected, {}]
    missing = refused("report", "--runs", runs, "--predictions", tmp_path / "nix", "--out", tmp_path / "report")
    assert missing.strip().endswith(f"there is no {tmp_path / 'nix'}")


def test_a_trial_that_fails_when_it_is_trained_again_has_none_of_its_first_training(
    given: list[Lookup], tmp_path: Path
) -> None:
    """Their file is still there: whoever failed could not remove it."""
    path, before = train(tmp_path, "demo/sentiment")
    of = study.load(path)
    first = plan(of).trials[0]
    failed = Result(first.id, "failed", None, None, (), None, "the device went away")
    book = Journal(local_folder(of.folder), pytest.fail)
    book.append([Entry.of(of.name, first, failed, {}, "abc")])
    book.close()
    expected = {trial_id: score for trial_id, score in before.items() if trial_id != first.id}
    assert Storage(of.folder).exists(f"{PREDICTIONS}/{first.id}.npz")
    aot("report", path, "--out", tmp_path / "report")
    assert scores(given[0], before) == expected
    said = aot("export", path, "--out", tmp_path / "runs.csv", "--predictions", tmp_path / "answers")
    assert "the answers on dev of 1 trial copied" in said
    assert {file.stem for file in (tmp_path / "answers").iterdir()} == set(expected)


def test_one_that_is_damaged_is_told_and_left_out(
    trained: tuple[Path, dict[str, float]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, expected = trained
    folder = tmp_path / "answers"
    aot("export", path, "--out", tmp_path / "runs.csv", "--predictions", folder)
    first, *others = expected
    file = folder / f"{first}.npz"
    file.write_bytes(file.read_bytes()[:-10])
    assert scores(_predictions.reader([], folder), expected).keys() == set(others)
    assert f"{file} is not a file of answers" in capsys.readouterr().err


def test_a_store_that_does_not_answer_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lookup = _predictions.reader([write_study(tmp_path, storage="nosuch://lab/runs")])
    assert [lookup("a"), lookup("b")] == [None, None]
    said = capsys.readouterr().err
    assert said.count("the answers on dev that are kept there are left out") == 1
    assert "nosuch" in said
