"""Workers, nodes, disks and checkpoints that fail while packs are trained: the same tables, the same weights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from helpers.drivers import Row, assert_nothing_lost, count, in_journal, in_mlflow, lines, ray_address, start
from helpers.ray_nodes import HEAD_IP, Nodes
from helpers.servers import until
from helpers.short_of_memory import noted
from helpers.stub_study import wish, write_study

from search import study
from search.planning.plan import plan
from search.tune import tuner
from search.tune.view import View
from trainables import training
from trainables.checkpoint import Storage
from trainables.trial import Pack

pytestmark = [pytest.mark.timeout(900), pytest.mark.cluster]


def write_real(folder: Path) -> Path:
    """A study for the real loop: three methods, seconds each."""
    folder.mkdir(exist_ok=True)
    return write_study(
        folder,
        methods={"lora": {"rank": 4}, "bitfit": {}, "aot_kronecker": {"rank": 4, "dropout": 0.1}},
        defaults={"learning_rate": 5e-3, "batch_size": 8},
        seeds=[0],
        resources={"cpu": 1, "concurrent_packs": 1, "pack_tokens": 0},
        protocol={"epochs": 4, "patience": 4, "max_length": 32, "train_rows": 32, "dev_rows": 24, "dropout": 0.1},
    )


def run(path: Path, capfd: pytest.CaptureFixture[str]) -> tuple[tuner.Outcome, list[str]]:
    """The study with the real loop, which leaves a checkpoint after each step; what it said on standard error."""
    capfd.readouterr()
    outcome = tuner.run(study.load(path), view=View(), train="helpers.every_step")
    return outcome, capfd.readouterr().err.splitlines()


def weights(path: Path) -> dict[str, bytes]:
    """The files of the best weights, and of the answers on dev that go with them."""
    folders = [path.parent / "runs" / "stub" / kept for kept in ("weights", "predictions")]
    return {file.name: file.read_bytes() for folder in folders for file in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, ray_two_cpus: None
) -> tuple[dict[str, Row], dict[str, bytes]]:
    """The table and the weights of the real study to which nothing happens."""
    path = write_real(tmp_path_factory.mktemp("undisturbed"))
    assert tuner.run(study.load(path), view=View()) == tuner.Outcome(finished=3)
    return in_journal(study.load(path)), weights(path)


def packs(path: Path) -> list[Pack]:
    return list(plan(study.load(path)).packs)


def checkpoint(path: Path, pack: Pack) -> Path:
    return path.parent / "runs" / "stub" / "checkpoints" / f"{pack.group}.safetensors"


def begin(path: Path, pack: Pack, epochs: int) -> None:
    """Train a pack for some epochs and leave it."""
    of = study.load(path)
    workspace = training.Workspace(of.folder, str(path.parent / "runs" / "cache"), threads=1)
    for progress in training.train(pack, workspace):
        if progress.epoch == epochs:
            return


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_worker_is_killed_in_the_middle_of_an_epoch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], undisturbed: tuple[dict[str, Row], dict[str, bytes]]
) -> None:
    path = write_real(tmp_path)
    victim = packs(path)[0]

    def kill() -> None:
        """Whoever trains the first pack, when its first steps are done."""
        until(checkpoint(path, victim).exists)
        workers = [p for p in psutil.Process().children(recursive=True) if "Trainable." in " ".join(p.cmdline())]
        max(workers, key=psutil.Process.create_time).kill()  # those of an earlier run may linger

    killer = threading.Thread(target=kill)
    killer.start()
    outcome, said = run(path, capfd)
    killer.join()
    assert outcome == tuner.Outcome(finished=3)
    assert count(said, "a worker died; a pack of 1 trial of minilm, demo/sentiment, ", " goes on from the last") == 1
    assert (in_journal(study.load(path)), weights(path)) == undisturbed
    assert in_mlflow(study.load(path)) == undisturbed[0]


@pytest.mark.usefixtures("ray_two_cpus")
def test_checkpoints_that_are_damaged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], undisturbed: tuple[dict[str, Row], dict[str, bytes]]
) -> None:
    """Cut off, emptied, overwritten: set aside, and the pack starts afresh."""
    path = write_real(tmp_path)
    damages = (lambda content: content[:-1_000], lambda content: b"", lambda content: b"garbage" * 1_000)
    for pack, damage in zip(packs(path), damages, strict=True):
        begin(path, pack, 2)
        file = checkpoint(path, pack)
        file.write_bytes(damage(file.read_bytes()))
    outcome, said = run(path, capfd)
    assert outcome == tuner.Outcome(finished=3)
    for pack in packs(path):
        file = checkpoint(path, pack)
        assert Path(f"{file}.damaged").exists()
        assert count(said, f"checkpoint set aside as {file}.damaged, the pack starts afresh: {file} is damaged (") == 1
    assert (in_journal(study.load(path)), weights(path)) == undisturbed


@pytest.mark.usefixtures("ray_two_cpus")
def test_packs_that_do_not_fit_into_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two run out of it together, then one of them alone; its halves go on from where it was, the others are halved
    before they begin, also later."""
    grid = {
        "methods": {"lora": {"rank": 4}},
        "defaults": {"learning_rate": [1e-3, 5e-3], "batch_size": 8},
        "protocol": {"epochs": 3, "patience": 3, "max_length": 32, "train_rows": 32, "dev_rows": 24, "dropout": 0.1},
        "resources": {"cpu": 2, "pack_tokens": 4 * 8 * 32},  # one place: the second pack waits in Tune
    }
    whole, short = tmp_path / "whole", tmp_path / "short"
    for folder in (whole, short):
        folder.mkdir()
        write_study(folder, seeds=list(range(4)), **grid)
    path, storage = short / "study.yaml", short / "runs" / "stub"
    assert [len(pack.trials) for pack in packs(path)] == [4, 4]
    assert tuner.run(study.load(whole / "study.yaml"), view=View()) == tuner.Outcome(finished=8)

    capfd.readouterr()
    outcome = tuner.run(study.load(path), view=View(), train="helpers.short_of_memory")
    said = capfd.readouterr().err.splitlines()
    assert outcome == tuner.Outcome(finished=8)
    assert count(said, "a pack of 4 trials of ", " is split in two and tried again: ", "CUDA out of memory") == 1
    words = (
        "a pack of 4 trials of .* and a pack of 4 trials of .*, trained together, are tried again one by one: .*CUDA"
    )
    assert sum(bool(re.search(words, line)) for line in said) == 1
    assert sorted(noted(storage, "begun")) == [*["2"] * 4, *["4"] * 3]
    trained = noted(storage, "trained")
    assert len(trained) == len(set(trained)) == 8 * 3, "no epoch is trained twice"
    assert in_journal(study.load(path)) == in_journal(study.load(whole / "study.yaml"))
    assert not list((storage / "checkpoints").iterdir())

    write_study(short, seeds=list(range(6)), **grid)
    outcome = tuner.run(study.load(path), view=View(), train="helpers.short_of_memory")
    said = capfd.readouterr().err.splitlines()
    assert outcome == tuner.Outcome(finished=4, skipped=8)
    assert noted(storage, "begun")[7:] == ["2"] * 2
    assert count(said, "is split, 2 at most, as larger ones did not fit into memory before") == 1


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[None]:
    """A file system of its own of that size in ``folder``."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", folder], check=False)
    if made.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), open(file, "wb", buffering=0) as other:
        while True:
            other.write(bytes(1024))


@pytest.mark.usefixtures("ray_two_cpus")
def test_the_disk_is_full_when_a_checkpoint_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], undisturbed: tuple[dict[str, Row], dict[str, bytes]]
) -> None:
    path = write_real(tmp_path)
    pack = next(p for p in packs(path) if p.trials[0].method == "lora")
    begin(path, pack, 1)
    file = checkpoint(path, pack)
    contents = {other: other.read_bytes() for other in file.parent.iterdir()}  # with the best weights
    room = sum(map(len, contents.values())) + len(contents[file]) // 2  # for the old one, not for a new one beside it
    with small_disk(file.parent, room // 1024):
        for other, content in contents.items():
            other.write_bytes(content)
        outcome, said = run(path, capfd)
        assert outcome.failed >= 1
        words = f"OSError: no space left for {file}; make room, then start again"
        assert count(said, "failed: minilm · demo/sentiment · lora", pack.trials[0].id, words) == 1
        assert [p.name for p in file.parent.glob(f"{file.stem}*") if "-best-" not in p.name] == [file.name]
        tensors, state = Storage(str(file.parent)).read_tensors(file.name) or ({}, {})
        assert tensors
        assert (state["epoch"], state["step"]) == (1, 0), "the checkpoint of before is whole"

        subprocess.run(["mount", "-o", "remount,size=64m", file.parent], check=True)
        again, _ = run(path, capfd)
    assert again == tuner.Outcome(finished=outcome.failed, skipped=3 - outcome.failed)
    assert in_mlflow(study.load(path)) == undisturbed[0]
    assert weights(path) == undisturbed[1]


@pytest.mark.usefixtures("ray_two_cpus")
def test_the_disk_is_full_when_a_result_is_written_down(tmp_path: Path) -> None:
    with small_disk(tmp_path / "runs", 6_000):
        path = write_study(tmp_path, {"seconds": 1.0}, seeds=list(range(8)))
        (tmp_path / "runs" / "stub" / "checkpoints").rmdir()  # the stub then writes none
        driver = start(path, address=ray_address())
        try:
            until(lambda: lines(path) >= 1)
            fill(tmp_path / "runs" / "other")
            said = driver.communicate(timeout=300)[1].splitlines()
        finally:
            driver.kill()
        assert driver.returncode == 2
        assert count(said, "results cannot be written down: ", "No space left on device", "; make room") == 1
        (tmp_path / "runs" / "other").unlink()
        wish(tmp_path, "stub", {})
        tuner.run(study.load(path), view=View(), train="helpers.stub_training")
        assert_nothing_lost(path)


def test_a_node_is_removed(tmp_path: Path) -> None:
    """Two nodes with a worker each; one is gone, its pack goes on with the other."""
    path = write_study(tmp_path, {"seconds": 0.5}, seeds=list(range(4)))
    nodes = Nodes()
    try:
        nodes.start_head()
        nodes.start_workers(2)
        driver = start(path, address=f"{HEAD_IP}:{nodes.port}", environment=nodes.environment)
        checkpoints = tmp_path / "runs" / "stub" / "checkpoints"
        try:
            until(lambda: lines(path) >= 1 and len(list(checkpoints.iterdir())) == 2)  # a pack on each
            nodes.kill("worker1")
            output, errors = driver.communicate(timeout=300)
        finally:
            driver.kill()
    finally:
        nodes.stop()
    assert driver.returncode == 0
    assert json.loads(output)["finished"] == 8, "what Ray itself says of the node is in its log"
    words = ("a worker died; a pack of 1 trial of minilm, demo/sentiment, bitfit goes on from the last checkpoint",)
    assert count(errors.splitlines(), *words) == 1
    assert_nothing_lost(path)
