"""Training on a GPU, where there is one: the same numbers as on the CPU, bfloat16, and a pack that does not fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import golden
from helpers.checkpoints import make
from helpers.families import save_tiny

from trainables import backbones, knee, methods, training
from trainables.backbones import resolve
from trainables.optim import Members
from trainables.pack_sizes import Knee
from trainables.pack_state import PackState, Workspace
from trainables.trial import BackboneSource, Pack

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

every_method = pytest.mark.parametrize("method", methods.names())

#: The masks of dropout are others on the GPU than on the CPU.
WITHOUT_DROPOUT = replace(golden.PROTOCOL, dropout=0.0)


@pytest.fixture(autouse=True)
def _nothing_left_on_the_device() -> Iterator[None]:
    """The backbones that ``load`` keeps are made anew for the tests of other files, which expect them on the CPU."""
    yield
    backbones.load.cache_clear()
    torch.cuda.empty_cache()


@pytest.fixture(scope="module", params=golden.FAMILIES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BackboneSource:
    return resolve(str(save_tiny(request.param, tmp_path_factory.mktemp(request.param))))


@every_method
def test_a_pack_on_the_gpu_equals_the_cpu(method: str, source: BackboneSource, tmp_path: Path) -> None:
    """In float32 (no TF32): six steps of the same arithmetic in another order. On CPUs that moves a loss by 1e-7."""
    assert not torch.backends.cuda.matmul.allow_tf32
    pack = golden.pack(method, source, WITHOUT_DROPOUT)
    ours, cpu = (golden.losses(pack, tmp_path / device, device) for device in ("cuda", "cpu"))
    assert ours == [pytest.approx(member, rel=0, abs=1e-4) for member in cpu]


@every_method
def test_a_pack_with_dropout_on_the_gpu_equals_its_members_alone(
    method: str, source: BackboneSource, tmp_path: Path
) -> None:
    pack = golden.pack(method, source)
    together = golden.losses(pack, tmp_path / "pack", "cuda")
    alone = [golden.losses(Pack((one,)), tmp_path / one.id, "cuda")[0] for one in pack.trials]
    assert together == [pytest.approx(member, rel=0, abs=1e-4) for member in alone]
    assert together != golden.losses(golden.pack(method, source, WITHOUT_DROPOUT), tmp_path / "without", "cuda")


@pytest.mark.parametrize("method", [name for name in methods.names() if methods.padded(methods.get(name))])
def test_a_pack_of_several_sizes_on_the_gpu_equals_its_members_alone(
    method: str, source: BackboneSource, tmp_path: Path
) -> None:
    """With dropout, whose masks are those of the members' own keys."""
    trials = make(source, method, members=3, sizes=(5, 1, 3)).trials
    pack = Pack(tuple(replace(trial, protocol=golden.PROTOCOL) for trial in trials))
    together = golden.losses(pack, tmp_path / "pack", "cuda")
    alone = [golden.losses(Pack((one,)), tmp_path / one.id, "cuda")[0] for one in pack.trials]
    assert together == [pytest.approx(member, rel=0, abs=1e-4) for member in alone]


@every_method
def test_bfloat16_on_the_gpu_is_near_float32(method: str, source: BackboneSource, tmp_path: Path) -> None:
    """Losses near 1 of states that are off by a few of bfloat16's roundings, 0.004 each; not the same numbers, though.

    Of the first epoch: later ones have followed gradients that differ.
    """
    half = golden.pack(method, source, replace(WITHOUT_DROPOUT, epochs=1, precision="bfloat16"))
    full = golden.pack(method, source, replace(WITHOUT_DROPOUT, epochs=1))
    ours, exact = (golden.losses(pack, tmp_path / str(i), "cuda") for i, pack in enumerate((half, full)))
    assert ours == [pytest.approx(member, rel=0, abs=0.05) for member in exact]
    assert ours != exact


def test_a_pack_that_does_not_fit_says_so(source: BackboneSource, tmp_path: Path) -> None:
    """By the error that the search answers with two smaller packs."""
    pack = golden.pack("lora", source, replace(golden.PROTOCOL, train_rows=None), batch_size=128)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.0)  # nothing beyond what the process holds already
    try:
        with pytest.raises(torch.OutOfMemoryError):
            golden.losses(pack, tmp_path, "cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_the_knee_is_measured_within_a_part_of_the_gpu(source: BackboneSource, tmp_path: Path) -> None:
    """And training has all of it again."""
    pack = golden.pack("lora", source, replace(golden.PROTOCOL, train_rows=None), batch_size=128)
    where = Workspace(str(tmp_path / "study"), str(tmp_path / "cache"), device="cuda")
    assert list(knee.measured(pack, where, 2, part=1.0)[1]) == [1, 2]
    torch.cuda.empty_cache()
    assert knee.measured(pack, where, 2, part=0.0) == (Knee(1, ended=True), {})
    assert golden.losses(pack, tmp_path, "cuda")


@every_method
def test_an_epoch_waits_for_the_gpu_twice(
    method: str, source: BackboneSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the losses after its steps, and for the answers after the batches of its evaluation."""
    waits: list[int] = []

    def counted(part: Callable[[PackState], Any]) -> Callable[[PackState], Any]:
        def run(state: PackState) -> Any:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                torch.cuda.set_sync_debug_mode("warn")
                try:
                    return part(state)
                finally:
                    torch.cuda.set_sync_debug_mode("default")
                    waits.append(sum("synchronizing" in str(warning.message) for warning in caught))

        return run

    monkeypatch.setitem(training.EVALUATION_TOKENS, "cuda", 64)
    for name in ("_train_epoch", "_predict"):
        monkeypatch.setattr(training, name, counted(getattr(training, name)))
    golden.losses(golden.pack(method, source), tmp_path, "cuda")
    assert waits[2:] == [1, 1] * (golden.PROTOCOL.epochs - 1), "after the first epoch, which makes kernels"


def members(k: int, device: str) -> Members:
    """With tensors of three shapes, as LoRA and a head have them."""
    shapes = {"a": (3, 8, 16), "b": (3, 16, 8), "head.bias": (2,)}
    generator = torch.Generator().manual_seed(0)
    drawn = [{name: torch.randn(shape, generator=generator) for name, shape in shapes.items()} for _ in range(k)]
    return Members(drawn, [1e-3 * (i + 1) for i in range(k)], torch.device(device))


def updated(which: Members, steps: int) -> Members:
    for _ in range(steps):
        which.step(torch.stack([tensor.sin().sum() for tensor in which.stacked.values()]).sum())
    return which


@pytest.mark.parametrize("k", [1, 3])
def test_updates_on_the_gpu_equal_the_cpu(k: int) -> None:
    for member in range(k):
        ours, cpu = (updated(members(k, device), 5).tensors(member) for device in ("cuda", "cpu"))
        for name in cpu:
            torch.testing.assert_close(ours[name], cpu[name], rtol=1e-5, atol=1e-6)


def test_an_update_waits_for_nothing_and_its_launches_do_not_grow_with_the_pack() -> None:
    launches = []
    for k in (2, 16):
        pack = updated(members(k, "cuda"), 2)
        torch.cuda.set_sync_debug_mode("error")
        try:
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
                updated(pack, 1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        launches.append(sum("LaunchKernel" in event.name for event in profiled.events()))
    assert launches[0] == launches[1] > 0
