"""What to train next in a cell, played through by hand: strategies, promotion, restarts, budgets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from helpers.records import ended, record_of
from helpers.stub_study import write_study

from search import study
from search.planning.plan import of_search, plan
from search.strategy.proposals import ProposalLog
from search.strategy.study_search import StudySearch
from search.study import Study
from search.tracking.records import TrialRecord
from trainables.trial import Trial

RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2]


def make(folder: Path, search: dict[str, Any], **changes: Any) -> Study:
    grid = {"learning_rate": RATES, "batch_size": [16]}
    return study.load(write_study(folder, None, search=search, **{"defaults": grid, "seeds": [0, 1, 2], **changes}))


def score(trial: Trial) -> float:
    """Best near 1e-3; the seed moves it a little."""
    return 90 - 10 * abs(RATES.index(trial.learning_rate) - 3) + trial.seed / 10


def play(study_search: StudySearch, most: int = 10**6, status: str = "finished") -> list[Trial]:
    """Train one pack at a time, to the end or until so many trials ended; the trials in their order."""
    trained: list[Trial] = []
    while len(trained) < most and (pack := study_search.next()):
        for trial in pack.trials:
            study_search.tell(trial, status, score(trial))
            trained.append(trial)
    return trained


def test_promotion_gives_the_other_seeds_to_the_best_by_their_first(tmp_path: Path) -> None:
    study_search = StudySearch(make(tmp_path, {"promote": 0.25}), {})
    before = of_search(study_search)
    assert (before.total, before.counts["undecided"], len(before.trials)) == (8 + 2 * 2, 4, 8)
    trained = play(study_search)
    assert [t.seed for t in trained] == [0] * 8 + [1, 2, 1, 2]
    assert {t.learning_rate for t in trained[8:]} == {5e-4, 1e-3}, "of equal ones the first"
    assert of_search(study_search).counts["undecided"] == 0
    (cell,) = study_search.cells.values()
    assert cell.promoted == {t.assignment_id for t in trained[8:]}


def test_what_failed_or_was_cut_short_is_not_promoted(tmp_path: Path) -> None:
    study_search = StudySearch(make(tmp_path, {"promote": 0.5, "early_stopping": "asha"}), {})
    firsts = [study_search.next().trials[0] for _ in range(8)]
    assert study_search.next() is None, "the others wait for the scores"
    for trial in firsts:
        best = trial.learning_rate in (5e-4, 1e-3, 2e-3)
        study_search.tell(
            trial, "pruned" if best else "failed" if trial.learning_rate == 1e-4 else "finished", score(trial)
        )
    later = play(study_search)
    assert {t.learning_rate for t in later} == {2e-4, 5e-3, 1e-2, 2e-2}, "the four that are left"


def test_promotion_goes_on_where_an_earlier_run_stopped(tmp_path: Path) -> None:
    s = make(tmp_path, {"promote": 0.25})
    whole = play(StudySearch(s, {}))
    for stop in range(1, len(whole)):
        records = {t.id: record_of(t, score(t)) for t in whole[:stop]}
        assert {t.id for t in play(StudySearch(s, records))} == {t.id for t in whole[stop:]}


def test_tpe_finds_the_best_sooner_than_chance_and_repeats_nothing(tmp_path: Path) -> None:
    rates = {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}, "batch_size": [16]}

    def smooth(trial: Trial) -> float:
        from math import log10

        return 90 - 10 * abs(log10(trial.learning_rate) + 3)

    means = {}
    for strategy in ("tpe", "random"):
        late = []
        for seed in range(5):
            s = make(tmp_path, {"strategy": strategy, "n": 40, "seed": seed}, defaults=rates, seeds=[0])
            study_search, scores, seen = StudySearch(s, {}), [], set()
            while pack := study_search.next():
                (trial,) = pack.trials
                assert trial.id not in seen
                seen.add(trial.id)
                scores.append(smooth(trial))
                study_search.tell(trial, "finished", scores[-1])
            assert len(scores) == 40
            late.append(sum(scores[20:]) / 20)
        means[strategy] = median(late)
    assert means["tpe"] > means["random"] + 3


def test_tpe_takes_all_of_a_small_grid_and_then_ends(tmp_path: Path) -> None:
    study_search = StudySearch(make(tmp_path, {"strategy": "tpe", "n": 50}), {})
    assert of_search(study_search).total == 24
    assert Counter(t.learning_rate for t in play(study_search)) == dict.fromkeys(RATES, 3)
    assert study_search.next() is None


def test_tpe_asks_several_at_once(tmp_path: Path) -> None:
    """Parallel asks come without a score between them and still differ."""
    study_search = StudySearch(make(tmp_path, {"strategy": "tpe", "n": 6}, seeds=[0]), {})
    packs = [study_search.next() for _ in range(6)]
    assert len({p.trials[0].learning_rate for p in packs}) == 6
    assert study_search.next() is None


@pytest.mark.parametrize("written", ["proposals", "records"])
def test_tpe_goes_on_after_a_restart(tmp_path: Path, written: str) -> None:
    """With the file of what was asked for, or with the store's trials alone, as on another machine."""
    s = make(tmp_path, {"strategy": "tpe", "n": 6, "seed": 3})
    folder = tmp_path / "runs" / "stub"
    proposals = ProposalLog(folder, pytest.fail)
    first = StudySearch(s, {}, proposals, proposals.append)
    done = play(first, 4)  # two assignments, of three seeds the second has one
    under_way = first.next()
    records = {t.id: record_of(t, score(t)) for t in done}
    again = StudySearch(
        s, records, ProposalLog(folder, pytest.fail) if written == "proposals" else (), lambda cell, proposal: None
    )
    assert of_search(again).counts["finished"] == 4
    rest = play(again)
    assert not {t.id for t in rest} & set(records)
    assert len(rest) == 18 - 4
    if written == "proposals":
        assert {t.id for t in under_way.trials} <= {t.id for t in rest}, "what was under way is not forgotten"
    assert len({t.assignment_id for t in [*done, *rest]}) == 6


