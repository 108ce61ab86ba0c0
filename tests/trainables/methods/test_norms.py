"""A norm taken apart is the norm."""

from __future__ import annotations

import pytest
import torch
from helpers.families import FAMILIES, VARIANTS, tiny_backbone

from trainables.methods import normalised


@pytest.mark.parametrize("family", FAMILIES)
def test_normalised_times_scale_plus_shift_is_the_norm(family: str) -> None:
    for variant in VARIANTS.get(family, {"": {}}):
        backbone = tiny_backbone(family, variant=variant)
        for site in (site for site in backbone.spec.sites if site.is_norm):
            norm = backbone.get_submodule(site.path.format(i=1))
            x = 3 + 2 * torch.randn(2, 4, site.outputs, generator=torch.Generator().manual_seed(0))
            inner = normalised(norm, x)
            torch.testing.assert_close(inner * norm.weight + norm.bias, norm(x))
            torch.testing.assert_close(inner.mean(-1), torch.zeros(2, 4), atol=1e-5, rtol=0)
