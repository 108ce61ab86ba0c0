"""The sites of a spec are the model's linears, norms and convolution, each of them once; all are called by name."""

import pytest
import torch
from helpers.families import FAMILIES, VARIANTS, tiny_backbone, tiny_batch
from torch import Tensor, nn

from trainables.backbones import Seams, spec_of
from trainables.backbones._seams import CONVOLUTION_SITES, LINEAR_SITES, NORM_SITES

CASES = [(family, variant) for family in FAMILIES for variant in VARIANTS.get(family, {"": {}})]
every_case = pytest.mark.parametrize(("family", "variant"), CASES)


def is_norm(module: nn.Module) -> bool:
    return "LayerNorm" in type(module).__name__


def is_site(module: nn.Module) -> bool:
    return is_norm(module) or isinstance(module, nn.Linear | nn.Conv1d)


@every_case
def test_sites_are_complete_and_of_the_stated_sizes(family: str, variant: str) -> None:
    backbone = tiny_backbone(family, variant=variant)
    spec = backbone.spec
    named = [
        (site, site.path.format(i=i)) for site in spec.sites for i in (range(spec.layers) if site.per_layer else [0])
    ]
    expected = {name for name, m in backbone.named_modules() if is_site(m)}
    paths = [path for _, path in named]
    assert len(paths) == len(set(paths))
    assert set(paths) == expected
    for site, path in named:
        module = backbone.get_submodule(path)
        assert site.is_norm == is_norm(module)
        assert (site.window is None) != isinstance(module, nn.Conv1d)
        assert site.name in (NORM_SITES if site.is_norm else CONVOLUTION_SITES if site.window else LINEAR_SITES)
        assert module.weight.shape == site.weight
        assert site.bias == (module.bias is not None)
    names = [site.name for site in spec.sites]
    assert len(names) == len(set(names))


@every_case
@torch.no_grad()
def test_every_site_is_called_through_the_seams(family: str, variant: str) -> None:
    backbone = tiny_backbone(family, variant=variant)
    batch = tiny_batch(backbone, members=2, sequences=3)
    called: dict[tuple[str, int], list[nn.Module]] = {}

    def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
        assert x.shape[0] in (2 * 3, 2), "k·b sequences, or k tables of positions"
        assert x.shape[-1] == backbone.spec.site(site).inputs
        called.setdefault((site, layer), []).append(module)
        y = module(x)
        assert y.shape == (*x.shape[:-1], backbone.spec.site(site).outputs)
        return y

    outside: list[nn.Module] = []
    modules = [module for module in backbone.modules() if is_site(module)]
    hooks = [module.register_forward_pre_hook(lambda m, _: outside.append(m)) for module in modules]
    backbone(batch, Seams(linear=linear))
    for hook in hooks:
        hook.remove()
    for site in backbone.spec.sites:
        for i in range(backbone.spec.layers) if site.per_layer else (-1,):
            modules = called.pop((site.name, i))
            assert all(module is backbone.get_submodule(site.path.format(i=i)) for module in modules)
            outside = [module for module in outside if module is not modules[0]]
    assert called == {}
    assert outside == [], "every call goes through the seams"


@every_case
def test_the_spec_needs_the_config_alone(family: str, variant: str) -> None:
    backbone = tiny_backbone(family, variant=variant)
    spec = spec_of(backbone.model.config)
    assert spec == backbone.spec
    assert spec.parameters == sum(value.numel() for value in backbone.parameters())
    assert spec.family == family
    assert (spec.layers, spec.width, spec.heads, spec.vocabulary) == (3, 32, 4, 99)


def test_an_unknown_site_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="family bert has no site 'position_key'; it has embedding_norm, query"):
        tiny_backbone("bert").spec.site("position_key")


def test_shared_projections_of_deberta_see_every_members_positions() -> None:
    """With keys shared between content and positions, what a method does to the query reaches both, as in PEFT."""
    backbone = tiny_backbone("deberta_v2")
    batch = tiny_batch(backbone, members=2, sequences=3, tokens=9)
    shapes: list[tuple[int, ...]] = []

    def linear(site: str, layer: int, module: nn.Module, x: Tensor) -> Tensor:
        if site == "query" and layer == 0:
            shapes.append(tuple(x.shape))
        return module(x)

    backbone(batch, Seams(linear=linear))
    assert shapes == [(6, 9, 32), (2, 8, 32)]
