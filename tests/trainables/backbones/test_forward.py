"""Our loop against the library's own forward, for every family found in the folder and every variant of its config."""

import copy
from dataclasses import replace

import pytest
import torch
from helpers.families import FAMILIES, VARIANTS, make_batch, tiny_backbone, tiny_batch, tiny_model
from torch import Tensor

from trainables.backbones import Backbone, Seams
from trainables.batch import Batch

CASES = [(family, variant) for family in FAMILIES for variant in VARIANTS.get(family, {"": {}})]
every_case = pytest.mark.parametrize(("family", "variant"), CASES)
every_family = pytest.mark.parametrize("family", FAMILIES)


def library_output(model: torch.nn.Module, batch: Batch, prompt: Tensor | None = None) -> Tensor:
    """Last hidden states of the library's model, with a prompt ``(k·b, p, d_embedding)`` as PEFT puts it before."""
    types = {} if model.config.model_type == "mpnet" else {"token_type_ids": batch.token_type_ids}
    if prompt is None:
        return model(batch.input_ids, attention_mask=batch.attention_mask, **types).last_hidden_state
    p = prompt.shape[1]
    embeds = torch.cat([prompt, model.get_input_embeddings()(batch.input_ids)], 1)
    mask = torch.nn.functional.pad(batch.attention_mask, (p, 0), value=1)
    types = {name: torch.nn.functional.pad(value, (p, 0), value=0) for name, value in types.items()}
    return model(inputs_embeds=embeds, attention_mask=mask, **types).last_hidden_state


def assert_equal_at_real_tokens(got: Tensor, expected: Tensor, batch: Batch, prompt_tokens: int = 0) -> None:
    real = torch.nn.functional.pad(batch.attention_mask, (prompt_tokens, 0), value=1).bool()
    tolerance = 1e-5 if got.dtype == torch.float32 else 1e-10
    torch.testing.assert_close(got[real], expected[real], atol=tolerance, rtol=tolerance)


def member_of(batch: Batch, i: int) -> Batch:
    """The part of a batch that belongs to member ``i``."""
    b = len(batch.input_ids) // batch.members
    rows = slice(i * b, (i + 1) * b)
    return make_batch(batch.input_ids[rows], batch.attention_mask[rows], batch.token_type_ids[rows], 1)


def random_prefix(backbone: Backbone, members: int, tokens: int = 2) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    shape = (2, members, tokens, backbone.spec.width)
    dtype = backbone.embedding_matrix.dtype
    pairs = [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(backbone.spec.layers)]
    return [(keys, values) for keys, values in pairs]


@every_case
@torch.no_grad()
def test_equals_the_library(family: str, variant: str) -> None:
    backbone = tiny_backbone(family, variant=variant)
    batch = tiny_batch(backbone)
    assert batch.attention_mask.min() == 0
    expected = library_output(tiny_model(family, variant=variant), batch)
    assert_equal_at_real_tokens(backbone(batch, Seams()), expected, batch)


@every_case
@pytest.mark.parametrize("members", [1, 3])
@torch.no_grad()
def test_prompt_equals_the_library_given_embeddings(family: str, variant: str, members: int) -> None:
    backbone = tiny_backbone(family, variant=variant)
    batch = tiny_batch(backbone, members=members, sequences=3)
    generator = torch.Generator().manual_seed(1)
    prompt = torch.randn(members, 4, backbone.spec.embedding_width, generator=generator)
    expected = library_output(tiny_model(family, variant=variant), batch, prompt.repeat_interleave(3, 0))
    got = backbone(batch, Seams(prompt=lambda: prompt))
    assert got.shape == (members * 3, 4 + 9, backbone.spec.width)
    assert_equal_at_real_tokens(got, expected, batch, prompt_tokens=4)


