"""The peers of ``benchmarks/serving.py``: a mixed batch by PEFT's ``adapter_names``, and one model per task.

Both are the library's encoder in evaluation mode, in the precision that is measured, and our form of head: one linear
layer on the first token, gathered for each row, in float32. PEFT mixes adapters in a batch as its guide says,
https://huggingface.co/docs/peft/developer_guides/lora#inference-with-different-lora-adapters-in-the-same-batch. Of one
model per task, LoRA's change is merged into the weights of a copy, and a batch is split by task.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import peft
import torch
import transformers
from torch import nn

from benchmarks._serving_case import Case, Row
from benchmarks._serving_sizes import Way
from benchmarks._serving_text import DTYPES, Clock, Heads, Said, Texts, said
from trainables import products
from trainables.backbones._loading import quiet
from trainables.backbones._sources import location

#: Variants of a compiled function that are kept: one for each point and order of the tasks in a batch.
VARIANTS = 64
RESERVE = 0.8  # of the memory that is free may be filled


class Peft:
    """One encoder with an adapter for each task."""

    def __init__(self, case: Case, way: Way, device: str, clock: Clock) -> None:
        self.case, self.way, self.device = case, way, device
        self.texts = Texts(case, device, clock, way.cut)
        self.heads, self.tasks = Heads(), 0
        self.model = self._encoder(way.products)
        self.adapted: Any = None
        if way.compiled:
            torch._dynamo.config.recompile_limit = VARIANTS
            for layer in self.model.encoder.layer:  # PEFT's own forward sets hooks, which breaks a graph of the whole
                layer.compile(dynamic=True)

    def _encoder(self, faster: bool) -> Any:
        model = encoder(self.case, self.way.attention)
        for module in model.modules() if faster else ():
            if type(module) is nn.Linear:
                module.__class__ = products.Linear
        return model

    def load(self, tasks: int) -> None:
        """Have the adapters of the first so many tasks."""
        if tasks <= self.tasks:
            return
        for task in range(self.tasks, tasks):
            artifact = self.case.artifact("lora", task)
            own, name = artifact.hyperparameters, str(task)
            config = peft.LoraConfig(
                r=own["rank"], lora_alpha=own["alpha"], lora_dropout=0.0, target_modules=["query", "value"]
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self.adapted is None:
                    self.adapted = peft.get_peft_model(self.model, config, adapter_name=name)
                else:
                    self.adapted.add_adapter(name, config)
            tensors = artifact.tensors()
            for site, layer, module in _sites(self.model):
                with torch.no_grad():
                    module.lora_A[name].weight.copy_(tensors[f"{site}.a"][layer])
                    module.lora_B[name].weight.copy_(tensors[f"{site}.b"][layer])
            self.heads.add(tensors, self.device)
        self.tasks = tasks
        self.adapted.to(self.device, DTYPES[self.case.precision]).eval().requires_grad_(False)

    @torch.inference_mode()
    def answer(self, rows: Sequence[tuple[int, Row]]) -> list[Said]:
        """The label, the probabilities and the logits of each row, in their order."""
        outputs = []
        parts = self.texts.parts(rows)
        for tokens in parts:
            names = [str(task) for task in tokens.tasks]
            first = self.adapted(**tokens.inputs, adapter_names=names).last_hidden_state[:, 0]
            outputs.append(self.heads.logits(first, tokens.index))
        return said(outputs, parts)

    def facts(self) -> dict[str, Any]:
        return {}


class Models:
    """One whole model for each task."""

    def __init__(self, case: Case, way: Way, device: str, clock: Clock) -> None:
        self.case, self.device, self.attention = case, device, way.attention
        self.texts = Texts(case, device, clock, way.cut)
        self.heads = Heads()
        self.models: list[Any] = []

    def load(self, tasks: int) -> None:
        """Have the models of the first so many tasks; MemoryError where there is no room for them."""
        if tasks <= len(self.models):
            return
        first = encoder(self.case, self.attention)
        bytes_each = sum(p.numel() for p in first.parameters()) * DTYPES[self.case.precision].itemsize
        if (needed := (tasks - len(self.models)) * bytes_each) > RESERVE * _free(self.device):
            raise MemoryError(f"{tasks} models need {needed:,} bytes more, of {_free(self.device):,} that are free")
        for task in range(len(self.models), tasks):
            artifact = self.case.artifact("lora", task)
            tensors, model = artifact.tensors(), copy.deepcopy(first)
            scale = artifact.hyperparameters["alpha"] / artifact.hyperparameters["rank"]
            for site, layer, module in _sites(model):
                change = scale * tensors[f"{site}.b"][layer] @ tensors[f"{site}.a"][layer]
                with torch.no_grad():
                    module.weight += change
            self.models.append(model.to(self.device, DTYPES[self.case.precision]).eval().requires_grad_(False))
            self.heads.add(tensors, self.device)

    @torch.inference_mode()
    def answer(self, rows: Sequence[tuple[int, Row]]) -> list[Said]:
        """As ``Peft.answer``: a forward pass for each task, padded to its own longest text."""
        parts = self.texts.parts(rows, by_task=True)
        outputs = []
        for tokens in parts:
            first = self.models[tokens.tasks[0]](**tokens.inputs).last_hidden_state[:, 0]
            outputs.append(self.heads.logits(first, tokens.index))
        return said(outputs, parts)

    def facts(self) -> dict[str, Any]:
        return {}


def encoder(case: Case, attention: str) -> Any:
    """The library's encoder without a pooling layer, on the CPU in float32."""
    with quiet():
        return transformers.AutoModel.from_pretrained(
            location(case.backbone), add_pooling_layer=False, dtype=torch.float32, attn_implementation=attention
        )


def _sites(model: Any) -> list[tuple[str, int, Any]]:
    """The linears that LoRA changes: BERT's and RoBERTa's query and value, layer by layer."""
    attentions = [layer.attention.self for layer in model.encoder.layer]
    return [(site, i, getattr(own, site)) for i, own in enumerate(attentions) for site in ("query", "value")]


def _free(device: str) -> int:
    """Bytes of memory that are free."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) * 1024
