"""AoT, Adapters and prefixes against the formulas written out on the library's own model, for every family.

Here nothing of our backbones is used: each change is a hook on the library's modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.families import FAMILIES, make_batch, tiny_batch, tiny_model
from helpers.members import gradients, hidden, moved_member, of_text, shared_backbone, small_method, stacked
from torch import Tensor, nn

from trainables.backbones import Backbone
from trainables.batch import Batch
from trainables.methods.aot_fc import FullyConnectedAoT
from trainables.methods.aot_kronecker import KroneckerAoT

every_family = pytest.mark.parametrize("family", FAMILIES)
#: Dropout modules at the end of the two sublayers, and the linear before the first, where they are not BERT's.
SUBLAYERS = {"mpnet": ("attention.dropout", "output.dropout")}
ATTENTION_OUTPUT = {"mpnet": "attention.attn.o"}
Hooks = Callable[[nn.Module, dict[str, Tensor]], None]


def compare(name: str, family: str, hooks: Callable[[nn.Module, dict[str, Tensor], Batch], Any], **values: Any) -> None:
    """Our hidden states and gradients equal those of the library's model with ``hooks(model, member, batch)``."""
    backbone = shared_backbone(family)
    method = small_method(name, backbone, **values)
    batch = tiny_batch(backbone)
    params = stacked([moved_member(method, backbone)])
    states = hidden(backbone, method, params, batch)
    ours = gradients(states, params)

    member = {key: value.detach()[0].requires_grad_() for key, value in params.items()}
    model = tiny_model(family)
    hooks(model, member, batch)
    reference = of_text(library_states(model, backbone, batch), batch)
    torch.testing.assert_close(states, reference, atol=2e-5, rtol=1e-4)
    for key, gradient in gradients(reference, member).items():
        torch.testing.assert_close(ours[key][0], gradient, atol=1e-4, rtol=1e-4)


