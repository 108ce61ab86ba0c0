"""From texts to tokens and from outputs to answers, for all sides but our engine, which has its own way of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from benchmarks._serving_case import Case, Row
from trainables import backbones, head

#: Of a forward pass with its padding, as our engine has it.
MOST_TOKENS = 16_384
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: A row's answer: its label's number, the probabilities, the logits.
Said = tuple[int, list[float], list[float]]


class Clock:
    """Seconds that were spent making tokens of texts."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began

    def around(self, owner: Any, name: str) -> None:
        """Let it run whenever the function ``owner.name`` does."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.running():
                return function(*arguments, **named)

        setattr(owner, name, timed)


@dataclass(frozen=True)
class Tokens:
    """Rows of a forward pass. ``places``: theirs in the batch. ``tasks``: of each row; ``index`` on the device.
    ``inputs``: as the library's models take them, padded to the longest row."""

    places: Sequence[int]
    tasks: Sequence[int]
    index: Tensor
    inputs: dict[str, Tensor]


class Texts:
    """The backbone's tokenizer, all rows of a batch in one call.

    ``cut``: what would be one forward pass is cut by length where our engine would cut it, and so holds as little
    padding.
    """

    def __init__(self, case: Case, device: str, clock: Clock, cut: bool = False) -> None:
        own = backbones.tokenizer(case.backbone)
        self.tokenizer = Tokenizer.from_str(own.backend_tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(case.max_length)
        self.types = "token_type_ids" in own.model_input_names
        self.pad = backbones.spec(case.backbone).pad_token_id
        self.device, self.clock, self.cut = device, clock, cut

    def parts(self, rows: Sequence[tuple[int, Row]], by_task: bool = False) -> list[Tokens]:
        """The forward passes of a batch: one, or one for each task, or as our engine cuts it."""
        with self.clock.running():
            encodings = self.tokenizer.encode_batch([row.text for _, row in rows])
        lengths = [len(encoding.ids) for encoding in encodings]
        tasks = [task for task, _ in rows]
        places: list[list[int]] = [list(range(len(rows)))]
        if by_task:
            order = sorted(range(len(rows)), key=tasks.__getitem__)
            places = [list(same) for _, same in groupby(order, key=tasks.__getitem__)]
        if self.cut:
            places = [part for own in places for part in cuts(own, lengths, self.device)]
        return [self._tokens(own, tasks, [encodings[i] for i in own]) for own in places]

    def _tokens(self, places: Sequence[int], tasks: Sequence[int], encodings: Sequence[Any]) -> Tokens:
        lengths = np.array([len(encoding.ids) for encoding in encodings])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.pad, np.int64)
        ids[mask] = np.concatenate([encoding.ids for encoding in encodings])
        arrays = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if self.types:
            arrays["token_type_ids"] = np.zeros(mask.shape, np.int64)
            arrays["token_type_ids"][mask] = np.concatenate([encoding.type_ids for encoding in encodings])
        inputs = {name: self._sent(array) for name, array in arrays.items()}
        own = [tasks[i] for i in places]
        return Tokens(places, own, self._sent(np.array(own)), inputs)

    def _sent(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device == "cuda" else tensor


class Heads:
    """The heads of all tasks side by side."""

    def __init__(self) -> None:
        self.weight, self.bias = torch.empty(0), torch.empty(0)

    def add(self, tensors: dict[str, Tensor], device: str) -> None:
        weight, bias = (tensors[name].to(device).unsqueeze(0) for name in (head.WEIGHT, head.BIAS))
        known = self.weight.numel() > 0
        self.weight = torch.cat([self.weight, weight]) if known else weight  # (tasks, outputs, d)
        self.bias = torch.cat([self.bias, bias]) if known else bias

    def logits(self, first: Tensor, tasks: Tensor) -> Tensor:
        """Outputs ``(b, outputs)`` from first tokens ``(b, d)``, each row by its task's head ``(b,)``."""
        return self.bias[tasks] + torch.bmm(self.weight[tasks], first.float().unsqueeze(-1)).squeeze(-1)


def cuts(rows: Sequence[int], lengths: Sequence[int], device: str) -> list[list[int]]:
    """The rows of each forward pass as our engine cuts a batch of these; ``lengths``: of all rows, in tokens."""
    from serving import engine
    from serving._batches import Piece, forwards

    lane: Any = SimpleNamespace(lane=None)
    pieces = [Piece(row, lane, np.empty(lengths[row], np.int32), np.empty(0, np.uint8)) for row in rows]
    found = forwards(pieces, MOST_TOKENS, engine._LAUNCH[device])
    return [[piece.place for piece in part] for part in found]


def said(outputs: Sequence[Tensor], parts: Sequence[Tokens]) -> list[Said]:
    """Each row's answer, in the order of the batch, as numbers of Python."""
    logits = torch.cat(list(outputs))
    values = (logits.argmax(-1).tolist(), logits.softmax(-1).tolist(), logits.tolist())
    places = [place for tokens in parts for place in tokens.places]
    answers = dict(zip(places, zip(*values, strict=True), strict=True))
    return [answers[i] for i in range(len(answers))]