def test_a_damaged_line_of_what_was_asked_for_is_told(tmp_path: Path) -> None:
    s = make(tmp_path, {"strategy": "tpe", "n": 4})
    proposals = ProposalLog(tmp_path / "runs" / "stub", pytest.fail)
    play(StudySearch(s, {}, (), proposals.append))
    lines = proposals.path.read_bytes().splitlines(keepends=True)
    proposals.path.write_bytes(lines[0] + lines[1][:20])
    said: list[str] = []
    again = ProposalLog(proposals.path.parent, said.append)
    assert len(list(again)) == 1
    assert "line 2" in said[0]
    again.append(("a", "b", "c"), [("id", {"learning_rate": 1.0})])
    assert [cell for cell, _ in ProposalLog(proposals.path.parent, said.append)][-1] == ("a", "b", "c")


def test_packs_of_an_adaptive_search_keep_their_name(tmp_path: Path) -> None:
    changes = {"resources": {"cpu": 1, "pack_tokens": 16 * 32 * 6}}
    s = make(tmp_path, {"strategy": "tpe", "n": 4}, **changes)
    proposals = ProposalLog(tmp_path / "runs" / "stub", pytest.fail)
    study_search = StudySearch(s, {}, (), proposals.append)
    pack = study_search.next()
    assert len(pack.trials) == 6, "two assignments of three seeds"
    again = of_search(StudySearch(s, ended(pack.trials[:2]), proposals))
    assert again.packs[0].group == pack.group
    assert again.packs[0].trials == pack.trials[2:]


def test_a_budget_of_trials_counts_earlier_runs_and_can_grow(tmp_path: Path) -> None:
    def budget(trials: int) -> Study:
        return make(tmp_path, {"budget": {"trials": trials}}, resources={"cpu": 1, "pack_tokens": 16 * 32 * 4})

    records: dict[str, TrialRecord] = {}
    for trials in (5, 5, 11, 24, 100):
        study_search = StudySearch(budget(trials), records)
        records |= ended(play(study_search))
        assert len(records) == min(trials, 24)
        assert study_search.budget_is_spent == (trials < 24)


