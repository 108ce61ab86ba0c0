"""``aot speed`` end to end on small random backbones: what is measured is what it says, and it goes on where it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.families import save_tiny

from common.speed import Point, SpeedFileError, read, read_setup
from serving import speed, speed_machine
from serving.speed_forwards import Bench
from serving.speed_settings import Settings
from trainables import head, methods
from trainables.backbones import Seams
from trainables.batch import Batch, Distinct

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("backbones")
    return {family: save_tiny(family, folder / f"tiny-{family}") for family in ("roberta", "deberta_v1")}.__getitem__


def asked(tiny: Callable[[str], Path], *families: str, **changes: object) -> Settings:
    given = {
        "backbones": tuple(str(tiny(family)) for family in families), "batches": (1, 4), "lengths": (8,),
        "methods": ("lora", "aot_fc"), "tasks": (1, 3), "evaluations": 6, "device": "cpu", **changes,
    }  # fmt: skip
    return Settings(**given)  # type: ignore[arg-type]


def quiet(words: str) -> None:
    return None


def test_every_point_is_measured_once_and_a_second_run_adds_what_is_new(tiny: Callable, tmp_path: Path) -> None:
    out, said = tmp_path / "speed.csv", []
    assert speed.run(asked(tiny, "roberta", batches=(1,)), out, said.append) == 0
    first = out.read_text()
    assert [one.point for one in read(out)] == [
        Point("tiny-roberta", 1, 8, *line)
        for line in [
            ("lora", "fused", 1, ""), ("lora", "unfused", 1, ""), ("aot_fc", "fused", 1, "host"),
            ("aot_fc", "unfused", 1, ""), ("lora", "unfused", 3, ""), ("aot_fc", "fused", 1, "device"),
            ("aot_fc", "fused", 1, "factors"), ("aot_fc", "fused", 3, "host"), ("aot_fc", "fused", 3, "device"),
            ("aot_fc", "fused", 3, "factors"), ("aot_fc", "unfused", 3, ""),
        ]
    ]  # fmt: skip
    assert said[0].startswith("11 of 11 points to measure on ")
    assert said[1].startswith("1/11 tiny-roberta 1 × 8, lora-fused: ")
    assert " left" in said[1]
    assert said[-1] == f"the times are in {out}; draw them with: aot report --speed {out}"

    said.clear()
    speed.run(asked(tiny, "roberta", "deberta_v1"), out, said.append)
    assert said[0].startswith("33 of 44 points to measure")
    assert out.read_text().startswith(first)
    assert len(read(out)) == 44
    said.clear()
    speed.run(asked(tiny, "roberta", "deberta_v1"), out, said.append)
    assert said[0].startswith("0 of 44 points")
    setup = read_setup(out)
    assert setup is not None
    assert set(setup.backbones) == {"tiny-roberta", "tiny-deberta_v1"}
    assert setup.backbones["tiny-roberta"]["bytes_per_task"] == {
        "lora-fused": 4 * setup.backbones["tiny-roberta"]["parameters"],
        "lora-unfused": 4 * 3 * 8 * 4 * 32,
        "aot_fc-fused-host": 261 * 3 * 32 * 2,
        "aot_fc-fused-device": 261 * 3 * 32 * 2,
        "aot_fc-fused-factors": 4 * 3 * (2 * 32 * 64 + 64 + 32),
        "aot_fc-unfused": 4 * 3 * (2 * 32 * 64 + 64 + 32),
    }


def test_interrupted_it_goes_on_where_it_was(tiny: Callable, tmp_path: Path) -> None:
    out, said = tmp_path / "speed.csv", []

    def until_the_third(words: str) -> None:
        said.append(words)
        if words.startswith("3/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speed.run(asked(tiny, "roberta"), out, until_the_third)
    assert said[-1] == f"stopped; what was measured is in {out}, and the same command goes on from there"
    before = read(out)
    speed.run(asked(tiny, "roberta"), out, said.append)
    after = read(out)
    assert after[: len(before)] == before
    assert len({one.point for one in after}) == len(after) == 22


def test_other_evaluations_are_not_mixed_with_those_that_are_there(tiny: Callable, tmp_path: Path) -> None:
    out = tmp_path / "speed.csv"
    speed.run(asked(tiny, "roberta", batches=(1,), methods=("lora",)), out, quiet)
    with pytest.raises(SpeedFileError, match=r"evaluations \[6, 6\], which cannot be mixed with \[7, 7\]"):
        speed.run(asked(tiny, "roberta", evaluations=7), out, quiet)


def test_what_cannot_be_measured_is_refused_before_anything_is(tiny: Callable, tmp_path: Path) -> None:
    out = tmp_path / "speed.csv"
    with pytest.raises(
        ValueError, match=r"tiny-roberta takes at most 158 tokens, but --length 150 is asked for with 20"
    ):
        speed.run(asked(tiny, "roberta", methods=("lora", "p_tuning_v1"), lengths=(8, 150)), out, quiet)
    with pytest.raises(ValueError, match="--backbone takes roberta-base, roberta-large, deberta-xl, or a folder"):
        speed.run(asked(tiny, backbones=("roberta-huge",)), out, quiet)
    with pytest.raises(ValueError, match=r"--out must be a file that ends in \.csv"):
        speed.run(asked(tiny, "roberta"), tmp_path / "speed.txt", quiet)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="--device cuda needs a GPU"):
            speed.run(asked(tiny, "roberta", device="cuda"), out, quiet)
    assert not out.exists()


def bench_of(tiny: Callable, settings: Settings, found: list[Point]) -> Bench:
    machine = speed_machine.found(settings)
    return Bench(speed.source_of(str(tiny("roberta"))), found, settings, machine)


def test_what_is_timed_is_the_method_s_own_forward(tiny: Callable) -> None:
    """Each line's logits on mixed batches, against the method's seams on a batch of one task at a time."""
    settings = asked(tiny, "roberta", methods=tuple(methods.names()), batches=(6,))
    found = speed._asked(settings)[0]
    bench = bench_of(tiny, settings, found)
    backbone = bench._backbone
    for point in found:
        with torch.inference_mode(), bench.ready(point) as (plain, method):
            outputs = method(5)
            assert plain(5).shape == (1, 6, 2)
        _, owners = bench._served(point)
        ids = torch.from_numpy(speed_texts(bench, point, 5))
        for row in range(6):
            owner = owners[(5 * 6 + row) % point.tasks]
            expected = alone(backbone, owner, ids[row : row + 1])
            place = places(owners, row)[row]
            tolerance = 2e-3 if point.rows else 2e-4
            torch.testing.assert_close(outputs[place], expected, atol=tolerance, rtol=tolerance, msg=str(point))


def speed_texts(bench: Bench, point: Point, index: int):
    from serving.speed_inputs import Texts

    return Texts(bench._backbone.spec, point.batch, point.length).ids(index)


def places(owners: list, row: int) -> list[int]:
    """Where each row of a batch comes out: by members for methods with a member axis, in order with rows of P."""
    tasks = [owners[(5 * 6 + i) % len(owners)].number for i in range(6)]
    if owners[0].rows:
        return list(range(6))
    order = sorted(range(6), key=lambda i: tasks[i])
    return [order.index(i) for i in range(6)]


def alone(backbone, owner, ids: torch.Tensor) -> torch.Tensor:
    """One text through the method's own seams, or with the owner's rows of P added as they stand."""
    mask, labels = torch.ones_like(ids), torch.zeros(1, 1, dtype=torch.int64)
    distinct = Distinct(ids, torch.arange(ids.shape[1]).unsqueeze(0), (0,))
    batch = Batch(ids, mask, torch.zeros_like(ids), labels, tokens=distinct)
    with torch.no_grad():
        if owner.fused is not None:
            rows = owner.fused[ids[0]].float()  # (n, l, d)
            seams = Seams(before_layer=lambda layer, hidden: hidden + rows[:, layer])
        elif owner.weights:
            seams = Seams(weights=owner.weights)
        else:
            params = {name: tensor.unsqueeze(0) for name, tensor in owner.own.items()}
            seams = owner.method.seams(params, backbone, batch)
        first = backbone(batch, seams, first_only=True)
        return head.logits(first, batch, owner.weight.unsqueeze(0), owner.bias.unsqueeze(0), 0.0)[0, 0]


def test_a_small_cache_is_filled_and_evicts(tiny: Callable) -> None:
    """Room for 40 rows where three tasks use far more; the next size meets the same cache."""
    settings = asked(tiny, "roberta", methods=("aot_fc",), rows=("device",), tasks=(3,), cache_gb=(40 * 192 + 9) / 1e9)
    found = speed._asked(settings)[0]
    bench = bench_of(tiny, settings, found)
    mixed, _ = bench._served(found[0])
    assert mixed.cache.capacity == mixed.cache.rows == 40
    assert mixed.cache.hits == mixed.cache.misses == 0
    with torch.inference_mode(), bench.ready(found[1]) as (_, method):
        method(0)
    assert mixed.cache.misses > 0
    assert bench._served(found[1])[0] is mixed


def test_memory_that_is_not_enough_is_told_from_mistakes() -> None:
    assert speed.out_of_memory(MemoryError())
    assert speed.out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    with pytest.raises(RuntimeError, match="can't allocate memory") as told:
        torch.empty(1 << 50)
    assert speed.out_of_memory(told.value)
    assert not speed.out_of_memory(RuntimeError("shapes cannot be multiplied"))


def test_it_runs_where_there_is_little_but_torch(tiny: Callable, tmp_path: Path) -> None:
    """``python -m serving.speed`` without what a bare machine has not."""
    absent = "ray mlflow optuna pandas scipy sklearn matplotlib typer rich datasets peft fastapi pyarrow"
    script = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({absent.split()}))\n"
        "runpy.run_module('serving.speed', run_name='__main__', alter_sys=True)"
    )
    out = tmp_path / "speed.csv"
    options = ["--backbone", tiny("roberta"), "--batch", 1, 2, "--length", 8, "--methods", "aot_fc", "bitfit",
               "--tasks", 1, "--rows", "host", "--evaluations", 6, "--device", "cpu", "--out", out]  # fmt: skip
    told = [sys.executable, "-c", script, *map(str, options)]
    done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read(out)) == 8
    again = subprocess.run([*told, "--evaluations", "3"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1].startswith("--evaluations must be at least 6")
