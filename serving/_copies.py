"""Copies to a device beside what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Copied:
    """Tensors on their way to a device; ``None`` where there was none. ``done``: an event of a GPU."""

    tensors: tuple[Tensor | None, ...]
    done: Any = None

    def arrived(self) -> tuple[Tensor | None, ...]:
        """The tensors, for the stream that computes: it waits for them, the host does not."""
        if self.done is not None:
            stream = torch.cuda.current_stream(self.done.device)
            stream.wait_event(self.done)
            for tensor in self.tensors:
                if tensor is not None:
                    tensor.record_stream(stream)
        return self.tensors


class Copies:
    """Copies from the host to ``device``: on a GPU from pinned memory and on a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.pinned = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self.pinned else None

    def start(self, tensors: Sequence[Tensor | None]) -> Copied:
        """Begin to copy; one that is pinned already is not pinned again."""
        if self._stream is None:
            return Copied(tuple(None if tensor is None else tensor.to(self._device) for tensor in tensors))
        with torch.cuda.stream(self._stream):
            copied = tuple(None if tensor is None else self._copied(tensor) for tensor in tensors)
            done = torch.cuda.Event()
            done.record()
        return Copied(copied, done)

    def _copied(self, tensor: Tensor) -> Tensor:
        pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
        return pinned.to(self._device, non_blocking=True)
