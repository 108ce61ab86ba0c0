"""A backbone's tokenizer: found with the files that a checkpoint may have, and refused where it does not fit."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from helpers.families import FAMILIES, save_tiny
from tokenizers import Tokenizer
from transformers import DebertaV2Config, DebertaV2Model

from trainables import backbones
from trainables.trial import BackboneSource

GIVE = "; give the tokenizer that the model was trained with"


def tokenizer_of(folder: Path) -> Any:
    return backbones.tokenizer(backbones.resolve(str(folder)))


def refused(folder: Path) -> str:
    with pytest.raises(ValueError, match="tokenizer") as caught:
        tokenizer_of(folder)
    return str(caught.value)


def without_tokenizer(folder: Path) -> Path:
    """Leave in the folder what ``save_pretrained`` of a model alone writes."""
    for path in folder.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    return folder


def edited(folder: Path, edit: Any) -> Path:
    """Change the folder's tokenizer.json by a function of its content."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    """A DeBERTa v2 that has a SentencePiece model of 34 pieces alone, and 64 rows."""
    words = ["the", "cat", "dog", "house", "runs", "red", "green", "a", "big", "small", "river", "tree"]
    chosen = random.Random(0)
    (tmp_path / "corpus.txt").write_text("\n".join(" ".join(chosen.choices(words, k=8)) for _ in range(300)))
    kinds = {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]"}
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=34,
        minloglevel=2,
        **{f"{name}_id": number for number, name in enumerate(kinds)},
        **{f"{name}_piece": piece for name, piece in kinds.items()},
    )
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    DebertaV2Model(DebertaV2Config(vocab_size=64, **sizes)).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "DebertaV2Tokenizer"}))
    return tmp_path


def test_a_sentencepiece_model_is_enough(pieces: Path) -> None:
    """A checkpoint may come with a SentencePiece model alone, as DeBERTa v2 and v3 do."""
    tokenizer = backbones.tokenizer(BackboneSource("tiny", str(pieces)))
    encoded = tokenizer("the cat runs", "a dog")
    assert encoded["token_type_ids"].count(1) == 3
    assert tokenizer.decode(encoded["input_ids"], skip_special_tokens=True) == "the cat runs a dog"


def test_a_sentencepiece_model_of_another_encoder_is_refused(pieces: Path) -> None:
    config = json.loads((pieces / "config.json").read_text())
    (pieces / "config.json").write_text(json.dumps({**config, "vocab_size": 30}))
    assert refused(pieces).endswith(f"must have ids below 30, the model's vocab_size, but its last is 34{GIVE}")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_without_a_tokenizer_is_refused(family: str, tmp_path: Path) -> None:
    """The library makes an empty tokenizer of it, for which every text is unknown."""
    folder = without_tokenizer(save_tiny(family, tmp_path, layers=1))
    message = refused(folder)
    assert message.startswith("a backbone's folder needs the files of its tokenizer (tokenizer.json, vocab.txt,")
    assert f"but {str(folder)!r} has none" in message
    assert message.endswith("save the tokenizer there too")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("name", "content"), [("vocab.txt", ""), ("vocab.json", "{}"), ("tokenizer.json", "{")])
def test_files_that_make_no_vocabulary_are_refused(family: str, name: str, content: str, tmp_path: Path) -> None:
    folder = without_tokenizer(save_tiny(family, tmp_path, layers=1))
    (folder / name).write_text(content)
    (folder / "merges.txt").write_text("#version: 0.2\n")
    message = refused(folder)
    empty = f"must have a vocabulary, but it has 0 tokens beside the special ones: no text would be known{GIVE}"
    assert message.endswith(("; save it again with save_pretrained", empty))


def test_word_pieces_and_bytes_load_from_their_plain_files(tmp_path: Path) -> None:
    for family, name in (("bert", "vocab.txt"), ("roberta", "vocab.json")):
        folder = save_tiny(family, tmp_path / family, layers=1)
        vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
        whole = tokenizer_of(folder)("the cat", "a dog")["input_ids"]
        without_tokenizer(folder)
        lines = "\n".join(sorted(vocabulary, key=vocabulary.__getitem__))
        (folder / name).write_text(lines if family == "bert" else json.dumps(vocabulary), encoding="utf-8")
        (folder / "merges.txt").write_text("#version: 0.2\n")
        assert tokenizer_of(folder)("the cat", "a dog")["input_ids"] == whole


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta_v2"])
def test_a_tokenizer_of_another_model_is_refused(family: str, tmp_path: Path, minilm: BackboneSource) -> None:
    """More tokens than the model has rows, or far fewer; a few rows past the last are padding, and fine."""
    folder = save_tiny(family, tmp_path / "one", layers=1)
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    tokenizer = tokenizer_of(folder)
    real = backbones.tokenizer(minilm)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    real.save_pretrained(folder)
    expected = f"must have ids below {rows}, the model's vocab_size, but its last is 30,521{GIVE}"
    assert refused(folder).endswith(expected)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    for size, fits in ((rows + 1_024, True), (30_522, False)):
        other = tmp_path / str(size)
        shutil.copytree(folder, other)
        (other / "config.json").write_text(json.dumps({**config, "vocab_size": size}))
        if fits:
            assert len(tokenizer_of(other)) == rows
        else:
            rule = f"must reach nine tenths of the model's vocab_size of 30,522, but its last id is {rows - 1}{GIVE}"
            assert refused(other).endswith(rule)


def test_special_tokens_must_be_there_and_around_a_text(tmp_path: Path) -> None:
    folder = edited(save_tiny("bert", tmp_path / "bare", layers=1), lambda content: content.update(post_processor=None))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    assert refused(folder).endswith(
        f"must have the tokens pad, unk, cls and sep, but it has no pad, unk, cls, sep{GIVE}"
    )
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind | named))
    assert "must put [CLS] before a text and [SEP] behind it, but gives [" in refused(folder)


def test_word_pieces_need_a_token_for_what_is_unknown(tmp_path: Path) -> None:
    folder = save_tiny("bert", tmp_path, layers=1)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    without_tokenizer(folder)
    known = sorted(set(vocabulary) - {"[UNK]"}, key=vocabulary.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(known), encoding="utf-8")
    assert "must read every text, but it fails on a sign that it does not know (WordPiece error" in refused(folder)


def test_nothing_is_fetched_for_a_tokenizer_that_is_not_here(minilm: BackboneSource) -> None:
    assert backbones.tokenizer_if_here(backbones.resolve("nobody/encoder")) is None
    assert backbones.tokenizer_if_here(minilm) is backbones.tokenizer(minilm)
