"""Which backbone a folder holds: the same one however it was saved, another where it computes or reads otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.families import save_tiny
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertForMaskedLM

from trainables.backbones import load, resolve

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("bert", tmp_path_factory.mktemp("tiny"))


def config(**values: object) -> Change:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        old = json.loads(path.read_text())
        path.write_text(json.dumps(dict(reversed({**old, **values}.items()))))

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], object], **metadata: str) -> Change:
    def on_folder(folder: Path) -> None:
        path = folder / "model.safetensors"
        found = {name: value.clone() for name, value in load_file(path).items()}
        change(found)
        save_file(found, path, metadata={"format": "pt", **metadata})

    return on_folder


def sharded(folder: Path) -> None:
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1


def with_a_head(folder: Path) -> None:
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    model = BertForMaskedLM(encoder.config)
    model.bert.load_state_dict(encoder.state_dict())
    model.save_pretrained(folder)
    assert any(name.startswith("cls.") for name in load_file(folder / "model.safetensors"))


def tokenizer_saved_again(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer(["a cat"], truncation=True, max_length=8, padding="max_length")
    tokenizer.save_pretrained(folder)


def tokenizer_config(**values: object) -> Change:
    def change(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def other_vocabulary(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    words["cat"], words["dog"] = words["dog"], words["cat"]
    path.write_text(json.dumps(content))


def identity(tiny: Path, folder: Path, change: Change) -> str:
    shutil.copytree(tiny, folder)
    change(folder)
    return resolve(str(folder)).identity


@pytest.mark.parametrize(
    "change",
    [
        config(_name_or_path="/home/someone", transformers_version="4.8.2", architectures=["BertForMaskedLM"]),
        config(dtype="float16", torch_dtype="float16", id2label={"0": "a"}, label2id={"a": 0}, use_cache=False),
        config(layer_norm_eps=1e-12, hidden_act="gelu"),  # the defaults, written out
        config(hidden_dropout_prob=0.3),  # stands with the protocol
        config(position_embedding_type="absolute", is_decoder=False, add_cross_attention=False, bos_token_id=3),
        config(pooler_fc_size=768, directionality="bidi", tie_word_embeddings=False, summary_type="first"),
        tensors(lambda found: None, note="saved again"),
        tensors(lambda found: found.update({"embeddings.position_ids": torch.arange(160)[None]})),
        tensors(lambda found: found.update({"pooler.dense.bias": torch.zeros(32)})),
        *(sharded, with_a_head, tokenizer_saved_again),
        tokenizer_config(name_or_path="elsewhere", model_max_length=77),
        tokenizer_config(truncation_side="left", padding_side="left"),  # tasks say where texts are cut
        lambda folder: (folder / "README.md").write_text("A model."),
    ],
)
def test_the_same_backbone_saved_otherwise(change: Change, tiny: Path, tmp_path: Path) -> None:
    assert identity(tiny, tmp_path / "a", change) == resolve(str(tiny)).identity


@pytest.mark.parametrize(
    "change",
    [
        config(layer_norm_eps=1e-5),
        config(hidden_act="relu"),
        config(num_attention_heads=2),
        tensors(lambda found: found["embeddings.word_embeddings.weight"][3].mul_(1.0001)),
        tensors(lambda found: found.pop("encoder.layer.2.output.dense.bias")),
        other_vocabulary,
        tokenizer_config(do_lower_case=False),
        lambda folder: (folder / "tokenizer.json").write_text("{"),
    ],
)
def test_another_backbone(change: Change, tiny: Path, tmp_path: Path) -> None:
    assert identity(tiny, tmp_path / "a", change) != resolve(str(tiny)).identity


def test_the_format_of_the_numbers_does_not_count(tiny: Path, tmp_path: Path) -> None:
    """Weights load in float32 whatever the file has: half-precision numbers widened in the file are no others."""
    halves = tensors(lambda found: found.update({name: value.half() for name, value in found.items()}))
    wide = tensors(lambda found: found.update({name: value.half().float() for name, value in found.items()}))
    assert identity(tiny, tmp_path / "a", halves) == identity(tiny, tmp_path / "b", wide) != resolve(str(tiny)).identity


def test_a_shard_that_is_not_there_is_told_by_who_loads_it(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "a")
    sharded(tmp_path / "a")
    next((tmp_path / "a").glob("model-00001-*")).unlink()
    source = resolve(str(tmp_path / "a"))
    assert source.identity != resolve(str(tiny)).identity
    with pytest.raises(ValueError, match="cannot load safetensors weights of backbone"):
        load(source)


def test_the_dropout_of_the_config_is_told(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "a")
    config(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.0)(tmp_path / "a")
    assert resolve(str(tmp_path / "a")).dropout == (0.3, 0.0)
    assert resolve(str(tiny)).dropout == (0.1, 0.1)


def test_minilm_saved_again_by_todays_library(minilm, tmp_path: Path) -> None:
    """Its published files are of 2021: a config with what is no more, a buffer, and a vocabulary of its own."""
    from trainables.backbones._sources import location

    for kind in (AutoModel, AutoTokenizer):
        kind.from_pretrained(location(minilm)).save_pretrained(tmp_path)
    assert resolve(str(tmp_path)).identity == minilm.identity
