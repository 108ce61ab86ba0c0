"""The engine on a GPU, where there is one: the answers of the CPU, whatever form the rows of P have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.artifacts import trained

from serving import fuse
from serving._copies import Copies
from serving.engine import Engine
from serving.request import Request
from trainables import backbones

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

TASKS = ("glue/rte", "glue/mrpc", "superglue/cb", "superglue/rte")


def logits(artifacts: list[Any], device: str, max_tokens: int, **options: Any) -> list[Any]:
    engine = Engine(artifacts[0].backbone, device=device, max_tokens=max_tokens, **options)
    for artifact in artifacts:
        engine.add(artifact)
    text = "the cat sat on the mat and the dog ran"
    asked = []
    for i in range(60):
        fields = dict.fromkeys(("sentence1", "sentence2", "premise", "hypothesis"), text[: 5 + i % 30])
        asked.append(Request(TASKS[i % len(TASKS)], fields))
    kept = backbones.load(artifacts[0].backbone, torch.float32)
    assert kept.embedding_matrix.device.type == "cpu", "it is for others, too"
    return [torch.tensor(answer.logits) for answer in engine.predict(asked)]


@pytest.mark.parametrize("max_tokens", [64, 16_384])
@pytest.mark.parametrize(
    ("method", "rows", "cache_bytes"),
    [
        ("aot_fc", "host", None),
        ("aot_fc", "device", None),
        ("aot_kronecker", "device", 4000),
        ("aot_fc", "factors", 4000),
        ("lora", "host", None),
        ("p_tuning_v2", "host", None),
    ],
)
def test_the_gpu_answers_as_the_cpu(
    method: str, rows: Any, cache_bytes: int | None, max_tokens: int, source, tmp_path: Path
) -> None:
    """Several batches one after the other: rows are gathered and copied while the one before is computed."""
    artifacts = [
        fuse.write(tmp_path / str(i), *trained(method, task, source("roberta"), seed=i)) for i, task in enumerate(TASKS)
    ]
    options = {"rows": rows, "cache_bytes": cache_bytes}
    ours, cpu = (logits(artifacts, device, max_tokens, **options) for device in ("cuda", "cpu"))
    for one, other in zip(ours, cpu, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3)


def test_copies_go_beside_the_computation() -> None:
    """From pinned memory, on a stream of their own; what is computed with them waits for them."""
    device = torch.device("cuda")
    copies = Copies(device)
    given = torch.arange(1 << 20)
    copied = copies.start([given, None])
    assert copied.done is not None
    tensor, nothing = copied.arrived()
    assert nothing is None
    assert torch.equal((tensor + 1).cpu(), given + 1)
