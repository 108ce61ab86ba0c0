"""``gpu: auto`` on real Ray nodes. Their GPU is a name alone: Ray places packs by it, and training falls to the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import films
from helpers.drivers import aot, assert_nothing_lost, count, hear, in_journal, start
from helpers.ray_nodes import HEAD_IP, Nodes
from helpers.stub_study import write_study

from search import study
from search.planning.plan import plan

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

AUTO = {"cpu": 1}  # and what a study leaves out


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """A head that trains nothing."""
    nodes = Nodes()
    try:
        nodes.start_head()
        yield nodes
    finally:
        nodes.stop()


def test_the_first_node_of_a_cluster_decides(cluster: Nodes, tmp_path: Path) -> None:
    """No worker is there yet; the one that comes has a GPU. The four trials are packed by its budget of tokens."""
    path = write_study(tmp_path, {"members": 3}, resources=AUTO)
    driver = start(path, address=f"{HEAD_IP}:{cluster.port}", environment=cluster.environment)
    try:
        said = hear(driver, "no node of the cluster has room for a pack (1 CPU) yet; the first one that has tells")
        cluster.start_workers(1, gpus=1)
        said += hear(driver, "1 GPU on the cluster: each pack takes one")
        said += driver.communicate(timeout=200)[1].splitlines()
    finally:
        driver.kill()
    assert driver.returncode == 0
    assert count(said, "a pack of 4 trials of minilm, demo/sentiment, bitfit is split in two and tried again") == 1
    assert_nothing_lost(path)


def test_training_falls_to_the_cpu_where_pytorch_finds_no_gpu(cluster: Nodes, tmp_path: Path) -> None:
    """Real training; trials are those of a plan without a GPU."""
    protocol = {"max_length": 16, "epochs": 1, "patience": 1}
    path = films.write_study(tmp_path, seeds=1, protocol=protocol, storage=str(tmp_path / "runs"))
    done = aot("run", path, "--address", f"{HEAD_IP}:{cluster.port}", environment=cluster.environment)
    assert done.returncode == 0, done.stderr
    assert "1 GPU on the cluster: each pack takes one" in done.stderr
    of = study.load(path)
    trained = in_journal(of)
    assert {trial.id for trial in plan(of).trials} == set(trained)
    assert {status for status, *_ in trained.values()} == {"finished"}
