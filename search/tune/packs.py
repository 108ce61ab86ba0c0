"""Follows the packs that Tune trains: results to the store, packs whose worker died back to the searcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
from trainables.trial import Pack, Result, Trial

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
            job, packs = trial.config["job"], self._started(trial.trial_id)
            if packs != job.packs:  # found too large, or taken by others, while it waited in Tune
                trial.temporary_state.ray_actor.take.remote(packs)  # before Tune tells the worker to begin
                job.packs = packs
            self.running[trial.trial_id] = RunningPack(*packs)
            for pack in packs:
                self._view.started(pack)

    def _started(self, trial_id: str) -> tuple[Pack, ...]:
        try:
            return self._searcher.started(trial_id)
        except RunError as error:
            self.fault = error
            raise

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        report: PackReport = result.pop("report")  # Tune would keep it
        self._orphaned.discard(trial.trial_id)
        running = self.running[trial.trial_id]
        for note in report.notes:
            self._view.say(f"{note} ({_named(running.packs)})")
        news = running.news(report)
        if running.got_on(report):
            trial.run_metadata.num_failures = 0  # in weeks on spot machines many deaths are no fault of the pack
            self._tried_again.difference_update(pack.group for pack in running.packs)
        if news:
            self._view.epochs(running.packs[0], news)
        results = running.update(report)
        for trial_id, seconds in running.seconds(news).items():
            self._spending.trial(trial_id, seconds)
        self._record(results)
        if result.get("done"):  # Tune does not show the last report of a trial to its scheduler
            self._scheduler.compare(running.packs, report)
        if report.most is not None:
            self._hold(running, report.most)
        if report.failure is not None:
            self._give_up(running, report.failure.kind, report.failure.reason)
        elif not result.get("done"):
            self._fill(trial, running)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        running = self.running.pop(trial.trial_id, None)
        self.placed.discard(trial.trial_id)
        if running is not None:
            self._record(running.close("pruned", "stopped by the scheduler"))
            self._ended(running)
        if (worker := trial.temporary_state.ray_actor) is not None:
            worker.acknowledge.remote()  # before Tune tells it to stop or to take the next pack
        trial.config["job"].packs = ()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.placed.discard(trial.trial_id)
        self._orphaned.add(trial.trial_id)
        job = trial.config["job"]
        if running := self.running.get(trial.trial_id):
            job.packs = tuple(running.rests()) or job.packs  # whoever has a result is not trained again
        for pack in job.packs:
            self._view.say(f"a worker died; {named(pack)} goes on from the last checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        waited = trial.trial_id not in self.placed
        self.placed.discard(trial.trial_id)
        running = self.running.pop(trial.trial_id, None) or RunningPack(*trial.config["job"].packs)
        reason = (trial.get_error() or "unknown").strip().splitlines()
        rests = running.rests()
        groups = {rest.group for rest in rests}
        few = trial.run_metadata.num_failures <= MAX_DEATHS
        # Tune counts the death of a worker that was about to take this pack twice, and gives up on it; with one death
        # before, these are three. Who waited is tried again, once without an epoch in between.
        if rests and (few or (waited and not groups & self._tried_again)):
            if not few:
                self._tried_again |= groups
            if trial.trial_id not in self._orphaned:
                self._view.say(f"a worker died before it began; {_named(rests)} is tried again")
            self._searcher.put_first(rests)
        else:
            words = f"its worker died {MAX_DEATHS + 1} times in one epoch ({reason[-1][:300]})"
            self._give_up(running, "death", words)
        self._ended(running)
        trial.config["job"].packs = ()

    def _hold(self, running: RunningPack, most: int) -> None:
        """Packs with more members than pay or fit on their device: again in parts, and others like them."""
        for rest in reversed(running.rests()):
            self._searcher.hold(rest, most)
        running.left = {}

    def _ended(self, running: RunningPack) -> None:
        for pack in running.packs:
            self._view.ended(pack)

    def _fill(self, trial: Any, running: RunningPack) -> None:
        """Give a worker more packs to train along with what it trains, as far as the searcher has any for it."""
        for pack in self._searcher.along(running):
            running.add(pack)
            trial.temporary_state.ray_actor.join.remote(pack)  # before Tune tells the worker to go on
            self._view.started(pack)

    def _give_up(self, running: RunningPack, kind: FailureKind, reason: str) -> None:
        """Members without a result: packs that failed in company again, each alone; a pack alone in two where smaller
        packs may help; else they have failed.

        What a pack has no memory for, others like it have none for either.
        """
        rests = running.rests()
        if len(rests) > 1:
            self._view.say(f"{_named(rests)}, trained together, are tried again one by one: {reason}")
            self._searcher.put_apart(rests)
            running.left = {}
        elif kind in ("memory", "death") and rests and len(rests[0].trials) > 1:
            self._view.say(f"{named(rests[0])} is split in two and tried again: {reason}")
            try:
                self._searcher.split(rests[0], reason, whole_shape=kind == "memory")
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


def _named(packs: Sequence[Pack]) -> str:
    return " and ".join(map(named, packs))
