"""Confirmation on fresh seeds, played through by hand: what is trained, when, and who does not hear of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.records import record_of
from helpers.stub_study import write_study

from analysis import frame, selection
from search import study
from search.planning.coverage import coverage
from search.planning.plan import of_search, plan
from search.strategy.comparison import comparisons
from search.strategy.study_search import StudySearch
from search.study import Study, confirmation_seeds, fresh_seeds
from search.tracking.records import Known, TrialRecord
from trainables.trial import Trial

RATES = [1e-4, 2e-4, 5e-4, 1e-3]
BEST = 5e-4


def make(folder: Path, **changes: Any) -> Study:
    grid = {"learning_rate": RATES, "batch_size": [16]}
    return study.load(write_study(folder, None, **{"defaults": grid, "seeds": [0, 1, 2], "confirm": 3, **changes}))


def score(trial: Trial) -> float:
    """Best at ``BEST`` on the study's own seeds; on fresh ones the worst of all is at the top."""
    fresh = trial.seed >= 1000
    return (
        (10 if fresh else 90)
        + (-1 if fresh else 1) * -10 * abs(RATES.index(trial.learning_rate) - 2)
        + trial.seed / 1e4
    )


def play(search: StudySearch, most: int = 10**6, reached: Callable[[Trial], float] = score) -> list[Trial]:
    """Train one pack at a time, to the end or until so many trials ended; the trials in their order."""
    trained: list[Trial] = []
    while len(trained) < most and (pack := search.next()):
        for trial in pack.trials:
            search.tell(trial, "finished", reached(trial), 100)
            trained.append(trial)
    return trained


def records(trials: list[Trial]) -> dict[str, TrialRecord]:
    return {trial.id: record_of(trial, score(trial)) for trial in trials}


def test_the_winner_is_trained_on_fresh_seeds_once_its_search_is_over(tmp_path: Path) -> None:
    search = StudySearch(make(tmp_path), {})
    out = [search.next().trials[0] for _ in range(12)]
    assert {trial.seed for trial in out} == {0, 1, 2}
    for trial in out[:-1]:
        search.tell(trial, "finished", score(trial))
        assert search.next() is None, "the last one may change who wins"
    assert (search.to_confirm, search.confirmed, search.left) == (3, 0, 0)
    search.tell(out[-1], "finished", score(out[-1]))
    fresh = [search.next().trials[0] for _ in range(3)]
    assert search.next() is None
    assert [(trial.learning_rate, trial.seed) for trial in fresh] == [(BEST, 1000), (BEST, 1001), (BEST, 1002)]
    assert [trial.id for trial in fresh] == [
        replace(out[0], hyperparameters=fresh[0].hyperparameters, seed=s).id for s in (1000, 1001, 1002)
    ]
    assert search.unfinished, "in training"
    for trial in fresh:
        search.tell(trial, "finished", 1.0)
    assert not search.unfinished


def test_a_cell_is_confirmed_while_another_one_is_still_searched_but_after_its_packs(tmp_path: Path) -> None:
    search = StudySearch(make(tmp_path, methods={"bitfit": {}, "fine_tuning": {}}), {})
    out = [search.next().trials[0] for _ in range(24)]
    for trial in out[:12]:
        search.tell(trial, "finished", score(trial))
    fresh = [search.next().trials[0] for _ in range(3)]
    assert {(trial.method, trial.seed >= 1000) for trial in fresh} == {("fine_tuning", True)}, "the longest came first"
    assert search.next() is None
    for trial in out[12:]:
        search.tell(trial, "finished", score(trial))
    assert {trial.method for trial in play(search)} == {"bitfit"}, "which is confirmed as well"


def test_it_goes_on_where_it_stopped_and_a_larger_number_adds_seeds(tmp_path: Path) -> None:
    whole = play(StudySearch(make(tmp_path), {}))
    assert len(whole) == 12 + 3
    for stop in range(len(whole) + 1):
        rest = play(StudySearch(make(tmp_path), records(whole[:stop])))
        assert [trial.id for trial in rest] == [trial.id for trial in whole[stop:]]
    assert [trial.seed for trial in play(StudySearch(make(tmp_path, confirm=5), records(whole)))] == [1003, 1004]
    assert play(StudySearch(make(tmp_path, confirm=2), records(whole))) == []
    assert play(StudySearch(make(tmp_path, confirm=0), records(whole))) == []


