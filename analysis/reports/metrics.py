"""The metric that scores each task: the paper's Table 4."""

from __future__ import annotations

from itertools import zip_longest

import pandas as pd

from analysis import style
from analysis.reports._section import DEFAULT, Options, Section
from analysis.tables import EMPTY, Cell, Table
from common.metrics import METRICS

TITLE = "Metrics"
POSITION = 310
PAPER = ("table-4",)
_INTRO = (
    "What a score is on each task, in percent; a metric of two parts is their mean. F1 is that of the positive class, "
    "macro F1 the mean over classes."
)
#: The parts of a metric in print.
PARTS = {"accuracy": "accuracy", "f1": "F1", "macro_f1": "macro F1", "matthews": "Matthews correlation",
         "pearson": "Pearson", "spearman": "Spearman"}  # fmt: skip


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``benchmark, task, metric``: a row per task, with its metrics, several where trials differ, as a list."""
    metric = frame["metric"] if "metric" in frame else pd.Series("", index=frame.index)
    told = frame[["benchmark", "task"]].assign(metric=metric.fillna("")).drop_duplicates()
    return told.groupby(["benchmark", "task"])["metric"].agg(lambda names: sorted(set(names) - {""})).reset_index()


def render(data: pd.DataFrame) -> Section:
    """One table with the benchmarks beside each other; in words what the runs do not tell."""
    told = data[data["metric"].map(len) > 0]
    unknown = data[data["metric"].map(len) == 0]
    blocks: list[Table | str] = [_table(told)] if len(told) else []
    if len(unknown):
        names = ", ".join(style.task(task) for task in unknown["task"])
        blocks.append(
            f"These runs do not tell the metric (column metric) of {names}; aot export of their study writes it."
        )
    return Section(TITLE, _INTRO, tuple(blocks))


def _table(rows: pd.DataFrame) -> Table:
    benchmarks = sorted(rows["benchmark"].unique())
    halves = []
    for benchmark in benchmarks:
        own = rows[rows["benchmark"] == benchmark].set_index("task")["metric"]
        halves.append([(style.task(task), ", ".join(map(printed, own[task]))) for task in style.tasks(own.index)])
    body = [
        tuple(Cell(text) for half in line for text in (half or ("", ""))) for line in zip_longest(*halves, fillvalue=())
    ]
    columns = tuple(name for benchmark in benchmarks for name in (style.benchmark(benchmark), "Metric"))
    return Table("metrics", "The metric of each task", columns, tuple(body), left=len(columns))


def printed(metric: str) -> str:
    """``(accuracy + F1) / 2``; a metric that the project does not know as it is named."""
    if metric not in METRICS:
        return metric or EMPTY
    parts = [PARTS.get(part, part) for part in METRICS[metric].parts]
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)}) / {len(parts)}"
