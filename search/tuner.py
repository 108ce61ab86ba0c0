"""Drives Ray Tune: packs in, results out. One Tune run per study, fed pack by pack.

    outcome = run(study, address=None, view=View(console))

What has a result is in the journal (``search/tracking.py``), so that running again is resuming. Tune's own files,
snapshots and loggers are switched off or thrown away.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ray import tune
from ray.tune import Callback, TuneError

from search import storage
from search._process import environment, interruptible, quiet, terminable
from search._running import Running
from search._words import amount, named, packs
from search.asked import Asked
from search.budget import Spending
from search.connection import RunError, connected, places
from search.journal import StudyBusyError
from search.known import Known
from search.plan import of_work
from search.schedulers import PatienceScheduler, comparisons
from search.searcher import MAX_PENDING, PackSearcher, UntilSpent
from search.sharing import BEAT_SECONDS, Sharing
from search.study import Resources, Study
from search.tracking import Store
from search.trainable import Job, PackTrainable, Report
from search.view import View
from search.work import Work
from trainables.trial import Result, Trial

__all__ = ["Outcome", "RunError", "run"]

TRAINING = "trainables.training"

#: How often a pack is started again whose worker dies without an epoch in between; then it is split, or has failed.
MAX_DEATHS = 2
#: How long a study that gave up its place waits for another one to take it.
TURN_SECONDS = 20.0

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",  # a worker in the middle of an epoch is not waited for
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # our journal is the state of the search
    "TUNE_MAX_PENDING_TRIALS_PG": str(MAX_PENDING),
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S_AUTOSCALER": "1e9",
}


@dataclass(frozen=True)
class Outcome:
    """How many trials ended how in this run; ``skipped`` had ended before it. ``stopped``: the budget that is spent."""

    finished: int = 0
    diverged: int = 0
    failed: int = 0
    pruned: int = 0
    skipped: int = 0
    stopped: str = ""


def run(study: Study, *, address: str | None = None, view: View, train: str = TRAINING) -> Outcome:
    """Train every trial of ``study`` that has no result yet, on this machine or on the Ray cluster at ``address``.

    ``train``: the module that trains a pack (``search.trainable.Job``). Ctrl-C raises KeyboardInterrupt when all is
    written down.

    Raises:
        StudyBusyError: another process runs the same study.
        RefusedError: MLflow does not let this user write the study's runs.
        RunError: the cluster or the storage cannot be reached, or the machine is too small for a pack.
    """
    with terminable(), Store(study.name, study.folder, study.tracking, view.say) as store:
        known = store.known(curves=study.search.early_stopping is not None)
        asked = Asked(store.folder, view.say)
        work = Work(study, known, asked, asked.append)
        before = of_work(work)
        view.start(before, {trial_id: k.score for trial_id, k in known.items() if k.score is not None})
        counts: Counter[str] = Counter()
        stopped = ""
        try:
            if before.pending:
                storage.check(study.folder)
                store.expect_results()
                job = Job(None, train, _absolute(study.folder), study.cache_dir, _threads(study.resources))
                log = quiet(store.folder / "ray.log")
                with log, interruptible() as interrupted, connected(study.resources, address):
                    driver = Driver(work, job, store, view, interrupted, known, to_itself=address is None)
                    counts, stopped = driver.search(store.folder / "tune")
            if not (counts["failed"] or stopped or work.unfinished):
                storage.sweep(study.folder, view.say)
        finally:
            view.stop()
    return Outcome(**counts, skipped=before.total - before.pending, stopped=stopped)


def _threads(resources: Resources) -> int:
    return max(1, int(resources.cpu))


def _absolute(folder: str) -> str:
    return folder if urlsplit(folder).scheme else str(Path(folder).absolute())


class Driver(Callback):
    """What happens on the driver whenever Tune has news: results to the store, packs back to the searcher."""

    def __init__(
        self,
        work: Work,
        job: Job,
        store: Store,
        view: View,
        interrupted: threading.Event,
        known: Mapping[str, Known],
        *,
        to_itself: bool,
    ) -> None:
        self._to_itself = to_itself  # no other study can come to this cluster
        self.counts: Counter[str] = Counter()
        self._study, self._resources = work.study, work.study.resources
        self._work, self._searcher = work, PackSearcher(work, job)
        self._comparisons = comparisons(work, known)
        ended = {trial_id: k.seconds for trial_id, k in known.items()}
        self._spending = Spending(work.study.search.budget, self._resources, store.folder, ended)
        self._sharing = Sharing(work.study.name, self._resources)
        self._scheduler = PatienceScheduler(self._comparisons, work.compared)
        self._running: dict[str, Running] = {}
        self._placed: set[str] = set()  # of those, the ones that have a worker
        self._bereft: set[str] = set()  # those whose worker died, which was told
        self._tried_again: set[str] = set()  # groups of packs that Tune gave up on while they waited for a worker
        self._fault: RunError | None = None
        self._told: object = None
        self._looked = -math.inf
        self._store, self._view, self._interrupted = store, view, interrupted

    def search(self, folder: Path) -> tuple[Counter[str], str]:
        """Run Tune until no pack is left or the budget is spent; the number of trials by status, and what is spent.

        ``folder`` is Tune's, and is removed.
        """
        shutil.rmtree(folder, ignore_errors=True)  # of a driver that was killed
        try:
            with closing(self._sharing), environment(_ENVIRONMENT):
                if not self._to_itself and (other := self._sharing.other_driver(self._view.say)):
                    where = f"process {other.pid} on {other.host}"
                    raise StudyBusyError(f"study {other.study!r} is being run here by {where}; stop that one first")
                self._tune(folder)
                while self._searcher.yielded and not self._spending.exceeded():
                    self._wait_for_a_turn()
                    self._tune(folder)
        except TuneError as error:  # Tune wraps what its callbacks raise
            raise self._fault or RunError(f"Ray Tune stopped: {str(error).strip().splitlines()[-1]}") from error
        finally:
            self._spending.save()
            shutil.rmtree(folder, ignore_errors=True)
        spent = self._spending.exceeded() if self._work.unfinished else ""
        if self._work.budget_is_spent:
            spent = f"{self._study.search.budget.trials} trials are trained (search.budget.trials)"
        return self.counts, spent

    def _tune(self, folder: Path) -> None:
        self._searcher.begin()
        resources = self._resources
        tune.run(
            tune.with_resources(PackTrainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
            name="packs",
            search_alg=self._searcher,
            scheduler=self._scheduler,
            stop=UntilSpent(self._spending),
            num_samples=-1,
            storage_path=str(folder.absolute()),
            verbose=0,
            reuse_actors=True,
            max_failures=MAX_DEATHS,
            raise_on_failed_trial=False,
            callbacks=[self],
            trial_dirname_creator=lambda trial: trial.trial_id,
        )

    def _wait_for_a_turn(self) -> None:
        """Where there are more studies than places, each has one in turn, for a pack; the others take theirs now."""
        end = time.monotonic() + TURN_SECONDS
        while time.monotonic() < end:
            if self._interrupted.wait(BEAT_SECONDS):
                raise KeyboardInterrupt
            self._look_around()
            if self._sharing.alone or self._sharing.full:
                return

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if self._fault:
            raise self._fault  # Tune swallows what some of its callbacks raise
        if time.monotonic() - self._looked >= BEAT_SECONDS:
            self._looked = time.monotonic()
            self._look_around()

    def _look_around(self) -> None:
        """How large the cluster is by now, and who else is there."""
        there = places(self._resources)
        most = self._resources.concurrent_packs
        wanted = self._searcher.wanted if most is None else min(self._searcher.wanted, most)
        share = self._sharing.limit(there, wanted, len(self._placed))
        waits = self._sharing.somebody_waits
        self._searcher.yields = waits and self._sharing.crowded
        self._scheduler.keep_idle_workers = not waits
        limit = share + self._ahead(there, share)
        self._searcher.limit = limit if most is None else min(limit, most)
        self._view.places(max(1, min(there, share) if most is None else min(there, share, most)))
        self._view.tick()
        self._spending.save()
        state = (bool(there), *self._sharing.others)
        if state != self._told:
            if not there:
                self._view.say(f"no node of the cluster has room for a pack ({amount(self._resources)}) yet")
            if self._sharing.others:
                names = ", ".join(self._sharing.others)
                self._view.say(f"the cluster is shared with {names}: at most {packs(share)} at once")
            elif self._told not in (None, (False,)):
                self._view.say("the cluster is this study's alone again")
            self._told = state

    def _ahead(self, there: int, share: int) -> int:
        """Packs beyond those that find room: they wait in Tune, so that no worker does, and an autoscaler sees them.

        They also take the place of a pack that ends before another study can. So there is none while another waits, and
        no more than a part of the places on a cluster that others may come to.
        """
        if not self._sharing.alone:
            return int(not self._sharing.somebody_waits and len(self._running) <= share)
        if self._study.search.strategy == "tpe":
            return 1
        return MAX_PENDING if self._to_itself or not there else min(MAX_PENDING, max(1, there // 4))

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._placed.add(trial.trial_id)
        if trial.trial_id not in self._running:
            self._running[trial.trial_id] = Running(trial.config["job"].pack)
            self._view.started(trial.config["job"].pack)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        report: Report = result.pop("report")  # Tune would keep it
        self._bereft.discard(trial.trial_id)
        running = self._running[trial.trial_id]
        for note in report.notes:
            self._view.say(f"{note} ({named(running.pack)})")
        news = running.news(report)
        if news:
            trial.run_metadata.num_failures = 0  # in weeks on spot machines many deaths are no fault of the pack
            self._tried_again.discard(running.pack.group)
        self._view.epochs(running.pack, news)
        results = running.update(report)
        for trial_id, seconds in running.seconds(news).items():
            self._spending.trial(trial_id, seconds)
        self._record(results)
        if result.get("done"):  # Tune does not show the last report of a trial to its scheduler
            self._scheduler.compare(running.pack, report)
        if report.failure is not None:
            self._give_up(running, report.failure.kind == "memory", report.failure.reason)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        running = self._running.pop(trial.trial_id, None)
        self._placed.discard(trial.trial_id)
        if running is not None:
            self._record(running.close("pruned", "stopped by the scheduler"))
            self._view.ended(running.pack)
        if (worker := trial.temporary_state.ray_actor) is not None:
            worker.taken_in.remote()  # before Tune tells it to stop or to take the next pack
        trial.config["job"].pack = None

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._placed.discard(trial.trial_id)
        self._bereft.add(trial.trial_id)
        self._view.say(f"a worker died; {named(trial.config['job'].pack)} goes on from the last checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        waited = trial.trial_id not in self._placed
        self._placed.discard(trial.trial_id)
        running = self._running.pop(trial.trial_id, None) or Running(trial.config["job"].pack)
        reason = (trial.get_error() or "unknown").strip().splitlines()
        left = running.pack.without({t.id for t in running.pack.trials} - set(running.left))
        few = trial.run_metadata.num_failures <= MAX_DEATHS
        # Tune counts the death of a worker that was about to take this pack twice, and gives up on it; with one death
        # before, these are three. Who waited is tried again, once without an epoch in between.
        if left is not None and (few or (waited and left.group not in self._tried_again)):
            if not few:
                self._tried_again.add(left.group)
            if trial.trial_id not in self._bereft:
                self._view.say(f"a worker died before it began; {named(left)} is tried again")
            self._searcher.put_first([left])
        else:
            self._give_up(running, True, f"its worker died {MAX_DEATHS + 1} times in one epoch ({reason[-1][:300]})")
        self._view.ended(running.pack)
        trial.config["job"].pack = None

    def _give_up(self, running: Running, split: bool, reason: str) -> None:
        """Members without a result: again in two packs where smaller packs may help, else failed."""
        left = running.pack.without({t.id for t in running.pack.trials} - set(running.left))
        if split and left is not None and len(left.trials) > 1:
            self._view.say(f"{named(left)} is split in two and tried again: {reason}")
            self._searcher.put_first(left.split())
            running.left = {}
        else:
            self._record(running.close("failed", reason))

    def _record(self, results: list[tuple[Trial, Result]]) -> None:
        if results:
            try:
                self._store.record(results, self._work.origin)
            except OSError as error:
                self._fault = RunError(f"results cannot be written down: {error}; make room, then start again")
                raise self._fault from error
            self.counts.update(result.status for _, result in results)
            for trial, result in results:
                self._work.tell(trial, result.status, result.score)
                self._spending.trial(trial.id, result.seconds, ended=True)
                self._view.result(trial, result)
