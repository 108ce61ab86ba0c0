"""Strategies, comparison, budgets and shared clusters, with the real Ray and MLflow; the training is a stub."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from helpers.drivers import hear, start
from helpers.stub_study import TRAIN, logged, wish, write_study
from helpers.stub_training import epoch_of
from rich.console import Console

from search import study
from search.planning.plan import plan
from search.tune import tuner
from search.tune.tuner import Outcome
from search.tune.view import View
from trainables.trial import Epoch

RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2]


def run(path: Path) -> tuple[Outcome, str]:
    console = Console(record=True, width=250, file=open("/dev/null", "w"))  # noqa: SIM115
    outcome = tuner.run(study.load(path), view=View(console, seconds=0), train=TRAIN)
    return outcome, console.export_text(clear=False)


def write(folder: Path, search: dict[str, Any], wishes: dict[str, Any] | None = None, **changes: Any) -> Path:
    grid = {"learning_rate": RATES, "batch_size": [16]}
    return write_study(folder, wishes, search=search, **{"defaults": grid, **changes})


@pytest.mark.usefixtures("ray_two_cpus")
class TestRun:
    def test_tpe_with_promotion_in_two_goes(self, tmp_path: Path) -> None:
        """A budget ends the first go; the second one goes on with the same search."""
        search = {"strategy": "tpe", "n": 6, "promote": 0.3, "budget": {"trials": 4}}
        outcome, text = run(write(tmp_path, search))
        assert outcome == Outcome(finished=4, stopped="4 trials are trained (search.budget.trials)")
        assert "at most 8 trials in 1 cells; 8 to train" in text

        first = logged(tmp_path)
        outcome, text = run(write(tmp_path, {**search, "budget": {"trials": 100}}))
        assert outcome == Outcome(finished=4, skipped=4)
        assert "4 of them done before; 4 to train" in text
        runs = logged(tmp_path)
        assert set(first) < set(runs)
        assert all(len(found) == 1 for found in runs.values())
        rows = [found[0] for found in runs.values()]
        firsts = sorted((r for r in rows if r["params"]["seed"] == "0"), key=lambda r: -r["metrics"]["score"])
        assert len(firsts) == 6
        later = {r["tags"]["aot.assignment_id"] for r in rows if r["params"]["seed"] == "1"}
        assert later == {r["tags"]["aot.assignment_id"] for r in firsts[:2]}, "the best two of six by their first seed"

    @pytest.mark.parametrize("pack_tokens", [0, 4096])
    def test_what_falls_behind_is_cut_short_and_the_rest_of_its_pack_is_not(
        self, tmp_path: Path, pack_tokens: int
    ) -> None:
        search = {"early_stopping": {"rule": "asha", "grace_epochs": 1, "reduction_factor": 2}}
        changes = {"resources": {"cpu": 1, "pack_tokens": pack_tokens}}
        outcome, _ = run(write(tmp_path, search, {"seconds": 0.21}, **changes))
        assert outcome.pruned >= 2
        assert outcome.finished >= 1
        assert outcome.pruned + outcome.finished == 16
        rows = [found[0] for found in logged(tmp_path).values()]
        for row in rows:
            if row["tags"]["aot.status"] == "pruned":
                assert row["metrics"]["epochs"] < 5
                assert row["metrics"]["trainable_parameters"] == 1_000, "the worker counted them"
                assert "weights" not in json.loads(row["tags"]["aot.details"])
        best = max(rows, key=lambda r: r["metrics"]["score"])
        assert best["tags"]["aot.status"] == "finished"
        assert not list((tmp_path / "runs" / "stub" / "checkpoints").iterdir())

        outcome, _ = run(write(tmp_path, search, **changes))
        assert outcome == Outcome(skipped=16), "what was cut short is not trained again"
        outcome, _ = run(write(tmp_path, {}, **changes))
        assert outcome.finished == sum(r["tags"]["aot.status"] == "pruned" for r in rows), "unless nothing is cut short"

    def test_a_worker_that_dies_as_it_is_to_cut_a_member_short(self, tmp_path: Path) -> None:
        search = {"early_stopping": {"rule": "asha", "grace_epochs": 1, "reduction_factor": 2}}
        changes = {"resources": {"cpu": 1, "pack_tokens": 4096}, "seeds": [0]}
        outcome, text = run(write(tmp_path, search, {"seconds": 0.21, "kill_when_cut": True}, **changes))
        assert text.count("a worker died; a pack of 8 trials") == 1
        assert outcome.pruned >= 1, "it is told once more"
        assert outcome.pruned + outcome.finished == 8
        runs = logged(tmp_path)
        assert [len(found) for found in runs.values()] == [1] * 8
        best = max((found[0] for found in runs.values()), key=lambda r: r["metrics"]["score"])
        assert best["tags"]["aot.status"] == "finished"

    def test_further_seeds_of_promoted_assignments_are_not_cut_short(self, tmp_path: Path) -> None:
        rule = {"rule": "asha", "reduction_factor": 2}
        search = {"promote": 0.25, "early_stopping": rule}
        outcome, _ = run(write(tmp_path, search, {"seconds": 0.21}, seeds=[0, 1, 2, 3]))
        rows = [found[0] for found in logged(tmp_path).values()]
        later = [r for r in rows if r["tags"]["aot.promotion"] == "promoted"]
        assert len(later) == 3 * min(2, sum(r["tags"]["aot.status"] == "finished" for r in rows if r not in later))
        assert {r["tags"]["aot.status"] for r in later} == {"finished"}
        assert outcome.pruned > 0

    def test_the_rule_knows_the_trials_of_earlier_runs(self, tmp_path: Path) -> None:
        """After a restart the first trial is compared with all before it, and not the first of its kind."""
        whole = plan(study.load(write(tmp_path, {}, seeds=[0])))
        ranked = sorted(whole.trials, key=lambda t: -epoch_of(t, 1, {}).score)
        before = {"learning_rate": [t.learning_rate for t in ranked[:6]], "batch_size": [16]}
        run(write(tmp_path, {"early_stopping": "median"}, seeds=[0], defaults=before))
        last = {"learning_rate": [ranked[-1].learning_rate], "batch_size": [16]}
        everything = {"learning_rate": [*before["learning_rate"], *last["learning_rate"]], "batch_size": [16]}
        path = write(tmp_path, {"early_stopping": "median"}, {"seconds": 0.21}, seeds=[0], defaults=everything)
        outcome, _ = run(path)
        assert (outcome.pruned, outcome.finished) == (1, 0)

    def test_a_pack_that_goes_on_is_compared_by_all_that_it_reached(self, tmp_path: Path) -> None:
        """The worst trial of all, but for what its checkpoint says of its first epochs."""
        whole = plan(study.load(write(tmp_path, {}, seeds=[0])))
        ranked = sorted(whole.packs, key=lambda pack: -epoch_of(pack.trials[0], 1, {}).score)
        (last,) = ranked[-1].trials
        before = {"learning_rate": [pack.trials[0].learning_rate for pack in ranked[:-1]], "batch_size": [16]}
        run(write(tmp_path, {"early_stopping": "median"}, seeds=[0], defaults=before))
        reached = [asdict(Epoch(epoch, 96.0 + epoch, 0.5, 0.01)) for epoch in (1, 2, 3)]
        checkpoint = tmp_path / "runs" / "stub" / "checkpoints" / f"{ranked[-1].group}.json"
        checkpoint.write_text(json.dumps({last.id: reached}))
        outcome, _ = run(write(tmp_path, {"early_stopping": "median"}, {"seconds": 0.21}, seeds=[0]))
        assert (outcome.pruned, outcome.finished) == (0, 1)
        ((row,),) = (found for trial_id, found in logged(tmp_path).items() if trial_id == last.id)
        assert (row["metrics"]["score"], row["metrics"]["best_epoch"], row["metrics"]["epochs"]) == (99.0, 3, 5)

    def test_device_hours_end_a_run_that_can_go_on(self, tmp_path: Path) -> None:
        """An epoch of the stub says that it took a hundredth of a second; five of them make a trial."""
        path = write(tmp_path, {"budget": {"device_hours": 0.2 / 3_600}}, {"seconds": 0.05})
        outcome, _ = run(path)
        assert outcome.stopped.endswith("CPU hours are spent (search.budget.device_hours)")
        assert 1 <= outcome.finished < 16
        again, _ = run(path)
        assert again.finished == 0
        assert again.stopped == outcome.stopped
        rest, _ = run(write(tmp_path, {"budget": {"device_hours": 1.0}}))
        assert rest == Outcome(finished=16 - outcome.finished, skipped=outcome.finished)
        assert [len(found) for found in logged(tmp_path).values()] == [1] * 16


def times(folder: Path, name: str) -> list[float]:
    journal = folder / "runs" / name / "journal.jsonl"
    return [json.loads(line)["time"] for line in journal.read_text().splitlines()] if journal.exists() else []


@pytest.mark.usefixtures("ray_two_cpus")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("cpu", [1, 2], ids=["two places", "one place"])
def test_two_studies_share_a_cluster(cpu: int, tmp_path: Path) -> None:
    """The second study starts while the first has all CPUs and much to do, and ends long before it.

    Where there is but one place, they take turns.
    """
    import ray

    address = ray.get_runtime_context().gcs_address
    one, two = tmp_path / "one", tmp_path / "two"
    trials = 32 // cpu
    few = {"learning_rate": RATES[: 8 // cpu], "batch_size": [16]}
    wishes = {"seconds": 0.4 * cpu}  # where they take turns, two beats of a driver for a trial
    first = start(write(one, {}, wishes, study="long", seeds=trials // 8, resources={"cpu": cpu}), address=address)
    hold = one / "runs" / "long" / "hold"
    try:
        end = time.monotonic() + 200
        while len(times(one, "long")) < 2:
            assert time.monotonic() < end
            assert first.poll() is None, first.communicate()
            time.sleep(0.1)
        hold.touch()  # so that much is left, however long the second one takes to start
        second = start(
            write(two, {}, wishes, study="short", seeds=1, defaults=few, resources={"cpu": cpu}),
            address=address,
        )
        words = "\n".join(hear(second, "the cluster is shared with long"))
        hold.unlink()
        words += second.communicate(timeout=300)[1]
        assert second.returncode == 0, words
        assert first.poll() is None, "it is still at work"
        assert len(times(one, "long")) < trials
        assert "the cluster is shared with long: at most 1 pack at once" in words
        hold.touch()  # so that it does not end before it has looked who is there
        words = "\n".join(hear(first, "the cluster is this study's alone again"))
        assert "the cluster is shared with short: at most 1 pack at once" in words
        wish(one, "long", {})  # the rest takes no time
        hold.unlink()
        while len(times(one, "long")) < trials:
            assert time.monotonic() < end + 200
            time.sleep(0.1)
        first.communicate(timeout=100)
    finally:
        first.kill()
    long, short = times(one, "long"), times(two, "short")
    assert len(short) == 8 // cpu
    during = [t for t in long if short[0] <= t <= short[-1]]
    assert 2 <= len(during) <= 16 // cpu, "each had about half of the cluster"
