"""What people see of a study when they open MLflow: the experiment's words, its columns, and its report.

MLflow's UI keeps a view that is shared by link in a tag of the experiment, as JSON of its own state; see
``sharedViewState`` in its source (looked up in 3.17).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from search.tracking.mlflow_access import client, is_empty, translated

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

#: The name of the view that ``aot ui`` opens.
VIEW = "results"
REPORT = "report"  # aot.kind of the run that holds the report
MOST_SIGNS_OF_A_TAG = 8_000
_NOTE, _OURS = "mlflow.note.content", "aot.note"
#: Columns of that view, with their widths in pixels: of a cell the first two, of a trial most others.
_COLUMNS = {
    "metrics.`best_median`": 110, "metrics.`best_std`": 90, "metrics.`score`": 90, "metrics.`best_epoch`": 95,
    "metrics.`n_trials`": 80, "metrics.`trainable_parameters`": 160,
    "params.`learning_rate`": 110, "params.`seed`": 70, "tags.`aot.status`": 100,
}  # fmt: skip


def dress(store: MlflowClient, experiment: Experiment, about: str | None) -> None:
    """Give the experiment its kind, its view and its description, where they are not as they should be.

    ``about``: the description; a text that somebody has written there themselves stays.
    """
    wanted = {"mlflow.experimentKind": "custom_model_development", f"mlflow.sharedViewState.{VIEW}": _view()}
    tags, written = experiment.tags, experiment.tags.get(_NOTE, "")
    if about and (not written or _digest(written) == tags.get(_OURS)):
        wanted |= {_NOTE: about, _OURS: _digest(about)}
    for name, value in wanted.items():
        if tags.get(name) != value:
            store.set_experiment_tag(experiment.experiment_id, name, value)


def _view() -> str:
    """Cells with their trials in them, the first column wide enough for a name, then scores.

    Only runs in the order of their start are nested; cells start before their trials, so they come first.
    """
    first = {"0": 50, "attributes.`Run Name`": 330}
    state = {
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "selectedColumns": list(_COLUMNS),
        "columnOrder": [*first, *_COLUMNS, "runDateAndNestInfo", "duration"],
        "columnWidths": {**first, **_COLUMNS},
    }
    return json.dumps(state)


def attach(study: str, tracking: str, page: Path, words: str) -> str | None:
    """Put a report into the study's experiment, in place of an earlier one; the id of its run.

    ``page``: the report as one HTML file; ``words``: what stands above it. None where the store has no such experiment.
    Raises RefusedError and AwayError.
    """
    with translated(study, tracking, "EDIT"):
        if is_empty(tracking):
            return None
        store = client(tracking)
        experiment = store.get_experiment_by_name(study)
        if experiment is None or experiment.lifecycle_stage != "active":
            return None
        condition = f"tags.`aot.kind` = '{REPORT}'"
        found = store.search_runs([experiment.experiment_id], condition, max_results=1)
        if found:
            run_id = found[0].info.run_id
        else:  # before all cells, where MLflow sorts by time
            start = (experiment.creation_time or 2) - 2
            run = store.create_run(experiment.experiment_id, start, {"aot.kind": REPORT}, "Report")
            run_id = run.info.run_id
        store.log_artifact(run_id, str(page))
        store.set_tag(run_id, _NOTE, words[:MOST_SIGNS_OF_A_TAG])
        store.set_terminated(run_id, "FINISHED")
        return str(run_id)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def view(experiment: str) -> str:
    """The address of the study's runs, as ``dress`` wants them seen, from that of its experiment (``page_of``)."""
    return f"{experiment}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"


def report_page(experiment: str, run_id: str) -> str:
    """The address of the report that ``attach`` has put there."""
    return f"{experiment}/runs/{run_id}/artifacts/report.html?workflowType=machine_learning"
