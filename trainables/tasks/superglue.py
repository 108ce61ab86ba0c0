"""SuperGLUE (Wang et al., 2019): the seven tasks of the paper, with the epochs and patience of its Table 6."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trainables.tasks._source import Hub
from trainables.tasks._task import Derived, Task, Truncation

_QUESTIONS = {"cause": "What was the cause?", "effect": "What was the effect?"}


def copa_question(row: Mapping[str, Any]) -> dict[str, str]:
    """COPA's ``question`` (``cause`` or ``effect``) as the sentence that asks for it."""
    return {"asked": _QUESTIONS[row["question"]]}


def mark_spans(row: Mapping[str, Any]) -> dict[str, str]:
    """WSC's text with ``*`` around the noun (span 1) and ``_`` around the pronoun (span 2).

    The spans' indexes count words; some are off, so the occurrence of the span that is nearest to its index counts.
    A span that does not occur stays unmarked: the second segment names it still.
    """
    spans = [
        (_locate(row["text"], row["span1_text"], int(row["span1_index"])), "*"),
        (_locate(row["text"], row["span2_text"], int(row["span2_index"])), "_"),
    ]
    # (position, is it an opening mark, mark): at one position a closing mark goes before an opening one.
    marks = [(at, opens, mark) for span, mark in spans if span for at, opens in ((span[0], True), (span[1], False))]
    text = row["text"]
    for at, _, mark in sorted(marks, reverse=True):
        text = text[:at] + mark + text[at:]
    return {"marked": text}


def _locate(text: str, span: str, index: int) -> tuple[int, int] | None:
    """Start and end of the occurrence of ``span`` (whole words, any case or spacing) nearest to word ``index``."""
    words = span.split()
    if not words:
        return None
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)"
    found = [m.span() for m in re.finditer(pattern, text, flags=re.IGNORECASE)]
    return min(found, key=lambda s: abs(len(text[: s[0]].split()) - index), default=None)


def _hub(config: str) -> Hub:
    return Hub("aps/super_glue", config, folder=f"superglue/{config}")


TASKS = (
    Task(
        name="superglue/boolq",
        text=("{passage}", "{question}?"),
        labels=("False", "True"),
        metric="accuracy",
        source=_hub("boolq"),
        truncation=Truncation(segment="first"),
    ),
    Task(
        name="superglue/cb",
        text=("{premise}", "{hypothesis}"),
        labels=("entailment", "contradiction", "neutral"),
        metric="accuracy_macro_f1",
        source=_hub("cb"),
        epochs=500,
        patience=100,
        truncation=Truncation("left", "first"),  # the clause in question ends the premise
    ),
    Task(
        name="superglue/copa",
        text=("{premise} {asked}", "{choice}"),
        options=("{choice1}", "{choice2}"),
        derived=Derived(copa_question, columns=("question",), makes=("asked",)),
        labels=("choice1", "choice2"),
        metric="accuracy",
        source=_hub("copa"),
        epochs=500,
        patience=100,
        truncation=Truncation("left", "first"),  # the question ends the first segment
    ),
    Task(
        name="superglue/multirc",
        text=("{paragraph}", "{question} {answer}"),
        labels=("False", "True"),
        metric="accuracy_f1",
        source=_hub("multirc"),
        epochs=10,
        patience=4,
        blanks=True,  # three published train answers are only spaces
        truncation=Truncation(segment="first"),
    ),
    Task(
        name="superglue/rte",
        text=("{premise}", "{hypothesis}"),
        labels=("entailment", "not_entailment"),
        metric="accuracy",
        source=_hub("rte"),
        truncation=Truncation(segment="first"),
    ),
    Task(
        name="superglue/wic",
        text=("{word}: {sentence1}", "{word}: {sentence2}"),
        labels=("False", "True"),
        metric="accuracy",
        source=_hub("wic"),
        epochs=500,
        patience=20,
    ),
    Task(
        name="superglue/wsc",
        text=("{marked}", "{span2_text} refers to {span1_text}"),
        derived=Derived(
            mark_spans,
            columns=("text", "span1_text", "span1_index", "span2_text", "span2_index"),
            makes=("marked",),
        ),
        labels=("False", "True"),
        metric="accuracy",
        source=_hub("wsc"),
        epochs=500,
        patience=100,
        truncation=Truncation("left", "first"),  # the pronoun stands near the end
    ),
)
