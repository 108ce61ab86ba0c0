"""From the outputs of heads to answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from serving._loaded import Loaded
from serving.request import Answer
from serving.text import Reading


def answer(name: str, owner: Loaded, reading: Reading, rows: Iterator[list[float]]) -> Answer:
    """The answer for a row; ``rows`` gives the outputs of its sequences next.

    Probabilities are the softmax of the logits: of classes one sequence's, of choices one of each sequence.
    """
    logits = tuple(value for _ in reading.sequences for value in next(rows))
    labels = owner.artifact.task.labels
    if labels is None:
        return Answer(name, value=logits[0], logits=logits, cut=reading.cut)
    powers = np.exp(np.array(logits) - max(logits))
    scores = (powers / powers.sum()).tolist()
    best = labels[int(np.argmax(logits))]
    return Answer(name, best, dict(zip(labels, scores, strict=True)), None, logits, reading.cut)
