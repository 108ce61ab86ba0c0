"""What answers on dev come to, told before they are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import runner
from helpers.stub_study import write_study

from common import predictions
from search import study
from search.cli import app
from search.planning.kept import Kept, kept
from search.planning.plan import plan
from search.planning.texts import describe

TASKS = ["demo/sentiment", "demo/choice"]


def counted(path: Path) -> Kept | None:
    loaded = study.load(path)
    return kept(loaded, plan(loaded), describe(loaded))


@pytest.mark.parametrize("rows", [20, 200])
def test_every_trial_is_counted_with_the_dev_rows_of_its_task(rows: int, tmp_path: Path) -> None:
    protocol = {"epochs": 2, "patience": 2, "max_length": 32, "dev_rows": rows}
    found = counted(
        write_study(tmp_path, tasks=TASKS, methods={"bitfit": {}, "lora": {"rank": [2, 4]}}, protocol=protocol)
    )
    trials = 2 * 3 * 2 * 2  # tasks, assignments of the methods, learning rates, seeds
    assert found == Kept(trials, trials * predictions.size("accuracy", rows, 2))


def test_what_confirms_a_winner_keeps_its_answers_too(tmp_path: Path) -> None:
    plain, confirmed = counted(write_study(tmp_path)), counted(write_study(tmp_path, confirm=3))
    assert plain is not None
    assert confirmed == Kept(plain.trials + 3, plain.bytes // plain.trials * (plain.trials + 3))


def test_a_study_that_keeps_none_is_told_of_none(tmp_path: Path) -> None:
    path = write_study(tmp_path, keep={"predictions": False})
    assert counted(path) is None
    done = runner.invoke(app, ["plan", str(path), "--json"])
    assert json.loads(done.stdout)["kept_predictions"] is None


def test_the_plan_says_it(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    shown = runner.invoke(app, ["plan", str(path)]).stdout
    written = json.loads(runner.invoke(app, ["plan", str(path), "--json"]).stdout)["kept_predictions"]
    assert written["trials"] == 4
    assert written["bytes"] == 4 * predictions.size("accuracy", 200, 2)
    assert "Answers on dev kept in the storage: about 2.7 KB for 4 trials at most." in shown


def test_rows_that_are_not_here_are_named() -> None:
    assert Kept(2, 3_100_000, ("glue/mnli",)).words == (
        "Answers on dev kept in the storage: about 3.1 MB for 2 trials at most; "
        "glue/mnli: not known, as its rows are not here."
    )
    assert "about 1.2 GB for 58,682 trials" in Kept(58_682, 1_200_000_000).words


@pytest.mark.parametrize("value", ["yes", 1, None, {"answers": True}])
def test_what_is_kept_is_true_or_false(value: Any, tmp_path: Path) -> None:
    path = write_study(tmp_path, keep=value if isinstance(value, dict) else {"predictions": value})
    with pytest.raises(study.StudyError, match=r"keep\."):
        study.load(path)
