"""Addresses of runs in MLflow's UI, for the numbers of a report that rest on them."""

from __future__ import annotations

from urllib.parse import quote


def runs_of(tracking: str | None, backbone: str, task: str, method: str, assignment_id: str = "") -> str:
    """Where MLflow shows the trials of a cell, or of one assignment in it; empty without an address.

    ``tracking`` is the experiment's (``Options.tracking``: ``http://host:5000/#/experiments/3``). Trials are found by
    their tags, as the search writes them; MLflow shows them below the run of their cell.
    """
    if not tracking:
        return ""
    tags = {"kind": "trial", "backbone": backbone, "task": task, "method": method, "assignment_id": assignment_id}
    told = " and ".join(f"tags.`aot.{name}` = {_quoted(value)}" for name, value in tags.items() if value)
    return f"{tracking.rstrip('/')}/runs?workflowType=machine_learning&searchFilter={quote(told, safe='')}"


def _quoted(value: str) -> str:
    """A text in a filter, which knows no escapes but two kinds of quotes."""
    return f'"{value}"' if "'" in value else f"'{value}'"
