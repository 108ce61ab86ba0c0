"""Trains a study: what is finished is read, Ray is started, packs are trained, and the winners confirmed.

    outcome = run(study, address=None, view=View(console))

What has a result is in the journal (``search/tracking/store.py``), so that running again is resuming. Ray takes seconds
to import and to start: nothing of it is touched before the study is known to have something to train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from search._process import interruptible, quiet, terminable
from search.strategy.proposals import ProposalLog
from search.strategy.study_search import StudySearch
from search.study import Study, confirmation_seeds
from search.tracking.about import about
from search.tracking.records import TrialRecord
from search.tracking.store import Store
from search.tune import connection, storage
from search.tune.board import CellState, Confirming
from search.tune.outcome import Outcome
from search.tune.view import View
from trainables.trial import CellKey

TRAINING = "trainables.training"
PRELOADED = {TRAINING: "trainables.preload"}


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
    ahead = search.left + search.to_confirm, PRELOADED.get(train, "")
    view.phase("starting Ray" if here else f"connecting to Ray at {address}")
    log = quiet(store.folder / "ray.log")
    with log, interruptible() as interrupted, connection.connected(study.resources, address, *ahead) as own:
        from search.tune import devices, local  # Tune is imported while the workers start
        from search.tune.driver import Driver
        from search.tune.trainable import PackJob

        settled = devices.decide(study.resources, interrupted, view.say, here=here)
        if settled.gpus != study.resources.gpus:  # trials are packed by the device
            search = _search(study.model_copy(update={"resources": settled}), records, store, view)
        view.phase("starting workers")
        folders, takes = (_absolute(study.folder), study.cache_dir), search.study.resources
        job = PackJob((), train, *folders, takes.threads, study.keep.predictions, takes.part, takes.measured)
        driver = Driver(search, job, store, view, records, interrupted, to_itself=here)
        with local.lean_tune(own=own):
            outcome = driver.run(store.folder / "tune")
        store.expect_no_more()  # MLflow has the last results while Ray ends
        return search, outcome


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
