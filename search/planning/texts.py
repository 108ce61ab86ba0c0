"""What a study's tasks are made of: rows, labels, and what of their texts is cut or unknown; told before training.

    described = describe(study)
    for line in warnings(study, described): ...

Nothing is downloaded: of data or tokenizers on the hub only what is in the study's token cache is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.study import Study
from trainables import data, tasks
from trainables.data import RowFacts, TextFacts
from trainables.tasks import Split, Task
from trainables.trial import Protocol

#: So many whole numbers as labels are more likely ids or ratings than values; of more, it is said.
WHOLE_NUMBERS = 10


@dataclass(frozen=True)
class TaskFacts:
    """A task of a study. ``rows``: ``None`` where they are on the hub. ``texts``: each split's, by backbone; those that
    are not known are left out."""

    task: Task
    protocol: Protocol
    rows: RowFacts | None
    texts: Mapping[str, Mapping[Split, TextFacts]]

    @property
    def row_counts(self) -> Mapping[Split, int] | None:
        """Rows of each split after row limits; for data on the hub, of the token cache, ``None`` where it is cold."""
        if self.rows is not None:
            return self.rows.rows
        tokens = next(iter(self.texts.values()), None)
        if tokens is None:
            return None
        return {split: facts.sequences // self.task.choices for split, facts in tokens.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values; shares are from 0 to 1."""
        return {
            "task": self.task.name,
            "kind": self.task.kind,
            "metric": self.task.metric,
            "max_length": self.protocol.max_length,
            "truncation": asdict(self.task.truncation),
            "rows": self.row_counts and dict(self.row_counts),
            "labels": None if self.task.labels is None else list(self.task.labels),
            "classes": self.rows and self.rows.classes,
            "values": self.rows and self.rows.values,
            "texts": {b: {split: asdict(facts) for split, facts in both.items()} for b, both in self.texts.items()},
        }


def describe(study: Study) -> list[TaskFacts]:
    """Every task of a bound study; what cannot be read is left out, since training will say why."""
    return [TaskFacts(task, study.protocol_for(task), _rows(study, task), _texts(study, task)) for task in study.tasks]


def _rows(study: Study, task: Task) -> RowFacts | None:
    try:
        return data.row_facts(task, study.protocol_for(task))
    except (ValueError, OSError):
        return None


def _texts(study: Study, task: Task) -> dict[str, Mapping[Split, TextFacts]]:
    found = {backbone.name: text_facts(study, backbone.name, task.name) for backbone in study.backbones}
    return {backbone: facts for backbone, facts in found.items() if facts is not None}


def text_facts(study: Study, backbone: str, task: str) -> Mapping[Split, TextFacts] | None:
    """Both splits of a task in a backbone's tokens; ``None`` where they are not at hand."""
    source = next(b for b in study.backbones if b.name == backbone)
    known = next(t for t in study.tasks if t.name == task)
    try:
        return data.text_facts(known, source, study.protocol_for(known), Path(study.cache_dir))
    except (ValueError, OSError):
        return None


def warnings(described: list[TaskFacts]) -> Iterator[str]:
    """A line for each text that is much cut or hardly known, and for labels that look like numbers."""
    for facts in described:
        yield from _of_labels(facts.task)
        for backbone, splits in facts.texts.items():
            for split, told in splits.items():
                place = f"{facts.task.name}, {split}, {backbone}"
                if told.unknown > data.MUCH_UNKNOWN:
                    yield (
                        f"WARNING {place}: {share(told.unknown, told)} of the tokens are unknown to the tokenizer; "
                        "check that it is the backbone's own and has all of its files"
                    )
                if told.cut > data.MUCH_CUT:
                    yield (
                        f"WARNING {place}: {share(told.cut, told)} of the sequences are cut at "
                        f"{facts.protocol.max_length} tokens, on the {_where(facts.task)}; raise max_length"
                    )


def share(value: float, facts: TextFacts) -> str:
    """A share in percent, with a tilde where it is an estimate."""
    number = "<0.1" if 0 < value < 0.001 else f"{100 * value:.{0 if value >= 0.1 or not value else 1}f}"
    return f"{'~' * facts.estimated}{number} %"


def _where(task: Task) -> str:
    segment = {"longest": "the longer segment first", "first": "the first segment first"}
    words = segment.get(task.truncation.segment, "the second segment first")
    return f"{task.truncation.side}{f' ({words})' if len(task.text) == 2 else ''}"


def _of_labels(task: Task) -> Iterator[str]:
    if task.name in tasks.names() or task.kind != "classification" or not task.labels:
        return
    whole = all(re.fullmatch(r"-?\d+", label) for label in task.labels)
    if all(map(_is_number, task.labels)) and (not whole or len(task.labels) > WHOLE_NUMBERS):
        shown = ", ".join(task.labels[:3]) + (", …" if len(task.labels) > 3 else "")
        yield (
            f"WARNING {task.name}: its {len(task.labels)} labels ({shown}) look like numbers and are taken for "
            "classes; for numbers write kind: regression, whose metric is pearson_spearman"
        )


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True
