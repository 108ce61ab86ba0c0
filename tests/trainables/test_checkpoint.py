import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainables.checkpoint import Storage


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}")


def test_bytes_round_trip(storage: Storage) -> None:
    assert storage.read("a/b") is None
    assert not storage.exists("a/b")
    storage.write("a/b", b"one")
    storage.write("a/b", b"two")
    assert storage.read("a/b") == b"two"
    storage.delete("a/b")
    storage.delete("a/b")
    assert storage.read("a/b") is None


def test_tensors_round_trip_bit_for_bit(storage: Storage) -> None:
    tensors = {"x": torch.randn(3, 4), "step": torch.tensor(7.0), "half": torch.randn(2).bfloat16()}
    storage.write_tensors("c.safetensors", tensors, {"epoch": 3, "score": float("nan")})
    loaded, state = storage.read_tensors("c.safetensors") or ({}, {})
    assert state["epoch"] == 3
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[n], tensors[n]) and loaded[n].dtype == tensors[n].dtype for n in tensors)


@pytest.mark.parametrize("keep", [0, 4, 30, -1])
def test_a_truncated_file_is_reported_with_its_path(tmp_path: Path, keep: int) -> None:
    storage = Storage(str(tmp_path))
    storage.write_tensors("c.safetensors", {"x": torch.ones(100)}, {})
    path = tmp_path / "c.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"c\.safetensors is damaged.*delete it"):
        storage.read_tensors("c.safetensors")


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write("f", b"old")
    script = (
        "import os, sys\n"
        "from trainables.checkpoint import Storage\n"
        "os.fsync = lambda handle: os._exit(9)\n"  # the process dies after writing, before the file is put in place
        "Storage(sys.argv[1]).write('f', b'new')\n"
    )
    process = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)
    assert process.returncode == 9
    assert storage.read("f") == b"old"