def test_no_score_of_a_confirmation_changes_who_wins(tmp_path: Path) -> None:
    """They are told to their cell by nobody, neither now nor by a record of an earlier run."""
    search = StudySearch(make(tmp_path), {})
    trained = play(search, reached=lambda trial: score(trial) if trial.seed < 1000 else 0.0)
    (cell,) = search.cells.values()
    winner = cell.best_assignment()
    assert winner == trained[-1].assignment_id
    known = {t.id: record_of(t, 0.0 if t.seed >= 1000 else score(t)) for t in trained}
    again = StudySearch(make(tmp_path, confirm=9), known)
    assert {trial.assignment_id for trial in play(again)} == {winner}


@pytest.mark.parametrize("own", [[0], [1000, 1002], list(range(1000, 1100))])
def test_fresh_seeds_are_none_of_the_studys(tmp_path: Path, own: list[int]) -> None:
    of = make(tmp_path, seeds=own)
    first = {0: (1000, 1001, 1002), 1000: (1001, 1003, 1004)}.get(own[0]) if len(own) < 3 else (1100, 1101, 1102)
    assert confirmation_seeds(of) == first
    assert confirmation_seeds(of, 5)[:3] == first, "more of them only adds"
    assert len(fresh_seeds(of)) == 100
    assert not fresh_seeds(of) & set(own)


def test_the_key_moves_no_trial(tmp_path: Path) -> None:
    without, wanted = (plan(make(tmp_path, confirm=number)) for number in (0, 7))
    assert [trial.id for trial in without.trials] == [trial.id for trial in wanted.trials]
    assert without.counts == wanted.counts, "counted apart"


def test_the_budget_of_trials_is_the_searchs(tmp_path: Path) -> None:
    of = make(tmp_path, search={"budget": {"trials": 12}})
    search = StudySearch(of, {})
    whole = play(search)
    assert len(whole) == 15
    assert not search.budget_is_spent
    larger = make(tmp_path, methods={"bitfit": {}, "lora": {"rank": [4]}}, search={"budget": {"trials": 14}})
    again = StudySearch(larger, records(whole))
    assert [trial.method for trial in play(again)] == ["lora"] * 2, "of 14 are 12 trained, and 3 are none of the search"
    assert again.budget_is_spent
    assert again.confirmations[("minilm", "demo/sentiment", "lora")].winner is None, "its search is not over"


def test_what_confirms_is_not_cut_short_and_cuts_nobody(tmp_path: Path) -> None:
    of = make(tmp_path, search={"early_stopping": "median"})
    search = StudySearch(of, {})
    whole = play(search)
    assert [search.compared(trial) for trial in whole] == [True] * 12 + [False] * 3
    low = {
        t.id: replace(record_of(t, score(t)), history=((1, 0.0 if t.seed >= 1000 else 50.0, 0.5, 1.0),)) for t in whole
    }
    with_them, without = (
        comparisons(StudySearch(of, known), known) for known in (low, {t.id: low[t.id] for t in whole[:12]})
    )
    key = ("minilm", "demo/sentiment", "bitfit")
    assert with_them[key].rule.__dict__ == without[key].rule.__dict__
    pruned = {**records(whole[:12]), whole[12].id: record_of(whole[12], 50.0, "pruned")}
    assert {t.seed for t in play(StudySearch(of, pruned))} == {1000, 1001, 1002}, (
        "once, as a seed of the study, it was cut short"
    )


def test_an_adaptive_search_hears_of_none(tmp_path: Path) -> None:
    settings = {"strategy": "tpe", "n": 12}
    rates = {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}, "batch_size": [16]}

    def smooth(trial: Trial) -> float:
        return 100.0 if trial.seed >= 1000 else 50 - 1e3 * abs(trial.learning_rate - 1e-3)

    asked = []
    for confirm in (0, 3):
        proposals: list[Any] = []
        of = make(tmp_path, search=settings, defaults=rates, seeds=[0], confirm=confirm)
        search = StudySearch(of, {}, (), lambda cell, proposal, to=proposals: to.append((cell, proposal)))
        trained = play(search, reached=smooth)
        asked.append([trial.id for trial in trained if trial.seed == 0])
    assert asked[0] == asked[1]
    assert len(trained) == 12 + 3
    assert search.origin(trained[-1]) == {"strategy": "tpe", "role": "confirmation"}
    known = {trial.id: record_of(trial, smooth(trial)) for trial in trained}
    larger = make(tmp_path, search={**settings, "n": 13}, defaults=rates, seeds=[0], confirm=3)
    assert len([t for t in play(StudySearch(larger, known, proposals), reached=smooth) if t.seed == 0]) == 1


