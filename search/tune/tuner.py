"""Drives Ray Tune: packs in, results out. One Tune run per study, fed pack by pack.

    outcome = run(study, address=None, view=View(console))

What has a result is in the journal (``search/tracking/store.py``), so that running again is resuming. Tune's own files,
snapshots and loggers are switched off or thrown away.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ray import tune
from ray.tune import Callback, TuneError

from search._process import environment, interruptible, quiet, terminable
from search.errors import RunError
from search.strategy.budget import Spending
from search.strategy.comparison import comparisons
from search.strategy.pack_limits import PackLimits
from search.strategy.proposals import ProposalLog
from search.strategy.study_search import StudySearch
from search.study import Study, confirmation_seeds
from search.tracking.about import about
from search.tracking.records import TrialRecord
from search.tracking.store import Store
from search.tune import connection, devices, storage
from search.tune.board import CellState, Confirming
from search.tune.packs import MAX_DEATHS, PackFollower
from search.tune.schedulers import PatienceScheduler
from search.tune.searcher import MAX_PENDING, PackSearcher, UntilSpent
from search.tune.trainable import FailureKind, PackJob, PackTrainable
from search.tune.turns import Turns
from search.tune.view import View
from trainables.trial import CellKey

TRAINING = "trainables.training"

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
    """How many trials ended how in this run; ``skipped`` had ended before it. ``stopped``: the budget that is spent.

    ``confirmed`` counts the trials that confirm a winner and did not fail, of this run, ``confirmed_before`` those of
    earlier ones, and ``unconfirmed`` the cells whose search is not over or has selected nothing; the others are of the
    search, but for ``failed``, which are of both. ``reasons``: of the trials that failed, by the kind of failure.
    """

    finished: int = 0
    diverged: int = 0
    failed: int = 0
    pruned: int = 0
    skipped: int = 0
    confirmed: int = 0
    confirmed_before: int = 0
    unconfirmed: int = 0
    stopped: str = ""
    reasons: Mapping[FailureKind, Sequence[str]] = field(default_factory=dict, compare=False)


def run(study: Study, *, address: str | None = None, view: View, train: str = TRAINING) -> Outcome:
    """Train every trial of ``study`` that has no result yet, on this machine or on the Ray cluster at ``address``; then
    confirm the winners, where the study wants that.

    ``train``: the module that trains a pack (``PackJob``). Ctrl-C raises KeyboardInterrupt when all is written down.

    Raises:
        StudyBusyError: another process runs the same study.
        RefusedError: MLflow does not let this user write the study's runs.
        RunError: the cluster or the storage cannot be reached, or the machine is too small for a pack.
    """
    with terminable(), Store(study.name, study.folder, study.tracking, view.say) as store:
        records = store.records(curves=study.search.early_stopping is not None)
        search = _search(study, records, store, view)
        skipped, confirmed = search.total - search.left, search.confirmed
        store.name(*_named(search))
        store.describe(about(study, search.total))
        undecided = any(cell.undecided for cell in search.cells.values())
        view.start(study.name, _states(search, records), _confirming(search), at_most=undecided)
        outcome = Outcome()
        try:
            if search.left or search.to_confirm:
                connection.check(study.resources, address)
                storage.check(study.folder)
                store.expect_results()
                search, outcome = _train(search, records, store, view, address, train)
            if not (outcome.failed or outcome.stopped or search.unfinished):
                storage.sweep(study.folder, view.say)
        finally:
            view.stop()
    without = sum(one.winner is None for one in search.confirmations.values())
    return replace(outcome, skipped=skipped, confirmed_before=confirmed, unconfirmed=without)


def _search(study: Study, records: Mapping[str, TrialRecord], store: Store, view: View) -> StudySearch:
    proposals = ProposalLog(store.folder, view.say)
    return StudySearch(study, records, proposals, proposals.append)


def _train(
    search: StudySearch, records: Mapping[str, TrialRecord], store: Store, view: View, address: str | None, train: str
) -> tuple[StudySearch, Outcome]:
    """Train what ``search`` has left. It comes back: another one where the cluster has GPUs that the study may take."""
    study = search.study
    here = address is None
    view.phase("starting Ray" if here else f"connecting to Ray at {address}")
    log = quiet(store.folder / "ray.log")
    with log, interruptible() as interrupted, connection.connected(study.resources, address):
        settled = devices.decide(study.resources, interrupted, view.say, here=here)
        if settled.gpus != study.resources.gpus:  # trials are packed by the device
            search = _search(study.model_copy(update={"resources": settled}), records, store, view)
        view.phase("starting workers")
        folders, takes = (_absolute(study.folder), study.cache_dir), search.study.resources
        job = PackJob(None, train, *folders, takes.threads, study.keep.predictions, takes.part, takes.measured)
        return search, Driver(search, job, store, view, records, interrupted, to_itself=here).run(store.folder / "tune")


def _named(search: StudySearch) -> tuple[list[str], dict[CellKey, int], int]:
    """The trials that the study names, as far as they are decided on; how many there are in each cell; seeds."""
    trials = [trial_id for cell in search.cells.values() for trial_id in cell.trials]
    return trials, {key: cell.total for key, cell in search.cells.items()}, len(search.study.seeds)


def _states(search: StudySearch, records: Mapping[str, TrialRecord]) -> dict[CellKey, CellState]:
    """What the view shows of each cell before anything is trained."""
    states = {}
    for key, cell in search.cells.items():
        scores = (records[trial_id].score for trial_id in cell.trials if trial_id in records)
        best = max((score for score in scores if score is not None), default=None)
        states[key] = CellState(cell.total, ended=cell.total - cell.left, best=best)
    return states


def _confirming(search: StudySearch) -> Confirming:
    """The same of the confirmation of each cell, as far as it is decided on."""
    states = {key: CellState(one.total, one.total - one.left) for key, one in search.confirmations.items()}
    return Confirming(states, frozenset(confirmation_seeds(search.study)))


def _absolute(folder: str) -> str:
    return folder if urlsplit(folder).scheme else str(Path(folder).absolute())


class Driver(Callback):
    """Has Tune train packs until none is left, the budget is spent, or somebody interrupts.

    ``to_itself``: no other study can come to this cluster.
    """

    def __init__(
        self,
        search: StudySearch,
        job: PackJob,
        store: Store,
        view: View,
        records: Mapping[str, TrialRecord],
        interrupted: threading.Event,
        *,
        to_itself: bool,
    ) -> None:
        study = search.study
        self._search, self._interrupted = search, interrupted
        self._spending = Spending(
            study.search.budget, study.resources, store.folder, {i: r.seconds for i, r in records.items()}
        )
        limits = PackLimits(store.folder, study.resources, view.say)
        self._searcher = PackSearcher(search, job, limits)
        self._scheduler = PatienceScheduler(comparisons(search, records), search.compared)
        self._follower = PackFollower(search, self._searcher, self._scheduler, store, self._spending, view)
        self._turns = Turns(study, self._searcher, self._scheduler, self._follower, view, to_itself=to_itself)

    def run(self, folder: Path) -> Outcome:
        """Run Tune until no pack is left or the budget is spent.

        ``folder`` is Tune's, and is removed.
        """
        shutil.rmtree(folder, ignore_errors=True)  # of a driver that was killed
        try:
            with closing(self._turns), environment(_ENVIRONMENT):
                self._turns.claim()
                self._tune(folder)
                while self._searcher.yielded and not self._spending.exceeded():
                    self._spending.save()
                    self._turns.wait(self._interrupted)
                    self._tune(folder)
        except TuneError as error:  # Tune wraps what its callbacks raise
            reason = str(error).strip().splitlines()[-1]
            raise self._follower.fault or RunError(f"Ray Tune stopped: {reason}") from error
        finally:
            self._spending.save()
            shutil.rmtree(folder, ignore_errors=True)
        return Outcome(**self._follower.counts, stopped=self._spent(), reasons=self._follower.reasons)

    def _spent(self) -> str:
        """The part of the budget that ended the search, for people; empty where none did."""
        if self._search.budget_is_spent:
            return f"{self._search.study.search.budget.trials} trials are trained (search.budget.trials)"
        return self._spending.exceeded() if self._search.unfinished else ""

    def _tune(self, folder: Path) -> None:
        self._searcher.begin()
        resources = self._search.study.resources
        tune.run(
            tune.with_resources(PackTrainable, {"cpu": resources.cpu, "gpu": resources.gpus}),
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
            callbacks=[self, self._follower],
            trial_dirname_creator=lambda trial: trial.trial_id,
        )

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune calls this between two steps: the moment to end, and to look around."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if self._follower.fault:
            raise self._follower.fault  # Tune swallows what some of its callbacks raise
        if self._turns.look():
            self._spending.save()
