"""Our side of ``benchmarks/serving.py``: the engine with the artifacts of one method; and the plain backbone alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks._serving_case import Case, Row
from benchmarks._serving_sizes import Way
from benchmarks._serving_text import DTYPES, MOST_TOKENS, Clock, Heads, Said, Texts, said
from serving.engine import Engine
from serving.request import Answer, Request
from trainables import backbones, head
from trainables.batch import Batch
from trainables.methods import Seams


class Served:
    """The engine. Its own tokenizer is timed, as that of the others."""

    def __init__(self, case: Case, way: Way, device: str, clock: Clock, cache_bytes: int) -> None:
        self.case, self.way, self.tasks = case, way, 0
        self.engine = Engine(
            case.backbone,
            device=device,
            precision=case.precision,
            rows=way.rows or "host",
            cache_bytes=cache_bytes,
            max_tokens=MOST_TOKENS,
            threads=torch.get_num_threads(),
        )
        clock.around(self.engine._reader, "read")

    def load(self, tasks: int) -> None:
        """Serve the first so many tasks."""
        for task in range(self.tasks, tasks):
            self.engine.add(self.case.artifact(self.way.form, task), name=str(task))
        self.tasks = max(self.tasks, tasks)

    def answer(self, rows: Sequence[tuple[int, Row]]) -> list[Said]:
        """The label, the probabilities and the logits of each row, in their order."""
        return [_said(answer) for answer in self.engine.predict([Request(str(task), row.fields) for task, row in rows])]

    def facts(self) -> dict[str, Any]:
        """The engine's counters."""
        return dict(self.engine.facts())


def _said(answer: Any) -> Said:
    if not isinstance(answer, Answer):
        raise RuntimeError(f"a row was refused: {answer.reason}")
    scores = list(answer.scores.values())
    return list(answer.scores).index(answer.label or ""), scores, list(answer.logits)


class Plain:
    """The backbone alone, with one head for all rows: no method and no tasks. The floor of all that runs on it."""

    def __init__(self, case: Case, way: Way, device: str, clock: Clock) -> None:
        self.backbone = backbones.load(case.backbone, DTYPES[case.precision]).to(device)
        self.texts = Texts(case, device, clock, way.cut)
        self.heads = Heads()
        self.heads.add(case.artifact("lora", 0).tensors(), device)

    def load(self, tasks: int) -> None:
        return None

    @torch.inference_mode()
    def answer(self, rows: Sequence[tuple[int, Row]]) -> list[Said]:
        """As ``Served.answer``, from the first task's head."""
        parts, outputs = self.texts.parts(rows), []
        for tokens in parts:
            ids, mask = tokens.inputs["input_ids"], tokens.inputs["attention_mask"]
            types = tokens.inputs.get("token_type_ids", torch.zeros_like(ids))
            batch = Batch(ids, mask, types, ids.new_zeros(1, len(ids)))
            first = self.backbone(batch, Seams(), first_only=True)
            outputs.append(head.logits(first, batch, self.heads.weight, self.heads.bias, 0.0)[0])
        return said(outputs, parts)

    def facts(self) -> dict[str, Any]:
        return {}
