"""What of a study is trained: its own trials and no others, and nothing missing in silence."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from helpers.records import record_of
from helpers.stored import journal_of, write_down
from helpers.stub_study import write_study

from search import study
from search.planning.coverage import Coverage, coverage
from search.planning.plan import plan
from search.strategy.proposals import ProposalLog
from search.strategy.study_search import StudySearch
from search.study import Study
from search.tracking.records import Known, read_known
from trainables import trial as trial_module

GRID = {"learning_rate": [1e-3, 2e-3], "batch_size": [16]}


def make(folder: Path, **changes: Any) -> Study:
    return study.load(write_study(folder, None, **changes))


def known(of: Study) -> Known:
    return read_known(of.name, of.folder, of.tracking, lambda _: None)


def covered(of: Study) -> Coverage:
    return coverage(of, known(of))


def numbers(found: Coverage) -> dict[str, int]:
    """What is not zero of the counts."""
    return {name: count for name, count in found.counts.items() if count}


@pytest.mark.parametrize(
    "edit",
    [
        {"protocol": {"epochs": 6, "patience": 2, "max_length": 32, "dev_rows": 16}},
        {"defaults": {"learning_rate": [2e-3, 4e-3], "batch_size": [16]}},  # a value that is removed
        {"methods": {"lora": {"rank": 2}}},  # a method that is removed
        {"tasks": ["demo/choice"]},
        {"seeds": [1, 2]},
    ],
)
def test_after_an_edit_only_the_trials_that_the_study_names_are_its_own(tmp_path: Path, edit: dict[str, Any]) -> None:
    before = make(tmp_path)
    write_down(before, plan(before).trials)
    assert len(covered(before).own) == 4
    after = make(tmp_path, **edit)
    named = {trial.id for trial in plan(after).trials}
    found = covered(after)
    assert {row["trial_id"] for row in found.own} == {trial.id for trial in plan(before).trials} & named
    assert len(found.own) + len(found.others) == 4
    assert len(found.others) > 0
    assert {row["in_study"] for row in found.own} <= {True}
    assert {row["in_study"] for row in found.others} == {False}


def test_results_of_an_older_code_are_not_the_studys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = make(tmp_path)
    write_down(before, plan(before).trials)
    version = trial_module.RESULT_VERSION
    monkeypatch.setattr(trial_module, "RESULT_VERSION", version + 1)
    found = covered(make(tmp_path))
    assert (len(found.own), [row["result_version"] for row in found.others]) == (0, [version] * 4)


def test_what_became_of_every_trial(tmp_path: Path) -> None:
    of = make(tmp_path, methods={"bitfit": {}, "lora": {"rank": [2, 4]}}, seeds=[0, 1])
    bitfit, lora = plan(of).cells
    write_down(of, bitfit.trials[:3])
    write_down(of, bitfit.trials[3:], status="failed")
    write_down(of, lora.trials[:3])
    found = covered(of)
    assert numbers(found) == {
        "planned": 12, "finished": 6, "failed": 1, "not_run": 5, "assignments": 6, "complete": 2,
    }  # fmt: skip
    first = found.cells[0]
    assert (first["method"], first["planned"], first["failed"], first["not_run"], first["complete"]) == (
        "bitfit", 4, 1, 0, 1,
    )  # fmt: skip
    assert found.unsent == 7, "none is in MLflow"
    row = next(iter(found.own))
    assert (row["planned_seeds"], row["planned_in_cell"], row["planned_tasks"], row["planned_in_study"]) == (
        2,
        4,
        1,
        12,
    )
    assert (row["max_epochs"], row["max_length"], row["train_rows"], row["epochs"]) == (6, 32, None, 3)
    assert (row["pack_size"], row["device"], row["commit"]) == (2, "cpu", "abc")


def test_where_a_result_comes_from(tmp_path: Path) -> None:
    """By the study as it stands for its own trials; of others nobody knows the weights and the rows any more."""
    before = make(tmp_path, seeds=[0, 7])
    write_down(before, plan(before).trials)
    of = make(tmp_path, tasks=["demo/sentiment", "demo/choice"], seeds=[0, 1], confirm=1)
    trials = {trial.id: trial for trial in plan(of).trials}
    write_down(
        of, [t for i, t in trials.items() if t.task.name == "demo/choice"][:1], status="failed", reason="no room"
    )
    found = covered(of)
    rows = {(row["task"], row["seed"], row["hp.learning_rate"]): row for row in found.own}
    assert len(rows) == 3
    for row in found.own:
        trial = trials[row["trial_id"]]
        assert row["backbone_hash"] == trial_module.digest(trial.backbone.identity)
        assert row["data_hash"] == trial_module.digest(trial.task.identity())
        assert (row["metric"], row["role"], row["versions"]) == (trial.task.metric, "search", '{"aot":"1","ray":"2"}')
        assert datetime.fromisoformat(row["ended"]).utcoffset() == timedelta(0)
        assert row["run_id"] == ""
    assert len({row["data_hash"] for row in found.own}) == 2
    assert {row["reason"] for row in found.own} == {"", "no room"}
    assert [(row["seed"], row["role"], row["metric"], row["data_hash"]) for row in found.others] == [
        (7, "search", "accuracy", None)
    ] * 2


def test_a_role_follows_from_the_seeds_of_the_study_as_it_stands(tmp_path: Path) -> None:
    """Three fresh seeds; then one of them is one of the study's own, and then the assignment is none of its."""
    of = make(tmp_path, seeds=[0])
    write_down(of, plan(of).trials)
    search = StudySearch(of.model_copy(update={"confirm": 3}), known(of).records)
    write_down(of, [pack.trials[0] for pack in iter(search.next, None)])

    def roles(found: Coverage) -> list[tuple[int, str, bool]]:
        return sorted((row["seed"], row["role"], row["in_study"]) for row in (*found.own, *found.others))

    own, new = [(0, "search", True)] * 2, [(seed, "confirmation", True) for seed in (1000, 1001, 1002)]
    assert roles(covered(of)) == [*own, *new]
    assert numbers(covered(of)) == {"planned": 2, "finished": 2, "assignments": 2, "complete": 2, "confirmed": 3}
    of = make(tmp_path, seeds=[0, 1001])
    assert roles(covered(of)) == [*own, new[0], (1001, "search", True), new[2]]
    assert covered(of).counts["not_run"] == 1
    of = make(tmp_path, seeds=[0], defaults={"learning_rate": [9e-3], "batch_size": [16]})
    assert roles(covered(of)) == [(seed, role, False) for seed, role, _ in [*own, *new]]


