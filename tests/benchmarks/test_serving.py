"""The benchmark of serving: all sides answer the same, and it counts right. No number that it measures is a test."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _serving_rounds as rounds
from benchmarks._serving_case import Case, Wanted, prepare
from benchmarks._serving_processes import compared
from benchmarks._serving_rounds import Outcome
from benchmarks._serving_sizes import (
    AOT,
    COMPILED,
    CPU_WAYS,
    LORA,
    MODELS,
    PEFT,
    PEFT_CUT,
    PLAIN,
    PRODUCTS,
    SIZES,
    WRITTEN_OUT,
    Mix,
    Point,
    Way,
)
from benchmarks._training_data import ARCHITECTURES
from benchmarks._training_grid import MINILM
from trainables import backbones, tasks

ROOT = Path(__file__).parents[2]
NO_END = rounds.Limits(3, math.inf, math.inf)
SAME_WEIGHTS = (PEFT, LORA, MODELS, PEFT_CUT, PRODUCTS, *WRITTEN_OUT)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Five tasks on a tiny backbone, of which two have rows of P of their own."""
    configs = {"lora": {"rank": 2}, "aot_fc": {"rank": 4}, "fine_tuning": {}}
    distinct = {"lora": 5, "aot_fc": 2, "fine_tuning": 2}
    wanted = Wanted("tiny", "demo/entailment", 5, configs, distinct, 48, "float32")
    made = prepare(wanted, tmp_path_factory.mktemp("case"), None, "cpu")
    made.save(made.folder / "case.pickle")
    return made


def answered(case: Case, way: Way, point: Point, number: int = 0) -> np.ndarray:
    """The logits of a batch, by a worker in this process."""
    from benchmarks._serving_worker import Worker

    worker = Worker(way, "cpu")
    worker.answer({"load": str(case.folder / "case.pickle"), "cache_bytes": 1 << 20})
    said = worker.answer({"answers": [point.tasks, point.rows, point.mix], "number": number})
    return np.array(said["logits"])


@pytest.mark.parametrize("mix", ["even", "random"])
def test_peft_models_and_our_engine_say_the_same_of_the_same_weights(case: Case, mix: Mix) -> None:
    point = Point(5, 15, mix)
    found = {way: answered(case, way, point) for way in SAME_WEIGHTS}
    for logits in found.values():
        np.testing.assert_allclose(logits, found[LORA], atol=1e-5)
    by_hand = np.concatenate([_reference(case, task, [row]) for task, row in case.batch(point, 0)])
    np.testing.assert_allclose(found[LORA], by_hand, atol=1e-5)
    alone = np.concatenate([_reference(case, 0, [row]) for _, row in case.batch(point, 0)])
    assert np.abs(alone - by_hand).max() > 0.1, "tasks do not differ"


def _reference(case: Case, task: int, rows: list) -> np.ndarray:
    """A task's logits by the library's model with LoRA's change merged by hand, one row at a time."""
    import torch
    import transformers

    artifact = case.artifact("lora", task)
    tensors, scale = artifact.tensors(), artifact.hyperparameters["alpha"] / artifact.hyperparameters["rank"]
    model = transformers.AutoModel.from_pretrained(case.backbone.source, add_pooling_layer=False).eval()
    tokenizer = backbones.tokenizer(case.backbone)
    logits = []
    with torch.no_grad():
        for i, layer in enumerate(model.encoder.layer):
            for site in ("query", "value"):
                change = tensors[f"{site}.b"][i] @ tensors[f"{site}.a"][i]
                getattr(layer.attention.self, site).weight += scale * change
        for row in rows:
            inputs = tokenizer(row.first, row.second, return_tensors="pt")
            first = model(**inputs).last_hidden_state[0, 0]
            logits.append((tensors["head.weight"] @ first + tensors["head.bias"]).numpy())
    return np.array(logits)


def test_rows_of_p_say_the_same_wherever_they_come_from(case: Case) -> None:
    host, device, factors = (answered(case, way, Point(5, 15)) for way in AOT)
    np.testing.assert_allclose(device, host, atol=1e-6)
    np.testing.assert_allclose(factors, host, atol=2e-3)
    assert np.abs(host - answered(case, PLAIN, Point(5, 15))).max() > 0.1


