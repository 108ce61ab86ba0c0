"""Softmax attention with prefixes, used by every family."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainables import dropout
from trainables.backbones._family import Pass


def split_heads(x: Tensor, heads: int) -> Tensor:
    """``(…, n, d)`` to ``(…, h, n, d / h)``."""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def project(forward: Pass, layer: int, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values ``(k·b, h, p + n, d / h)`` of ``hidden`` ``(k·b, p + n, d)``.

    Where one position is wanted there is one query.
    """
    given = {"query": forward.queries(hidden), "key": hidden, "value": hidden}
    query, key, value = (split_heads(forward.site(site, layer, x), forward.heads) for site, x in given.items())
    return query, key, value


def plain(forward: Pass, layer: int, hidden: Tensor, bias: Tensor | None) -> Tensor:
    """Self-attention ``(k·b, p + n, d)`` of the families that add at most a ``bias`` to the scores."""
    query, key, value = project(forward, layer, hidden)
    return attend(forward, layer, query, key, value, bias=None if bias is None else forward.queries(bias))


def attend(
    forward: Pass,
    layer: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale · query · keyᵀ + bias) · value, heads joined: ``(k·b, p + n, d)``.

    ``query``, ``key``, ``value`` are ``(k·b, h, p + n, d / h)``; ``bias`` broadcasts to ``(k·b, h, p + n, p + n)``.
    There is one query where one position is wanted. ``scale`` is 1 / √(d / h) by default. The layer's prefix stands
    before the keys: it is never masked, but for its padding, and takes no bias, since it has no position (equation 6 of
    the paper).
    """
    mask = forward.mask[:, None, None, :]  # (k·b, 1, 1, keys)
    prefix = forward.seams.prefix(layer)
    if prefix is not None:
        before = [forward.per_member(split_heads(x, forward.heads)).to(key.dtype) for x in prefix]
        key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
        mask = torch.cat([_prefix_mask(forward, before[0].shape[2]), mask], 3)
        bias = None if bias is None else functional.pad(bias, (before[0].shape[2], 0))
    if bias is not None:
        mask = bias.to(query.dtype).masked_fill(~mask, torch.finfo(query.dtype).min)
    dropped = forward.batch.streams is not None and forward.attention_dropout > 0
    if dropped or (query.device.type, query.dtype) == ("cpu", torch.bfloat16):
        context = _written_out(forward, layer, query, key, value, mask, scale)
    else:
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return context.transpose(1, 2).flatten(2)


def _prefix_mask(forward: Pass, length: int) -> Tensor:
    """Which keys of a prefix are seen ``(k·b, 1, 1, p)``: of a member with a shorter one, its own."""
    padding = forward.seams.prefix_padding
    if padding is None:
        return forward.mask.new_ones(len(forward.mask), 1, 1, length)
    seen = torch.arange(length, device=forward.mask.device) >= padding.tensor.unsqueeze(1)  # (k, p)
    return forward.per_member(seen)[:, None, None, :]


def _written_out(
    forward: Pass, layer: int, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None
) -> Tensor:
    """The same, written out: the library's fused attention takes no masks of one's own for its weights.

    On a CPU it is slow in bfloat16, too: 1.3 to 2 times as long forwards, and 3 to 8 times with the backward pass.
    """
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=query.dtype, device=mask.device).masked_fill_(~mask, -torch.inf)
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-1, -2)
    narrow = (query.device.type, query.dtype) == ("cpu", torch.bfloat16)
    weights: Tensor = _Softmax.apply(scores, mask) if narrow else (scores + mask).softmax(-1)  # (k·b, h, p + n, keys)
    p = forward.attention_dropout
    before = forward.seams.prefix_padding
    return dropout.of_pairs(weights, p, forward.batch, "attention", layer, forward.wanted, before) @ value


class _Softmax(torch.autograd.Function):
    """softmax(scores + mask) of scores in bfloat16 on a CPU, with the sum and the exponentials in float32.

    The library's takes up to four times as long in bfloat16 where the keys are no multiple of 32; its backward pass
    does not, so that it is enough to keep the weights in bfloat16. A mask that is trained has its gradient.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor) -> Tensor:
        weights = (scores + mask.float()).softmax(-1).to(scores.dtype)
        ctx.save_for_backward(weights)
        ctx.mask = mask.shape
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        (weights,) = ctx.saved_tensors
        of_scores = torch._softmax_backward_data(gradients[0], weights, -1, weights.dtype)
        return of_scores, of_scores.sum_to_size(ctx.mask) if ctx.needs_input_grad[1] else None
