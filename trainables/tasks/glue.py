"""GLUE (Wang et al., 2018): the eight tasks of the paper's Table 4, with the epochs and patience of its Table 6."""

from __future__ import annotations

from trainables.tasks._source import Hub
from trainables.tasks._task import Task, Truncation


def _hub(config: str, dev: str = "validation") -> Hub:
    return Hub("nyu-mll/glue", config, dev=dev, folder=f"glue/{config}")


TASKS = (
    Task(
        name="glue/cola",
        text=("{sentence}",),
        labels=("unacceptable", "acceptable"),
        metric="matthews",
        source=_hub("cola"),
    ),
    Task(
        name="glue/sst-2",
        text=("{sentence}",),
        labels=("negative", "positive"),
        metric="accuracy",
        source=_hub("sst2"),
    ),
    Task(
        name="glue/mrpc",
        text=("{sentence1}", "{sentence2}"),
        labels=("not_equivalent", "equivalent"),
        metric="accuracy_f1",
        source=_hub("mrpc"),
    ),
    Task(
        name="glue/sts-b",
        text=("{sentence1}", "{sentence2}"),
        labels=None,
        metric="pearson_spearman",
        source=_hub("stsb"),
    ),
    Task(
        name="glue/qqp",
        text=("{question1}", "{question2}"),
        labels=("not_duplicate", "duplicate"),
        metric="accuracy_f1",
        source=_hub("qqp"),
        epochs=5,
        patience=2,
        blanks=True,  # a few published train rows have an empty question
    ),
    Task(
        name="glue/mnli",
        text=("{premise}", "{hypothesis}"),
        labels=("entailment", "neutral", "contradiction"),
        metric="accuracy",
        source=_hub("mnli", dev="validation_matched"),
        epochs=5,
        patience=2,
        truncation=Truncation(segment="first"),
    ),
    Task(
        name="glue/qnli",
        text=("{question}", "{sentence}"),
        labels=("entailment", "not_entailment"),
        metric="accuracy",
        source=_hub("qnli"),
        epochs=10,
        patience=2,
        truncation=Truncation(segment="second"),
    ),
    Task(
        name="glue/rte",
        text=("{sentence1}", "{sentence2}"),
        labels=("entailment", "not_entailment"),
        metric="accuracy",
        source=_hub("rte"),
        epochs=200,
        patience=20,
        truncation=Truncation(segment="first"),
    ),
)
