"""The peer of ``benchmarks/training.py``: one trial as a good user of transformers and PEFT writes it.

``Trainer`` with batches grouped by length and padded to their longest sequence, tokens made once and read from disk, an
evaluation and a checkpoint of the adapter per epoch, the best one loaded at the end; Adam at a constant rate, without
weight decay, warm-up or clipping. What helps it: its model is loaded once per process and copied for each trial, the
optimiser's state is not saved, nothing is logged.

So that scores can be compared, the head is ours (``trainables/head.py``): dropout and one linear layer on the first
token of the text, in place of the library's pooler (BERT) or two layers (RoBERTa).
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
from torch import Tensor, nn

from benchmarks._training_grid import Cell, Way
from benchmarks._training_timers import Timers
from common import metrics
from trainables import backbones, data
from trainables.backbones._sources import location

EVALUATION_BATCH = {"cpu": 32, "cuda": 128}


class FirstToken(nn.Module):
    """BERT's pooler replaced: the hidden state ``(b, d)`` at one position of ``(b, n, d)``."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden[:, self.at]


class Head(nn.Module):
    """RoBERTa's classification head replaced by dropout and one linear layer on the token at one position."""

    def __init__(self, width: int, outputs: int, p: float, at: int) -> None:
        super().__init__()
        self.at = at
        self.dropout = nn.Dropout(p)
        self.out_proj = nn.Linear(width, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.out_proj(self.dropout(hidden[:, self.at]))


class Clock(transformers.TrainerCallback):
    """Tells of each evaluation."""

    def __init__(self, timers: Timers, report: Callable[[float], None]) -> None:
        self._timers, self._report = timers, report

    def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        with self._timers.of("reporting"):
            self._report(rest["metrics"]["eval_score"])


def install(timers: Timers) -> None:
    """Put timers around the functions of the library's loop."""
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer

    timers.around(transformers.Trainer, "get_batch_samples", "data")
    timers.around(transformers.Trainer, "compute_loss", "forward")
    timers.around(Accelerator, "backward", "backward")
    timers.around(AcceleratedOptimizer, "step", "optimiser")
    timers.around(transformers.Trainer, "evaluate", "evaluation", whole=True)
    timers.around(transformers.Trainer, "_save_checkpoint", "checkpoint", whole=True)


def load(cell: Cell, way: Way, device: str) -> None:
    """What every trial of the cell needs: tokens as rows, and the model."""
    trial = cell.trials("peer")[0]
    labels = np.array([row["labels"] for row in rows(cell, trial)[1]])
    metrics.score(trial.task.metric, labels, labels)  # imports what it needs
    pretrained(trial.backbone, trial.task.outputs, trial.task.labels is None, way, device)


_ROWS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}


def rows(cell: Cell, trial: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train and dev rows as ``Trainer`` takes them, from the tokens on disk; once per process."""
    key = f"{cell.folder} {cell.name}"
    if key not in _ROWS:
        loaded = data.load(trial.task, trial.backbone, trial.protocol, cell.folder / "cache")
        _ROWS[key] = tuple(_rows(split, trial.backbone) for split in (loaded.train, loaded.dev))  # type: ignore[assignment]
    return _ROWS[key]


def _rows(examples: data.Examples, backbone: Any) -> list[dict[str, Any]]:
    types = "token_type_ids" in backbones.tokenizer(backbone).model_input_names
    found = []
    for i, label in enumerate(examples.labels.tolist()):
        part = slice(examples.offsets[i], examples.offsets[i + 1])
        ids = examples.ids[part].tolist()
        row = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": label}
        found.append(row | ({"token_type_ids": examples.types[part].tolist()} if types else {}))
    return found


@lru_cache(maxsize=2)
def pretrained(backbone: Any, outputs: int, regression: bool, way: Way, device: str) -> Any:
    """The library's classifier with the pretrained encoder, on the device."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        location(backbone),
        num_labels=outputs,
        problem_type="regression" if regression else "single_label_classification",
        dtype=torch.bfloat16 if way.half_weights else torch.float32,
        attn_implementation=way.attention,
    )
    return model.to(device)


