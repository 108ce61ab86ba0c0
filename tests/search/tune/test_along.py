"""Workers get more packs as members stop: which, when not, and what happens when they fail together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import stub_training
from helpers.drivers import assert_nothing_lost, count, in_journal, ray_address, start
from helpers.servers import until
from helpers.stub_study import TRAIN, wish, write_study
from rich.console import Console

from search import study
from search.planning.plan import plan
from search.strategy.pack_limits import PackLimits
from search.strategy.study_search import StudySearch
from search.tune import tuner
from search.tune.running import RunningPack
from search.tune.searcher import MOST_ALONG, PackSearcher
from search.tune.trainable import PackJob, PackReport, PackTrainable
from search.tune.tuner import Outcome
from search.tune.view import View
from trainables.trial import Epoch, Pack

FOUR = {"cpu": 1, "pack_tokens": 4 * 16 * 32}  # packs of four
ONE_RATE = {"learning_rate": [1e-3], "batch_size": [16]}


class Handed:
    """A searcher for packs of four on one place, and the names of Tune's trials."""

    def __init__(self, folder: Path, *, search: dict[str, Any] | None = None, **changes: Any) -> None:
        changes = {"defaults": ONE_RATE, "seeds": list(range(24)), "resources": FOUR, "search": search or {}, **changes}
        of = study.load(write_study(folder, **changes))
        self.packs = plan(of).packs
        self.search = StudySearch(of, {})
        limits = PackLimits(folder, of.resources, [].append)
        self.searcher = PackSearcher(self.search, PackJob((), TRAIN, "storage", "cache", 1), limits, limit=99)

    def start(self, name: str) -> RunningPack:
        """A worker has been found for a trial of Tune that was handed out."""
        return RunningPack(*self.searcher.started(name))

    def suggest(self, names: str) -> list[Pack]:
        return [pack for name in names for pack in self.searcher.suggest(name)["job"].packs]


def end(running: RunningPack, members: int) -> None:
    """So many of the members have a result."""
    for trial_id in list(running.left)[:members]:
        del running.left[trial_id]


def join(one: Handed, running: RunningPack) -> list[Pack]:
    """What the worker is given to train along."""
    packs = one.searcher.along(running)
    for pack in packs:
        running.add(pack)
    return packs


def test_a_worker_gets_what_waits_as_far_as_it_may_have_more(tmp_path: Path) -> None:
    """Of six packs first those that are not handed out, then those that wait in Tune for a worker."""
    one = Handed(tmp_path)
    assert one.suggest("abcd") == list(one.packs[:4])
    running = one.start("a")
    assert join(one, running) == list(one.packs[4:])
    assert len(running.left) == MOST_ALONG * 4
    end(running, 7)
    assert join(one, running) == [], "not before all of its members have a place"
    end(running, 1)
    assert join(one, running) == list(one.packs[1:3])
    end(running, 8)
    assert join(one, running) == [one.packs[3]]
    assert [one.searcher.started(name) for name in "bcd"] == [()] * 3, "nothing is left for those workers"
    assert one.searcher.suggest("e") is None
    for name in "abcd":
        one.searcher.on_trial_complete(name)
    assert one.searcher.suggest("e") == PackSearcher.FINISHED


def test_a_worker_whose_pack_another_took_gets_the_next_one(tmp_path: Path) -> None:
    one = Handed(tmp_path, methods={"bitfit": {}, "ia3": {}}, seeds=[0, 1, 2, 3, 4, 5, 6, 7])
    first, second, other, last = one.packs
    assert one.suggest("ab") == [first, second]
    assert join(one, one.start("a")) == [second]
    assert one.searcher.started("b") == (other,)
    assert one.suggest("c") == [last]


def test_who_gets_nothing(tmp_path: Path) -> None:
    one = Handed(tmp_path)
    one.suggest("abc")
    running = one.start("a")
    one.searcher.places = 4
    assert join(one, running) == [], "five packs are there, and three other workers may have two more each"
    one.searcher.places, one.searcher.fills = 1, False
    assert join(one, running) == [], "another study waits for the place"
    one.searcher.places, one.searcher.fills = 3, True
    assert len(join(one, running)) == 1


