"""The page of the methods says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import paper
from helpers.members import shared_backbone

from trainables import methods

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "methods.md").read_text(encoding="utf-8")
STUDIES = (DOCS / "studies.md").read_text(encoding="utf-8")


DESCRIBED = re.findall(r"^\| [^|]* \| `(\w+)` \|", PAGE, re.MULTILINE)


def test_every_method_of_the_paper_is_described() -> None:
    assert set(DESCRIBED) >= paper.METHODS


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_page_of_studies_names_the_hyperparameters(name: str) -> None:
    names = ", ".join(f"`{field}`" for field in methods.get(name).Config.model_fields)
    assert f"\n| `{name}` | {names}{' ' if names else ''}|\n" in STUDIES


def test_every_method_says_what_is_ours() -> None:
    """What the paper leaves open is a choice of ours, and said to be one; fine-tuning has none beside the table's."""
    for name in paper.METHODS - {"fine_tuning"}:
        label = methods.get(name).label.replace("Kron.", "Kronecker")
        (section,) = re.findall(rf"\n## {re.escape(label)}\n(.*?)(?=\n## )", PAGE, re.DOTALL)
        assert "\n*Ours.* The paper" in section, name


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_row_and_the_section_of_a_method(name: str) -> None:
    kind = methods.get(name)
    assert PAGE.count(f"\n## {kind.label.replace('Kron.', 'Kronecker')}\n") == 1
    (row,) = re.findall(rf"^\| {re.escape(kind.label)} \| `{name}` \|.*$", PAGE, re.MULTILINE)
    for field, info in kind.Config.model_fields.items():
        assert f"`{field}`" in row
        assert info.default is None or f"`{field}` ({info.default}," in row
    assert row.endswith("| – |") != kind.fusable


def test_the_formulas_of_the_counts() -> None:
    backbone = shared_backbone("bert")
    spec = backbone.spec
    values = {
        "l": spec.layers,
        "d": spec.width,
        "d_ff": spec.site("feed_forward").outputs,
        "r": 3,
        "p": 4,
        "a": 10,
        "b": 10,
    }
    for name in set(DESCRIBED) - {"fine_tuning"}:
        kind = methods.get(name)
        small = {
            key: value for key, value in {"rank": 3, "prompt_length": 4}.items() if key in kind.Config.model_fields
        }
        (formula,) = re.findall(rf"\| `{name}` \| [^|`]*`([^|]*)` \|", PAGE)
        product = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula.replace("²", "**2"))
        assert kind(kind.Config(**small), spec).count() == eval(product, {}, values)  # a formula of our own page
