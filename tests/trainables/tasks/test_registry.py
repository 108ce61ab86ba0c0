"""The built-in tasks as values: names, what they hold, and their identity."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest

from common.metrics import METRICS
from trainables.tasks import Generated, Truncation, get, names
from trainables.tasks.superglue import copa_question

#: task: (metric, epochs, patience, sequences per example, outputs), by the paper's Tables 4 and 6
PAPER = {
    "glue/cola": ("matthews", 100, 10, 1, 2),
    "glue/sst-2": ("accuracy", 100, 10, 1, 2),
    "glue/mrpc": ("accuracy_f1", 100, 10, 1, 2),
    "glue/sts-b": ("pearson_spearman", 100, 10, 1, 1),
    "glue/qqp": ("accuracy_f1", 5, 2, 1, 2),
    "glue/mnli": ("accuracy", 5, 2, 1, 3),
    "glue/qnli": ("accuracy", 10, 2, 1, 2),
    "glue/rte": ("accuracy", 200, 20, 1, 2),
    "superglue/boolq": ("accuracy", 100, 10, 1, 2),
    "superglue/cb": ("accuracy_macro_f1", 500, 100, 1, 3),
    "superglue/copa": ("accuracy", 500, 100, 2, 1),
    "superglue/multirc": ("accuracy_f1", 10, 4, 1, 2),
    "superglue/rte": ("accuracy", 100, 10, 1, 2),
    "superglue/wic": ("accuracy", 500, 20, 1, 2),
    "superglue/wsc": ("accuracy", 500, 100, 1, 2),
}


def test_the_tasks_of_the_paper_are_all_there() -> None:
    assert {n for n in names() if not n.startswith("demo/")} == set(PAPER)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_protocol(name: str) -> None:
    task = get(name)
    assert (task.metric, task.epochs, task.patience, task.choices, task.outputs) == PAPER[name]
    assert task.benchmark == name.split("/")[0]


@pytest.mark.parametrize("name", names())
def test_a_task_is_a_plain_value(name: str) -> None:
    task = get(name)
    assert pickle.loads(pickle.dumps(task)) == task
    assert hash(task) == hash(pickle.loads(pickle.dumps(task)))
    assert json.loads(json.dumps(task.identity())) == task.identity()
    assert task.metric in METRICS
    assert (METRICS[task.metric].on == "values") == (task.kind == "regression")


def test_identity_changes_with_what_counts_and_not_with_the_protocol() -> None:
    task = get("superglue/copa")
    assert task.derived is not None
    raised = dataclasses.replace(task, derived=dataclasses.replace(task.derived, version=2))
    others = [
        dataclasses.replace(task, text=("{premise}", "{choice}")),
        dataclasses.replace(task, labels=("a", "b")),
        dataclasses.replace(task, metric="macro_f1"),
        dataclasses.replace(task, source=Generated("demo", "choice", 1)),
        dataclasses.replace(task, truncation=Truncation("right", "first")),
        dataclasses.replace(task, truncation=Truncation("left", "longest")),
        raised,
    ]
    assert len({json.dumps(t.identity()) for t in (task, *others)}) == 8
    assert dataclasses.replace(task, epochs=1, patience=1).identity() == task.identity()
    assert copa_question.__name__ in json.dumps(task.identity())


def test_columns_are_those_of_the_data() -> None:
    assert get("superglue/copa").columns == ("premise", "choice1", "choice2", "question")
    assert get("superglue/wsc").columns == ("span2_text", "span1_text", "text", "span1_index", "span2_index")
    assert get("glue/rte").columns == ("sentence1", "sentence2")


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'glue/rt'; known: .*glue/rte.*superglue/wsc"):
        get("glue/rt")
