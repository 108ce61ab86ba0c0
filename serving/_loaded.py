"""An artifact as an engine holds it: its head and its tensors on the device, and with whom it shares a forward pass."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from torch import Tensor

from serving.artifact import Artifact
from trainables import head, methods
from trainables.backbones import Backbone
from trainables.methods import Method
from trainables.trial import canonical

#: Where rows of P come from: host memory, a cache on the device, or the small factors.
Rows = Literal["host", "device", "factors"]


@dataclass(frozen=True, eq=False)
class Loaded:
    """An artifact in use.

    ``number``: its own among all that an engine ever held. ``weight`` (outputs, d) and ``bias`` (outputs): its head.
    ``own``: the method's tensors without a member axis; of rows of P in their fused form there are none. ``weights``:
    values in place of the backbone's. ``fused``: the rows of P (v, l, d) on the host, mapped. ``lane``: equal for
    those that share a forward pass. ``values``: the method's own hyperparameters.
    """

    number: int
    artifact: Artifact
    method: Method
    values: Mapping[str, Any]
    lane: Hashable
    weight: Tensor
    bias: Tensor
    own: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    fused: Tensor | None = None
    rows: Rows | None = None

    @property
    def bytes(self) -> int:
        """What its tensors take, those of rows in host memory as mapped."""
        tensors = [self.weight, self.bias, *self.own.values(), *self.weights.values()]
        tensors += [] if self.fused is None else [self.fused]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def load(number: int, artifact: Artifact, backbone: Backbone, rows: Rows) -> Loaded:
    """The artifact on the device of ``backbone`` and in its precision; factors of P and heads stay float32.

    ``rows``: the form of its rows of P, where it has them.
    """
    method, device = artifact.method(backbone.spec), backbone.embedding_matrix.device
    dtype = backbone.embedding_matrix.dtype
    tensors = {name: tensor.to(device) for name, tensor in artifact.tensors().items()}
    weight, bias = (tensors.pop(name).float() for name in (head.WEIGHT, head.BIAS))
    values = _values(artifact)
    made = partial(Loaded, number, artifact, method, values)
    fused, weights = artifact.rows(), artifact.weights()
    if fused is not None and rows == "factors":
        return made("rows", weight, bias, own={name: t.float() for name, t in tensors.items()}, rows=rows)
    if fused is not None:
        return made("rows", weight, bias, fused=fused, rows=rows)
    if weights is not None:
        merged = {name: tensor.to(device, dtype) for name, tensor in weights.items()}
        return made(("weights", number), weight, bias, weights=merged)
    lane = _lane(number, artifact, values)
    return made(lane, weight, bias, own={name: tensor.to(dtype) for name, tensor in tensors.items()})


def _values(artifact: Artifact) -> dict[str, Any]:
    kind = methods.get(artifact.method_name)
    own = {n: value for n, value in artifact.hyperparameters.items() if n in kind.Config.model_fields}
    return kind.Config(**own).model_dump()


def _lane(number: int, artifact: Artifact, values: Mapping[str, Any]) -> Hashable:
    kind = methods.get(artifact.method_name)
    if kind.max_members == 1:
        return artifact.method_name, number
    unlike = {name: value for name, value in values.items() if name not in methods.padded(kind)}
    return artifact.method_name, canonical(unlike)
