"""Tasks mixed in one batch against one model for each of them, logit by logit."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.artifacts import own, trained
from helpers.families import FAMILIES
from torch import Tensor

from serving import fuse
from serving.artifact import Artifact
from serving.engine import Engine
from serving.request import Answer, Request
from trainables import backbones, head, methods, tasks
from trainables.backbones import Backbone, Seams
from trainables.batch import Batch
from trainables.data.encoding import encode
from trainables.tasks._read import RawSplit
from trainables.tasks._text import rendered
from trainables.trial import BackboneSource

#: Of every kind: one and two segments, two and three classes, a regression, choices, derived columns.
TASKS = (
    "glue/rte", "glue/cola", "glue/sts-b", "superglue/cb", "superglue/copa", "superglue/wic", "superglue/wsc",
    "superglue/boolq",
)  # fmt: skip
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
#: A row of P has 11 bits; what they make of these logits, which are of the order of 1.
HALF = {"rtol": 0, "atol": 5e-3}
WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "house",
    "movie",
    "was",
    "not",
    "good",
    "and",
    "why",
    "she",
    "it",
]


def fields(task: str, seed: int) -> dict[str, Any]:
    """A row for a task, of random words."""
    draw = random.Random(seed)
    text = " ".join(draw.choices(WORDS, k=draw.randint(2, 14)))
    row: dict[str, Any] = {column: f"{text} {column}" for column in tasks.get(task).columns}
    if task == "superglue/copa":
        row["question"] = draw.choice(("cause", "effect"))
    if task == "superglue/wsc":
        row |= {"text": f"{text} it", "span1_text": "it", "span2_text": text.split()[0]}
        row |= {"span1_index": 3, "span2_index": 0}
    return row


@pytest.fixture
def eight(source: Callable[..., BackboneSource], tmp_path: Path) -> Callable[..., list[Artifact]]:
    """``eight(family, method)``: an artifact of each of ``TASKS``."""

    def made(family: str, method: str, values: Sequence[dict[str, Any]] = ({},)) -> list[Artifact]:
        found = []
        for i, task in enumerate(TASKS):
            given = trained(method, task, source(family), seed=i, **values[i % len(values)])
            found.append(fuse.write(tmp_path / family / method / str(i), *given))
        return found

    return made


def alone(artifact: Artifact, row: dict[str, Any], exact: bool = False) -> list[float]:
    """The logits of one model for one row: one sequence at a time, every position, and no padding.

    ``exact``: methods with rows of P by their own seams and not by rows of half precision.
    """
    task, backbone = artifact.task, backbones.load(artifact.backbone)
    table = RawSplit("here", {**{c: [v] for c, v in row.items()}, task.label: [0]}, {})
    arrays, _ = encode(
        rendered(task, table), backbones.tokenizer(artifact.backbone), artifact.max_length, task.truncation
    )
    tensors = artifact.tensors()
    found: list[float] = []
    for begin, end in zip(arrays["offsets"][:-1], arrays["offsets"][1:], strict=True):
        ids, types = (torch.from_numpy(arrays[name][begin:end]).long().unsqueeze(0) for name in ("ids", "types"))
        batch = Batch(ids, torch.ones_like(ids), types, torch.zeros(1, 1))
        with torch.no_grad():
            states = backbone(batch, seams_of(artifact, own(tensors), backbone, ids, exact))
            first = states[:, states.shape[1] - ids.shape[1]]
            found += (first @ tensors[head.WEIGHT].T + tensors[head.BIAS])[0].tolist()
    return found


def seams_of(artifact: Artifact, tensors: dict[str, Tensor], backbone: Backbone, ids: Tensor, exact: bool) -> Seams:
    method, rows = artifact.method(backbone.spec), artifact.rows()
    if rows is not None and not exact:
        return Seams(before_layer=lambda layer, hidden: hidden + rows[ids][:, :, layer].float())
    params = {name: tensor.unsqueeze(0) for name, tensor in tensors.items()}
    if rows is not None:
        whole = method.rows(params, backbone, ids)  # type: ignore[attr-defined]
        return Seams(before_layer=lambda layer, hidden: hidden + whole[:, :, layer])
    return method.seams(params, backbone, Batch(ids, ids, ids, torch.zeros(1, 1)))


def requests(count: int = 24, seed: int = 0) -> list[Request]:
    draw = random.Random(seed)
    asked = [*TASKS, *draw.choices(TASKS, k=count - len(TASKS))]
    draw.shuffle(asked)
    return [Request(task, fields(task, seed + i)) for i, task in enumerate(asked)]


def engine(artifacts: Sequence[Artifact], **options: Any) -> Engine:
    made = Engine(artifacts[0].backbone, device="cpu", **options)
    assert [made.add(artifact) for artifact in artifacts] == [artifact.task.name for artifact in artifacts]
    return made


def assert_as_alone(
    answers: Sequence[object],
    asked: Sequence[Request],
    artifacts: Sequence[Artifact],
    *,
    exact: bool = False,
    **close: float,
) -> None:
    by_task = {artifact.task.name: artifact for artifact in artifacts}
    assert len(answers) == len(asked)
    for request, answer in zip(asked, answers, strict=True):
        assert isinstance(answer, Answer)
        assert answer.task == request.task
        expected = alone(by_task[request.task], dict(request.fields), exact)
        torch.testing.assert_close(torch.tensor(answer.logits), torch.tensor(expected), **close)


@pytest.mark.parametrize("method", methods.names())
@pytest.mark.parametrize("family", FAMILIES)
def test_eight_tasks_in_one_batch_are_eight_models(family: str, method: str, eight) -> None:
    artifacts, asked = eight(family, method), requests()
    served = engine(artifacts)
    assert_as_alone(served.predict(asked), asked, artifacts, **CLOSE)
    if methods.get(method).max_members is None:
        assert served.facts()["forwards"] < len(TASKS)


def test_rows_of_all_tasks_share_one_forward(eight) -> None:
    """Tasks of both AoT methods too; whatever tasks a batch holds, it is one pass of the plain backbone."""
    artifacts = [*eight("bert", "aot_fc")[:4], *eight("bert", "aot_kronecker")[4:]]
    served, asked = engine(artifacts), [Request(task, fields(task, 5)) for task in ("glue/rte", "superglue/wic")]
    assert_as_alone(served.predict(asked), asked, artifacts, **CLOSE)
    assert served.facts()["forwards"] == 1


@pytest.mark.parametrize("rows", ["host", "device", "factors"])
@pytest.mark.parametrize("method", ["aot_fc", "aot_kronecker"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_form_of_rows_is_the_method_itself(family: str, method: str, rows: Any, eight) -> None:
    artifacts, asked = eight(family, method), requests()
    answers = engine(artifacts, rows=rows).predict(asked)
    assert_as_alone(answers, asked, artifacts, exact=True, **HALF)


@pytest.mark.parametrize("cache_rows", [0, 7, 60, 100_000])
def test_forms_mix_in_a_batch_whatever_the_cache_holds(cache_rows: int, eight) -> None:
    artifacts = [*eight("roberta", "aot_fc")[:4], *eight("roberta", "aot_kronecker")[4:]]
    spec = backbones.spec(artifacts[0].backbone)
    served = Engine(artifacts[0].backbone, cache_bytes=cache_rows * spec.layers * spec.width * 2)
    for i, artifact in enumerate(artifacts):
        served.add(artifact, rows=("host", "device", "factors")[i % 3])
    for seed in range(3):
        asked = requests(seed=100 * seed)
        assert_as_alone(served.predict(asked), asked, artifacts, exact=True, **HALF)
    facts = served.facts()
    assert facts["cache_bytes"] <= facts["cache_capacity_bytes"]
    assert (facts["cache_hits"] > 0) == (cache_rows > 0)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("lora", [{"rank": 1}, {"rank": 5}, {"rank": 2}]),
        ("adapters", [{"rank": 4}, {"rank": 1}]),
        ("p_tuning_v1", [{"prompt_length": 2}, {"prompt_length": 5}]),
        ("p_tuning_v2", [{"prompt_length": 2}, {"prompt_length": 5}, {"prompt_length": 1}]),
        ("lora", [{"alpha": 4.0}, {"alpha": 9.0}]),
    ],
)
def test_ranks_and_lengths_mix(method: str, values: list[dict[str, Any]], eight) -> None:
    artifacts, asked = eight("deberta_v1", method, values), requests()
    served = engine(artifacts)
    assert_as_alone(served.predict(asked), asked, artifacts, **CLOSE)


@pytest.mark.parametrize("rows", ["host", "factors"])
@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("aot_fc", [{"rank": 1}, {"rank": 6}]),
        ("aot_kronecker", [{"rank": 2}, {"rank": 4}, {"rank": 4, "a": 40}]),
    ],
)
def test_ranks_of_factors_mix(method: str, values: list[dict[str, Any]], rows: Any, eight) -> None:
    artifacts, asked = eight("electra", method, values), requests()
    assert_as_alone(engine(artifacts, rows=rows).predict(asked), asked, artifacts, exact=True, **HALF)


def test_merged_weights_serve_as_the_method(source, tmp_path: Path) -> None:
    artifacts = [
        fuse.write(tmp_path / str(i), *trained("lora", task, source("mpnet"), seed=i), merge=i % 2 == 0)
        for i, task in enumerate(TASKS)
    ]
    asked = requests()
    assert_as_alone(engine(artifacts).predict(asked), asked, artifacts, **CLOSE)


@pytest.mark.parametrize("method", ["aot_fc", "lora", "p_tuning_v1"])
@pytest.mark.parametrize("max_tokens", [1, 40, 16_384])
def test_order_is_kept_however_rows_are_batched(method: str, max_tokens: int, eight) -> None:
    artifacts, asked = eight("roberta", method), requests(40)
    served = engine(artifacts, max_tokens=max_tokens)
    assert_as_alone(served.predict(asked), asked, artifacts, **CLOSE)
    facts = served.facts()
    assert facts["sequences"] >= 40
    if max_tokens == 1:  # one sequence always fits
        assert facts["forwards"] == facts["sequences"]
        assert facts["padding"] == 0


@pytest.mark.parametrize(("method", "rows"), [("aot_fc", "host"), ("aot_fc", "factors"), ("lora", "host")])
def test_bfloat16_is_near(method: str, rows: Any, eight) -> None:
    """Half rows are added in the compute precision, which has 8 bits."""
    artifacts, asked = eight("roberta", method), requests()
    answers = engine(artifacts, precision="bfloat16", rows=rows).predict(asked)
    assert_as_alone(answers, asked, artifacts, rtol=0, atol=0.1)
    assert answers != engine(artifacts, rows=rows).predict(asked)


def test_what_an_answer_says(eight) -> None:
    artifacts = eight("bert", "aot_fc")
    choices, number, classes = engine(artifacts).predict(
        [Request(task, fields(task, 1)) for task in ("superglue/copa", "glue/sts-b", "superglue/cb")]
    )
    assert len(choices.logits) == 2
    assert list(choices.scores) == ["choice1", "choice2"]
    assert (number.label, number.scores, number.value) == (None, {}, number.logits[0])
    expected = torch.tensor(classes.logits).softmax(0).tolist()
    assert list(classes.scores.values()) == pytest.approx(expected, abs=1e-6)
    assert classes.label == max(classes.scores, key=classes.scores.get)
    assert classes.value is None
