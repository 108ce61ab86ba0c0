"""The whole search with a real Ray and a real MLflow store; the training is a stub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.stub_study import TRAIN, logged, write_study
from mlflow import MlflowClient
from rich.console import Console

from search import study
from search.errors import RunError
from search.planning.plan import of_search, plan
from search.strategy.pack_limits import PackLimits
from search.strategy.study_search import StudySearch
from search.study import Resources
from search.tracking.records import logged as logged_records
from search.tune import tuner
from search.tune.running import RunningPack
from search.tune.searcher import PackSearcher
from search.tune.trainable import PackJob, PackReport
from search.tune.tuner import Outcome
from search.tune.view import View
from trainables.trial import Epoch, Pack, Result


class Told:
    """A view that remembers what was said."""

    def __init__(self) -> None:
        self.console = Console(record=True, width=250, file=open("/dev/null", "w"))  # noqa: SIM115
        self.view = View(self.console, seconds=0)

    @property
    def text(self) -> str:
        return self.console.export_text(clear=False)


def run(path: Path) -> tuple[Outcome, str]:
    told = Told()
    outcome = tuner.run(study.load(path), view=told.view, train=TRAIN)
    return outcome, told.text


@pytest.mark.usefixtures("ray_two_cpus")
class TestRun:
    def test_a_study_then_a_seed_then_a_method(self, tmp_path: Path) -> None:
        outcome, text = run(write_study(tmp_path))
        assert outcome == Outcome(finished=4)
        assert "4 trials in 1 cells; 4 to train" in text
        first = logged(tmp_path)
        assert len(first) == 4
        assert not list((tmp_path / "runs" / "stub" / "checkpoints").iterdir()), "those of ended packs are discarded"
        assert not (tmp_path / "runs" / "stub" / "tune").exists()

        outcome, text = run(write_study(tmp_path, seeds=[0, 1, 2], methods={"bitfit": {}, "lora": {"rank": [4]}}))
        assert outcome == Outcome(finished=8, skipped=4)
        assert "4 of them done before; 8 to train" in text
        both = logged(tmp_path)
        assert len(both) == 12
        assert all(len(runs) == 1 for runs in both.values())
        assert {k: v for k, v in both.items() if k in first} == first, "what was done is not touched"

        outcome, _ = run(tmp_path / "study.yaml")
        assert outcome == Outcome(skipped=12)
        assert in_mlflow(tmp_path).keys() == both.keys()
        check_summary(tmp_path, both)

        outcome, _ = run(write_study(tmp_path))
        assert outcome == Outcome(skipped=4), "the study of before: nothing is to be trained"
        assert {name: (m["n_trials"], m["n_planned"]) for name, m in summaries(tmp_path).items()} == {
            "bitfit · demo/sentiment · minilm": (4, 4),
            "lora · demo/sentiment · minilm": (0, 0),
        }

    def test_faults_in_packs(self, tmp_path: Path) -> None:
        """Members of one pack: one diverges; another pack fails; all are too large for the memory at first."""
        rates = [1e-3, 2e-3, 3e-3, 4e-3]
        wishes = {"members": 3, "fails": 4e-3, "diverges": 1e-3}
        grid = {"learning_rate": rates, "batch_size": [16]}
        path = write_study(tmp_path, wishes, defaults=grid, resources={"cpu": 1, "pack_tokens": 4096})
        assert [len(p.trials) for p in plan(study.load(path)).packs] == [8]
        checkpoints = tmp_path / "runs" / "stub" / "checkpoints"
        for name in ("of-another-plan.safetensors", "old.safetensors.damaged"):
            (checkpoints / name).touch()

        outcome, text = run(path)
        assert outcome == Outcome(finished=4, diverged=2, failed=2)
        assert outcome.reasons == {"lasting": ["ValueError: the stub was asked to fail"] * 2}
        assert (checkpoints / "of-another-plan.safetensors").exists(), "while a trial is to be trained again"
        assert "a pack of 8 trials of minilm, demo/sentiment, bitfit is split in two and tried again: Memory" in text
        by_rate = {(r[0]["params"]["learning_rate"], r[0]["params"]["seed"]): r[0] for r in logged(tmp_path).values()}
        assert len(by_rate) == 8
        failed = by_rate["0.004", "0"]
        assert failed["run"] == "FAILED"
        assert failed["tags"]["aot.status"] == "failed"
        assert failed["tags"]["aot.reason"] == "ValueError: the stub was asked to fail"
        assert "trainable_parameters" not in failed["metrics"]
        diverged = by_rate["0.001", "1"]
        assert (diverged["run"], diverged["tags"]["aot.status"]) == ("FINISHED", "diverged")
        assert diverged["metrics"]["best_epoch"] == 1, "it keeps the best score that it reached"
        assert sorted(in_mlflow(tmp_path).values()) == ["diverged"] * 2 + ["failed"] * 2 + ["finished"] * 4

        (tmp_path / "runs" / "stub" / "stub.json").write_text("{}")
        outcome, _ = run(path)
        assert outcome == Outcome(finished=2, skipped=6), "failed trials are trained again"
        assert [path.name for path in checkpoints.iterdir()] == ["old.safetensors.damaged"], "for people to look at"
        again = logged(tmp_path)[failed["tags"]["aot.trial_id"]]
        assert len(again) == 1
        assert again[0]["id"] == failed["id"], "in the run that they have"
        assert (again[0]["run"], again[0]["tags"]["aot.status"]) == ("FINISHED", "finished")
        assert again[0]["tags"]["aot.reason"] == ""

    def test_workers_that_are_killed_and_memory_that_is_short(self, tmp_path: Path) -> None:
        """A pack whose worker dies goes on from its checkpoint; after three deaths it is given up."""
        wishes = {"kill": {"0.001": 1, "0.002": 99}, "memory": 3e-3, "seconds": 0.25}  # each epoch is told by itself
        rates = {"learning_rate": [1e-3, 2e-3, 3e-3, 4e-3], "batch_size": [16]}
        outcome, text = run(write_study(tmp_path, wishes, defaults=rates, seeds=[0]))
        assert outcome == Outcome(finished=2, failed=2)
        assert {kind: len(reasons) for kind, reasons in outcome.reasons.items()} == {"memory": 1, "death": 1}
        again = "a worker died; a pack of 1 trial of minilm, demo/sentiment, bitfit goes on from the last checkpoint"
        assert text.count(again) == 3
        by_rate = {runs[0]["params"]["learning_rate"]: runs[0] for runs in logged(tmp_path).values()}
        assert by_rate["0.001"]["metrics"]["epochs"] == by_rate["0.004"]["metrics"]["epochs"] == 5
        assert by_rate["0.002"]["tags"]["aot.reason"].startswith("its worker died 3 times in one epoch")
        assert by_rate["0.003"]["tags"]["aot.reason"] == "MemoryError: the stub was asked for too much"

    def test_idle_workers_that_are_killed(self, tmp_path: Path) -> None:
        """A pack loses its worker in an epoch, and then the one that was to take it: it is no fault of the pack."""
        wishes = {"kill": {"0.001": 1}, "kill_between_packs": 2, "seconds": 0.25}
        rates = {"learning_rate": [1e-3, 2e-3, 3e-3, 4e-3, 5e-3], "batch_size": [16]}
        outcome, text = run(write_study(tmp_path, wishes, defaults=rates, seeds=[0]))
        assert outcome == Outcome(finished=5)
        assert len(list((tmp_path / "runs" / "stub").glob("killed-between-*"))) == 2
        assert "split" not in text
        assert [len(runs) for runs in logged(tmp_path).values()] == [1] * 5

    def test_a_pack_that_gets_on_is_never_given_up(self, tmp_path: Path) -> None:
        """Four deaths, and an epoch between each two."""
        wishes = {"kill_once_in": {"0.001": [2, 3, 4, 5]}, "seconds": 0.25}
        one = {"learning_rate": [1e-3], "batch_size": [16]}
        outcome, text = run(write_study(tmp_path, wishes, defaults=one, seeds=[0]))
        assert outcome == Outcome(finished=1)
        assert text.count("a worker died; a pack of 1 trial") == 4

    def test_a_loop_without_patience_is_stopped_by_the_scheduler(self, tmp_path: Path) -> None:
        """The real Tune, the real scheduler: each trial ends in the epoch in which the loop would have ended it."""
        outcome, _ = run(write_study(tmp_path, {"no_patience": True, "seconds": 0.25}, seeds=[0]))
        assert outcome == Outcome(finished=2)
        metrics = [runs[0]["metrics"] for runs in logged(tmp_path).values()]
        assert [(m["epochs"], m["best_epoch"]) for m in metrics] == [(5, 3)] * 2


def in_mlflow(folder: Path) -> dict[str, str]:
    """Every trial's status by its run, as the reports read it, by trial id."""
    found = logged_records("stub", f"sqlite:///{folder}/runs/mlflow.db", pytest.fail)
    assert found is not None
    return {trial_id: record.status for trial_id, record in found.records.items()}


