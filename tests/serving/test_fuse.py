"""From a trial to an artifact: the same logits, written in pieces, whole or not at all, and no fuller than the disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.artifacts import batch_of, logits, of_head, own, trained

from serving import artifact, fuse
from serving.artifact import Artifact, ArtifactError
from trainables import backbones, methods
from trainables.backbones import Backbone, Seams
from trainables.methods import _rows

FAMILIES = list(backbones.families())
TEXTS = ("the dog ran", "a bird flew over the old house")
FUSABLE = [name for name in methods.names() if methods.get(name).fusable]

#: Merged weights are float32 sums. Rows of P are kept with 11 bits: of numbers of order 1, as they are here, that is
#: 5e-4 in a row, which three layers and a head of width 32 make larger.
FLOAT, HALF = 1e-5, 2e-3


def fused_logits(made: Artifact, backbone: Backbone, where) -> torch.Tensor:
    """What an artifact gives with nothing of its method left, ``(1, outputs)``."""
    batch = batch_of(where, backbone, TEXTS)
    tensors, rows, weights = made.tensors(), made.rows(), made.weights()
    if rows is not None:
        seams = Seams(before_layer=lambda layer, hidden: hidden + rows[batch.input_ids, layer].float())
    else:
        seams = Seams(weights=weights or own(tensors))
    with torch.no_grad():
        return of_head(backbone(batch, seams, first_only=True), tensors)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", FUSABLE)
def test_fused_equals_unfused(name: str, family: str, source, tmp_path: Path) -> None:
    where = source(family)
    trial, tensors, backbone = trained(name, "glue/rte", where)
    made = fuse.write(tmp_path / "one", trial, tensors, backbone, merge=True)
    fused, unfused = fused_logits(made, backbone, where), logits(trial, tensors, backbone, TEXTS)
    with torch.no_grad():
        plain = of_head(backbone(batch_of(where, backbone, TEXTS), Seams(), first_only=True), tensors)
    tolerance = FLOAT if made.rows() is None else HALF
    assert (unfused - plain).abs().max() > 10 * tolerance, "the method changes nothing"
    torch.testing.assert_close(fused, unfused, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", ["aot_fc", "aot_kronecker"])
def test_rows_are_those_of_training_rounded_once(name: str, source, tmp_path: Path) -> None:
    """Half of the last of 11 bits away from the float32 rows, so nothing but the rounding is lost."""
    where = source("roberta")
    trial, tensors, backbone = trained(name, "glue/rte", where)
    made = fuse.write(tmp_path / "one", trial, tensors, backbone)
    batch = batch_of(where, backbone, TEXTS)
    stacked = {key: value.unsqueeze(0) for key, value in own(tensors).items()}
    seams = made.method(backbone.spec).seams(stacked, backbone, batch)
    for layer in range(backbone.spec.layers):
        exact = seams.before_layer(layer, torch.zeros(*batch.input_ids.shape, backbone.spec.width))
        error = (made.rows()[batch.input_ids, layer].float() - exact).abs()
        assert (error <= exact.abs() * 2**-11 + 1e-6).all()


def test_rows_come_in_pieces(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, tensors, backbone = trained("aot_fc", "glue/rte", source("bert"))
    whole = fuse.write(tmp_path / "whole", trial, tensors, backbone).rows()
    monkeypatch.setattr(_rows, "CHUNK", 16)
    heard: list[tuple[int, int]] = []
    made = fuse.write(tmp_path / "pieces", trial, tensors, backbone, tell=lambda *told: heard.append(told))
    torch.testing.assert_close(made.rows(), whole, rtol=1e-3, atol=1e-5)  # the products of 16 rows round otherwise
    assert len(heard) >= backbone.spec.vocabulary // 16
    assert heard == sorted(heard)
    assert heard[-1][1] == made.bytes
    assert 0 <= made.bytes - heard[-1][0] < 4096, "all but a header was told"


def test_pieces_are_let_go(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than two pieces of P are alive at once: the one being written and the one being made."""
    trial, tensors, backbone = trained("aot_kronecker", "glue/rte", source("bert"))
    monkeypatch.setattr(_rows, "CHUNK", 8)
    alive, most, empty = [], 0, torch.empty

    class Counted:
        def __del__(self) -> None:
            alive.pop()

    def counting(*sizes: int, **options: object) -> torch.Tensor:
        nonlocal most
        made = empty(*sizes, **options)
        if options.get("dtype") is torch.float16:
            alive.append(1)
            made.counted = Counted()
            most = max(most, len(alive))
        return made

    monkeypatch.setattr(torch, "empty", counting)
    fuse.write(tmp_path / "one", trial, tensors, backbone)
    assert 1 <= most <= 2


