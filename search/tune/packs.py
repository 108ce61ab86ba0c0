"""Follows the packs that Tune trains: results to the store, packs whose worker died back to the searcher."""

from __future__ import annotations

from collections import Counter
from typing import Any, NoReturn

from ray.tune import Callback

from search._words import named
from search.errors import RunError
from search.strategy.budget import Spending
from search.strategy.study_search import StudySearch
from search.tracking.store import Store
from search.tune.running import RunningPack
from search.tune.schedulers import PatienceScheduler
from search.tune.searcher import PackSearcher
from search.tune.trainable import FailureKind, PackReport
from search.tune.view import View
from trainables.trial import Result, Trial

#: How often a pack is started again whose worker dies without an epoch in between; then it is split, or has failed.
MAX_DEATHS = 2


class PackFollower(Callback):
    """What happens on the driver whenever Tune has news of a pack.

    ``counts``: trials that ended in this run, by status; those of a confirmation that did not fail are ``confirmed``
    whatever theirs. ``running``: the packs in training, by Tune's trial id, which
    are the scheduler's too. ``placed``: of those, the ones that have a worker. ``fault``: why the search cannot go on;
    Tune swallows what some of its callbacks raise. ``reasons``: of the trials that failed, by the kind of failure.
    """

    def __init__(
        self,
        search: StudySearch,
        searcher: PackSearcher,
        scheduler: PatienceScheduler,
        store: Store,
        spending: Spending,
        view: View,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: dict[FailureKind, list[str]] = {}
        self.running = scheduler.running
        self.placed: set[str] = set()
        self.fault: RunError | None = None
        self._search, self._searcher, self._scheduler = search, searcher, scheduler
        self._store, self._spending, self._view = store, spending, view
        self._orphaned: set[str] = set()  # their worker died, which was told
        self._tried_again: set[str] = set()  # groups of packs that Tune gave up on while they waited for a worker

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.placed.add(trial.trial_id)
        if trial.trial_id not in self.running:
            pack = trial.config["job"].pack
            first = self._searcher.first_of(pack)
            if first is not pack:  # found too large while it waited in Tune
                trial.temporary_state.ray_actor.take.remote(first)  # before Tune tells the worker to begin
                trial.config["job"].pack = first
            self.running[trial.trial_id] = RunningPack(first)
            self._view.started(first)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        report: PackReport = result.pop("report")  # Tune would keep it
        self._orphaned.discard(trial.trial_id)
        running = self.running[trial.trial_id]
        for note in report.notes:
            self._view.say(f"{note} ({named(running.pack)})")
        news = running.news(report)
        if running.got_on(report):
            trial.run_metadata.num_failures = 0  # in weeks on spot machines many deaths are no fault of the pack
            self._tried_again.discard(running.pack.group)
        self._view.epochs(running.pack, news)
        results = running.update(report)
        for trial_id, seconds in running.seconds(news).items():
            self._spending.trial(trial_id, seconds)
        self._record(results)
        if result.get("done"):  # Tune does not show the last report of a trial to its scheduler
            self._scheduler.compare(running.pack, report)
        if report.most is not None and (rest := running.rest()) is not None:
            self._searcher.hold(rest, report.most)
            running.left = {}
        if report.failure is not None:
            self._give_up(running, report.failure.kind, report.failure.reason)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        running = self.running.pop(trial.trial_id, None)
        self.placed.discard(trial.trial_id)
        if running is not None:
            self._record(running.close("pruned", "stopped by the scheduler"))
            self._view.ended(running.pack)
        if (worker := trial.temporary_state.ray_actor) is not None:
            worker.acknowledge.remote()  # before Tune tells it to stop or to take the next pack
        trial.config["job"].pack = None

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.placed.discard(trial.trial_id)
        self._orphaned.add(trial.trial_id)
        job = trial.config["job"]
        if running := self.running.get(trial.trial_id):
            job.pack = running.rest() or job.pack  # whoever has a result is not trained again
        self._view.say(f"a worker died; {named(job.pack)} goes on from the last checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        waited = trial.trial_id not in self.placed
        self.placed.discard(trial.trial_id)
        running = self.running.pop(trial.trial_id, None) or RunningPack(trial.config["job"].pack)
        reason = (trial.get_error() or "unknown").strip().splitlines()
        rest = running.rest()
        few = trial.run_metadata.num_failures <= MAX_DEATHS
        # Tune counts the death of a worker that was about to take this pack twice, and gives up on it; with one death
        # before, these are three. Who waited is tried again, once without an epoch in between.
        if rest is not None and (few or (waited and rest.group not in self._tried_again)):
            if not few:
                self._tried_again.add(rest.group)
            if trial.trial_id not in self._orphaned:
                self._view.say(f"a worker died before it began; {named(rest)} is tried again")
            self._searcher.put_first([rest])
        else:
            words = f"its worker died {MAX_DEATHS + 1} times in one epoch ({reason[-1][:300]})"
            self._give_up(running, "death", words)
        self._view.ended(running.pack)
        trial.config["job"].pack = None

    def _give_up(self, running: RunningPack, kind: FailureKind, reason: str) -> None:
        """Members without a result: again in two packs where smaller packs may help, else failed.

        What a pack has no memory for, others like it have none for either.
        """
        rest = running.rest()
        if kind in ("memory", "death") and rest is not None and len(rest.trials) > 1:
            self._view.say(f"{named(rest)} is split in two and tried again: {reason}")
            try:
                self._searcher.split(rest, reason, whole_shape=kind == "memory")
            except OSError as error:
                self._cannot_write("the size of packs that fit", error)
            running.left = {}
        else:
            results = running.close("failed", reason)
            failed = [result.reason for _, result in results if result.status == "failed"]
            self.reasons.setdefault(kind, []).extend(failed)
            self._record(results)

    def _cannot_write(self, what: str, error: OSError) -> NoReturn:
        self.fault = RunError(f"{what} cannot be written down: {error}; make room, then start again")
        raise self.fault from error

    def _record(self, results: list[tuple[Trial, Result]]) -> None:
        if not results:
            return
        try:
            self._store.record(results, self._search.origin)
        except OSError as error:
            self._cannot_write("results", error)
        for trial, result in results:
            confirmed = self._search.confirms(trial) and result.status != "failed"
            self.counts["confirmed" if confirmed else result.status] += 1
            self._search.tell(trial, result.status, result.score, result.trainable_parameters)
            self._spending.trial(trial.id, result.seconds, ended=True)
            self._view.result(trial, result)