def test_trials_that_were_cut_short_are_trained_where_nothing_is(tmp_path: Path) -> None:
    whole = plan(make(tmp_path, {}))
    records = {t.id: record_of(t, 60.0, "pruned") for t in whole.trials[:5]}
    assert plan(make(tmp_path, {"early_stopping": "median"}), records).counts["finished"] == 5
    assert plan(make(tmp_path, {}), records).counts["finished"] == 0


def test_trials_to_be_trained_again_leave_the_pack_that_cut_them_short(tmp_path: Path) -> None:
    """In its checkpoint they have ended. Theirs keeps its own name until all of it has ended."""
    changes = {"resources": {"cpu": 1, "pack_tokens": 16 * 32 * 8}}
    (first, *others) = plan(make(tmp_path, {}, **changes)).packs
    records = {t.id: record_of(t, 60.0, "pruned") for t in first.trials[2:4]}
    rest, again, *unchanged = plan(make(tmp_path, {}, **changes), records).packs
    assert unchanged == others
    assert (rest.group, rest.trials) == (first.group, (*first.trials[:2], *first.trials[4:]))
    assert again.trials == first.trials[2:4]
    assert again.group not in {pack.group for pack in (first, *others)}
    records |= ended((first.trials[0], first.trials[2]))
    later = plan(make(tmp_path, {}, **changes), records).packs
    assert (later[0].group, later[0].trials) == (first.group, rest.trials[1:])
    assert (later[1].group, later[1].trials) == (again.group, again.trials[1:])

    cutting = plan(make(tmp_path, {"early_stopping": "asha"}, **changes), records).packs
    assert (cutting[0].group, cutting[0].trials) == (first.group, rest.trials[1:])
    assert cutting[1:] == tuple(others), "where trials are cut short they have ended for good"


@pytest.mark.parametrize(("status", "state"), [("diverged", "PRUNED"), ("failed", "FAIL")])
def test_tpe_is_told_why_there_is_no_score(tmp_path: Path, status: str, state: str) -> None:
    """What diverges at once is a bad assignment; what failed says nothing."""
    study_search = StudySearch(make(tmp_path, {"strategy": "tpe", "n": 4}), {})
    (cell,) = study_search.cells.values()
    for how in (status, status, "failed"):
        (trial,) = study_search.next().trials
        study_search.tell(trial, how, None)
    assert [trial.state.name for trial in cell._sampler._study.trials] == [state]


def test_tpe_goes_on_where_its_trials_are_known_under_another_name(tmp_path: Path) -> None:
    """A backbone's name is no part of a trial's id: what was trained counts, and the search goes on beyond it."""
    s = make(tmp_path, {"strategy": "tpe", "n": 6, "seed": 3})
    before = {t.id: record_of(t, score(t)) for t in play(StudySearch(s, {}))}
    named = s.model_copy(update={"backbones": (replace(s.backbones[0], name="other"),)})
    study_search = StudySearch(named, before)
    rest = play(study_search)
    assert not {t.id for t in rest} & set(before)
    (cell,) = study_search.cells.values()
    assert len(cell.trials) == 18
    assert of_search(study_search).counts["undecided"] == 0


def test_a_budget_of_trials_counts_what_is_promoted_though_it_is_not_decided_on_yet(tmp_path: Path) -> None:
    whole = play(StudySearch(make(tmp_path, {"promote": 0.25}), {}))
    records = ended(whole[1:])  # the first of them failed: who is promoted is open again
    study_search = StudySearch(make(tmp_path, {"promote": 0.25, "budget": {"trials": len(records)}}), records)
    assert study_search.next() is None
    assert study_search.budget_is_spent


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"strategy": "tpe"}, "search.n"),
        ({"promote": 0}, "search.promote = 0"),
        ({"early_stopping": "hyperband"}, "'asha' or 'median'"),
        ({"early_stopping": {"rule": "asha", "grace": 1}}, "grace_epochs"),
        ({"budget": {"trials": 0}}, "search.budget.trials = 0"),
        ({"budget": {"gpu_hours": 3}}, "device_hours"),
        ({"strategy": "bayes"}, "'grid', 'random' or 'tpe'"),
    ],
)
def test_searches_that_cannot_be(tmp_path: Path, search: dict[str, Any], words: str) -> None:
    with pytest.raises(study.StudyError) as caught:
        make(tmp_path, search)
    assert words in str(caught.value)
