"""Rows of P by token id, as both AoT methods look them up (section 3.2 of the paper, equation 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from trainables import dropout
from trainables.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor

#: Tokens whose rows are computed at once when the whole of P is written out.
CHUNK = 2048


def take(table: Tensor, index: Tensor) -> Tensor:
    """Rows of each member's own table: ``table`` (k, m, c), ``index`` (k, i) -> (k, i, c)."""
    from torch.nn import functional

    members, size, width = table.shape
    return functional.embedding(_offset(index, size), table.reshape(members * size, width))


def add_rows(rows: Callable[[int], Tensor], batch: Batch, p: float) -> Callable[[int, Tensor], Tensor]:
    """The seam ``before_layer`` of equation 1: the hidden state of token ``x`` gets the row ``P_x`` added.

    ``rows(layer)`` are the rows ``(k, u, d)`` of the tokens ``batch.distinct``, so that no row is computed twice.
    Dropout with probability ``p`` acts on the rows after the look-up: each occurrence of a token has a mask of its own.
    """
    from torch.nn import functional

    where = _offset(batch.distinct.where, batch.distinct.ids.shape[1])  # (k, b·n)

    def before_layer(layer: int, hidden: Tensor) -> Tensor:
        looked_up = functional.embedding(where, rows(layer).flatten(0, 1)).view(hidden.shape)  # (k·b, n, d)
        return hidden + dropout.of_tokens(looked_up, p, batch, "rows", layer)

    return before_layer


def all_rows(rows: Callable[[int, Tensor], Tensor], vocabulary: int, layers: int, width: int) -> Tensor:
    """The whole of P, ``(v, l, d)`` in half precision and in host memory; arguments and errors as ``row_chunks``."""
    import torch

    full = torch.empty(vocabulary, layers, width, dtype=torch.float16)
    for start, chunk in zip(range(0, vocabulary, CHUNK), row_chunks(rows, vocabulary, layers, width), strict=True):
        full[start : start + CHUNK] = chunk
    return full


def row_chunks(rows: Callable[[int, Tensor], Tensor], vocabulary: int, layers: int, width: int) -> Iterator[Tensor]:
    """P in pieces of some tokens each, in the tokens' order: ``(c, l, d)`` in half precision and in host memory.

    They are computed in float32. ``rows(layer, ids)`` are the rows ``(1, c, d)`` of the tokens ``ids`` ``(1, c)``.

    Raises:
        ValueError: if a row is too large for half precision, or is not a number.
    """
    import torch

    for start in range(0, vocabulary, CHUNK):
        ids = torch.arange(start, min(start + CHUNK, vocabulary)).unsqueeze(0)  # (1, c)
        chunk = torch.empty(ids.shape[1], layers, width, dtype=torch.float16)
        for layer in range(layers):
            with torch.no_grad():
                chunk[:, layer] = rows(layer, ids)[0]
        if not chunk.isfinite().all():
            raise ValueError(
                f"rows of P must be finite in half precision (at most 65504), but some of tokens {start} to "
                f"{start + len(chunk) - 1} are not; the trial has diverged: fuse one with a smaller learning rate"
            )
        yield chunk


def _offset(index: Tensor, size: int) -> Tensor:
    """Indices ``(k, i)`` into tables of ``size`` rows, as indices into the tables one below the other."""
    import torch

    members = torch.arange(index.shape[0], device=index.device)
    return index + size * members.unsqueeze(1)