def model_of(trial: Any, way: Way, device: str) -> nn.Module:
    """A fresh model of the trial's method, with our form of head."""
    task, own = trial.task, trial.method_config
    model = copy.deepcopy(pretrained(trial.backbone, task.outputs, task.labels is None, way, device))
    transformers.set_seed(trial.seed)
    at = own["prompt_length"] if trial.method == "p_tuning_v1" else 0
    if model.config.model_type == "bert":
        model.bert.pooler = FirstToken(at)
        linear = model.classifier
    elif model.config.model_type == "roberta":
        model.classifier = Head(model.config.hidden_size, task.outputs, model.config.hidden_dropout_prob, at).to(device)
        linear = model.classifier.out_proj
    else:
        raise ValueError(f"the peer trains bert and roberta, but the backbone is {model.config.model_type}")
    nn.init.normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    model.classifier.float()
    return _adapted(model, trial.method, own)


def _adapted(model: Any, method: str, own: dict[str, Any]) -> nn.Module:
    kind = {"task_type": "SEQ_CLS"}
    if method == "lora":
        sites = ["query", "value"]
        config: peft.PeftConfig = peft.LoraConfig(
            **kind, r=own["rank"], lora_alpha=own["alpha"], lora_dropout=0.0, target_modules=sites
        )
    elif method == "p_tuning_v2":
        config = peft.PrefixTuningConfig(**kind, num_virtual_tokens=own["prompt_length"])
    elif method == "p_tuning_v1":
        config = peft.PromptTuningConfig(**kind, num_virtual_tokens=own["prompt_length"])
    elif method == "ia3":
        dense = r".*(attention\.self\.(key|value)|\d+\.output\.dense)"
        config = peft.IA3Config(**kind, target_modules=dense, feedforward_modules=r".*\d+\.output\.dense")
    else:  # fine-tuning and BitFit need no PEFT
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(method == "fine_tuning" or name.endswith("bias") or "classifier" in name)
        return model
    return peft.get_peft_model(model, config)


def train(
    cell: Cell, way: Way, number: int, device: str, timers: Timers, report: Callable[[float], None] = lambda score: None
) -> float:
    """Train one trial of the cell; the score of its best epoch in percent."""
    trial = cell.trials("peer")[number]
    with timers.of("start-up"):
        model = model_of(trial, way, device)
        train_rows, dev_rows = rows(cell, trial)
    pad = transformers.DataCollatorWithPadding(
        backbones.tokenizer(trial.backbone), pad_to_multiple_of=8 if device == "cuda" else None
    )

    trained = set(map(id, train_rows))

    def collate(batch: list[dict[str, Any]]) -> Any:
        made = pad(batch)
        if id(batch[0]) in trained:
            timers.count(made["attention_mask"])
        return made

    def score(predicted: Any) -> dict[str, float]:
        return metrics.score(trial.task.metric, np.asarray(predicted.predictions), predicted.label_ids)

    def answers(logits: Tensor, labels: Tensor) -> Tensor:
        return logits.squeeze(-1) if trial.task.labels is None else logits.argmax(-1)

    with tempfile.TemporaryDirectory(prefix="aot-peer-") as folder:
        trainer = transformers.Trainer(
            model=model,
            args=_arguments(trial, way, device, Path(folder)),
            train_dataset=train_rows,  # type: ignore[arg-type]
            eval_dataset=dev_rows,  # type: ignore[arg-type]
            data_collator=collate,
            compute_metrics=score,
            preprocess_logits_for_metrics=answers,
            callbacks=[Clock(timers, report)],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return float(trainer.state.best_metric)


def _arguments(trial: Any, way: Way, device: str, folder: Path) -> transformers.TrainingArguments:
    return transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=trial.batch_size,
        per_device_eval_batch_size=EVALUATION_BATCH[device],
        learning_rate=trial.learning_rate,
        num_train_epochs=trial.protocol.epochs,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=0.0,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        save_only_model=True,
        load_best_model_at_end=True,
        metric_for_best_model="score",
        greater_is_better=True,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        seed=trial.seed,
        use_cpu=device == "cpu",
        bf16=trial.protocol.precision == "bfloat16",
        torch_compile=way.compiled,
    )