def test_a_row_that_half_precision_cannot_hold(source, tmp_path: Path) -> None:
    trial, tensors, backbone = trained("aot_fc", "glue/rte", source("bert"))
    with pytest.raises(ValueError, match=r"rows of P must be finite in half precision"):
        fuse.write(tmp_path / "one", trial, {**tensors, "b_2": tensors["b_2"] + 1e6}, backbone)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_noticed_before(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, tensors, backbone = trained("aot_fc", "glue/rte", source("bert"))
    needed = fuse.write(tmp_path / "whole", trial, tensors, backbone).bytes
    before = set(tmp_path.rglob("*"))

    def free(number: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=number))

    free(needed + fuse._SPARE - 1)
    with pytest.raises(
        ArtifactError, match=rf"needs {needed + fuse._SPARE:,} bytes, but {tmp_path} has only [\d,]+ free"
    ):
        fuse.write(tmp_path / "deep" / "one", trial, tensors, backbone)
    assert set(tmp_path.rglob("*")) == before
    free(needed + fuse._SPARE)
    fuse.write(tmp_path / "deep" / "one", trial, tensors, backbone)


def test_a_failure_leaves_what_was_there(source, tmp_path: Path) -> None:
    trial, tensors, backbone = trained("aot_fc", "glue/rte", source("bert"))
    before = fuse.write(tmp_path / "one", trial, tensors, backbone)

    def failing(written: int, total: int) -> None:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fuse.write(tmp_path / "one", trial, tensors, backbone, tell=failing)
    assert artifact.load(tmp_path / "one") == before
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


KILLED = """
import os, signal, sys
from pathlib import Path
from helpers.artifacts import trained
from serving import fuse
from trainables import backbones

trial, tensors, backbone = trained("aot_fc", "glue/rte", backbones.resolve(sys.argv[1]))
fuse.write(Path(sys.argv[2]), trial, tensors, backbone, tell=lambda *told: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_killed_writer_leaves_nothing_that_looks_like_an_artifact(source, tmp_path: Path) -> None:
    where = source("bert")
    command = [sys.executable, "-c", KILLED, where.source, str(tmp_path / "one")]
    paths = os.pathsep.join([os.getcwd(), str(Path(__file__).parents[1])])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(tmp_path.iterdir()), "it was killed in the middle"
    with pytest.raises(ArtifactError, match="holds no artifact"):
        artifact.find(tmp_path)
    fuse.write(tmp_path / "one", *trained("aot_fc", "glue/rte", where))
    assert [path.name for path in tmp_path.iterdir()] == ["one"], "the next writer clears up"


@pytest.mark.parametrize("name", methods.names())
def test_whether_it_would_be_made_again(name: str, source, tmp_path: Path) -> None:
    trial, tensors, backbone = trained(name, "glue/rte", source("bert"))
    made = fuse.write(tmp_path / "one", trial, tensors, backbone)
    assert fuse.is_of(made, trial, tensors, merge=False)
    assert fuse.is_of(made, trial, tensors, merge=True) == (name not in ("lora", "bitfit", "ia3"))
    merged = fuse.write(tmp_path / "two", trial, tensors, backbone, merge=True)
    assert fuse.is_of(merged, trial, tensors, merge=True)
    other_weights = {**tensors, "head.bias": tensors["head.bias"] + 1}
    assert not fuse.is_of(made, trial, other_weights, merge=False)
    assert not fuse.is_of(made, trained(name, "glue/rte", source("bert"), seed=1)[0], tensors, merge=False)


def test_every_method_with_rows_gives_them_in_pieces(source) -> None:
    """Otherwise an artifact of it would have none."""
    for name in FUSABLE:
        trial, tensors, backbone = trained(name, "glue/rte", source("bert"))
        kind = methods.get(name)
        method = kind(kind.Config(**trial.method_config), backbone.spec)
        rows = method.fuse(own(tensors), backbone).rows
        assert (rows is not None) == hasattr(kind, "fused_rows")
        if rows is not None:
            pieces: Iterator[torch.Tensor] = method.fused_rows(own(tensors), backbone)
            assert torch.equal(torch.cat(list(pieces)), rows)
