"""What a study's runs are, for the commands that look at results: its own trials, and no others in silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search._words import Say, trials
from search.cli._shared import WRONG, fail, load, say, unpinned

if TYPE_CHECKING:
    from search.planning.coverage import Coverage
    from search.study import Study
    from search.tracking.records import Known


def study_and_known(
    path: Path, *, unbound: bool = False, curves: bool = False, tell: Say = say
) -> tuple[Study, Known, bool]:
    """A study, what is known of its trials, and whether its data and backbones were found; ``tell`` hears the words.

    Without them nobody can tell which trials the study names: the command ends with what to do then, unless it can do
    with an ``unbound`` study.
    """
    from search.study import StudyError
    from search.tracking.records import read_known

    try:
        study, bound = load(path, offline=True), True
    except StudyError as error:
        study, bound = load(path, bind=False, offline=True), False  # a mistake in the file ends the command here
        say(str(error))
        what = "without its data and backbones nobody can tell which trials the study names as it stands"
        if not unbound:
            step = f"aot export {path} --all-runs --out runs.csv, then: aot report --runs runs.csv"
            say(f"{what}; correct that, or look at all that were ever run: {step}")
            raise typer.Exit(WRONG) from None
        say(f"{what}: the column in_study is empty")
    return study, read_known(study.name, study.folder, study.tracking, tell, curves=curves), bound


def coverage_of(path: Path, *, unbound: bool = False, empty: bool = False, tell: Say = say) -> Coverage:
    """What of a study is trained, told to whoever looks where it is not the whole; as ``study_and_known``.

    ``empty``: also where it has no result yet; else the command ends then, with what to do.
    """
    from search.planning import coverage
    from search.strategy.proposals import ProposalLog
    from search.tracking.journal import local_folder

    study, known, bound = study_and_known(path, unbound=unbound, tell=tell)
    if bound:
        found = coverage.coverage(study, known, ProposalLog(local_folder(study.folder), tell))
    else:
        found = coverage.unchecked(study, known)
    if study.unpinned and found.others:
        tell(f"{unpinned(study)}: results of them count as those of other versions; connect to the hub to tell")
    if not empty:
        _check(study, found, others=unbound)
    if not found.away:  # which was told
        for note in notes(found):
            tell(note)
    return found


def _check(study: Study, found: Coverage, *, others: bool) -> None:
    """End the command where there is nothing to show, with the reason; whether ``others`` are shown as well."""
    from trainables.trial import RESULT_VERSION

    if found.own or (others and found.others):
        return
    if found.others:
        names = f"study {study.name!r} names {trials(found.counts['planned'])}, of which none has a result"
        what = f"{names}; there are results of {trials(len(found.others))} of other versions of it"
        reason = "Are data_dir, AOT_DATA_DIR and the backbones as they were? Else train it"
        if RESULT_VERSION not in found.others.columns["result_version"]:
            reason = f"They are of another version of the code (its RESULT_VERSION is {RESULT_VERSION} now); train it"
        fail(f"{what}. {reason}: aot run STUDY; or look at those: aot export STUDY --all-runs --out runs.csv")
    if found.away:
        fail("no result is known here: try again when MLflow is back")
    step = "run the study first (aot run STUDY), or set MLFLOW_TRACKING_URI to the MLflow of the cluster where it ran"
    fail(f"there is no result of study {study.name!r} in its journal or in MLflow; {step}")


def notes(found: Coverage) -> Sequence[str]:
    """What to know of where the trials come from."""
    lines = []
    if found.away:
        lines.append("MLflow could not be read: results that it alone holds are missing here.")
    if found.unsent:
        what = "1 result is" if found.unsent == 1 else f"{found.unsent:,} results are"
        lines.append(f"{what} in the journal and not, or not as new, in MLflow; the next aot run sends what it takes.")
    return lines
