"""The paper's Figures 1 and 3 and Tables 4 to 6, from runs of known answers; and how a report is found."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis import style
from analysis.frame import tidy
from analysis.reports import epochs, find, metrics, parameters, ranges, scale, size
from analysis.tables import Table


def rows(*cells: tuple, **values: object) -> pd.DataFrame:
    """A trial per ``(benchmark, task, method, hyperparameters, score)``, with an assignment of its own."""
    made = [
        {
            "study": "s", "benchmark": benchmark, "backbone": "roberta-base", "task": f"{benchmark}/{task}",
            "method": method, "assignment_id": f"{own}", "trial_id": f"{benchmark}{task}{method}{own}", "seed": 0,
            "status": "finished", "score": score, "best_epoch": 1, "epochs": 1, "trainable_parameters": 10,
            "seconds": 1.0, **{f"hp.{name}": value for name, value in own.items()}, **values,
        }
        for benchmark, task, method, own, score in cells
    ]  # fmt: skip
    return tidy(pd.DataFrame(made))


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_the_macro_at_each_prompt_length_and_rank() -> None:
    """Each size is tuned per task; one that a task has not is left out; fine-tuning has no size."""
    frame = rows(
        ("glue", "rte", "p_tuning_v2", {"prompt_length": 5, "learning_rate": 1e-3}, 60.0),
        ("glue", "rte", "p_tuning_v2", {"prompt_length": 5, "learning_rate": 1e-4}, 64.0),
        ("glue", "cola", "p_tuning_v2", {"prompt_length": 5, "learning_rate": 1e-3}, 50.0),
        ("glue", "rte", "p_tuning_v2", {"prompt_length": 20, "learning_rate": 1e-3}, 99.0),
        ("glue", "rte", "aot_fc", {"rank": 32}, 70.0),
        ("glue", "cola", "aot_fc", {"rank": 32}, 60.0),
        ("glue", "rte", "fine_tuning", {"learning_rate": 1e-5}, 80.0),
        ("glue", "cola", "fine_tuning", {"learning_rate": 1e-5}, 70.0),
        ("glue", "rte", "bitfit", {"learning_rate": 1e-5}, 80.0),
        ("glue", "cola", "bitfit", {"learning_rate": 1e-5}, 80.0),
    )
    table = size.compute(frame)
    points = table[["method", "sign", "size", "macro"]].fillna(-1).to_numpy().tolist()
    assert points == [["aot_fc", "r", 32, 65.0], ["fine_tuning", "", -1, 75.0], ["p_tuning_v2", "p", 5, 57.0]]
    with style.context():
        (picture,) = size.render(table).blocks
    (axis,) = picture.figure.axes
    assert (axis.get_xscale(), picture.place) == ("log", ("glue", "roberta-base"))
    assert {line.get_gid() for line in axis.lines} == {"method:aot_fc", "method:fine_tuning", "method:p_tuning_v2"}
    (level,) = (line for line in axis.lines if line.get_gid() == "method:fine_tuning")
    assert list(level.get_ydata()) == [75.0, 75.0]


def test_without_sizes_there_is_no_figure() -> None:
    frame = rows(("glue", "rte", "fine_tuning", {"learning_rate": 1e-5}, 80.0), ("glue", "rte", "bitfit", {}, 80.0))
    assert size.render(size.compute(frame)) is None


def test_backbones_without_fine_tuning_stand_in_the_order_of_the_house() -> None:
    one = rows(("glue", "rte", "lora", {}, 70.0))
    names = ("zeta", "roberta-large", "roberta-base")
    frames = [one.assign(backbone=name, trial_id=name) for name in names]
    assert scale.compute(pd.concat(frames))["backbone"].tolist() == ["roberta-base", "roberta-large", "zeta"]


def test_parameters_mark_what_they_draw() -> None:
    frame = rows(("glue", "rte", "aot_fc", {"rank": 32}, 70.0), ("glue", "rte", "fine_tuning", {}, 80.0))
    with style.context():
        (picture,) = parameters.render(parameters.compute(frame)).blocks
    assert {line.get_gid() for line in picture.figure.axes[0].lines} == {"method:aot_fc", "method:fine_tuning"}


def test_metrics_are_laid_out_as_in_table_4() -> None:
    told = {"cola": "matthews", "mrpc": "accuracy_f1", "sts-b": "pearson_spearman"}
    parts = [rows(("glue", task, "lora", {}, 70.0), metric=metric) for task, metric in told.items()]
    parts += [rows(("superglue", "cb", "lora", {}, 70.0), metric="accuracy_macro_f1")]
    (table,) = metrics.render(metrics.compute(pd.concat(parts))).blocks
    assert table.columns == ("GLUE", "Metric", "SuperGLUE", "Metric")
    assert texts(table) == [
        ["STS-B", "(Pearson + Spearman) / 2", "CB", "(accuracy + macro F1) / 2"],
        ["MRPC", "(accuracy + F1) / 2", "", ""],
        ["CoLA", "Matthews correlation", "", ""],
    ]


def test_what_the_runs_do_not_tell_is_said() -> None:
    frame = rows(("glue", "rte", "lora", {}, 70.0))
    assert "do not tell the metric (column metric) of RTE" in metrics.render(metrics.compute(frame)).blocks[0]
    first, second = epochs.render(epochs.compute(frame)).blocks
    assert "no limit of epochs for RTE" in first
    assert "no limit of patience for RTE" in second
    assert "no hyperparameters" in ranges.render(ranges.compute(frame)).blocks[0]


def test_epochs_are_laid_out_as_in_table_6() -> None:
    limits = {"rte": (200, 20), "mnli": (5, 2), "qqp": (5, 2), "qnli": (10, 2), "cola": (100, 10), "mrpc": (100, 10),
              "sst-2": (100, 10)}  # fmt: skip
    parts = [rows(("glue", t, "lora", {}, 70.0), max_epochs=e, patience=p) for t, (e, p) in limits.items()]
    parts += [rows(("superglue", "wic", "lora", {}, 70.0), max_epochs=500, patience=20)]
    (table,) = epochs.render(epochs.compute(pd.concat(parts))).blocks
    assert table.columns == (
        "", "GLUE: RTE", "GLUE: QNLI", "GLUE: QQP, MNLI", "GLUE: other tasks", "SuperGLUE: all tasks",
    )  # fmt: skip
    assert texts(table) == [["Epochs", "200", "10", "5", "100", "500"], ["Patience", "20", "2", "2", "10", "20"]]


def test_backbones_that_differ_in_limits_stand_apart() -> None:
    one = rows(("glue", "rte", "lora", {}, 70.0), max_epochs=5, patience=2)
    other = rows(("glue", "rte", "lora", {}, 70.0), max_epochs=9, patience=2).assign(backbone="minilm", trial_id="y")
    (table,) = epochs.render(epochs.compute(pd.concat([one, other]))).blocks
    assert table.columns[1:] == ("GLUE (MiniLM): all tasks", "GLUE (RoBERTa-Base): all tasks")


def test_ranges_are_laid_out_as_in_table_5() -> None:
    """Learning rates of all but fine-tuning, RTE with more of them, ranks of each method; what failed counts too."""
    cells = []
    for task, rates in (("rte", (1e-4, 1e-3, 1e-2)), ("cola", (1e-4, 1e-3)), ("mrpc", (1e-4, 1e-3))):
        for rate in rates:
            cells += [("glue", task, "lora", {"learning_rate": rate, "rank": r}, 70.0) for r in (2, 4)]
            cells += [("glue", task, "p_tuning_v2", {"learning_rate": rate, "prompt_length": 5}, 70.0)]
        cells += [("glue", task, "fine_tuning", {"learning_rate": 1e-5}, 70.0)]
    frame = rows(*cells)
    frame = frame.assign(status=["failed"] * len(frame), score=math.nan)
    data = ranges.compute(frame)
    (table,) = ranges.render(data).blocks
    assert texts(table) == [
        ["learning rate", "all but Fine-Tuning", "all but RTE", "0.0001, 0.001"],
        ["learning rate", "all but Fine-Tuning", "RTE", "0.0001, 0.001, 0.01"],
        ["learning rate", "Fine-Tuning", "all tasks", "1e-05"],
        ["p", "P-Tuning v2", "all tasks", "5"],
        ["r", "LoRA", "all tasks", "2, 4"],
    ]
    assert ranges.exports(data)["ranges"].columns.tolist() == ["backbone", "task", "method", "hyperparameter", "values"]


def test_many_values_are_told_by_their_ends() -> None:
    frame = rows(*(("glue", "rte", "lora", {"learning_rate": n / 1000}, 70.0) for n in range(1, 21)))
    assert ranges.compute(frame)["values"].tolist() == ["0.001 to 0.02 (20 values)"]


def test_tasks_of_one_name_are_told_with_their_benchmark() -> None:
    frame = rows(
        ("glue", "rte", "lora", {"rank": 2}, 70.0), ("glue", "cola", "lora", {"rank": 2}, 70.0),
        ("superglue", "rte", "lora", {"rank": 4}, 70.0),
    )  # fmt: skip
    (table,) = ranges.render(ranges.compute(frame)).blocks
    assert [row[2] for row in texts(table)] == ["all but SuperGLUE RTE", "SuperGLUE RTE"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("table-2", "results"), ("Table 3", "results"), ("tab.4", "metrics"), ("TABLE_5", "ranges"),
        ("table6", "epochs"), ("figure-1", "scale"), ("Fig. 3", "size"), ("fig3", "size"), ("Figure 5", "parameters"),
        ("figure 7", "parameters"), ("fig 6", "evp"), ("figure-8", "evp"), (" Results ", "results"),
    ],
)  # fmt: skip
def test_reports_are_found_by_the_papers_names(text: str, found: str) -> None:
    assert find(text) == [found]


@pytest.mark.parametrize("text", ["table-12", "figure-2", "fig", "", "table"])
def test_an_unknown_name_is_told_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match=r"known: coverage, .*of the paper: table-2, table-3, .*figure-9$"):
        find(text)


def test_known_backbones_stand_by_their_published_size_whatever_was_counted() -> None:
    one = rows(("glue", "rte", "fine_tuning", {}, 70.0))
    counted = {"deberta-xl": 10, "roberta-base": 30, "roberta-large": 20}
    frames = [one.assign(backbone=b, trial_id=b, trainable_parameters=n) for b, n in counted.items()]
    assert scale.compute(pd.concat(frames))["backbone"].tolist() == ["roberta-base", "roberta-large", "deberta-xl"]
