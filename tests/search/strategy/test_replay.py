"""A grid played again: against arithmetic by hand, and against the real search."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from helpers.records import record_of
from helpers.stub_study import TRAIN, write_study
from typer.testing import CliRunner

from search import study
from search.cli import app
from search.planning.plan import plan
from search.strategy.replay import Replay, ReplayError, others, repeated, replay, usual
from search.study import EarlyStopping, Search, Study
from search.tracking.records import TrialRecord, in_journal, logged
from search.tune import tuner
from search.tune.view import View
from trainables.trial import Trial

RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2]
EPOCHS = 9


def make(folder: Path, **changes: Any) -> Study:
    grid = {"learning_rate": RATES, "batch_size": [16]}
    return study.load(write_study(folder, None, **{"defaults": grid, "seeds": [0, 1, 2], **changes}))


def curve(trial: Trial) -> list[tuple[int, float, float, float]]:
    """Rises to a height that is largest at 1e-3; an epoch takes two seconds."""
    height = 90 - 8 * abs(RATES.index(trial.learning_rate) - 3) + trial.seed
    return [(n, height - 40 / n, 0.5, 2.0) for n in range(1, EPOCHS + 1)]


def recorded(s: Study) -> dict[str, TrialRecord]:
    records = {}
    for trial in plan(s).trials:
        points = tuple(curve(trial))
        cell = (trial.backbone.name, trial.task.name, trial.method)
        place = (cell, trial.assignment_id, trial.seed, trial.hyperparameters)
        records[trial.id] = TrialRecord("finished", trial.id, *place, points[-1][1], 2.0 * EPOCHS, EPOCHS, 100, points)
    return records


@pytest.fixture
def grid(tmp_path: Path) -> tuple[Study, dict[str, TrialRecord]]:
    s = make(tmp_path, protocol={"epochs": EPOCHS, "patience": EPOCHS, "max_length": 32})
    return s, recorded(s)


def test_the_grid_costs_what_it_cost_and_loses_nothing(grid: tuple[Study, dict[str, TrialRecord]]) -> None:
    one = replay(*grid, Search(), places=4)
    assert (one.trials, one.pruned, one.epochs, one.seconds) == (24, 0, 24 * EPOCHS, 24 * EPOCHS * 2.0)
    assert one.wall_seconds == 24 * EPOCHS * 2.0 / 4
    assert (one.regret, one.worst, one.agreeing) == (0.0, 0.0, 1)
    assert replay(*grid, Search(), places=100).wall_seconds == EPOCHS * 2.0


def test_what_confirms_is_no_trial_of_a_replay_and_is_told_where_it_is_known(
    grid: tuple[Study, dict[str, TrialRecord]],
) -> None:
    s, records = grid
    best, other = (next(t for t in plan(s).trials if t.learning_rate == rate) for rate in (1e-3, 2e-3))
    scores = {1000: 80.0, 1001: 70.0, 1002: 60.5, 1003: None}
    fresh = {
        trial.id: record_of(trial, reached, "failed" if reached is None else "finished")
        for trial, reached in ((replace(best, seed=seed), reached) for seed, reached in scores.items())
    }
    asked = s.model_copy(update={"confirm": 3})
    one, two = replay(s, records, Search(), places=4), replay(asked, records | fresh, Search(), places=4)
    assert (two.trials, two.epochs, two.seconds, two.wall_seconds) == (
        one.trials,
        one.epochs,
        one.seconds,
        one.wall_seconds,
    )
    assert (one.confirmed, one.choices[0].fresh_seeds) == (None, 0)
    assert (two.confirmed, two.choices[0].confirmed, two.choices[0].fresh_seeds) == (70.0, 70.0, 3)
    assert two.to_json()["confirmed"] == 70.0
    late = {
        trial_id: replace(r, score=99.0, history=((1, 99.0, 0.5, 2.0),))
        for trial_id, r in records.items()
        if r.assignment_id == other.assignment_id
    }
    assert replay(s, records | late | fresh, Search(), places=4).confirmed is None, "another one is selected"
    assert others(asked, records | fresh) == set()
    assert others(asked, records | {"x": record_of(replace(best, seed=7))}) == {"x"}


def test_promotion_by_hand(grid: tuple[Study, dict[str, TrialRecord]]) -> None:
    one = replay(*grid, Search(promote=0.25), places=1)
    assert one.trials == 8 + 2 * 2
    assert one.seconds == 12 * EPOCHS * 2.0
    assert one.agreeing == 1


def test_asha_by_hand(grid: tuple[Study, dict[str, TrialRecord]]) -> None:
    """One after another, the grid in its order: the rungs are the epochs 1, 3 and 9."""
    one = replay(*grid, Search(early_stopping=EarlyStopping(rule="asha", reduction_factor=3.0)), places=1)
    rungs: dict[int, list[float]] = {1: [], 3: []}
    epochs = cut = 0
    import numpy as np

    for trial in plan(grid[0]).trials:
        for n, score, _, _ in curve(trial):
            epochs += 1
            if n in rungs:
                behind = bool(rungs[n]) and score < np.percentile(rungs[n], 100 * (1 - 1 / 3))
                rungs[n].append(score)
                if behind:
                    cut += 1
                    break
    assert (one.epochs, one.pruned) == (epochs, cut)
    assert cut > 5


@pytest.mark.parametrize("search", usual(8), ids=lambda search: search.words)
def test_every_usual_strategy(grid: tuple[Study, dict[str, TrialRecord]], search: Search) -> None:
    s, records = grid
    medians: dict[str, list[float]] = {}
    for k in records.values():
        medians.setdefault(k.assignment_id, []).append(k.score or 0.0)
    best = max(median(scores) for scores in medians.values())
    for one in repeated(s, records, search, 3, 3):
        (choice,) = one.choices
        assert choice.best == best
        assert choice.score == median(medians[choice.assignment_id or ""])
        assert one.seconds <= 24 * EPOCHS * 2.0
        assert one.trials <= 24
        assert json.loads(json.dumps(one.to_json()))["regret"] == one.regret


def test_a_seed_plays_a_part_in_random_and_tpe_alone(grid: tuple[Study, dict[str, TrialRecord]]) -> None:
    assert len(repeated(*grid, Search(), 1, 5)) == 1
    chosen = {r.choices[0].assignment_id for r in repeated(*grid, Search(strategy="random", n=2), 1, 8)}
    assert len(chosen) > 1


def test_what_is_no_full_grid_is_refused(grid: tuple[Study, dict[str, TrialRecord]], tmp_path: Path) -> None:
    s, records = grid
    first = next(iter(records))
    with pytest.raises(
        ReplayError, match=f"1 of 24 trials of the grid of study 'stub' have no recorded curve, such as {first}"
    ):
        replay(s, {i: k for i, k in records.items() if i != first}, Search())
    rates = {"learning_rate": {"low": 1e-4, "high": 1e-2}, "batch_size": 16}
    ranged = make(tmp_path, defaults=rates, search={"strategy": "random", "n": 3})
    with pytest.raises(ReplayError, match="has a range for learning_rate"):
        replay(ranged, records, Search())


def test_a_trial_that_failed_before_its_first_epoch_costs_nothing(grid: tuple[Study, dict[str, TrialRecord]]) -> None:
    s, records = grid
    first = next(iter(records))
    lost = {first: replace(records[first], status="failed", score=None, history=(), epochs=0, seconds=0.0)}
    one = replay(s, records | lost, Search(), places=2)
    assert (one.trials, one.epochs) == (24, 23 * EPOCHS)
    assert one.agreeing == 1


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_replay_is_what_the_search_does(tmp_path: Path) -> None:
    """A grid is trained and replayed with promotion; then the search with promotion is really run."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    tuner.run(make(whole), view=View(), train=TRAIN)
    journal = whole / "runs" / "stub"
    told: list[str] = []
    by_journal = in_journal(journal, told.append)
    by_mlflow = logged("stub", f"sqlite:///{whole}/runs/mlflow.db", told.append, curves=True)
    assert by_mlflow is not None
    assert by_mlflow.records.keys() == by_journal.keys()
    played: list[Replay] = [
        replay(make(whole), records, Search(promote=0.25)) for records in (by_journal, by_mlflow.records)
    ]
    assert played[0].choices == played[1].choices
    assert (played[0].trials, played[0].epochs) == (played[1].trials, played[1].epochs)

    tuner.run(make(part, search={"promote": 0.25}), view=View(), train=TRAIN)
    trained = in_journal(part / "runs" / "stub", told.append)
    assert len(trained) == played[0].trials
    assert sum(k.epochs for k in trained.values()) == played[0].epochs
    assert not told

    result = CliRunner().invoke(
        app, ["replay", str(whole / "study.yaml"), "--strategy", "grid", "--promote", "0.25", "--json"]
    )
    assert result.exit_code == 0, result.output
    strategies = json.loads(result.stdout)["strategies"]
    assert strategies["grid, promote 0.25"][0]["trials"] == len(trained)
    shown = CliRunner().invoke(app, ["replay", str(whole / "study.yaml"), "--all"])
    assert "tpe 4, promote 0.25, asha" in shown.stdout
    assert " 0 min" not in shown.stdout, "seconds stay seconds"
    for arguments, rule in (
        (["--strategy", "tpe"], "needs --n"),
        ([], "give --strategy"),
        (["--strategy", "grid", "--promote", "2"], "--promote must be less than or equal to 1"),
        (["--strategy", "grid", "--n", "3"], "--n means nothing with --strategy grid"),
        (["--all", "--promote", "0.5"], "leave out --promote"),
        (["--strategy", "grid", "--grace-epochs", "2"], "--grace-epochs without --early-stopping"),
        (
            ["--strategy", "grid", "--early-stopping", "asha", "--reduction-factor", "1"],
            "--reduction-factor must be gr",
        ),
        (
            ["--strategy", "grid", "--early-stopping", "median", "--reduction-factor", "2"],
            "--early-stopping must not have reduction_factor with rule: median",
        ),
    ):
        wrong = CliRunner().invoke(app, ["replay", str(whole / "study.yaml"), *arguments])
        assert wrong.exit_code == 2
        assert rule in wrong.stderr
