"""Where a method may touch a backbone.

A backbone's forward calls these functions by name at the places they are named after; a method hands over a
``Seams`` in which it has replaced the ones it needs. Whatever is not replaced leaves the backbone as it is.
Every hidden state has the members' sequences concatenated in its first axis (``k·b``, member after member).

A head reads one token of the text. So in the last layer, from the queries on, ``linear`` and ``sublayer`` are called
with that position alone, ``(k·b, 1, …)``; keys, values and ``before_layer`` have all ``n`` tokens there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainables.padding import PerMember


@dataclass(frozen=True)
class Site:
    """A linear, a norm or a convolution that is applied in the backbone, once or in each of its layers.

    ``name`` is one of the names in ``LINEAR_SITES``, ``NORM_SITES`` or ``CONVOLUTION_SITES``; ``path`` is the name of
    the library's module, with ``{i}`` for the layer where ``per_layer``. ``outputs`` is the width of what comes out;
    ``bias`` says whether the library's module has one. ``window``, of a convolution alone: the channels of one of its
    groups, and the tokens that it sees at a time.
    """

    name: str
    path: str
    inputs: int
    outputs: int
    per_layer: bool = True
    is_norm: bool = False
    bias: bool = True
    window: tuple[int, int] | None = None

    @property
    def weight(self) -> tuple[int, ...]:
        """The shape of the module's weight."""
        if self.is_norm:
            return (self.outputs,)
        return (self.outputs, *(self.window or (self.inputs,)))


LINEAR_SITES = (
    "embedding_projection",  # ELECTRA: word embeddings to width d; not per layer
    "query",
    "key",
    "value",
    "attention_output",
    "feed_forward",
    "feed_forward_output",
    "position_key",  # DeBERTa v1, and v2 without shared keys
    "position_query",
)
NORM_SITES = ("embedding_norm", "attention_norm", "feed_forward_norm", "position_norm", "convolution_norm")
CONVOLUTION_SITES = ("convolution",)  # DeBERTa v2 xlarge, over what enters layer 0; not per layer


def _as_it_is(layer: int, hidden: Tensor) -> Tensor:
    return hidden


def _apply(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
    return module(x)


def _output_as_it_is(site: str, layer: int, output: Tensor) -> Tensor:
    return output


def _no_prompt() -> Tensor | None:
    return None


def _no_prefix(layer: int) -> tuple[Tensor, Tensor] | None:
    return None


@dataclass(frozen=True)
class Seams:
    """The places where a method may change a forward pass of ``k`` members.

    ``prompt()``: ``(k, p, d_embedding)`` put before the word embeddings of each sequence, before positions, types
        and norm; the mask is extended with ones. ``None``: no prompt.
    ``before_layer(layer, hidden)``: hidden states ``(k·b, n, d)`` as they enter layer ``layer``.
    ``linear(site, layer, module, x)``: what a linear, norm or convolution at ``site`` makes of ``x``
        ``(k·b, …, inputs)``;
        ``layer`` is -1 for a site outside the layers. Position sites of DeBERTa are called with ``b = 1``.
    ``sublayer(site, layer, output)``: output ``(k·b, n, d)`` of ``"attention"`` or ``"feed_forward"`` after its
        dropout, before the residual sum and norm (Houlsby et al., 2019).
    ``prefix(layer)``: keys and values ``(k, p, d)`` each, seen by every query of layer ``layer`` (equation 6 of
        the paper), without a position. ``None``: no prefix.
    ``prefix_padding``: how many of the keys and values, at the beginning, are not the member's own: nobody sees them.
    ``weights``: tensors that take the place of the backbone's parameters of these names (fine-tuning, fused LoRA);
        the names are those of ``Backbone.named_parameters()``.
    """

    prompt: Callable[[], Tensor | None] = _no_prompt
    before_layer: Callable[[int, Tensor], Tensor] = _as_it_is
    linear: Callable[[str, int, nn.Module, Tensor], Tensor] = _apply
    sublayer: Callable[[str, int, Tensor], Tensor] = _output_as_it_is
    prefix: Callable[[int], tuple[Tensor, Tensor] | None] = _no_prefix
    prefix_padding: PerMember | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """The sizes of a backbone that a method's shapes depend on."""

    family: str
    layers: int  # l
    width: int  # d
    embedding_width: int  # d, but for ELECTRA's small models
    heads: int
    vocabulary: int  # v
    pad_token_id: int
    max_tokens: int  # longest sequence the positions allow
    sites: tuple[Site, ...] = ()  # every linear, norm and convolution, in the order of the forward pass
    parameters: int = 0  # all parameters that the forward pass uses

    def site(self, name: str) -> Site:
        """The site of this name; KeyError names those that this family has."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(f"family {self.family} has no site {name!r}; it has {', '.join(s.name for s in self.sites)}")