@every_case
@pytest.mark.parametrize("members", [2, 3])
@torch.no_grad()
def test_members_do_not_feel_each_other(family: str, variant: str, members: int) -> None:
    backbone = tiny_backbone(family, variant=variant).double()
    batch = tiny_batch(backbone, members=members)
    prefix = random_prefix(backbone, members)
    generator = torch.Generator().manual_seed(2)
    prompt = torch.randn(members, 2, backbone.spec.embedding_width, generator=generator, dtype=torch.float64)
    scale = torch.linspace(0.5, 1.5, members, dtype=torch.float64)

    def seams(rows: slice) -> Seams:
        def linear(site: str, layer: int, module: torch.nn.Module, x: Tensor) -> Tensor:
            factors = scale[rows].repeat_interleave(x.shape[0] // len(scale[rows]))
            return module(x) * factors.view(-1, *[1] * (x.dim() - 1))

        return Seams(
            prompt=lambda: prompt[rows], prefix=lambda i: (prefix[i][0][rows], prefix[i][1][rows]), linear=linear
        )

    together = backbone(batch, seams(slice(None))).chunk(members)
    for i in range(members):
        alone = backbone(member_of(batch, i), seams(slice(i, i + 1)))
        assert_equal_at_real_tokens(together[i], alone, member_of(batch, i), prompt_tokens=2)


@every_case
def test_gradients_reach_prompts_and_prefixes_and_no_frozen_weight(family: str, variant: str) -> None:
    backbone = tiny_backbone(family, variant=variant)
    batch = tiny_batch(backbone, members=2)
    prompt = torch.randn(2, 3, backbone.spec.embedding_width, requires_grad=True)
    prefix = [tuple(t.requires_grad_() for t in pair) for pair in random_prefix(backbone, 2)]
    output = backbone(batch, Seams(prompt=lambda: prompt, prefix=lambda i: prefix[i]))
    output[:, 3].square().sum().backward()
    for tensor in [prompt, *[t for pair in prefix for t in pair]]:
        assert tensor.grad is not None
        assert tensor.grad.abs().amax(dim=(1, 2)).min() > 0
    assert all(p.grad is None and not p.requires_grad for p in backbone.parameters())


@every_family
@torch.no_grad()
def test_seams_see_and_change_hidden_states(family: str) -> None:
    backbone = tiny_backbone(family)
    batch = tiny_batch(backbone, members=2)
    seen: list[tuple[str, int, tuple[int, ...]]] = []

    def before_layer(layer: int, hidden: Tensor) -> Tensor:
        seen.append(("before", layer, tuple(hidden.shape)))
        return hidden

    def sublayer(site: str, layer: int, output: Tensor) -> Tensor:
        seen.append((site, layer, tuple(output.shape)))
        return output

    plain = backbone(batch, Seams(before_layer=before_layer, sublayer=sublayer))
    order = ("before", "attention", "feed_forward")
    assert seen == [(what, i, tuple(plain.shape)) for i in range(backbone.spec.layers) for what in order]
    for name in ("attention", "feed_forward"):
        changed = backbone(batch, Seams(sublayer=lambda site, i, y, name=name: y * 2 if site == name else y))
        assert (changed - plain).abs().max() > 1e-3
    assert (backbone(batch, Seams(before_layer=lambda i, h: h + 0.1 * i)) - plain).abs().max() > 1e-4


@every_case
def test_weights_take_the_place_of_parameters(family: str, variant: str) -> None:
    backbone = tiny_backbone(family, variant=variant)
    batch = tiny_batch(backbone)
    generator = torch.Generator().manual_seed(3)
    weights = {
        name: (value + 0.1 * torch.randn(value.shape, generator=generator)).requires_grad_()
        for name, value in backbone.named_parameters()
    }
    before = {name: value.clone() for name, value in backbone.named_parameters()}
    output = backbone(batch, Seams(weights=weights))
    output[batch.attention_mask.bool()].square().mean().backward()
    without = [name for name, value in weights.items() if value.grad is None or value.grad.abs().max() == 0]
    assert without == []
    changed = copy.deepcopy(backbone)
    changed.load_state_dict(weights, strict=False)
    assert_equal_at_real_tokens(output.detach(), changed(batch, Seams()), batch)
    assert all(torch.equal(before[name], value) for name, value in backbone.named_parameters())


@every_case
@torch.no_grad()
def test_bfloat16_is_close(family: str, variant: str) -> None:
    backbone = tiny_backbone(family, variant=variant)
    batch = tiny_batch(backbone, members=2)
    prefix = random_prefix(backbone, 2)
    prompt = torch.randn(2, 2, backbone.spec.embedding_width, generator=torch.Generator().manual_seed(2))
    seams = Seams(prompt=lambda: prompt, prefix=lambda i: prefix[i])
    exact = backbone(batch, seams)
    rounded = backbone.to(torch.bfloat16)(batch, seams).float()
    real = torch.nn.functional.pad(batch.attention_mask, (2, 0), value=1).bool()
    assert (rounded - exact)[real].std() < 0.1 * exact[real].std()


@every_case
@torch.no_grad()
def test_longer_padding_changes_nothing(family: str, variant: str) -> None:
    backbone = tiny_backbone(family, variant=variant).double()
    batch = tiny_batch(backbone)
    pad = torch.nn.functional.pad
    ids = pad(batch.input_ids, (0, 5), value=backbone.spec.pad_token_id)
    longer = make_batch(ids, pad(batch.attention_mask, (0, 5)), pad(batch.token_type_ids, (0, 5)), 1)
    # A method may give padding a row of its own, and no real token may see it.
    seams = Seams(before_layer=lambda i, h: h + 3.0)
    got = backbone(longer, seams)[:, :9]
    assert_equal_at_real_tokens(got, backbone(batch, seams), batch)


@every_family
def test_too_many_tokens_are_refused_with_the_numbers(family: str) -> None:
    backbone = tiny_backbone(family)
    limit = backbone.spec.max_tokens
    full = tiny_batch(backbone, sequences=1, tokens=limit)
    assert backbone(full, Seams()).shape[1] == limit
    prompt = torch.zeros(1, 1, backbone.spec.embedding_width)
    with pytest.raises(
        ValueError, match=rf"at most {limit} tokens, but the batch has {limit + 1} \(1 of them prompt\)"
    ):
        backbone(full, Seams(prompt=lambda: prompt))


@every_family
@torch.no_grad()
def test_a_copy_is_independent(family: str) -> None:
    backbone = tiny_backbone(family)
    batch = tiny_batch(backbone)
    before = backbone(batch, Seams())
    other = copy.deepcopy(backbone)
    for value in other.parameters():
        value.zero_()
    torch.testing.assert_close(backbone(batch, Seams()), before)
    assert (other(batch, Seams()) - before).abs().max() > 0.1


@every_family
@torch.no_grad()
def test_embeddings(family: str) -> None:
    backbone = tiny_backbone(family)
    spec = backbone.spec
    assert backbone.embedding_matrix.shape == (spec.vocabulary, spec.embedding_width)
    assert backbone.projected_embeddings.shape == (spec.vocabulary, spec.width)


@every_family
@torch.no_grad()
def test_distinct_tokens_of_the_helper_batch(family: str) -> None:
    batch = tiny_batch(tiny_backbone(family), members=3)
    found = batch.distinct.ids.gather(1, batch.distinct.where)
    assert torch.equal(found, batch.input_ids.view(3, -1))
    assert replace(batch, choices=2).members == 3
