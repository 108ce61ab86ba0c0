"""Trained trials as PEFT loads them: LoRA, P-Tuning v1 (its prompt tuning) and P-Tuning v2 (its prefix tuning).

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``, which ``PeftModel.from_pretrained`` loads
over the library's own backbone, ``head.safetensors`` with our head, which PEFT has no place for, and a ``README.md``
with the lines that give the same logits. What PEFT would compute otherwise is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving import _tensor_file
from serving.artifact import ArtifactError
from serving.fuse import check_place
from trainables import backbones, head, methods, whole_files
from trainables.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.backbones import Backbone

CONFIG, ADAPTER, HEAD, README = "adapter_config.json", "adapter_model.safetensors", "head.safetensors", "README.md"

#: A PEFT config's values beside those that all have, and the tensors by PEFT's names.
_Exported = tuple[dict[str, Any], dict[str, "Tensor"]]


def write(folder: str | Path, trial: Trial, tensors: Mapping[str, Tensor], backbone: Backbone) -> int:
    """Write a trained trial for PEFT, in place of what was in ``folder``; the bytes of it.

    Args:
        folder: the adapter's own folder.
        trial: the trial.
        tensors: of its weights file, float32.
        backbone: the trial's, in float32.

    Raises:
        ArtifactError: PEFT has no such method, or would compute something else on this backbone or for this task; or
            the folder holds something else.
    """
    if trial.method not in METHODS:
        raise ArtifactError(
            f"PEFT takes {', '.join(METHODS)}, but the trial's method is {trial.method}; leave --format peft out, or "
            "choose another --method"
        )
    check_place(Path(folder), CONFIG)
    _check_types(trial, backbone)
    own = {name: t.float().cpu() for name, t in tensors.items() if not name.startswith(head.PREFIX)}
    values, exported = METHODS[trial.method](trial, own, backbone)
    config = {
        "base_model_name_or_path": trial.backbone.source,
        "revision": trial.backbone.revision,
        "task_type": "FEATURE_EXTRACTION",
        "inference_mode": True,
        **values,
    }
    heads = {name.removeprefix(head.PREFIX): tensors[name].float() for name in (head.WEIGHT, head.BIAS)}
    with whole_files.replacing_folder(Path(folder)) as new:
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        written = [_write(new / ADAPTER, exported), _write(new / HEAD, heads)]
        (new / README).write_text(_readme(trial, backbone), encoding="utf-8")
    return sum(written)


def _write(path: Path, tensors: Mapping[str, Tensor]) -> int:
    return _tensor_file.write(path, _tensor_file.stored(tensors), tensors.values()).bytes


def _check_types(trial: Trial, backbone: Backbone) -> None:
    """PEFT passes no token types where there is a prompt: pairs of a backbone that tells segments apart come out else.

    LoRA's forward passes on what it is given.
    """
    if trial.method == "lora" or len(trial.task.text) == 1:
        return
    types = getattr(backbone.model.config, "type_vocab_size", 0) > 1
    if types and "token_type_ids" in backbones.tokenizer(trial.backbone).model_input_names:
        raise ArtifactError(
            f"PEFT passes no token types where there is a prompt, but task {trial.task.name} has two segments and "
            f"backbone {trial.backbone.name} tells them apart by their types, so that its logits would be others; "
            "serve it with aot serve"
        )


def _lora(trial: Trial, own: Mapping[str, Tensor], backbone: Backbone) -> _Exported:
    import torch

    kind = type(backbone.model)
    with torch.device("meta"):
        library = kind(backbone.model.config)
    spec = backbone.spec
    sites = dict.fromkeys(name.rpartition(".")[0] for name in own)  # "query.a" is of site query
    tensors, patterns = {}, []
    for site in sites:
        path = spec.site(site).path.removeprefix("model.")
        patterns.append(re.escape(path).replace(r"\{i\}", r"\d+"))
        for layer in range(spec.layers):
            at = path.format(i=layer)
            _require_linear(library, at, trial)
            tensors[f"base_model.model.{at}.lora_A.weight"] = own[f"{site}.a"][layer]
            tensors[f"base_model.model.{at}.lora_B.weight"] = own[f"{site}.b"][layer]
    values = trial.hyperparameters
    config = {"peft_type": "LORA", "r": values["rank"], "lora_alpha": values["alpha"], "lora_dropout": 0.0}
    return {**config, "target_modules": "|".join(patterns), "bias": "none"}, tensors


def _require_linear(library: Any, path: str, trial: Trial) -> None:
    try:
        library.get_submodule(path)
    except AttributeError:
        raise ArtifactError(
            f"PEFT adapts linears of the library's own, but the model of backbone {trial.backbone.name} has no {path}: "
            "its query, key and value are one linear; serve it with aot serve, or merge it with aot fuse --merge"
        ) from None


def _prompt(trial: Trial, own: Mapping[str, Tensor], backbone: Backbone) -> _Exported:
    length = trial.hyperparameters["prompt_length"]
    config = {"peft_type": "PROMPT_TUNING", **_sizes(backbone, length, backbone.spec.embedding_width)}
    return {**config, "prompt_tuning_init": "RANDOM"}, {"prompt_embeddings": own["prompt"]}


def _prefix(trial: Trial, own: Mapping[str, Tensor], backbone: Backbone) -> _Exported:
    """PEFT keeps a row for each prefix token: the key and the value of layer 0, then those of layer 1, …"""
    import inspect

    import torch

    if "past_key_values" not in inspect.signature(type(backbone.model).forward).parameters:
        raise ArtifactError(
            f"PEFT gives a prefix to the library as a cache of keys and values, but the model of backbone "
            f"{trial.backbone.name} ({backbone.spec.family}) takes none; serve it with aot serve"
        )
    joined = torch.stack([own["keys"], own["values"]], 1).flatten(0, 1)  # (2 l, p, d)
    length = trial.hyperparameters["prompt_length"]
    config = {"peft_type": "PREFIX_TUNING", **_sizes(backbone, length, backbone.spec.width), "prefix_projection": False}
    return config, {"prompt_embeddings": joined.transpose(0, 1).flatten(1)}


def _sizes(backbone: Backbone, length: int, width: int) -> dict[str, Any]:
    return {
        "num_virtual_tokens": length,
        "token_dim": width,
        "num_layers": backbone.spec.layers,
        "num_attention_heads": backbone.spec.heads,
        "num_transformer_submodules": 1,
    }


#: The methods that can be exported.
METHODS: dict[str, Callable[[Trial, Mapping[str, Tensor], Backbone], _Exported]] = {
    "lora": _lora,
    "p_tuning_v1": _prompt,
    "p_tuning_v2": _prefix,
}


def _readme(trial: Trial, backbone: Backbone) -> str:
    """The lines that give our logits, and what they depend on."""
    first = trial.hyperparameters["prompt_length"] if trial.method == "p_tuning_v1" else 0
    inputs, notes = "**inputs", []
    if trial.method == "p_tuning_v2":
        start = getattr(backbone.model.embeddings, "padding_idx", -1) + 1  # RoBERTa's positions begin after it
        shift = start - trial.hyperparameters["prompt_length"]
        inputs += f", position_ids=torch.arange(inputs.input_ids.shape[1])[None] + ({shift})"
        notes.append(
            "PEFT moves the text's positions by the length of the prefix; ours keeps them where they are. So position "
            "ids are given that are as much lower."
        )
    if trial.method != "lora":
        notes.append("Token types are all 0: PEFT passes none where there is a prompt.")
    segments = ", ".join(f"{text!r}" for text in trial.task.text)
    call = "text" if len(trial.task.text) == 1 else "first, second"
    side, segment = trial.task.truncation.side, trial.task.truncation.segment
    notes.append(
        f"Texts are made by the template {segments} and cut to {trial.protocol.max_length} tokens on the {side}, the "
        f"{segment} segment first; labels in their order: {', '.join(trial.task.labels or ('a value',))}."
    )
    options = "".join(f", {name}={value!r}" for name, value in backbone.family.options.items())
    lines = "\n".join(f"- {note}" for note in notes)
    return f"""# {methods.get(trial.method).label} for {trial.task.name}, on {trial.backbone.name}

Trained by AoT Search, trial `{trial.id}`. The logits, the same as its own:

```python
import peft, torch, transformers
from safetensors.torch import load_file

backbone = transformers.AutoModel.from_pretrained(BACKBONE{options})
tokenizer = transformers.AutoTokenizer.from_pretrained(BACKBONE)
model = peft.PeftModel.from_pretrained(backbone, FOLDER).eval()
head = load_file(f"{{FOLDER}}/{HEAD}")
inputs = tokenizer({call}, return_tensors="pt")
with torch.no_grad():
    states = model({inputs}).last_hidden_state  # (b, n, d)
logits = states[:, {first}] @ head["weight"].T + head["bias"]
```

{lines}
"""