def test_a_linked_artifact_has_a_name_of_its_own_and_the_same_file(case: Case) -> None:
    first, linked = case.artifact("aot_fc", 1), case.artifact("aot_fc", 3)
    assert (first.task.name, linked.task.name) == ("bench/task-01", "bench/task-03")
    assert (first.path / "rows.safetensors").samefile(linked.path / "rows.safetensors")
    assert not (first.path / "artifact.json").samefile(linked.path / "artifact.json")


@pytest.mark.parametrize(("count", "size"), [(1, 6), (3, 6), (5, 10), (32, 16)])
def test_even_batches(case: Case, count: int, size: int) -> None:
    point = Point(count, size)
    batches = [[task for task, _ in case.batch(point, number)] for number in range(4)]
    for batch in batches:
        assert [batch.count(task) for task in dict.fromkeys(batch)] == [max(1, size // count)] * min(count, size)
    assert sorted({task for batch in batches for task in batch}) == list(range(count))


def test_the_texts_of_a_batch_do_not_depend_on_its_tasks(case: Case) -> None:
    points = [Point(1, 8), Point(4, 8), Point(5, 8, "random")]
    texts = [[row.text for _, row in case.batch(point, 3)] for point in points]
    assert texts[0] == texts[1] == texts[2]
    assert texts[0] != [row.text for _, row in case.batch(points[0], 4)]


def test_the_peers_batches_are_cut_as_ours(case: Case) -> None:
    from benchmarks._serving_text import Clock, Texts
    from benchmarks._serving_worker import Worker

    batch = [(0, replace(row, first=row.first * (1 + i % 3))) for i, (_, row) in enumerate(case.batch(Point(1, 24), 0))]
    batch = [(task, replace(row, fields={**row.fields, "premise": row.first})) for task, row in batch]
    parts = Texts(case, "cpu", Clock(), cut=True).parts(batch)
    worker = Worker(AOT[0], "cpu")
    worker.answer({"load": str(case.folder / "case.pickle"), "cache_bytes": 1 << 20})
    worker.side.load(1)
    worker.side.answer(batch)
    facts = worker.side.facts()
    mask = [tokens.inputs["attention_mask"] for tokens in parts]
    assert len(parts) == facts["forwards"] > 1
    assert sum(int(m.sum()) for m in mask) == facts["tokens"]
    assert sum(m.numel() - int(m.sum()) for m in mask) == facts["padding"]
    assert sorted(place for tokens in parts for place in tokens.places) == list(range(24))


def test_logits_that_differ_are_told() -> None:
    reference = np.random.default_rng(0).normal(size=(16, 2))
    assert not compared(reference + 1e-5, reference, "float32")["error"]
    far = compared(reference[::-1], reference, "float32")
    assert "differ" in far["error"]
    assert far["same_labels"] < 1
    assert compared(np.full((16, 2), np.nan), reference, "float32")["error"]


class Scripted:
    """Seconds of each way from a list, and the order in which they were asked."""

    def __init__(self, seconds: dict[Way, list[float]]) -> None:
        self.seconds, self.asked = seconds, []

    def run(self, way: Way, point: Point) -> Outcome:
        self.asked.append(way)
        each = self.seconds[way].pop(0)
        return Outcome((each, each, 9 * each), (each / 2,) * 3) if each else Outcome(error="out of memory")


def test_ways_take_turns_and_ratios_are_taken_round_by_round() -> None:
    point = Point(8, 16)
    runner = Scripted({PLAIN: [1, 2, 4], LORA: [2, 2, 4], PEFT: [4, 8, 8], PEFT_CUT: [3, 3, 30], MODELS: [0]})
    ways = (PLAIN, LORA, PEFT, PEFT_CUT, MODELS)
    found = rounds.interleaved(runner, [point], ways, NO_END, lambda words: None)
    assert runner.asked == [*ways, *ways[3::-1], *ways[:4]]
    rows = {row["way"]: row for row in rounds.rows(found, {(LORA, 8): {"rss": 100.0}})}
    assert rows[str(LORA)]["milliseconds"] == 2_000
    assert rows[str(LORA)]["of_plain"] == {"median": 1, "low": 1, "high": 2}
    assert rows[str(LORA)]["rows_per_second"] == 8
    assert (rows[str(LORA)]["mib"], rows[str(PEFT)]["mib"]) == ({"rss": 100}, {})
    assert rows[str(MODELS)]["error"] == "out of memory"
    (compared_with,) = rounds.comparisons(found)
    assert compared_with["peer_way"] == str(PEFT_CUT)  # by the median, of 3, 3 and 30 against 4, 8 and 8
    assert compared_with["ratio"] == {"median": 1.5, "low": 1.5, "high": 7.5}


def test_what_failed_is_not_tried_with_more_tasks_and_nothing_compiled_where_tasks_are_drawn() -> None:
    points = [Point(8, 16), Point(32, 16), Point(1, 16, "random")]
    runner = Scripted({MODELS: [0, 1], COMPILED: [1, 1]})
    found = rounds.interleaved(runner, points, (MODELS, COMPILED), replace(NO_END, rounds=1), lambda words: None)
    assert [(point.tasks, way) for this in found for point, way in this] == [
        (8, MODELS), (8, COMPILED), (32, COMPILED), (1, MODELS),
    ]  # fmt: skip


def test_no_round_begins_that_does_not_fit() -> None:
    runner = Scripted({PLAIN: [1, 1]})
    limits = replace(NO_END, until=0.0)
    assert len(rounds.interleaved(runner, [Point(1, 4)], (PLAIN,), limits, lambda words: None)) == 1
    limits = replace(NO_END, last=0.0)
    assert rounds.interleaved(runner, [Point(1, 4)], (PLAIN,), limits, lambda words: None) == [{}]


def test_every_size_names_what_there_is() -> None:
    for size in SIZES.values():
        for section in size.sections:
            assert section.texts in tasks.names()
            assert section.backbone in (*ARCHITECTURES, MINILM)
            assert {way.side for way in section.ways} == {"plain", "ours", "peer"}
            assert set(section.ways) <= {*CPU_WAYS, *WRITTEN_OUT}
            assert len({str(way) for way in section.ways}) == len(section.ways)


def test_options_change_what_a_size_stands_for(tmp_path: Path, real_data: str) -> None:
    from benchmarks import serving

    asked = ["--size", "cpu", "--precision", "float32", "--tasks", "8", "--batch", "16", "64", "--data", real_data]
    more = ["--backbone", "roberta-base", "--no-compile", "--rounds", "1", "--threads", "1", "--distinct", "2"]
    bench, sections = serving.settings(serving.parsed([*asked, *more]), tmp_path)
    assert (bench.device, bench.threads, bench.data_dir, bench.size.distinct) == ("cpu", 1, real_data, 2)
    assert [section.texts for section in sections] == ["glue/mrpc", "glue/sst-2"]
    for section in sections:
        assert section.points == (Point(8, 16), Point(8, 64))
        assert (section.backbone, section.rounds) == ("roberta-base", 1)
        assert COMPILED not in section.ways
        assert serving.checked(section) == [Point(8, 64)]
    _, sections = serving.settings(serving.parsed([*asked, "--texts", "glue/rte"]), tmp_path)
    assert [section.texts for section in sections] == ["glue/rte"]


@pytest.mark.cluster  # processes that serve, though none of Ray
@pytest.mark.timeout(600)
def test_the_tiny_size_measures_every_way(tmp_path: Path) -> None:
    out = tmp_path / "serving.json"
    command = [sys.executable, "benchmarks/serving.py", "--size", "tiny", "--threads", "1", "--rounds", "1"]
    asked = subprocess.run([*command, "--json", str(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    found = json.loads(out.read_text())
    (section,) = found["sections"]
    ways = [str(way) for way in SIZES["tiny"].sections[0].ways]
    assert [row["way"] for row in section["points"]] == ways * 3
    assert all(row["milliseconds"] > row["milliseconds_of_text"] > 0 for row in section["points"])
    assert all(row["mib"]["rss"] > row["mib"]["imported"] > 0 for row in section["points"])
    assert {row["with"] for row in section["logits"]} == {"ours, AoT, host", "PEFT, cut"}
    assert {(row["way"], row["peer"]) for row in section["ratios"]} == {
        (way, peer) for way in ways if way.startswith("ours") for peer in ("peft", "models")
    }
    assert all(way in asked.stdout for way in ways)
