"""How the trials of each task were trained, and how much of its texts the backbone saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis import style
from analysis.frame import PROTOCOL, SHARES
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, slug
from analysis.tables import EMPTY, Cell, Table

TITLE = "Protocol and text"
POSITION = 430
_INTRO = (
    "What beside the hyperparameters determines a result. A sequence longer than the length is cut: a task on which"
    " many are is another one than the task with whole texts. Unknown tokens are those that the backbone has no number"
    " for. Where trials of a task differ, all values stand there."
)
_DETERMINING = (*PROTOCOL, *SHARES, "pack_size", "device", "result_version")


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """Per benchmark, backbone and task the distinct values of each of these columns, as lists, without unknown ones."""
    known = [name for name in _DETERMINING if name in frame and frame[name].notna().any()]
    keys = ["benchmark", "backbone", "task"]
    if not known:
        return pd.DataFrame(columns=keys)
    return frame.groupby(keys)[known].agg(lambda values: sorted(set(values.dropna()) - {""})).reset_index()


def render(data: pd.DataFrame) -> Section | None:
    """Per benchmark and backbone a table of the texts and one of the protocol; nothing where no run tells."""
    parts = (("text", _TEXT, "length and text of each task"), ("protocol", _TRAINED, "how each task was trained"))
    blocks = [
        replace(
            _table(slug(name, benchmark, backbone), f"{heading(benchmark, backbone)}: {title}", columns, rows),
            place=(benchmark, backbone),
        )
        for benchmark, backbone, rows in groups(data)
        for name, columns, title in parts
        if any(column in rows for column in columns)
    ]
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def _share(value: float) -> str:
    return "< 1 %" if 0 < value < 0.005 else f"{value:.0%}".replace("%", " %")


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


#: By column of the runs: what stands above it, and how a value is printed.
_Columns = dict[str, tuple[str, Callable[[Any], str]]]
_TEXT: _Columns = {
    "max_length": ("Length in tokens", _plain),
    "train_cut": ("Cut, train", _share),
    "dev_cut": ("Cut, dev", _share),
    "train_unknown": ("Unknown tokens, train", _share),
    "dev_unknown": ("Unknown tokens, dev", _share),
}
_TRAINED: _Columns = {
    "train_rows": ("Train rows at most", _plain),
    "dev_rows": ("Dev rows at most", _plain),
    "max_epochs": ("Epochs at most", _plain),
    "patience": ("Patience", _plain),
    "precision": ("Precision", _plain),
    "dropout": ("Dropout", _plain),
    "pack_size": ("Trials in a pack", _plain),
    "device": ("Device", _plain),
    "result_version": ("Result version", _plain),
}


def _table(name: str, title: str, columns: _Columns, rows: pd.DataFrame) -> Table:
    """A row per task; columns of which no trial tells anything are left out."""
    by_task = {str(row["task"]): row for row in rows.to_dict("records")}
    told = {column: how for column, how in columns.items() if column in rows and any(map(len, rows[column]))}
    body = []
    for task in style.tasks(by_task):
        cells = (", ".join(map(shown, by_task[task][column])) or EMPTY for column, (_, shown) in told.items())
        body.append((Cell(style.task(task)), *map(Cell, cells)))
    return Table(name, title, ("Task", *(head for head, _ in told.values())), tuple(body), (), frozenset())