def test_what_is_lost_is_told_from_what_was_not_run(tmp_path: Path) -> None:
    """A damaged line of the journal, and runs in MLflow that hold no result or were deleted."""
    from mlflow import MlflowClient

    of = make(tmp_path)
    damaged, begun, deleted, whole = plan(of).trials
    write_down(of, [damaged, whole])
    text = journal_of(of).read_bytes()
    journal_of(of).write_bytes(re.sub(rb'"history":\[', b'"history":', text, count=1))
    client = MlflowClient(of.tracking)
    experiment = client.create_experiment(of.name)
    for trial in (begun, deleted, whole):
        tags = {"aot.kind": "trial", "aot.trial_id": trial.id}
        run = client.create_run(experiment, tags=tags).info.run_id
        if trial is deleted:
            client.delete_run(run)
    for uri in (of.tracking, of.tracking.replace("sqlite:", "sqlite+pysqlite:")):  # from the file, and by MLflow
        told = of.model_copy(update={"tracking": uri})
        assert known(told).lost == {damaged.id, begun.id, deleted.id}
        assert numbers(covered(told)) | {"assignments": 0} == {
            "planned": 4, "finished": 1, "lost": 3, "assignments": 0,
        }  # fmt: skip


def test_an_adaptive_search_owns_what_it_proposed_and_what_is_in_its_space(tmp_path: Path) -> None:
    rates = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3]
    sections = {"defaults": {"learning_rate": rates, "batch_size": [16]}, "seeds": [0]}
    of = make(tmp_path, search={"strategy": "tpe", "n": 4}, **sections)
    log = ProposalLog(journal_of(of).parent, pytest.fail)
    search = StudySearch(of, {}, (), log.append)
    trials = [pack.trials[0] for pack in iter(search.next, None)]
    write_down(of, trials[:3])
    found = coverage(of, known(of), log)
    assert (len(found.own), len(found.others)) == (3, 0)
    assert numbers(found) == {"planned": 4, "finished": 3, "not_run": 1, "assignments": 4, "complete": 3}
    left = [rate for rate in rates if rate != trials[0].learning_rate]
    sections["defaults"] = {"learning_rate": left, "batch_size": [16]}
    found = coverage(make(tmp_path, search={"strategy": "tpe", "n": 4}, **sections), known(of), log)
    assert [row["trial_id"] for row in found.others] == [trials[0].id]
    assert len(found.own) == 2


