"""From a task and a tokenizer to batches: tokenised once and cached (``loading``), batched by length (``batches``).

``pieces.py`` says which examples are padded together, and ``ahead.py`` makes them while a GPU computes.
``encoding.py`` makes tokens of texts, ``truncation.py`` cuts them, ``preview.py`` tells of them before training.
"""

from __future__ import annotations

from trainables.data.ahead import ahead
from trainables.data.batches import dev_batches, distinct_of, train_batches
from trainables.data.encoding import TextFacts, has_types, sequence
from trainables.data.examples import Examples
from trainables.data.loading import MUCH_CUT, MUCH_UNKNOWN, TaskData, load
from trainables.data.preview import SAMPLE, RowFacts, row_facts, text_facts

__all__ = [
    "MUCH_CUT", "MUCH_UNKNOWN", "SAMPLE", "Examples", "RowFacts", "TaskData", "TextFacts", "ahead", "dev_batches",
    "distinct_of", "has_types", "load", "row_facts", "sequence", "text_facts", "train_batches",
]  # fmt: skip
