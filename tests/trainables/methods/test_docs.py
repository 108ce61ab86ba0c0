"""The page of the methods says what the code does, and its example works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from helpers.families import tiny_batch
from helpers.members import hidden, moved_member, plain, shared_backbone, stacked

from trainables import methods

PAGE = (Path(__file__).parents[3] / "docs" / "methods.md").read_text(encoding="utf-8")


DESCRIBED = re.findall(r"^\| [^|]* \| `(\w+)` \|", PAGE, re.MULTILINE)


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


def test_the_ninth_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "layer_bias.py").write_text(example, encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert "layer_bias" in methods.names()

    backbone = shared_backbone("bert")
    kind = methods.get("layer_bias")
    method = kind(kind.Config(), backbone.spec)
    params = stacked([moved_member(method, backbone, seed) for seed in range(2)])
    batch = tiny_batch(backbone, members=2)
    states = hidden(backbone, method, params, batch)
    assert method.count() == sum(value[0].numel() for value in params.values())
    assert not torch.allclose(states, plain(backbone, batch), atol=1e-2)