def summaries(folder: Path) -> dict[str, dict[str, float]]:
    """What the parent runs of the cells say, by their names."""
    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("stub").experiment_id
    return {r.info.run_name: r.data.metrics for r in client.search_runs([experiment], "tags.`aot.kind` = 'cell'")}


def check_summary(folder: Path, trials: dict[str, list[dict[str, Any]]]) -> None:
    """The parent runs of the cells have their trials as children, and their best assignment's median."""
    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("stub")
    cells = client.search_runs([experiment.experiment_id], "tags.`aot.kind` = 'cell'")
    assert {c.info.run_name for c in cells} == {"bitfit · demo/sentiment · minilm", "lora · demo/sentiment · minilm"}
    for cell in cells:
        children = [r[0] for r in trials.values() if r[0]["tags"]["mlflow.parentRunId"] == cell.info.run_id]
        metrics = cell.data.metrics
        assert len(children) == metrics["n_trials"] == metrics["n_finished"] == metrics["n_planned"] == 6
        best = cell.data.tags["aot.best_assignment_id"]
        scores = sorted(r["metrics"]["score"] for r in children if r["tags"]["aot.assignment_id"] == best)
        assert cell.data.metrics["best_median"] == scores[1]
        assert cell.info.status == "FINISHED"


def member(pack: Pack, i: int, epoch: int, score: float) -> tuple[str, Epoch]:
    return pack.trials[i].id, Epoch(epoch, score, 0.5, 1.0)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    path = write_study(tmp_path, resources={"cpu": 1, "pack_tokens": 4096})
    (pack,) = plan(study.load(path)).packs
    return pack


