"""Rows of P for the distinct (task, token) pairs of a batch: from host memory, or from their factors.

Either way what comes back is half precision, one pair's rows for all layers side by side: ``(u, l, d)``.
``row_cache.py`` keeps those that are used most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from serving._batches import Pairs
from serving._loaded import Loaded
from trainables import methods, padding
from trainables.backbones import Backbone
from trainables.devices import sent
from trainables.trial import canonical


def host_rows(pairs: Pairs, pinned: bool = False) -> Tensor:
    """The pairs' rows ``(u, l, d)`` out of the tasks' mapped P, gathered in host memory: ``pinned`` for a GPU.

    No more of P is read than the pages that they lie in.
    """
    whole = [_fused(owner) for owner in pairs.owners]
    found = torch.empty(len(pairs.ids), *whole[0].shape[1:], dtype=torch.float16, pin_memory=pinned)
    ids = torch.from_numpy(pairs.ids)
    for rows, (begin, end) in zip(whole, pairwise(pairs.starts.tolist()), strict=True):
        torch.index_select(rows.flatten(1), 0, ids[begin:end], out=found[begin:end].flatten(1))
    return found


def _fused(owner: Loaded) -> Tensor:
    if owner.fused is None:
        raise ValueError(f"{owner.artifact.path} has no fused rows in use; serve it with rows='factors'")
    return owner.fused


def factor_rows(pairs: Pairs, backbone: Backbone, stack: Callable[[Sequence[Loaded]], dict[str, Tensor]]) -> Tensor:
    """The pairs' rows ``(u, l, d)`` computed from the tasks' factors, on their device.

    Tasks whose methods differ in the rank alone are members of one batched product, each with as many tokens as the
    most of them has. ``stack``: ``stacked``, or what remembers it.
    """
    alike: dict[str, list[int]] = {}
    for i, owner in enumerate(pairs.owners):
        alike.setdefault(kind_of(owner), []).append(i)
    groups = list(alike.values())
    if len(groups) == 1:
        return _computed(pairs, groups[0], backbone, stack)
    found = torch.empty(0)
    for members in groups:
        rows = _computed(pairs, members, backbone, stack)
        if not len(found):
            found = rows.new_empty(len(pairs.ids), *rows.shape[1:])
        places = np.concatenate([np.arange(pairs.starts[i], pairs.starts[i + 1]) for i in members])
        found[sent(torch.from_numpy(places), found.device)] = rows
    return found


def kind_of(owner: Loaded) -> str:
    """Equal for tasks whose rows are one batched product."""
    name = owner.artifact.method_name
    unlike = (*methods.padded(methods.get(name)), "dropout")  # which is for training alone
    return canonical([name, {k: v for k, v in owner.values.items() if k not in unlike}])


def _computed(
    pairs: Pairs, members: Sequence[int], backbone: Backbone, stack: Callable[[Sequence[Loaded]], dict[str, Tensor]]
) -> Tensor:
    """The rows of some tasks of one kind, task after task."""
    owners = [pairs.owners[i] for i in members]
    sizes = np.diff(pairs.starts)[members]
    ids = np.zeros((len(members), sizes.max()), np.int64)  # (k, most)
    own = np.arange(sizes.max()) < sizes[:, None]
    ids[own] = np.concatenate([pairs.ids[pairs.starts[i] : pairs.starts[i + 1]] for i in members])
    largest = max(owners, key=lambda owner: sum(tensor.numel() for tensor in owner.own.values()))
    rows: Callable[..., Tensor] = largest.method.rows  # type: ignore[attr-defined]
    device = backbone.embedding_matrix.device
    found = rows(stack(owners), backbone, sent(torch.from_numpy(ids), device)).half().flatten(0, 1)  # (k·most, l, d)
    return found if own.all() else found[sent(torch.from_numpy(np.flatnonzero(own)), device)]


def stacked(owners: Sequence[Loaded]) -> dict[str, Tensor]:
    """The tensors of tasks of one method side by side, ``(k, …)``, smaller ones padded (``trainables/padding.py``)."""
    if len(owners) == 1:
        return {name: tensor.unsqueeze(0) for name, tensor in owners[0].own.items()}
    found = {}
    for name, first in owners[0].own.items():
        tensors = [owner.own[name] for owner in owners]
        alike = all(tensor.shape == first.shape for tensor in tensors)
        found[name] = torch.stack(tensors) if alike else padding.side_by_side(tensors)
    return found
