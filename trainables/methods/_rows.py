"""Rows of P by token id, as both AoT methods look them up (section 3.2 of the paper, equation 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from trainables import dropout
from trainables.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.backbones import Backbone, Spec

#: Tokens whose rows are computed at once, in float32 for all layers, when the whole of P is written out.
CHUNK = 512


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


def all_rows(
    rows: Callable[[Mapping[str, Tensor], Backbone, Tensor], Tensor],
    params: Mapping[str, Tensor],
    backbone: Backbone,
    spec: Spec,
) -> Tensor:
    """The whole of P, ``(v, l, d)`` in half precision and in host memory; arguments and errors as ``row_chunks``."""
    import torch

    full = torch.empty(spec.vocabulary, spec.layers, spec.width, dtype=torch.float16)
    start = 0
    for chunk in row_chunks(rows, params, backbone, spec):
        full[start : start + len(chunk)] = chunk
        start += len(chunk)
    return full


def row_chunks(
    rows: Callable[[Mapping[str, Tensor], Backbone, Tensor], Tensor],
    params: Mapping[str, Tensor],
    backbone: Backbone,
    spec: Spec,
) -> Iterator[Tensor]:
    """P in pieces of some tokens each, in the tokens' order: ``(c, l, d)`` in half precision and in host memory.

    ``rows`` is the method's own, see ``Method``; ``params`` are float32 and of one member, without its axis.

    Raises:
        ValueError: if a row is too large for half precision, or is not a number.
    """
    import torch

    one = {name: tensor.unsqueeze(0) for name, tensor in params.items()}
    device = next(iter(params.values())).device
    for start in range(0, spec.vocabulary, CHUNK):
        ids = torch.arange(start, min(start + CHUNK, spec.vocabulary), device=device).unsqueeze(0)  # (1, c)
        chunk = torch.empty(ids.shape[1], spec.layers, spec.width, dtype=torch.float16)
        with torch.no_grad():
            chunk.copy_(rows(one, backbone, ids)[0])
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