def test_results_that_come_again_count_once(pack: Pack) -> None:
    running = RunningPack(pack)
    result = Result(pack.trials[0].id, "finished", 60.0, 1, (Epoch(1, 60.0, 0.5, 1.0),), 10)
    assert running.update(PackReport([member(pack, 0, 1, 60.0)], [result])) == [(pack.trials[0], result)]
    assert running.update(PackReport([], [result])) == []
    assert len(running.left) == 3


def test_what_is_left_of_a_pack_keeps_what_it_reached(pack: Pack) -> None:
    running = RunningPack(pack)
    running.update(PackReport([member(pack, 0, 1, 60.0), member(pack, 0, 2, 61.0), member(pack, 1, 1, float("nan"))]))
    closed = {trial.id: result for trial, result in running.close("failed", "why")}
    first = closed[pack.trials[0].id]
    assert (first.status, first.score, first.best_epoch, first.reason) == ("failed", 61.0, 2, "why")
    assert closed[pack.trials[1].id].score is None
    assert not running.left


def test_the_searcher_waits_for_packs_that_may_come_back(tmp_path: Path) -> None:
    study_search = StudySearch(study.load(write_study(tmp_path, resources={"cpu": 1, "pack_tokens": 4096})), {})
    (pack,) = of_search(study_search).packs
    limits = PackLimits(tmp_path, Resources(), [].append)
    searcher = PackSearcher(study_search, PackJob((), TRAIN, "storage", "cache", 1), limits)
    assert searcher.wanted == 1
    assert searcher.suggest("a")["job"].packs == (pack,)
    assert searcher.suggest("b") is None
    searcher.put_first(pack.split())
    searcher.on_trial_complete("a")
    searcher.limit = 1
    handed = [*searcher.suggest("b")["job"].packs]
    assert searcher.suggest("c") is None, "no more than the limit"
    searcher.limit = 2
    handed += searcher.suggest("c")["job"].packs
    assert handed == list(pack.split())
    searcher.on_trial_complete("b")
    searcher.on_trial_complete("c")
    assert searcher.suggest("d") == PackSearcher.FINISHED


def handed_out(searcher: PackSearcher, names: str) -> list[Pack]:
    return [pack for name in names for pack in searcher.suggest(name)["job"].packs]


def test_the_searcher_hands_out_parts_of_what_is_known_to_be_too_large(tmp_path: Path) -> None:
    """The one that ran out of memory, those that it asks for later, and one that waits in Tune."""
    path = write_study(tmp_path, resources={"cpu": 1, "pack_tokens": 4096}, seeds=list(range(12)))
    study_search = StudySearch(study.load(path), {})
    first, waits, later = of_search(study_search).packs
    limits = PackLimits(tmp_path, Resources(), [].append)
    searcher = PackSearcher(study_search, PackJob((), TRAIN, "storage", "cache", 1), limits, limit=9)
    assert handed_out(searcher, "ab") == [first, waits]
    searcher.split(first, "out of memory", whole_shape=True)
    assert handed_out(searcher, "cd") == list(first.split())
    assert searcher.started("b") == waits.split()[:1]
    assert handed_out(searcher, "efg") == [waits.split()[1], *later.split()]


def test_the_searcher_hands_out_what_pays_on_a_device(tmp_path: Path) -> None:
    """Of a pack whose worker found that it is too large, one that waits in Tune, and those to come."""
    path = write_study(tmp_path, resources={"cpu": 1, "pack_tokens": 4096}, seeds=list(range(12)))
    study_search = StudySearch(study.load(path), {})
    first, waits, later = of_search(study_search).packs
    searcher = PackSearcher(
        study_search, PackJob((), TRAIN, "storage", "cache", 1), PackLimits(tmp_path, Resources(), [].append), limit=9
    )
    assert handed_out(searcher, "ab") == [first, waits]
    searcher.hold(first, 4)
    assert handed_out(searcher, "cd") == list(first.split())
    assert searcher.started("b") == waits.split()[:1]
    assert handed_out(searcher, "efg") == [waits.split()[1], *later.split()]


@pytest.mark.cluster
def test_a_pack_larger_than_the_machine(tmp_path: Path) -> None:
    path = write_study(tmp_path, resources={"cpu": 4096})
    with pytest.raises(RunError, match=r"4096 CPUs, but this machine has \d+; lower resources.cpu"):
        tuner.run(study.load(path), view=View(), train=TRAIN)


@pytest.mark.cluster
def test_an_address_that_cannot_be_used(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    with pytest.raises(RunError, match="address of Ray Client"):
        tuner.run(study.load(path), address="ray://head:10001", view=View(), train=TRAIN)
