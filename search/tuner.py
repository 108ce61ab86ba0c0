"""Drives Ray Tune: packs in, results out. One Tune run per study, fed pack by pack.

    outcome = run(study, address=None, view=View(console))

What has a result is in the journal (``search/tracking.py``), so that running again is resuming. Tune's own files,
snapshots and loggers are switched off or thrown away.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray import tune
from ray.tune import Callback, TuneError
from ray.tune.search import Searcher

from search._process import environment, interruptible, quiet
from search._running import Running
from search.plan import plan
from search.schedulers import PatienceScheduler
from search.study import Resources, Study
from search.tracking import ROOT, Store
from search.trainable import Job, PackTrainable, Report
from search.view import View
from trainables.trial import Pack, Result, Trial

TRAINING = "trainables.training"

#: How often a pack is started again whose worker died; afterwards it is split, or recorded as failed.
MAX_DEATHS = 2
#: Packs that wait for a place in Tune, so that no worker does.
MAX_PENDING = 4

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # our journal is the state of the search
    "TUNE_MAX_PENDING_TRIALS_PG": str(MAX_PENDING),
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S_AUTOSCALER": "1e9",
}


class RunError(RuntimeError):
    """A study cannot be run here as it stands."""


@dataclass(frozen=True)
class Outcome:
    """How many trials ended how in this run; ``skipped`` had ended before it."""

    finished: int = 0
    diverged: int = 0
    failed: int = 0
    pruned: int = 0
    skipped: int = 0


def run(study: Study, *, address: str | None = None, view: View, train: str = TRAINING) -> Outcome:
    """Train every trial of ``study`` that has no result yet, on this machine or on the Ray cluster at ``address``.

    ``train``: the module that trains a pack (``search.trainable.Job``). Ctrl-C raises KeyboardInterrupt when all is
    written down.

    Raises:
        StudyBusyError: another process runs the same study.
        RunError: the cluster cannot be reached, or the machine is too small for a pack.
    """
    with Store(study.name, study.folder, study.tracking, view.say) as store:
        work = plan(study, store.finished())
        view.start(work)
        counts: Counter[str] = Counter()
        try:
            if work.packs:
                store.expect_results()
                threads = max(1, int(study.resources.cpu))
                job = Job(None, train, _absolute(study.folder), _cache_dir(study.storage), threads)
                with interruptible() as interrupted, connected(study.resources, address) as places:
                    view.places(places)
                    driver = Driver(work.packs, job, store, view, interrupted)
                    counts = driver.search(study.resources, store.folder / "tune")
        finally:
            view.stop()
    return Outcome(**counts, skipped=len(work.trials) - sum(len(pack.trials) for pack in work.packs))


def _absolute(folder: str) -> str:
    return folder if urlsplit(folder).scheme else str(Path(folder).absolute())


def _cache_dir(storage: str) -> str:
    """Tokenised data lies beside the studies; with a remote storage, in the home of whoever runs the worker."""
    if urlsplit(storage).scheme:
        return str(Path.home() / ".cache" / "aot-search")
    return str(Path(storage).absolute() / "cache")


@contextmanager
def connected(resources: Resources, address: str | None) -> Iterator[int]:
    """A Ray cluster for the time of a run; gives the number of packs that find room on it at once.

    Without ``address`` a local one is started and ended. A cluster to which this process is connected already is used
    and left as it is.
    """
    if address is not None and address.startswith("ray://"):
        raise RunError(f"{address} is an address of Ray Client; give HOST:PORT of the head node, or use aot submit")
    if address is None and resources.cpu > _cores():
        raise RunError(f"a pack takes {resources.cpu:g} CPUs, but this machine has {_cores()}; lower resources.cpu")
    if ray.is_initialized():
        yield _places(resources)
        return
    try:
        _connect(worker_environment(resources), address)
    except Exception as error:  # Ray raises plain ones
        ray.shutdown()
        what = f"the Ray cluster at {address} cannot be reached" if address else "Ray does not start on this machine"
        raise RunError(f"{what}: {str(error).splitlines()[0]}") from error
    try:
        yield _places(resources)
    finally:
        ray.shutdown()


def _connect(variables: dict[str, str], address: str | None) -> None:
    if address is not None:
        ray.init(address, runtime_env={"env_vars": variables}, logging_level=logging.ERROR, log_to_driver=False)
        return
    with environment({**_ENVIRONMENT, **variables}):  # workers inherit them, and start faster than with a runtime_env
        ray.init(
            "local",
            num_cpus=_cores(),
            include_dashboard=False,
            object_store_memory=256 * 2**20,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _places(resources: Resources) -> int:
    there = ray.cluster_resources()
    wanted = {"CPU": resources.cpu, "GPU": resources.gpu}
    return max(1, min(int(there.get(kind, 0) // amount) for kind, amount in wanted.items() if amount))


def worker_environment(resources: Resources) -> dict[str, str]:
    """Environment variables of the workers: the same code as here, and no more threads than they have CPUs."""
    passed = ("HF_HUB_OFFLINE", "HF_HOME", "AOT_DATA_DIR")
    return {
        "OMP_NUM_THREADS": str(max(1, int(resources.cpu))),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        **{name: os.environ[name] for name in passed if name in os.environ},
    }


class PackSearcher(Searcher):
    """Hands packs to Tune in order, also those that come back in two halves."""

    def __init__(self, packs: Sequence[Pack], job: Job) -> None:
        super().__init__()
        self._job = job
        self._waiting = list(reversed(packs))
        self._out: dict[str, Pack] = {}

    def suggest(self, trial_id: str) -> Any:
        if self._waiting:
            pack = self._out[trial_id] = self._waiting.pop()
            job = self._job
            return {"job": Job(pack, job.train, job.storage, job.cache_dir, job.threads)}
        return None if self._out else Searcher.FINISHED

    def put_first(self, packs: Sequence[Pack]) -> None:
        """Packs to be handed out next."""
        self._waiting.extend(reversed(packs))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._out.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal says what is left to do."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``save``."""


