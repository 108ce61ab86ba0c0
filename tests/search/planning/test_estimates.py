"""What a study will take: arithmetic by hand, and one calibration of a real cell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.stub_study import write_study
from typer.testing import CliRunner

from search import study as studies
from search.cli import app
from search.planning.calibration import Measurement, at_once, calibrate, epoch_seconds, example, measure, scaled
from search.planning.estimates import (
    PACK_SECONDS,
    RUN_SECONDS,
    WORKER_SECONDS,
    EpochTime,
    estimate,
    from_analogy,
    from_trials,
)
from search.planning.plan import Plan, plan
from search.study import Resources, Study
from search.tracking.journal import Entry, Journal, local_folder
from search.tracking.records import TrialRecord
from trainables.trial import Epoch, Result, Trial

SENTIMENT, CHOICE = ("minilm", "demo/sentiment", "bitfit"), ("minilm", "demo/choice", "bitfit")


def loaded(folder: Path, **changes: Any) -> Study:
    return studies.load(write_study(folder, **changes))


def ended(trial: Trial, seconds: float, epochs: int, status: str = "finished") -> TrialRecord:
    cell = (trial.backbone.name, trial.task.name, trial.method)
    own = (trial.assignment_id, trial.seed, trial.hyperparameters)
    return TrialRecord(status, "", cell, *own, score=80.0, seconds=seconds, epochs=epochs)


def of_first_two(study: Study) -> tuple[Plan, Mapping[str, TrialRecord]]:
    """The plan of a study whose first two trials took 12 s for 4 epochs and 18 s for 6."""
    first, second = plan(study).trials[:2]
    records = {first.id: ended(first, 12.0, 4), second.id: ended(second, 18.0, 6)}
    return plan(study, records), records


def test_seconds_and_epochs_of_a_cell_are_means_over_its_trials(tmp_path: Path) -> None:
    planned, records = of_first_two(loaded(tmp_path))
    assert from_trials(planned, records) == {SENTIMENT: EpochTime(3.0, 5.0, "trials")}  # 30 s in 10 epochs of 2 trials


def test_failed_trials_and_those_of_another_plan_tell_nothing(tmp_path: Path) -> None:
    planned = plan(loaded(tmp_path))
    trial = planned.trials[0]
    other = replace(trial, protocol=replace(trial.protocol, epochs=99))
    assert from_trials(planned, {trial.id: ended(trial, 9.0, 3, "failed"), other.id: ended(other, 9.0, 3)}) == {}


def test_totals_by_hand(tmp_path: Path) -> None:
    study = loaded(tmp_path)  # 2 learning rates, 2 seeds, 6 epochs at most; two trials are left
    planned, records = of_first_two(study)
    found = estimate(study, planned, from_trials(planned, records), devices=2, price=3.0)
    assert found is not None
    assert found.about is not None
    (cell,) = found.cells
    assert (cell.pending, cell.about, cell.at_most) == (2, 2 * 5 * 3.0, 2 * 6 * 3.0)
    busy = 30 + 2 * PACK_SECONDS
    assert found.about.wall_seconds == pytest.approx(RUN_SECONDS + WORKER_SECONDS + busy / 2)
    assert found.about.device_hours == pytest.approx((busy + 2 * WORKER_SECONDS) / 3600)
    assert found.about.cost == pytest.approx(3.0 * found.about.device_hours)
    assert found.at_most.device_hours == pytest.approx((36 + 2 * PACK_SECONDS + 2 * WORKER_SECONDS) / 3600)


def test_a_run_is_no_shorter_than_its_longest_pack(tmp_path: Path) -> None:
    study = loaded(tmp_path)
    planned, records = of_first_two(study)
    found = estimate(study, planned, from_trials(planned, records), devices=100)
    assert found is not None
    assert found.about is not None
    assert found.about.wall_seconds == pytest.approx(RUN_SECONDS + WORKER_SECONDS + 5 * 3.0 + PACK_SECONDS)
    assert found.at_most.wall_seconds == pytest.approx(RUN_SECONDS + WORKER_SECONDS + 6 * 3.0 + PACK_SECONDS)


@pytest.mark.parametrize(
    ("resources", "devices", "packs_in_turn", "members"),
    [
        ({"cpu": 1, "pack_tokens": 0}, 3, 2, 1),  # four packs: one of them begins when the first three have ended
        ({"cpu": 1, "gpu": 1, "pack_tokens": 10**6}, 8, 1, 4),  # one pack of all, and seven GPUs that are idle
    ],
)
def test_packs_wait_for_a_place_and_not_for_a_part_of_one(
    tmp_path: Path, resources: dict[str, Any], devices: int, packs_in_turn: int, members: int
) -> None:
    study = loaded(tmp_path, resources=resources)
    found = estimate(study, plan(study), {SENTIMENT: EpochTime(3.0, 5.0, "trials")}, devices=devices)
    assert found is not None
    assert found.about is not None
    busy = packs_in_turn * (members * 5 * 3.0 + PACK_SECONDS)
    assert found.about.wall_seconds == pytest.approx(RUN_SECONDS + WORKER_SECONDS + busy)


@pytest.mark.parametrize(("search", "packs"), [({}, [60, 60]), ({"budget": {"hours": 9.0}}, [6, 60, 60])])
def test_the_longest_packs_come_first_unless_a_budget_says_which_are_trained(
    tmp_path: Path, search: dict[str, Any], packs: list[int]
) -> None:
    """Four packs of 6 s and four of 60 s on three places; the place that ends last has had ``packs``."""
    study = loaded(tmp_path, tasks=["demo/sentiment", "demo/choice"], search=search)
    epoch_times = {SENTIMENT: EpochTime(1.0, 6.0, "trials"), CHOICE: EpochTime(10.0, 6.0, "trials")}
    found = estimate(study, plan(study), epoch_times, devices=3)
    assert found is not None
    busy = sum(packs) + len(packs) * PACK_SECONDS
    assert found.at_most.wall_seconds == pytest.approx(RUN_SECONDS + WORKER_SECONDS + busy)


def test_devices_are_what_a_pack_takes_of_them(tmp_path: Path) -> None:
    epoch_times = {SENTIMENT: EpochTime(3.0, 5.0, "trials")}
    for resources, device, places in (
        ({"cpu": 2, "pack_tokens": 0}, "CPU", 4),
        ({"cpu": 1, "gpu": 1, "pack_tokens": 0}, "GPU", 8),
        ({"cpu": 1, "gpu": 0.5, "pack_tokens": 0}, "GPU", 16),
        ({"cpu": 1, "concurrent_packs": 3, "pack_tokens": 0}, "CPU", 3),
    ):
        study = loaded(tmp_path, resources=resources)
        found = estimate(study, plan(study), epoch_times, devices=8)
        assert found is not None
        assert (found.device, found.places) == (device, places)
    found = estimate(loaded(tmp_path, resources={"cpu": 1, "gpu": 0.07}), plan(study), epoch_times, devices=7)
    assert found is not None
    assert found.places == 100  # 7 / 0.07 is a little less as floating-point numbers go


def test_without_any_pace_there_is_no_estimate(tmp_path: Path) -> None:
    study = loaded(tmp_path)
    assert estimate(study, plan(study), {}) is None


def test_cells_without_a_pace_are_counted_and_left_out(tmp_path: Path) -> None:
    study = loaded(tmp_path, tasks=["demo/sentiment", "demo/choice"])
    found = estimate(study, plan(study), {SENTIMENT: EpochTime(3.0, 5.0, "trials")})
    assert found is not None
    assert found.unknown == 1
    assert [cell.about for cell in found.cells] == [60.0, None]


def test_a_calibrated_pace_gives_a_limit_unless_nothing_can_stop_a_trial_early(tmp_path: Path) -> None:
    epoch_times = {SENTIMENT: EpochTime(3.0, None, "calibration")}
    patient = loaded(tmp_path / "a", protocol={"epochs": 6, "patience": 6, "max_length": 32})
    found = estimate(patient, plan(patient), epoch_times)
    assert found is not None
    assert found.about is not None
    assert found.about.device_hours == found.at_most.device_hours
    hasty = loaded(tmp_path / "b", protocol={"epochs": 6, "patience": 2, "max_length": 32})
    found = estimate(hasty, plan(hasty), epoch_times)
    assert found is not None
    assert found.about is None


@pytest.mark.parametrize(
    "search",
    [{"strategy": "tpe", "n": 3}, {"promote": 0.5}, {"early_stopping": "asha"}],
    ids=["tpe", "promote", "asha"],
)
def test_what_a_search_decides_as_it_goes_has_a_limit_only(tmp_path: Path, search: dict[str, Any]) -> None:
    study = loaded(tmp_path, search=search)
    found = estimate(study, plan(study), {SENTIMENT: EpochTime(3.0, 5.0, "trials")})
    assert found is not None
    assert found.about is None
    (cell,) = found.cells
    assert cell.at_most == cell.pending * 6 * 3.0


def test_another_method_on_the_same_task_is_scaled_by_how_the_two_compare_elsewhere(tmp_path: Path) -> None:
    study = loaded(tmp_path, tasks=["demo/sentiment", "demo/choice"], methods={"bitfit": {}, "lora": {"rank": 4}})
    lora = ("minilm", "demo/sentiment", "lora")
    epoch_times = {
        SENTIMENT: EpochTime(2.0, 5.0, "trials"),
        lora: EpochTime(3.0, 5.0, "trials"),
        CHOICE: EpochTime(4.0, 5.0, "trials"),
    }
    found = from_analogy(plan(study), epoch_times, lambda backbone, task: None)
    assert found == {("minilm", "demo/choice", "lora"): EpochTime(pytest.approx(6.0), None, "analogy")}  # type: ignore[arg-type]


def test_the_same_method_on_another_task_is_scaled_by_tokens(tmp_path: Path) -> None:
    study = loaded(tmp_path, tasks=["demo/sentiment", "demo/choice"])
    tokens = {"demo/sentiment": 1_000.0, "demo/choice": 2_500.0}
    epoch_times = {SENTIMENT: EpochTime(2.0, 5.0, "trials")}
    assert from_analogy(plan(study), epoch_times, lambda backbone, task: tokens[task]) == {
        CHOICE: EpochTime(5.0, None, "analogy")
    }
    assert from_analogy(plan(study), epoch_times, lambda backbone, task: None) == {}


def test_two_measurements_give_the_seconds_of_both_kinds_of_rows() -> None:
    # 0.5 s per train row and 0.1 s per dev row
    one, other = Measurement(48, 4, 24.4), Measurement(16, 64, 14.4)
    assert scaled(one, other, (1_000, 200)) == pytest.approx(500 + 20)


def test_measurements_that_are_alike_or_noisy_still_give_a_number() -> None:
    alike = Measurement(8, 4, 6.0)
    assert scaled(alike, alike, (16, 8)) == pytest.approx(12.0)
    noisy = scaled(Measurement(48, 4, 24.0), Measurement(16, 64, 1.0), (96, 64))
    assert noisy == pytest.approx(48.0)  # more dev rows took less: they cost nothing


def test_a_real_cell_is_measured(tmp_path: Path) -> None:
    study = loaded(tmp_path, protocol={"epochs": 2, "patience": 2, "max_length": 32, "train_rows": 64, "dev_rows": 32})
    pack, cache = example(study, plan(study).cells[0]), str(tmp_path / "cache")
    assert epoch_seconds(pack, cache, 1) > 0
    one, other = measure(pack, (32, 4), cache, 1), measure(pack, (16, 16), cache, 1)
    assert scaled(one, other, (100, 100)) < scaled(one, other, (1_000, 1_000))


def test_cells_are_calibrated_in_processes_beside_this_one(tmp_path: Path) -> None:
    study = loaded(tmp_path, protocol={"epochs": 2, "patience": 2, "max_length": 32, "train_rows": 32, "dev_rows": 16})
    said: list[str] = []
    epoch_times = calibrate(study, plan(study).cells, said.append)
    assert epoch_times[SENTIMENT].seconds > 0
    assert (epoch_times[SENTIMENT].source, epoch_times[SENTIMENT].epochs) == ("calibration", None)
    assert said[0].startswith("1/1 minilm · demo/sentiment · bitfit")


@pytest.mark.parametrize(
    ("cpu", "gpu", "packs"),
    [(1, 0, 8), (4, 0, 2), (16, 0, 1), (1, 1, 1), (1, 2, 1), (1, 0.25, 4), (4, 0.25, 2), (0.25, 0.25, 4)],
)
def test_packs_that_share_a_machine_or_a_gpu_are_measured_side_by_side(cpu: float, gpu: float, packs: int) -> None:
    assert at_once(Resources(cpu=cpu, gpu=gpu, pack_tokens=None), cores=8) == packs


def test_a_cell_that_cannot_be_trained_is_told_and_left_out(tmp_path: Path) -> None:
    study = loaded(tmp_path)
    far = replace(study.backbones[0], source=str(tmp_path / "nowhere"), identity="nowhere")
    said: list[str] = []
    lost = study.model_copy(update={"backbones": (far,)})
    assert calibrate(lost, plan(lost).cells, said.append) == {}
    assert "cannot be measured" in said[0]


def test_the_pack_that_stands_for_a_cell_of_an_adaptive_search(tmp_path: Path) -> None:
    ranges = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "batch_size": {"low": 4, "high": 12}}
    study = loaded(tmp_path, defaults=ranges, search={"strategy": "tpe", "n": 3})
    (trial,) = example(study, plan(study).cells[0]).trials
    assert trial.learning_rate == pytest.approx(1e-3)
    assert trial.batch_size == 8


def planned(path: Path, *options: str) -> tuple[dict[str, Any], str]:
    """What ``aot plan --json`` prints to stdout and to stderr."""
    asked = CliRunner().invoke(app, ["plan", str(path), "--json", *options])
    assert asked.exit_code == 0, asked.stderr
    return json.loads(asked.stdout), asked.stderr


def test_plan_names_calibrate_where_nothing_is_known(tmp_path: Path) -> None:
    found, words = planned(write_study(tmp_path))
    assert found["estimate"] is None
    assert "--calibrate" in words


def test_plan_estimates_from_the_journal(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    study = studies.load(path)
    trial = plan(study).trials[0]
    history = tuple(Epoch(n, 80.0, 0.5, 2.0) for n in (1, 2, 3))
    entry = Entry.of(study.name, trial, Result(trial.id, "finished", 80.0, 1, history, 100), {}, "")
    journal = Journal(local_folder(study.folder), lambda text: None)
    journal.append([entry])
    journal.close()
    found, _ = planned(path, "--devices", "1", "--price", "2")
    (cell,) = found["estimate"]["cells"]
    assert (cell["source"], cell["seconds_per_epoch"], cell["epochs"], cell["pending"]) == ("trials", 2.0, 3.0, 3)
    total = found["estimate"]["about"]
    assert total["cost"] == pytest.approx(2 * total["device_hours"])
    asked = CliRunner().invoke(app, ["plan", str(path), "--devices", "1"])
    assert "about" in asked.stdout
    assert "at most" in asked.stdout
