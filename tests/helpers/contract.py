"""Every method and form of the folder, README's and the added ones among them, as the contract's tests take them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from helpers.added import added, every_name
from helpers.configs import form_id, forms
from helpers.families import FAMILIES

from trainables.methods import Method

NAMES = every_name()
with tempfile.TemporaryDirectory() as _folder, added(Path(_folder)):
    FORMS = [pytest.param(name, values, id=form_id(name, values)) for name in NAMES for values in forms(name)]
every_method = pytest.mark.parametrize("name", NAMES)
every_form = pytest.mark.parametrize(("name", "values"), FORMS)
every_family = pytest.mark.parametrize("family", FAMILIES)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def members_of(method: Method) -> int:
    return min(3, method.max_members or 3)
