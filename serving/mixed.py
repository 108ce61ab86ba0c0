"""A batch of several tasks through one backbone: its rows of P, its members, and a head for each sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from serving._batches import Pairs, Piece, padded, pairs
from serving._copies import Copied, Copies
from serving._loaded import Loaded
from serving.row_cache import RowCache
from serving.rows import factor_rows, host_rows, kind_of, stacked
from trainables import head, methods
from trainables.backbones import Backbone, Seams
from trainables.batch import Batch, Distinct
from trainables.data import distinct_of
from trainables.devices import sent
from trainables.methods import Method
from trainables.padding import own_sizes

#: Tokens up to which rows are looked up once for all layers, by device: what takes time there is the number of calls,
#: and not what they move.
_AT_ONCE = {"cpu": 512, "cuda": 4096}
#: Tokens whose rows come into a cache at a time where it takes a whole task.
_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Prepared:
    """A batch on its way to the device: all that can be made while another one is computed.

    ``owners``: of each member, in their order. ``pairs``: of tasks with rows of P. ``arrays``: ids, mask, types, and
    then ``where`` and rows from the host, or what ``Distinct`` holds.
    """

    pieces: tuple[Piece, ...]
    owners: tuple[Loaded, ...]
    tokens: int
    padding: int
    copied: Copied
    pairs: Pairs | None = None
    spare: tuple[int, ...] = ()


class Mixed:
    """Forward passes of mixed batches. ``prepare`` is for any thread, the rest for one at a time.

    Args:
        backbone: frozen, on its device and in the precision that is computed in.
        cache: of rows of P.
    """

    def __init__(self, backbone: Backbone, cache: RowCache) -> None:
        self.backbone = backbone
        self.cache = cache
        self._device = backbone.embedding_matrix.device
        self._copies = Copies(self._device)
        #: The last stack of tensors of each lane: mixes come again.
        self._stacks: dict[Hashable, tuple[tuple[int, ...], Any]] = {}

    def prepare(self, pieces: Sequence[Piece]) -> Prepared:
        """A batch of these pieces, which are of one lane."""
        return self._with_rows(pieces) if pieces[0].owner.rows else self._with_members(pieces)

    @torch.inference_mode()
    def outputs(self, prepared: Prepared) -> Tensor:
        """Outputs ``(pieces, most outputs)`` of the heads in float32, on the device; of a narrower head the first."""
        ids, mask, types, *others = prepared.copied.arrived()
        assert ids is not None
        assert mask is not None
        assert types is not None
        members = len(prepared.owners)
        batch = Batch(ids, mask, types, ids.new_zeros(members, len(ids) // members), padding=(0,) * members)
        if prepared.pairs is not None:
            seams = Seams(before_layer=add_rows(*self._rows(prepared.pairs, *others), ids.shape))
        else:
            batch, seams = self._members(prepared, batch, others)
        return self._logits(prepared.pieces, self.backbone(batch, seams, first_only=True), batch)

    def add(self, owner: Loaded) -> None:
        """Make room for a task's rows, and take them in where all of them fit."""
        if owner.rows not in ("device", "factors"):
            return
        self.cache.add(owner.number)
        vocabulary = self.backbone.spec.vocabulary
        if owner.rows == "device" and self.cache.capacity - self.cache.rows >= vocabulary:
            for start in range(0, vocabulary, _CHUNK):
                self.take_in(owner, np.arange(start, min(start + _CHUNK, vocabulary)))

    @torch.inference_mode()
    def take_in(self, owner: Loaded, ids: np.ndarray) -> None:
        """The rows of some distinct tokens ``(u,)`` of a task come into the cache, which counts no misses for them."""
        self.cache.get(Pairs((owner,), np.array([0, len(ids)]), ids, ids), self._fetched, counted=False)

    def remove(self, owner: Loaded) -> None:
        """Forget what was kept of a task."""
        self.cache.remove(owner.number)
        self._stacks = {lane: last for lane, last in self._stacks.items() if owner.number not in last[0]}

    def _with_rows(self, pieces: Sequence[Piece]) -> Prepared:
        spec = self.backbone.spec
        batch = padded(pieces, spec.pad_token_id)
        found = pairs(pieces, batch, spec.vocabulary)
        host = _host_part(found)
        rows = host_rows(host, self._copies.pinned) if len(host.ids) else None
        arrays = [*_tensors(batch.ids, batch.mask, batch.types, found.where), rows]
        copied = self._copies.start(arrays)
        return Prepared(tuple(pieces), (pieces[0].owner,), batch.tokens, batch.padding, copied, pairs=found)

    def _with_members(self, pieces: Sequence[Piece]) -> Prepared:
        """Member after member: as many of equal size as make whole tasks of them."""
        ordered = sorted(pieces, key=lambda piece: piece.owner.number)
        counts = [len(list(own)) for _, own in groupby(ordered, key=lambda piece: piece.owner.number)]
        each = math.gcd(*counts)
        owners = tuple(piece.owner for piece in ordered[::each])
        batch = padded(ordered, self.backbone.spec.pad_token_id)
        arrays = _tensors(batch.ids, batch.mask, batch.types)
        spare: tuple[int, ...] = ()
        if methods.distinct_tokens(owners[0].method):
            members, real = (part.reshape(len(owners), -1) for part in (batch.ids, batch.mask > 0))
            distinct = distinct_of(members, real, self.backbone.spec.pad_token_id)
            arrays, spare = [*arrays, distinct.ids, distinct.where], distinct.spare
        copied = self._copies.start(arrays)
        return Prepared(tuple(ordered), owners, batch.tokens, batch.padding, copied, spare=spare)

    def _rows(self, found: Pairs, where: Tensor | None, host: Tensor | None) -> tuple[Tensor, Tensor]:
        """A table of rows ``(m, l, d)``, and the row of each token ``(b·n,)``."""
        assert where is not None
        cached = found.part(0, len(found.owners) - len(_host_part(found).owners))
        if not len(cached.ids):
            assert host is not None
            return host, where
        table, places = self.cache.get(cached, self._fetched)
        if host is not None:
            index = sent(torch.from_numpy(places), self._device)
            return torch.cat([table.index_select(0, index), host]), where
        return table, sent(torch.from_numpy(places[found.where]), self._device)

    def _fetched(self, wanted: Pairs) -> Tensor:
        """Rows of tasks whose rows are cached: their fused ones come first."""
        fused = sum(owner.rows == "device" for owner in wanted.owners)
        parts = []
        if fused:
            rows = host_rows(wanted.part(0, fused), self._copies.pinned)
            parts.append(rows.to(self._device, non_blocking=True))
        if fused < len(wanted.owners):
            parts.append(factor_rows(wanted.part(fused, len(wanted.owners)), self.backbone, self._factors))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _factors(self, owners: Sequence[Loaded]) -> dict[str, Tensor]:
        return self._of_members(("factors", kind_of(owners[0])), owners, stacked)

    def _members(self, prepared: Prepared, batch: Batch, others: Sequence[Tensor | None]) -> tuple[Batch, Seams]:
        owners = prepared.owners
        if owners[0].weights:
            return batch, Seams(weights=owners[0].weights)
        method, sizes = self._largest(owners)
        params = self._of_members(("own", owners[0].lane), owners, stacked)
        distinct = Distinct(others[0], others[1], prepared.spare) if others else None  # type: ignore[arg-type]
        batch = replace(batch, tokens=distinct, sizes=sizes)
        return batch, method.seams(params, self.backbone, batch)

    def _largest(self, owners: Sequence[Loaded]) -> tuple[Method, Mapping[str, Any]]:
        """The method for all of them, and each one's own sizes where they differ."""
        kind = methods.get(owners[0].artifact.method_name)
        unlike = [n for n in methods.padded(kind) if len({owner.values[n] for owner in owners}) > 1]
        if not unlike:
            return owners[0].method, {}
        most = {name: max(owner.values[name] for owner in owners) for name in unlike}
        method = kind(kind.Config(**{**owners[0].values, **most}), self.backbone.spec)
        return method, own_sizes(unlike, [owner.values for owner in owners], self._device)

    def _logits(self, pieces: Sequence[Piece], first: Tensor, batch: Batch) -> Tensor:
        """Each sequence by its own head: ``first`` (b, 1, d) -> (b, outputs)."""
        owners = [piece.owner for piece in pieces]
        lane = ("head", owners[0].lane)
        members = 1 if len(set(owners)) == 1 else len(owners)
        heads = self._of_members(lane, owners if members > 1 else owners[:1], _heads)
        batch = replace(batch, labels=batch.labels.view(members, -1))
        return head.logits(first, batch, heads[head.WEIGHT], heads[head.BIAS], 0.0).flatten(0, 1)

    def _of_members(
        self,
        lane: Hashable,
        owners: Sequence[Loaded],
        stack: Callable[[Sequence[Loaded]], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """What ``stack`` makes of the distinct owners, with a copy for each member."""
        distinct = sorted(set(owners), key=lambda owner: owner.number)
        numbers = tuple(owner.number for owner in distinct)
        if self._stacks.get(lane, ((), None))[0] != numbers:
            self._stacks[lane] = numbers, stack(distinct)
        found: dict[str, Tensor] = self._stacks[lane][1]
        if list(owners) == distinct:
            return found
        place = {owner: i for i, owner in enumerate(distinct)}
        index = sent(torch.tensor([place[owner] for owner in owners]), self._device)
        return {name: tensor.index_select(0, index) for name, tensor in found.items()}


def add_rows(table: Tensor, where: Tensor, shape: torch.Size) -> Callable[[int, Tensor], Tensor]:
    """The seam ``before_layer`` of equation 1, in place: to ``hidden`` (b, n, d) come the rows ``table[where]``.

    ``table`` ``(m, l, d)`` in half precision, ``where`` ``(b·n,)``, ``shape`` b and n. They are added in the precision
    of ``hidden``, which is what enters a layer and which nobody else reads.
    """
    if len(where) <= _AT_ONCE[table.device.type]:
        rows = table.index_select(0, where).unflatten(0, shape).unbind(2)  # l times (b, n, d)
        return lambda layer, hidden: hidden.add_(rows[layer])
    tables = table.unbind(1)
    return lambda layer, hidden: hidden.add_(tables[layer].index_select(0, where).view(hidden.shape))


def _host_part(found: Pairs) -> Pairs:
    """The pairs of tasks whose rows come straight from host memory, which stand last."""
    first = sum(owner.rows != "host" for owner in found.owners)
    return found.part(first, len(found.owners))


def _heads(owners: Sequence[Loaded]) -> dict[str, Tensor]:
    """Heads side by side: weights ``(k, outputs, d)`` and biases ``(k, outputs)``, narrower ones filled up behind."""
    most = max(len(owner.bias) for owner in owners)
    weights = [functional.pad(owner.weight, (0, 0, 0, most - len(owner.bias))) for owner in owners]
    biases = [functional.pad(owner.bias, (0, most - len(owner.bias))) for owner in owners]
    return {head.WEIGHT: torch.stack(weights), head.BIAS: torch.stack(biases)}


def _tensors(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]