def test_nothing_goes_along_with_packs_of_one_or_of_another_shape(tmp_path: Path) -> None:
    alone = Handed(tmp_path / "one", resources={"cpu": 1, "pack_tokens": 0})
    alone.suggest("ab")
    assert join(alone, alone.start("a")) == []
    shapes = Handed(tmp_path / "two", methods={"lora": {"rank": [2, 4]}}, seeds=[0, 1, 2, 3])
    shapes.suggest("ab")
    assert join(shapes, shapes.start("a")) == []


def test_packs_that_failed_in_company_are_trained_alone(tmp_path: Path) -> None:
    one = Handed(tmp_path)
    one.suggest("a")
    running = one.start("a")
    assert len(join(one, running)) == 2
    one.searcher.put_apart(running.rests())
    one.searcher.on_trial_complete("a")
    assert one.suggest("bcd") == running.rests()
    (other,) = one.suggest("e")
    assert join(one, one.start("b")) == [], "it takes none"
    taken = join(one, one.start("e"))
    assert len(taken) == 2
    assert not {pack.group for pack in taken} & {pack.group for pack in running.rests()}, "and none takes it"
    assert other not in taken


@pytest.mark.parametrize(("trials", "more"), [(8, True), (6, False)])
def test_a_budget_of_trials_counts_who_goes_along(trials: int, more: bool, tmp_path: Path) -> None:
    one = Handed(tmp_path, search={"budget": {"trials": trials}})
    one.suggest("a")
    assert bool(join(one, one.start("a"))) == more
    rest = one.searcher.suggest("b")
    assert (rest is None) == more, "the last two are a pack of their own"


@pytest.mark.parametrize(("search", "kept"), [({}, False), ({"budget": {"hours": 1}}, True)])
def test_where_the_order_decides_what_is_trained_it_is_kept(search: dict[str, Any], kept: bool, tmp_path: Path) -> None:
    """Two packs of each rank: with a budget those of the second do not come before those of the first."""
    one = Handed(tmp_path, search=search, methods={"lora": {"rank": [2, 4]}}, seeds=list(range(8)))
    low, high = one.packs[:2], one.packs[2:]
    assert low[0].shape_id != high[0].shape_id
    assert (one.search.next_like(high[0]) is None) == kept
    assert one.search.next_like(low[0]) == low[0]
    assert one.search.next_like(low[0]) == low[1]
    assert one.search.next_like(low[0]) is None
    assert one.search.next_like(high[1]) == high[0 if kept else 1]


def test_what_a_worker_trains_ends_with_the_last_member_of_all_its_packs(tmp_path: Path) -> None:
    one, two = plan(study.load(write_study(tmp_path, resources=FOUR, defaults=ONE_RATE, seeds=list(range(8))))).packs
    running = RunningPack(one)
    running.add(two)

    def report(pack: Pack, epoch: int) -> PackReport:
        return PackReport([(trial.id, Epoch(epoch, 50.0, 0.5, 1.0)) for trial in pack.trials])

    for epoch in (1, 2, 3):
        assert not running.ends_with(report(one, epoch))
        assert running.got_on(report(one, epoch))
        running.update(report(one, epoch))
    assert running.got_on(report(two, 1)), "an epoch of one that is behind the others is progress"
    assert not running.got_on(report(two, 1))
    assert [running.ends_with(report(two, epoch)) for epoch in (1, 2, 3)] == [False, False, True]
    del running.left[one.trials[0].id], running.left[two.trials[3].id]
    assert running.rests() == [one.without({one.trials[0].id}), two.without({two.trials[3].id})]
    sizes = {result.pack_size for _, result in running.close("failed", "why")}
    assert sizes == {4}


def test_a_worker_goes_on_with_the_others_when_the_first_pack_had_ended(tmp_path: Path) -> None:
    """It died when it had written that down, and before anybody heard of it."""
    path = write_study(tmp_path, resources=FOUR, defaults=ONE_RATE, seeds=list(range(12)))
    of = study.load(path)
    ended, begun, joins = plan(of).packs
    job = PackJob((ended, begun), TRAIN, of.folder, of.cache_dir, 1)
    before = stub_training.train(ended, stub_training.Workspace(of.folder, of.cache_dir))
    assert [item.done for item in before][-1]
    worker = PackTrainable({"job": job})
    results, done = [], False
    while not done:
        told = worker.train()
        results += told["report"].results
        done = told["done"]
        if joins is not None:
            worker.join(joins)
            joins = None
    assert len({result.trial_id for result in results}) == len(results) == 12
    checkpoints = Path(of.folder) / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 3
    worker.acknowledge()
    worker.stop()
    assert not list(checkpoints.iterdir())


