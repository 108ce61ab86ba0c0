"""What ``aot fuse --format peft`` writes: PEFT loads it over the library's backbone, and the logits are ours."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.artifacts import logits, trained

from serving import peft_export
from serving.artifact import ArtifactError
from trainables import backbones

FAMILIES = list(backbones.families())
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
TEXTS = {
    "glue/sst-2": ("the cat sat on the mat and a dog ran over it",),
    "glue/rte": ("the dog ran", "a bird flew over the old house"),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """PEFT warns of the token types and positions that it leaves out; both are aligned here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def by_readme(folder: Path, source: str, texts: tuple[str, ...]) -> torch.Tensor:
    """What the lines of the folder's README compute ``(1, outputs)``."""
    (lines,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    names = {"BACKBONE": source, "FOLDER": str(folder)}
    names |= dict(zip(("first", "second") if len(texts) > 1 else ("text",), texts, strict=True))
    exec(lines, names)
    return names["logits"]


def exported(method: str, task: str, where, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of PEFT and ours, of one text."""
    trial, tensors, backbone = trained(method, task, where)
    size = peft_export.write(folder, trial, tensors, backbone)
    assert size == sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return by_readme(folder, where.source, TEXTS[task]), logits(trial, tensors, backbone, TEXTS[task])


@pytest.mark.parametrize("task", TEXTS)
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "deberta_v1"])
def test_lora(family: str, task: str, source, tmp_path: Path) -> None:
    torch.testing.assert_close(*exported("lora", task, source(family), tmp_path / "one"), **TOLERANCE)


def test_lora_is_refused_where_the_library_has_no_such_linear(source, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model of backbone deberta_v1-0 has no encoder\S+query: .* serve it with"):
        exported("lora", "glue/rte", source("deberta_v1"), tmp_path / "one")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt(family: str, source, tmp_path: Path) -> None:
    torch.testing.assert_close(*exported("p_tuning_v1", "glue/sst-2", source(family), tmp_path / "one"), **TOLERANCE)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_prefix(family: str, source, tmp_path: Path) -> None:
    torch.testing.assert_close(*exported("p_tuning_v2", "glue/sst-2", source(family), tmp_path / "one"), **TOLERANCE)


@pytest.mark.parametrize("family", ["mpnet", "deberta_v1", "deberta_v2"])
def test_a_prefix_is_refused_where_the_library_takes_none(family: str, source, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cache of keys and values, but the model of backbone \S+ \(\w+\) takes"):
        exported("p_tuning_v2", "glue/sst-2", source(family), tmp_path / "one")


@pytest.mark.parametrize("method", ["p_tuning_v1", "p_tuning_v2"])
def test_pairs_need_token_types_that_peft_leaves_out(method: str, source, tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"passes no token types .* task glue/rte has two segments and backbone bert"
    ):
        exported(method, "glue/rte", source("bert"), tmp_path / "one")
    torch.testing.assert_close(*exported(method, "glue/rte", source("roberta"), tmp_path / "two"), **TOLERANCE)


def test_other_methods_are_refused(source, tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"PEFT takes lora, p_tuning_v1, p_tuning_v2, but the trial's method is bitfit"
    ):
        peft_export.write(tmp_path / "one", *trained("bitfit", "glue/rte", source("bert")))
