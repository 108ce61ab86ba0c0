"""Which backbone the files of a folder are: what they hold, and not how it is written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from trainables.backbones._remembered import Stamps, remembered, stamps

if TYPE_CHECKING:  # what is remembered is told without the libraries, whose import takes over a second
    import torch

#: Of a config: where it comes from, how heads, outputs and fresh weights are made (weights fill the whole encoder, in
#: float32 whatever the files have), what only decoders and generation read or is refused with any other value, and
#: dropout, which stands with the protocol in a trial's id.
_WITHOUT_EFFECT = {
    "_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version",
    "classifier_dropout", "finetuning_task", "id2label", "label2id", "num_labels", "problem_type",
    "task_specific_params", "gradient_checkpointing", "initializer_range", "output_attentions",
    "output_hidden_states", "return_dict", "use_cache", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "add_cross_attention", "bos_token_id", "chunk_size_feed_forward", "directionality", "eos_token_id", "is_decoder",
    "legacy", "position_embedding_type", "tie_word_embeddings",
}  # fmt: skip
_HEADS_WITHOUT_EFFECT = ("pooler_", "summary_")  # how the settings of heads begin
#: What the library puts before an encoder's names when it stands in a model with a head.
_PREFIXES = ("bert.", "roberta.", "electra.", "mpnet.", "deberta.")
#: Parts beside the encoder, and buffers that older files hold: none of them is loaded.
_HEADS = (
    "pooler.", "cls.", "lm_head.", "classifier.", "qa_outputs.", "lm_predictions.", "mask_predictions.",
    "discriminator_predictions.", "generator_predictions.", "generator_lm_head.",
)  # fmt: skip
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")


def identity_of(folder: Path) -> str:
    """``sha256:`` and a hash of config, tokenizer and weights, as they are once loaded.

    The same weights saved again (other metadata, order, shards or number format, with or without a head), a config
    with defaults written out, and a tokenizer saved again are the same backbone. Remembered as long as the files are
    the same by size and times.
    """
    return _identity(folder, stamps(folder))


def dropout_of(folder: Path) -> tuple[float, float] | None:
    """Dropout of hidden states and of attention in the folder's config; ``None`` where that cannot be read."""
    return remembered(tuple[float, float] | None, ["dropout", str(folder), stamps(folder)], lambda: _dropout_of(folder))


def _dropout_of(folder: Path) -> tuple[float, float] | None:
    config = _config(folder)
    return None if config is None else config_dropout(config)


def config_dropout(config: Any) -> tuple[float, float] | None:
    """Dropout of hidden states and of attention; ``None`` for a model that has no such values."""
    found = getattr(config, "hidden_dropout_prob", None), getattr(config, "attention_probs_dropout_prob", None)
    return None if None in found else (float(found[0]), float(found[1]))  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _identity(folder: Path, seen: Stamps) -> str:
    return remembered(str, ["identity", str(folder), seen], lambda: _hashed(folder))


def _hashed(folder: Path) -> str:
    total = hashlib.sha256()
    for part in (_config_part(folder), _tokenizer_part(folder), *_weight_parts(folder)):
        total.update(part.encode() + b"\n")
    return f"sha256:{total.hexdigest()}"


def _config(folder: Path) -> Any:
    import transformers

    try:
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError):
        return None  # whoever loads it says what is wrong


def _config_part(folder: Path) -> str:
    config = _config(folder)
    if config is None:
        return _file_part(folder / "config.json")
    values = config.to_diff_dict().items()
    counted = {n: v for n, v in values if n not in _WITHOUT_EFFECT and not n.startswith(_HEADS_WITHOUT_EFFECT)}
    return json.dumps(counted, sort_keys=True, default=str)


def _tokenizer_part(folder: Path) -> str:
    """The tokenizer without the length, sides and padding that it was last used with: texts are encoded whole."""
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, use_fast=True, trust_remote_code=False, local_files_only=True
        )
        parts = json.loads(tokenizer.backend_tokenizer.to_str())
    except Exception:  # the libraries raise anything for a malformed one; whoever loads it says what is wrong
        files = (path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".txt", ".model"))
        return "".join(map(_file_part, files))
    parts |= {"truncation": None, "padding": None}
    return json.dumps([parts, "token_type_ids" in tokenizer.model_input_names], sort_keys=True)


def _weight_parts(folder: Path) -> Iterator[str]:
    """A name and a hash for each tensor of the encoder, by name."""
    found: dict[str, str] = {}
    for path in _weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 -- it is no mapping
                    plain = _plain(name)
                    if not plain.startswith(_HEADS) and plain not in _BUFFERS:
                        found[plain] = _tensor_part(file.get_tensor(name))
        except (SafetensorError, OSError):
            found[path.name] = _file_part(path) if path.is_file() else "missing"  # whoever loads it says so
    return (f"{name} {content}" for name, content in sorted(found.items()))


def _weight_files(folder: Path) -> list[Path]:
    """What the library loads: the one file, else those of the index; else whatever is there."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if index.is_file():
        return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    return sorted(folder.glob("*.safetensors"))


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _tensor_part(tensor: torch.Tensor) -> str:
    import torch

    values = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    return f"{list(values.shape)} {hashlib.sha256(values.contiguous().flatten().numpy().data).hexdigest()}"


def _file_part(path: Path) -> str:
    with path.open("rb") as file:
        return f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}"
