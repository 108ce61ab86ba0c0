"""The longest packs are handed out first, where the order decides nothing but when devices are idle."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.stub_study import write_study

from search import study
from search.planning.estimates import in_turn
from search.planning.plan import of_search
from search.strategy.study_search import StudySearch
from search.strategy.work import Work
from search.study import Study
from trainables.tasks import Hub
from trainables.trial import Pack


def make(folder: Path, **changes: Any) -> Study:
    """Three tasks of different size in the order of the file, packs of several sizes, methods that differ in cost."""
    wanted = {
        "methods": {"lora": {"rank": [4, 8]}, "p_tuning_v1": {"prompt_length": [4, 60]}, "fine_tuning": {}},
        "tasks": ["demo/sentiment", "demo/entailment", "demo/choice"],
        "defaults": {"learning_rate": [1e-3, 2e-3, 5e-3], "batch_size": [8, 32]},
        "resources": {"cpu": 1, "pack_tokens": 1024},
    }
    return study.load(write_study(folder, None, **wanted | changes))


def handed_out(search: StudySearch) -> list[Pack]:
    packs = list(iter(search.next, None))
    for pack in packs:
        for trial in pack.trials:
            search.tell(trial, "finished", 50.0)
    return packs


def test_packs_come_by_their_work_and_equal_ones_as_in_the_file(tmp_path: Path) -> None:
    of = make(tmp_path)
    planned, work = of_search(StudySearch(of, {})).packs, Work(of)
    packs = handed_out(StudySearch(of, {}))
    assert packs == sorted(planned, key=work, reverse=True)
    assert packs != list(planned)
    assert packs == handed_out(StudySearch(of, {})), "the same each time"


@pytest.mark.parametrize("places", [2, 8, 16])
def test_the_last_packs_leave_devices_idle_for_a_shorter_time(tmp_path: Path, places: int) -> None:
    of = make(tmp_path)
    planned, packs = of_search(StudySearch(of, {})).packs, handed_out(StudySearch(of, {}))
    planned, packs = (list(map(Work(of), some)) for some in (planned, packs))
    bound = max(sum(packs) / places, max(packs))
    assert bound <= in_turn(packs, places) < in_turn(planned, places)
    assert in_turn(packs, places) < 1.1 * bound


@pytest.mark.parametrize("search", [{"promote": 0.5}, {"budget": {"trials": 1000}}, {"budget": {"hours": 9.0}}])
def test_the_order_is_the_file_s_where_it_decides_what_is_trained(tmp_path: Path, search: dict[str, Any]) -> None:
    planned = of_search(StudySearch(of := make(tmp_path, search=search), {})).packs
    assert tuple(handed_out(StudySearch(of, {}))[: len(planned)]) == planned


def test_trials_that_are_compared_keep_their_order_within_a_cell(tmp_path: Path) -> None:
    of = make(tmp_path, search={"early_stopping": "median"})
    planned, packs = of_search(StudySearch(of, {})), handed_out(StudySearch(of, {}))
    for cell in planned.cells:
        assert tuple(pack for pack in packs if pack.trials[0].cell == cell.key) == cell.packs
    assert packs != list(planned.packs), "cells are taken by their work"


def test_what_work_depends_on(tmp_path: Path) -> None:
    of = make(tmp_path)
    work = Work(of)
    trials = {(t.task.name, t.method, *t.method_config.values()): t for t in of_search(StudySearch(of, {})).trials}
    lora, tuned = trials["demo/sentiment", "lora", 4, 16.0], trials["demo/sentiment", "fine_tuning"]
    one = work(Pack((lora,)))
    assert work(Pack((lora, replace(lora, seed=7)))) == 2 * one
    assert 1.3 * one < work(Pack((tuned,))) < 1.6 * one, "gradients of weights are a third product in training"
    assert work(Pack((trials["demo/sentiment", "p_tuning_v1", 60],))) > work(
        Pack((trials["demo/sentiment", "p_tuning_v1", 4],))
    )
    longer = replace(lora, protocol=replace(lora.protocol, epochs=12))
    assert Work(of)(Pack((longer,))) == 2 * one
    elsewhere = replace(lora, task=replace(lora.task, source=Hub("nobody/nothing", "x")))
    assert Work(of)(Pack((elsewhere,))) == math.inf
