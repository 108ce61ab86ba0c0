"""What a search leaves in the storage of its trials' answers on dev."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.stub_study import write_study

from common import metrics, predictions
from search import study
from search.planning.plan import plan
from search.tracking.journal import local_folder
from search.tracking.records import in_journal
from search.tune import tuner
from search.tune.view import View


def run(folder: Path, **changes: Any) -> study.Study:
    """Train a study with the real loop, to its end."""
    protocol = {"epochs": 2, "patience": 2, "max_length": 32, "train_rows": 16, "dev_rows": 17}
    path = write_study(folder, protocol=protocol, defaults={"learning_rate": 1e-3, "batch_size": 8}, **changes)
    of = study.load(path)
    assert tuner.run(of, view=View()).failed == 0
    return of


@pytest.mark.usefixtures("ray_two_cpus")
def test_answers_are_kept_as_the_study_says_and_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    kept = tmp_path / "runs" / "stub" / "predictions"
    (kept / ".writing-elsewhere-abc").mkdir(parents=True)
    first = run(tmp_path, seeds=[0])
    (trial,) = plan(first).trials
    assert [file.name for file in kept.iterdir()] == [f"{trial.id}.npz"]
    record = in_journal(local_folder(first.folder), pytest.fail)[trial.id]
    metric, predicted, gold = predictions.from_bytes((kept / f"{trial.id}.npz").read_bytes())
    assert metrics.score(metric, predicted, gold)["score"] == record.score
    assert metrics.majority(metric, gold) == record.majority

    second = run(tmp_path, seeds=[0, 1], keep={"predictions": False})
    assert len(in_journal(local_folder(second.folder), pytest.fail)) == 2, "the first trial is the same one"
    assert [file.name for file in kept.iterdir()] == [f"{trial.id}.npz"]