def library_states(model: nn.Module, backbone: Backbone, batch: Batch) -> Tensor:
    """Last hidden states of the library's own forward pass."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if batch.token_type_ids.any():
        inputs["token_type_ids"] = batch.token_type_ids
    return model(**inputs).last_hidden_state


def add_full_matrices(model: nn.Module, matrices: list[Tensor], batch: Batch) -> None:
    """Equation 1 with each layer's P ``(v, d)`` as a whole."""

    def add(matrix: Tensor) -> Callable[..., Any]:
        def hook(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> Any:
            return (args[0] + matrix[batch.input_ids], *args[1:]), kwargs

        return hook

    for layer, matrix in zip(model.encoder.layer, matrices, strict=True):
        layer.register_forward_pre_hook(add(matrix), with_kwargs=True)


@every_family
@pytest.mark.parametrize("factors", [{}, {"a": 5}, {"b": 7}, {"a": 33, "b": 3}])
def test_kronecker(family: str, factors: dict[str, int]) -> None:
    """Equation 2, the Kronecker product materialised."""

    def hooks(model: nn.Module, member: dict[str, Tensor], batch: Batch) -> None:
        vocabulary = model.config.vocab_size
        matrices = [
            (torch.kron(w_l, w_m) @ w_r.flatten(0, 1))[:vocabulary]
            for w_l, w_m, w_r in zip(member["w_l"], member["w_m"], member["w_r"], strict=True)
        ]
        add_full_matrices(model, matrices, batch)

    compare("aot_kronecker", family, hooks, **factors)


@every_family
def test_fully_connected(family: str) -> None:
    """Equation 3 over the whole vocabulary; ELECTRA's narrow embeddings are projected to the model's width first."""

    def hooks(model: nn.Module, member: dict[str, Tensor], batch: Batch) -> None:
        embeddings = model.embeddings.word_embeddings.weight
        if hasattr(model, "embeddings_project"):
            embeddings = model.embeddings_project(embeddings)
        embeddings = embeddings.detach()
        layers = zip(member["w_1"], member["b_1"], member["w_2"], member["b_2"], strict=True)
        matrices = [nn.functional.gelu(embeddings @ w_1 + b_1) @ w_2 + b_2 for w_1, b_1, w_2, b_2 in layers]
        add_full_matrices(model, matrices, batch)

    compare("aot_fc", family, hooks)


@every_family
def test_adapters(family: str) -> None:
    """Houlsby et al. (2019), figure 2: after each sublayer's dropout, with a residual of its own."""

    def hooks(model: nn.Module, member: dict[str, Tensor], batch: Batch) -> None:
        def adapt(site: str, i: int) -> Callable[..., Tensor]:
            down, down_bias, up, up_bias = (
                member[f"{site}.{part}"][i] for part in ("down", "down_bias", "up", "up_bias")
            )
            return lambda module, args, h: h + nn.functional.gelu(h @ down + down_bias) @ up + up_bias

        attention, feed_forward = SUBLAYERS.get(family, ("attention.output.dropout", "output.dropout"))
        for i, layer in enumerate(model.encoder.layer):
            layer.get_submodule(attention).register_forward_hook(adapt("attention", i))
            layer.get_submodule(feed_forward).register_forward_hook(adapt("feed_forward", i))

    compare("adapters", family, hooks)


@every_family
def test_prefixes(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equation 6 on the library's own attention: prefix scores join its softmax, prefix values its context.

    A prefix has no position, so the text's scores are the library's own, relative positions and mask included.
    """

    def hooks(model: nn.Module, member: dict[str, Tensor], batch: Batch) -> None:
        softmax = nn.functional.softmax
        seen: dict[str, Any] = {"layer": -1}

        def with_prefix(scores: Tensor, dim: int) -> Tensor:
            keys = heads(member["keys"][seen["layer"]], model)  # (h, p, d / h)
            before = seen["query"] @ keys.mT / score_scale(model)
            probabilities = softmax(torch.cat([before, scores], dim), dim=dim)
            seen["prefix"], text = probabilities.split([keys.shape[1], scores.shape[-1]], dim)
            return text

        def enter(i: int) -> Callable[..., None]:
            return lambda module, args: seen.update(layer=i)

        def add_values(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
            values = seen["prefix"] @ heads(member["values"][seen["layer"]], model)  # (b, h, n, d / h)
            return (args[0] + values.transpose(1, 2).flatten(2),)

        monkeypatch.setattr(nn.functional, "softmax", with_prefix)
        output = ATTENTION_OUTPUT.get(family, "attention.output.dense")
        for i, layer in enumerate(model.encoder.layer):
            layer.register_forward_pre_hook(enter(i))
            layer.get_submodule(output).register_forward_pre_hook(add_values)
            watch_query(layer, model, seen, len(batch.input_ids))

    compare("p_tuning_v2", family, hooks)


def heads(x: Tensor, model: nn.Module) -> Tensor:
    """``(…, n, d)`` as ``(…, h, n, d / h)``."""
    return x.unflatten(-1, (model.config.num_attention_heads, -1)).transpose(-2, -3)


def score_scale(model: nn.Module) -> float:
    """What the library divides a product of query and key by: √(d/h), times √(1 + relative terms) for DeBERTa."""
    config = model.config
    terms = len(config.pos_att_type) if getattr(config, "relative_attention", False) else 0
    return math.sqrt(config.hidden_size / config.num_attention_heads * (1 + terms))


def watch_query(layer: nn.Module, model: nn.Module, seen: dict[str, Any], sequences: int) -> None:
    """Keep the queries ``(b, h, n, d / h)`` of the text as the library's linear makes them."""
    modules = dict(layer.named_modules())
    if "attention.self.in_proj" in modules:  # DeBERTa v1: for each head its query, key and value side by side
        bias = layer.attention.self.q_bias

        def joint(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
            seen["query"] = heads(output, model).chunk(3, dim=-1)[0] + heads(bias[None], model)

        modules["attention.self.in_proj"].register_forward_hook(joint)
        return
    names = ("attention.self.query", "attention.self.query_proj", "attention.attn.q")
    (linear,) = (modules[name] for name in names if name in modules)

    def own(module: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        if len(output) == sequences:  # and not DeBERTa v2's relative positions, which are one "sequence"
            seen["query"] = heads(output, model)

    linear.register_forward_hook(own)


def test_kronecker_factors() -> None:
    spec = shared_backbone("bert").spec  # 99 tokens
    size = {(None, None): (10, 10), (5, None): (5, 20), (None, 7): (15, 7), (33, 3): (33, 3), (200, None): (200, 1)}
    for (a, b), expected in size.items():
        method = KroneckerAoT(KroneckerAoT.Config(a=a, b=b), spec)
        assert (method.a, method.b) == expected
    with pytest.raises(ValueError, match=r"at least 99.* a=8, b=12, a·b=96; .* make b at least 13"):
        KroneckerAoT(KroneckerAoT.Config(a=8, b=12), spec)


def test_kronecker_counts_rows_that_no_token_reaches() -> None:
    """As with the paper's a = b = 360 and 50,265 tokens: ``⌈v / b⌉`` rows of ``W_L`` are reached, and all counted."""
    backbone = shared_backbone("bert")  # 99 tokens
    method = small_method("aot_kronecker", backbone, a=20, b=20)
    params = stacked([moved_member(method, backbone)])
    vocabulary = torch.arange(backbone.spec.vocabulary).view(9, 11)
    batch = make_batch(vocabulary, torch.ones_like(vocabulary), torch.zeros_like(vocabulary), members=1)
    found = gradients(hidden(backbone, method, params, batch), params)
    reached = (found["w_l"][0] != 0).any(-1)  # (l, a)
    assert torch.equal(reached, (torch.arange(20) < 5).expand(len(reached), -1)), "99 tokens, 20 to a row of W_L"
    assert (found["w_m"] != 0).any(-1).all()
    assert method.count() == sum(value.numel() for value in params.values())


def test_scales_at_the_start() -> None:
    """The scales that the docstrings of the two AoT methods name."""
    backbone = shared_backbone("bert")
    generator = torch.Generator().manual_seed(0)
    w_1 = FullyConnectedAoT(FullyConnectedAoT.Config(rank=512), backbone.spec).initial(backbone, generator)["w_1"]
    embeddings = backbone.embedding_matrix
    torch.testing.assert_close((embeddings @ w_1).std(), embeddings.std(), atol=0.0, rtol=0.05)
    for rank in (5, 50):
        config = KroneckerAoT.Config(rank=rank, a=100, b=100)
        member = KroneckerAoT(config, backbone.spec).initial(backbone, generator)
        rows = torch.kron(member["w_l"][0], member["w_m"][0])  # (a b, r²)
        torch.testing.assert_close(rows.square().sum(1).mean(), torch.tensor(1.0), atol=0.2, rtol=0.0)


def test_a_prompt_leaves_room_for_text() -> None:
    backbone = shared_backbone("bert")
    most = backbone.spec.max_tokens
    small_method("p_tuning_v1", backbone, prompt_length=most - 1)
    with pytest.raises(ValueError, match=rf"below {most}.*prompt_length={most}; choose a shorter prompt"):
        small_method("p_tuning_v1", backbone, prompt_length=most)


def test_rows_too_large_for_half_precision_are_refused() -> None:
    backbone = shared_backbone("bert")
    method = small_method("aot_fc", backbone)
    member = moved_member(method, backbone)
    member["b_2"][0, 0] = 1e6
    with pytest.raises(ValueError, match="finite in half precision"):
        method.fuse(member, backbone)