@pytest.fixture
def along(monkeypatch: pytest.MonkeyPatch) -> list[Pack]:
    """The packs that a run has given to workers to train along."""
    found: list[Pack] = []
    give = PackSearcher.along

    def noted(searcher: PackSearcher, running: RunningPack) -> list[Pack]:
        packs = give(searcher, running)
        found.extend(packs)
        return packs

    monkeypatch.setattr(PackSearcher, "along", noted)
    return found


class Run:
    """Runs a study and keeps what was said."""

    def __init__(self, path: Path, train: str = TRAIN) -> None:
        console = Console(record=True, width=250, file=open("/dev/null", "w"))  # noqa: SIM115
        self.outcome = tuner.run(study.load(path), view=View(console, seconds=0), train=train)
        self.said = console.export_text().splitlines()


def two_packs(folder: Path, wishes: dict[str, Any]) -> Path:
    """Of one shape, on one place; the trials of the first have the rate 1e-3, those of the second 2e-3."""
    folder.mkdir(exist_ok=True)
    return write_study(folder, wishes, seeds=[0, 1, 2, 3], resources={**FOUR, "concurrent_packs": 1})


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_worker_that_dies_with_two_packs(tmp_path: Path, along: list[Pack]) -> None:
    """Both go on from their checkpoints, in one worker again."""
    path = two_packs(tmp_path, {"kill": {"0.001": 1}, "seconds": 0.25})
    run = Run(path)
    assert run.outcome == Outcome(finished=8)
    assert len(along) == 1
    assert count(run.said, "a worker died; a pack of 4 trials", "goes on from the last checkpoint") == 2
    assert_nothing_lost(path)
    assert not list((tmp_path / "runs" / "stub" / "checkpoints").iterdir()), "those of both can go"


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_driver_that_dies_while_a_worker_trains_two_packs(tmp_path: Path) -> None:
    path = two_packs(tmp_path, {"seconds": 0.4})
    checkpoints = tmp_path / "runs" / "stub" / "checkpoints"
    driver = start(path, address=ray_address())
    try:
        until(lambda: len(list(checkpoints.iterdir())) == 2)
    finally:
        driver.kill()
        driver.communicate()
    wish(tmp_path, "stub", {})
    outcome = Run(path).outcome
    assert outcome == Outcome(finished=8 - outcome.skipped, skipped=outcome.skipped)
    assert_nothing_lost(path)


@pytest.mark.usefixtures("ray_two_cpus")
def test_of_two_packs_that_fail_together_one_is_at_fault(tmp_path: Path, along: list[Pack]) -> None:
    path = two_packs(tmp_path, {"fails": 1e-3, "seconds": 0.25})
    run = Run(path)
    assert run.outcome == Outcome(finished=4, failed=4)
    assert len(along) == 1
    assert (
        count(run.said, "a pack of 4 trials", ", trained together, are tried again one by one: ValueError: the stub")
        == 1
    )
    of = study.load(path)
    rates = {trial.id: trial.learning_rate for trial in plan(of).trials}
    assert {rates[i] for i, (status, *_) in in_journal(of).items() if status == "failed"} == {1e-3}


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_study_gives_the_same_whoever_goes_along(tmp_path: Path, along: list[Pack]) -> None:
    """The real loop with dropout: three packs of two in one worker, and each trial alone."""
    protocol = {"epochs": 3, "patience": 1, "max_length": 32, "train_rows": 16, "dev_rows": 24, "dropout": 0.1}
    tables = []
    for folder, tokens in (("packs", 2 * 8 * 32), ("alone", 0)):
        (tmp_path / folder).mkdir()
        path = write_study(
            tmp_path / folder,
            methods={"lora": {"rank": 4}},
            defaults={"learning_rate": 5e-3, "batch_size": 8},
            seeds=list(range(6)),
            resources={"cpu": 1, "concurrent_packs": 1 if tokens else 2, "pack_tokens": tokens},
            protocol=protocol,
        )
        assert Run(path, "trainables.training").outcome == Outcome(finished=6)
        tables.append(in_journal(study.load(path)))
    together, alone = tables
    assert len(along) == 2
    assert together.keys() == alone.keys()
    for trial_id, (status, score, best, epochs) in together.items():
        assert (status, best, epochs) == (alone[trial_id][0], *alone[trial_id][2:])
        assert score == pytest.approx(alone[trial_id][1])
