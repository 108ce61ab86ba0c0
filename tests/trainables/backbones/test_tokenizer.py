"""A checkpoint may come with a SentencePiece model alone, as DeBERTa v2 and v3 do."""

import json
import random
from pathlib import Path

import sentencepiece
from transformers import DebertaV2Config, DebertaV2Model

from trainables import backbones
from trainables.trial import BackboneSource


def test_a_sentencepiece_model_is_enough(tmp_path: Path) -> None:
    words = ["the", "cat", "dog", "house", "runs", "red", "green", "a", "big", "small", "river", "tree"]
    chosen = random.Random(0)
    (tmp_path / "corpus.txt").write_text("\n".join(" ".join(chosen.choices(words, k=8)) for _ in range(300)))
    pieces = {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]"}
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=34,
        minloglevel=2,
        **{f"{name}_id": number for number, name in enumerate(pieces)},
        **{f"{name}_piece": piece for name, piece in pieces.items()},
    )
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    DebertaV2Model(DebertaV2Config(vocab_size=64, **sizes)).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "DebertaV2Tokenizer"}))

    tokenizer = backbones.tokenizer(BackboneSource("tiny", str(tmp_path)))
    encoded = tokenizer("the cat runs", "a dog")
    assert encoded["token_type_ids"].count(1) == 3
    assert tokenizer.decode(encoded["input_ids"], skip_special_tokens=True) == "the cat runs a dog"
