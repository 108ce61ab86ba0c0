"""What people see of a study when they open MLflow: the experiment's words, its columns, and its report.

MLflow's UI keeps a view that is shared by link in a tag of the experiment, as JSON of its own state; see
``sharedViewState`` in its source (looked up in 3.17).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from urllib.request import urlopen

from search.tracking.mlflow_access import CONNECT_SECONDS, client, open_experiment, translated

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


def attach(study: str, tracking: str, folder: Path, page: Path, words: str) -> tuple[str, str]:
    """Put a report into the study's experiment, in place of an earlier one; the ids of the experiment and the run.

    ``folder``: the study's, here. ``page``: the report as one HTML file; ``words``: what came out, in Markdown.
    Raises RefusedError and AwayError.
    """
    with translated(study, tracking, "EDIT"):
        store = client(tracking)
        experiment = open_experiment(store, study, tracking, folder)
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
        return experiment.experiment_id, run_id


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def experiment_page(server: str, study: str) -> str:
    """Where a browser finds a study's runs on a server that is up; the server's own page where it tells of none."""
    asked = f"{server.rstrip('/')}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(study, safe='')}"
    try:
        with urlopen(asked, timeout=CONNECT_SECONDS) as answer:
            return address(server, json.load(answer)["experiment"]["experiment_id"])
    except (OSError, ValueError, KeyError):  # not there yet, or for users with a password alone
        return server


def address(server: str, experiment_id: str, run_id: str = "") -> str:
    """Where a browser finds the study's runs on a server, or the report of that run."""
    base = f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"
    if run_id:
        return f"{base}/{run_id}/artifacts/report.html?workflowType=machine_learning"
    return f"{base}?workflowType=machine_learning&viewStateShareKey={VIEW}"
