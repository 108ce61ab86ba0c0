"""What nodes have room for, by hand."""

from __future__ import annotations

import pytest

from search._nodes import Node, gpus_found, room

HEAD, CPUS, GPU, FOUR = {"CPU": 0.0}, {"CPU": 8.0}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 4.0}
FEW_CORES = {"CPU": 1.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("nodes", "cpu", "gpu", "packs"),
    [
        ([HEAD, CPUS, GPU], 1, 0, 12),
        ([HEAD, CPUS, GPU], 1, 1, 1),
        ([FOUR], 1, 0.25, 8),
        ([FOUR], 3, 1, 2),
        ([{"CPU": 0.3}], 0.1, 0, 3),
        ([], 1, 0, 0),
    ],
)
def test_room(nodes: list[Node], cpu: float, gpu: float, packs: int) -> None:
    assert room(nodes, cpu, gpu) == packs


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([CPUS], "no GPU here: packs train on CPU cores"),
        ([GPU], "1 GPU here (NVIDIA X): each pack takes one"),
        ([HEAD, GPU, FOUR], "5 GPUs here (NVIDIA X): each pack takes one"),
        (
            [GPU, CPUS],
            "1 GPU here (NVIDIA X): each pack takes one; 1 node without one trains nothing "
            "(resources.gpu: 0 would use the CPUs of all)",
        ),
        ([FEW_CORES, CPUS], "8 GPUs here (NVIDIA X), but no node has 2 CPUs beside one: packs train on CPU cores"),
    ],
)
def test_what_auto_comes_to(nodes: list[Node], words: str) -> None:
    assert gpus_found(nodes, 2, "here", ["NVIDIA X"]) == words
