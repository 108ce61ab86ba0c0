"""From a task and a tokenizer to batches: tokenised once and cached (``loading``), batched by length (``batches``)."""

from __future__ import annotations

from trainables.data.batches import dev_batches, train_batches
from trainables.data.examples import Examples
from trainables.data.loading import TaskData, load

__all__ = ["Examples", "TaskData", "dev_batches", "load", "train_batches"]
