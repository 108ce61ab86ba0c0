"""What a confirmation will take, by hand; and what `aot plan` says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import refused
from helpers.records import record_of
from helpers.stored import write_down
from helpers.stub_study import write_study
from typer.testing import CliRunner

from search import study as studies
from search.cli import app
from search.planning.confirmation import ConfirmationEstimate, estimate
from search.planning.estimates import PACK_SECONDS, WORKER_SECONDS, EpochTime
from search.planning.plan import plan
from search.planning.show import print_confirmation
from search.study import Study
from search.tracking.records import TrialRecord
from trainables.trial import CellKey

KEY = CellKey("minilm", "demo/sentiment", "bitfit")


def loaded(folder: Path, **changes: Any) -> Study:
    grid = {"learning_rate": [1e-3, 2e-3, 3e-3], "batch_size": [16]}
    return studies.load(write_study(folder, None, **{"defaults": grid, "seeds": [0, 1], "confirm": 3, **changes}))


def found(of: Study, records: dict[str, TrialRecord], time: EpochTime | None = None) -> ConfirmationEstimate | None:
    epoch_times = {} if time is None else {KEY: time}
    return estimate(of, plan(of, records), records, epoch_times, places=2, price=3.0)


def records(of: Study, number: int) -> dict[str, TrialRecord]:
    """The first trials: those of the first learning rate take 10 s and 20 s, of the second 30 s, of the third 70 s."""
    seconds = (10.0, 20.0, 30.0, 30.0, 70.0, 70.0)
    trials = plan(of).trials[:number]
    return {t.id: record_of(t, 60.0 - 1e3 * t.learning_rate, seconds=s) for t, s in zip(trials, seconds, strict=False)}


def test_before_the_winner_is_known_the_median_assignment_stands_for_it(tmp_path: Path) -> None:
    of = loaded(tmp_path)
    one = found(of, records(of, 5))
    assert one is not None
    assert (one.pending, one.bound, one.unknown) == (3, False, 0)
    assert one.seconds == pytest.approx(3 * (30 + PACK_SECONDS))
    assert one.wall_seconds == pytest.approx(WORKER_SECONDS + 2 * (30 + PACK_SECONDS)), "three packs on two places"
    assert one.device_hours == pytest.approx((one.seconds + 2 * WORKER_SECONDS) / 3_600)
    assert one.cost == pytest.approx(3 * one.device_hours)


def test_the_winners_own_trials_tell_once_it_is_known(tmp_path: Path) -> None:
    of = loaded(tmp_path)
    known = records(of, 6)
    one = found(of, known)
    assert one is not None
    assert one.seconds == pytest.approx(3 * (15 + PACK_SECONDS)), "the first learning rate has the best scores"
    winner = plan(of, known).cells[0].confirmation
    first = winner.packs[0].trials[0]
    two = found(of, known | {first.id: record_of(first)})
    assert two is not None
    assert (two.pending, two.seconds) == (2, pytest.approx(2 * (15 + PACK_SECONDS)))
    done = known | {trial.id: record_of(trial) for pack in winner.packs for trial in pack.trials}
    assert found(of, done) is None


def test_without_trials_an_epoch_time_tells_as_it_does_of_the_search(tmp_path: Path) -> None:
    of = loaded(tmp_path)
    limit = found(of, {}, time=EpochTime(2.0, None, "calibration"))
    known = found(of, {}, time=EpochTime(2.0, 4.0, "trials"))
    nothing = found(of, {})
    assert limit is not None
    assert known is not None
    assert nothing is not None
    assert (limit.seconds, limit.bound) == (pytest.approx(3 * (2 * 6 + PACK_SECONDS)), True)
    whole = loaded(tmp_path, protocol={"epochs": 6, "patience": 6, "max_length": 32})
    one = found(whole, {}, time=EpochTime(2.0, None, "calibration"))
    assert one is not None
    assert (one.seconds, one.bound) == (limit.seconds, False), (
        "where patience stops nothing, the limit is what it takes"
    )
    assert (known.seconds, known.bound) == (pytest.approx(3 * (2 * 4 + PACK_SECONDS)), False)
    assert (nothing.pending, nothing.unknown, nothing.wall_seconds) == (3, 1, 0.0)
    assert found(loaded(tmp_path, confirm=0), {}) is None


def test_trials_that_were_cut_short_tell_nothing(tmp_path: Path) -> None:
    """What confirms is trained to its end."""
    of = loaded(tmp_path, search={"early_stopping": "asha"})
    known = records(of, 6)
    for trial in plan(of).trials[4:]:
        known[trial.id] = replace(known[trial.id], status="pruned")
    first, second = plan(of).trials[0], plan(of).trials[2]
    known[first.id] = record_of(first, None, "failed")  # the search is not over
    one = found(of, known)
    assert one is not None
    assert one.seconds == pytest.approx(3 * ((20 + 30) / 2 + PACK_SECONDS))
    assert second.id in known


def shown(path: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["plan", str(path), *options], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_plan_tells_what_is_confirmed_and_what_is_no_more(tmp_path: Path) -> None:
    of, path = loaded(tmp_path), tmp_path / "study.yaml"
    words = "Confirmation of each cell's selected assignment on 3 fresh seeds (1000 to 1002): 3 trials, 0 finished"
    assert f"{words}, 3 to train, when the search of their cell is over." in shown(path)
    assert "on seed 1000: 1 trial, 0 finished, 1 to train" in shown(path, "--confirm", "1")
    assert "onfirm" not in shown(path, "--confirm", "0")
    write_down(of, plan(of).trials[:4], score=60.0)
    write_down(of, plan(of).trials[4:], score=50.0)
    text = shown(path, "--devices", "2")
    assert f"{words}, 3 to train." in text
    assert "Confirmation, 3 trials: about 21 s" in text, "6.2 s each on two places, and 9 s for the workers"
    assert "nothing is left to train" not in text
    (cell,) = plan(of, {t.id: record_of(t, 60.0 if t.learning_rate < 3e-3 else 50.0) for t in plan(of).trials}).cells
    write_down(of, [trial for pack in cell.confirmation.packs for trial in pack.trials])
    text = shown(path)
    assert "3 trials, 3 finished, 0 to train." in text
    assert "nothing is left to train" in text
    grown = loaded(tmp_path, defaults={"learning_rate": [1e-3, 2e-3, 3e-3, 4e-3], "batch_size": [16]})
    write_down(grown, [trial for trial in plan(grown).trials if trial.learning_rate == 4e-3], score=99.0)
    text = shown(path)
    assert "3 trials, 0 finished, 3 to train." in text
    assert "3 trials confirm assignments that are not selected, or not any more" in text
    assert "3 trials confirm assignments" in shown(path, "--confirm", "0")


@pytest.mark.parametrize("value", [-1, 101, True, 2.5, "three"])
def test_confirm_is_a_number(tmp_path: Path, value: Any) -> None:
    with pytest.raises(studies.StudyError, match="must be a number of fresh seeds from 0 to 100"):
        loaded(tmp_path, confirm=value)


def test_confirm_on_the_command_line_is_a_number_too(tmp_path: Path) -> None:
    loaded(tmp_path)
    assert "less than or equal to 100" in refused("plan", tmp_path / "study.yaml", "--confirm", "101")


def test_little_device_time_is_no_nought(capsys: pytest.CaptureFixture[str]) -> None:
    """Two decimals, but of less than a tenth two digits that count."""
    for hours, words in ((0.0023, "0.0023 CPU-hours, cost 0.0069"), (1234.5, "1,234.50 CPU-hours, cost 3,703.50")):
        print_confirmation(ConfirmationEstimate(3, 8.0, hours, 8.0, 3 * hours, "CPU", bound=False, unknown=0))
        assert capsys.readouterr().out == f"Confirmation, 3 trials: about 8 s, {words}\n"