class Driver(Callback):
    """What happens on the driver whenever Tune has news: results to the store, packs back to the searcher."""

    def __init__(self, packs: Sequence[Pack], job: Job, store: Store, view: View, interrupted: threading.Event) -> None:
        self.counts: Counter[str] = Counter()
        self._searcher = PackSearcher(packs, job)
        self._running: dict[str, Running] = {}
        self._fault: RunError | None = None
        self._store, self._view, self._interrupted = store, view, interrupted

    def search(self, resources: Resources, folder: Path) -> Counter[str]:
        """Run Tune until no pack is left; the number of trials by status. ``folder`` is Tune's, and is removed."""
        shutil.rmtree(folder, ignore_errors=True)  # of a driver that was killed
        try:
            with environment(_ENVIRONMENT), quiet(self._store.folder / "ray.log"):
                tune.run(
                    tune.with_resources(PackTrainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
                    name="packs",
                    search_alg=self._searcher,
                    scheduler=PatienceScheduler(),
                    num_samples=-1,
                    storage_path=str(folder.absolute()),
                    verbose=0,
                    reuse_actors=True,
                    max_failures=MAX_DEATHS,
                    raise_on_failed_trial=False,
                    callbacks=[self],
                    trial_dirname_creator=lambda trial: trial.trial_id,
                )
        except TuneError as error:  # Tune wraps what its callbacks raise
            raise self._fault or RunError(f"Ray Tune stopped: {str(error).strip().splitlines()[-1]}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return self.counts

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.trial_id not in self._running:
            self._running[trial.trial_id] = Running(trial.config["job"].pack)
            self._view.started(trial.config["job"].pack)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        report: Report = result.pop("report")  # Tune would keep it
        running = self._running[trial.trial_id]
        self._view.epochs(running.pack, report.epochs)
        self._record(running.update(report))
        if report.failure is not None:
            self._give_up(running, report.failure.kind == "memory", report.failure.reason)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        running = self._running.pop(trial.trial_id, None)
        if running is not None:
            self._record(running.close("pruned", "stopped by the scheduler"))
            self._view.ended(running.pack)
        trial.config["job"].pack = None

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._view.say(f"a worker died; {_named(trial.config['job'].pack)} goes on from the last checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        running = self._running.pop(trial.trial_id, None) or Running(trial.config["job"].pack)
        reason = (trial.get_error() or "unknown").strip().splitlines()
        self._give_up(running, True, f"its worker died {MAX_DEATHS + 1} times ({reason[-1][:300]})")
        self._view.ended(running.pack)
        trial.config["job"].pack = None

    def _give_up(self, running: Running, split: bool, reason: str) -> None:
        """Members without a result: again in two packs where smaller packs may help, else failed."""
        left = running.pack.without({t.id for t in running.pack.trials} - set(running.left))
        if split and left is not None and len(left.trials) > 1:
            self._view.say(f"{_named(left)} is split in two and tried again: {reason}")
            self._searcher.put_first(left.split())
            running.left = {}
        else:
            self._record(running.close("failed", reason))

    def _record(self, results: list[tuple[Trial, Result]]) -> None:
        if results:
            try:
                self._store.record(results)
            except OSError as error:
                self._fault = RunError(f"results cannot be written down: {error}; make room, then start again")
                raise self._fault from error
            self.counts.update(result.status for _, result in results)
            for trial, result in results:
                self._view.result(trial, result)


def _named(pack: Pack) -> str:
    first = pack.trials[0]
    members = "1 trial" if len(pack.trials) == 1 else f"{len(pack.trials)} trials"
    return f"a pack of {members} of {first.backbone.name}, {first.task.name}, {first.method}"
