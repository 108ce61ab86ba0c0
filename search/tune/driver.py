"""What has Ray Tune train packs until none is left: one Tune run per study, fed pack by pack by our own searcher.

Importing Tune takes half a second, so this is imported while the workers of a cluster start.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, TuneError

from search._process import environment
from search.errors import RunError
from search.strategy.budget import Spending
from search.strategy.comparison import comparisons
from search.strategy.pack_limits import PackLimits
from search.strategy.study_search import StudySearch
from search.tracking.records import TrialRecord
from search.tracking.store import Store
from search.tune.outcome import Outcome
from search.tune.packs import MAX_DEATHS, PackFollower
from search.tune.schedulers import PatienceScheduler
from search.tune.searcher import MAX_PENDING, PackSearcher, UntilSpent
from search.tune.trainable import PackJob, PackTrainable
from search.tune.turns import Turns
from search.tune.view import View

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