def test_how_a_trial_came_about_is_told_of_the_search_as_it_stands(tmp_path: Path) -> None:
    """Once TPE proposed them, or the score of the first seed gave them the second; now they are of a whole grid."""
    before = make(tmp_path, search={"promote": 0.5})
    search = StudySearch(before, {})
    trials = [trial for pack in iter(search.next, None) for trial in pack.trials]
    assert len(trials) == 2, "the first seeds"
    whole = make(tmp_path)
    records = {
        trial.id: replace(record_of(trial), search={"strategy": "tpe", "promotion": "promoted"})
        for trial in plan(whole).trials
    }
    assert {(row["strategy"], row["promotion"]) for row in coverage(whole, Known(records)).own} == {("", "")}
    promoted = coverage(before, Known({i: replace(record, search={}) for i, record in records.items()})).own
    assert sorted((row["seed"], row["promotion"]) for row in promoted) == [
        (0, "first"), (0, "first"), (1, "promoted"),
    ]  # fmt: skip


def test_what_an_earlier_search_cut_short_has_no_result_yet(tmp_path: Path) -> None:
    adaptive = make(tmp_path, search={"early_stopping": "asha"})
    trials = plan(adaptive).trials
    records = {trial.id: record_of(trial, status="finished") for trial in trials[:1]}
    records |= {trial.id: record_of(trial, status="pruned") for trial in trials[1:]}
    assert numbers(coverage(adaptive, Known(records)))["pruned"] == 3
    found = coverage(make(tmp_path), Known(records))
    assert numbers(found) == {"planned": 4, "finished": 1, "not_run": 3, "assignments": 2}
    assert [row["status"] for row in found.others] == ["pruned"] * 3


def test_only_a_random_search_has_an_order_of_draws(tmp_path: Path) -> None:
    sections = {"methods": {"lora": {"rank": [2, 4, 8]}}, "seeds": [0, 1]}
    of = make(tmp_path, search={"strategy": "random", "n": 4}, **sections)
    records = {trial.id: record_of(trial) for trial in plan(of).trials}
    draws = {row["assignment_id"]: row["draw"] for row in coverage(of, Known(records)).own}
    assert sorted(draws.values()) == [1, 2, 3, 4]
    assert list(draws.values()) == [1, 2, 3, 4], "in the order of the plan"
    grid = make(tmp_path, **sections)
    records = {trial.id: record_of(trial) for trial in plan(grid).trials}
    assert {row["draw"] for row in coverage(grid, Known(records)).own} == {None}


def test_a_backbone_is_called_as_the_study_calls_it_now(tmp_path: Path) -> None:
    before = make(tmp_path)
    write_down(before, plan(before).trials)
    (source,) = (backbone.source for backbone in before.backbones)
    renamed = make(tmp_path, backbones=[{"source": source, "name": "small"}])
    assert [row["backbone"] for row in covered(renamed).own] == ["small"] * 4


def test_promoted_trials_are_the_studys_where_the_first_seed_of_another_failed(tmp_path: Path) -> None:
    of = make(tmp_path, seeds=[0, 1, 2], search={"promote": 0.5})
    search, records = StudySearch(of, {}), {}
    while (pack := search.next()) is not None:
        for trial in pack.trials:
            failed = not records  # the very first one
            records[trial.id] = record_of(trial, **({"status": "failed", "score": None} if failed else {}))
            search.tell(trial, records[trial.id].status, records[trial.id].score)
    found = coverage(of, Known(records))
    assert (len(found.own), len(found.others)) == (4, 0)
    assert [row["promotion"] for row in found.own] == ["first", "first", "promoted", "promoted"]
    assert numbers(found) == {"planned": 4, "finished": 3, "failed": 1, "assignments": 2, "complete": 1}
    assert StudySearch(of, records).left == 3, "the one that failed is trained again; until then nobody is promoted"