def test_without_a_score_there_is_nothing_to_confirm(tmp_path: Path) -> None:
    search = StudySearch(make(tmp_path), {})
    while pack := search.next():
        for trial in pack.trials:
            search.tell(trial, "failed", None)
    assert (search.to_confirm, search.confirmed, search.unfinished) == (0, 0, False)
    (one,) = search.confirmations.values()
    assert one.winner is None


def test_what_failed_is_trained_again_in_the_search_and_then_in_the_confirmation(tmp_path: Path) -> None:
    whole = play(StudySearch(make(tmp_path), {}))
    known = records(whole)
    for trial in (whole[0], whole[13]):
        known[trial.id] = record_of(trial, None, "failed")
    search = StudySearch(make(tmp_path), known)
    assert of_search(search).confirmation_counts["undecided"] == 3, "the one that failed may change who wins"
    assert play(search) == [whole[0], whole[13]]


def test_a_study_that_grows_gets_another_winner_and_the_old_ones_trials_stay_known(tmp_path: Path) -> None:
    before = play(StudySearch(make(tmp_path), {}))
    grown = {"learning_rate": [*RATES, 7e-4], "batch_size": [16]}
    of = make(tmp_path, defaults=grown)
    counts = plan(of, records(before)).confirmation_counts
    assert counts == {"total": 3, "finished": 0, "pending": 3, "undecided": 3, "recorded": 3, "others": 0}
    search = StudySearch(of, records(before))
    new = play(search, reached=lambda trial: 99.0)
    assert [trial.learning_rate for trial in new] == [7e-4] * 6
    known = records(before) | {trial.id: record_of(trial, 99.0) for trial in new}
    counts = plan(of, known).confirmation_counts
    assert counts == {"total": 3, "finished": 3, "pending": 0, "undecided": 0, "recorded": 3, "others": 3}
    found = coverage(of, Known(known))
    assert len(found.others) == 0
    fresh = [row for row in found.own if row["role"] == "confirmation"]
    assert sorted(row["hp.learning_rate"] for row in fresh) == [BEST] * 3 + [7e-4] * 3
    assert (found.counts["planned"], found.counts["finished"], found.counts["confirmed"]) == (15, 15, 3)


@pytest.mark.parametrize("search", [{}, {"promote": 0.5}, {"early_stopping": "asha"}])
def test_who_is_confirmed_is_who_the_reports_select(tmp_path: Path, search: dict[str, Any]) -> None:
    """Few different scores, so that medians tie, and trials that diverge, fail or are cut short."""
    lost = {"early_stopping": ["failed", "pruned"], "promote": []}  # a first seed that failed leaves nobody promoted
    statuses = ["finished"] * 3 + ["diverged", *lost.get(next(iter(search), ""), ["failed"])]
    of = make(tmp_path, search=search)
    for seed in range(40):
        draw = random.Random(seed)
        known: dict[str, TrialRecord] = {}
        one = StudySearch(of, {})
        while pack := one.next():
            for trial in pack.trials:
                status, reached = draw.choice(statuses), float(draw.randint(50, 53))
                status = "finished" if one.confirms(trial) else status
                record = record_of(trial, None if status == "failed" else reached, status)
                known[trial.id] = record
                one.tell(trial, status, record.score, record.trainable_parameters)
        (confirmation,) = one.confirmations.values()
        runs, fresh = selection.split_roles(frame.from_rows(coverage(of, Known(known)).own, "here"))
        selected = selection.assignments(runs).query("selected")["assignment_id"].tolist()
        assert selected == ([confirmation.winner] if confirmation.winner else [])
        assert set(fresh["assignment_id"]) == set(selected)
        assert set(fresh["seed"]) == ({1000, 1001, 1002} if selected else set())
