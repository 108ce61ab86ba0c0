"""Small members of any method, found by name, and what a backbone makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from helpers.families import in_training, make_batch, tiny_backbone, tiny_batch
from torch import Tensor, nn

from trainables import backbones, methods
from trainables.backbones import Backbone, Seams
from trainables.batch import Batch
from trainables.methods import FROZEN, Method, trainable
from trainables.trial import Trial

#: Small values for whichever of these hyperparameters a method has.
SMALL = {"rank": 3, "prompt_length": 4}


_SHARED: dict[tuple[str, str], tuple[Backbone, dict[str, Tensor]]] = {}  # with the parameters as they were made
_TAKEN: set[tuple[str, str]] = set()  # since they were last looked at


def shared_backbone(family: str, variant: str = "") -> Backbone:
    """One frozen backbone of a family for all tests, which leave it as it is."""
    key = (family, variant)
    if key not in _SHARED:
        backbone = tiny_backbone(family, variant=variant)
        _SHARED[key] = backbone, {name: value.clone() for name, value in backbone.named_parameters()}
    _TAKEN.add(key)
    return _SHARED[key][0]


def changed_backbones() -> list[str]:
    """Families of shared backbones that are no longer as they were made; the next test gets a new one."""
    changed = []
    for key in sorted(_TAKEN):
        backbone, made = _SHARED[key]
        now = dict(backbone.named_parameters())
        if any(p.requires_grad or p.grad is not None or not torch.equal(p, made[name]) for name, p in now.items()):
            changed.append(key[0])
            del _SHARED[key]
    _TAKEN.clear()
    return changed


def small_method(name: str, backbone: Backbone, **values: Any) -> Method:
    """A method with small ranks and lengths; ``values`` are hyperparameters to set."""
    kind = methods.get(name)
    small = {key: value for key, value in SMALL.items() if key in kind.Config.model_fields}
    return kind(kind.Config(**{**small, **values}), backbone.spec)


def moved_member(method: Method, backbone: Backbone, seed: int = 0, scale: float = 0.1) -> dict[str, Tensor]:
    """A fresh member, each of its trained tensors moved at random, so that none is zero."""
    generator = torch.Generator().manual_seed(seed)
    fresh = method.initial(backbone, generator)
    moved = {n: v + scale * torch.randn(v.shape, generator=generator) for n, v in trainable(fresh).items()}
    return {**fresh, **moved}


def stacked(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Members side by side, ``(k, …)``, ready to be trained."""
    return {n: torch.stack([m[n] for m in members]).requires_grad_(not n.startswith(FROZEN)) for n in members[0]}


def alone(batch: Batch, member: int) -> Batch:
    """The batch of one member only, as long as its own longest sequence."""
    per_member = len(batch.input_ids) // batch.members
    rows, one = slice(member * per_member, (member + 1) * per_member), slice(member, member + 1)
    width = batch.input_ids.shape[1] - batch.padding[member]
    parts = (part[rows, :width].contiguous() for part in (batch.input_ids, batch.attention_mask, batch.token_type_ids))
    streams = None if batch.streams is None else batch.streams[one]
    return replace(make_batch(*parts, 1, batch.labels[one]), streams=streams)


def hidden(
    backbone: Backbone, method: Method, params: Mapping[str, Tensor], batch: Batch, training: bool = False
) -> Tensor:
    """Last hidden states ``(k·b, n, d)`` of the text, zero where it is padded; a prompt's are left out."""
    if training and batch.streams is None:
        batch = in_training(batch)
    states = backbone(batch, method.seams(params, backbone, batch))
    return of_text(states, batch)


def plain(backbone: Backbone, batch: Batch, seams: Seams | None = None) -> Tensor:
    """The same of the backbone with ``seams`` of one's own, or none."""
    return of_text(backbone(batch, seams or Seams()), batch)


def of_text(states: Tensor, batch: Batch) -> Tensor:
    """States ``(k·b, p + n, d)`` without the prompt and zero at padding: ``(k·b, n, d)``."""
    return states[:, -batch.input_ids.shape[1] :] * batch.attention_mask.unsqueeze(-1)


#: Sites of keys, the text's and those of DeBERTa's relative positions.
KEYS = ("key", "position_key")


def only_shifts_scores(
    backbone: Backbone, method: Method, params: Mapping[str, Tensor], name: str, batch: Batch
) -> bool:
    """Whether a tensor changes what the keys' linears give and yet not the output.

    That is a key's bias: it shifts all scores of a query alike, which softmax does not notice.
    """

    def states(own: Mapping[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        keys: list[Tensor] = []
        seams = method.seams(own, backbone, batch)

        def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
            output = seams.linear(site, layer, module, x)
            if site in KEYS:
                keys.append(output)
            return output

        return plain(backbone, batch, replace(seams, linear=linear)), keys

    with torch.no_grad():
        (as_it_is, keys), (without, others) = states(params), states({**params, name: torch.zeros_like(params[name])})
    moved = any(not torch.allclose(key, other, atol=1e-3) for key, other in zip(keys, others, strict=True))
    return moved and torch.allclose(as_it_is, without, atol=1e-5)


def assert_same_member(one: Trial, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Weights are equal, but for what softmax takes no notice of: Adam makes rounding errors of its gradient large."""
    encoder = backbones.load(one.backbone)
    kind = methods.get(one.method)
    method, batch = kind(kind.Config(**one.method_config), encoder.spec), tiny_batch(encoder)
    for name, value in ours.items():
        if not torch.allclose(value, theirs[name], rtol=1e-3, atol=1e-3):
            own = stacked([{n: t for n, t in ours.items() if not n.startswith("head.")}])
            assert name in own
            assert only_shifts_scores(encoder, method, own, name, batch), name


def loss_of(states: Tensor) -> Tensor:
    """A fixed random projection of hidden states ``(…, n, d)``, the same for each sequence."""
    direction = torch.randn(states.shape[-2:], generator=torch.Generator().manual_seed(7))
    return (states * direction).sum()


def gradients(states: Tensor, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of ``loss_of(states)`` for each trained parameter."""
    trained = trainable(params)
    if not trained:
        return {}
    return dict(zip(trained, torch.autograd.grad(loss_of(states), list(trained.values())), strict=True))
