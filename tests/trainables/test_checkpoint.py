import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
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


def test_names_are_those_of_one_folder(storage: Storage) -> None:
    assert storage.names("a") == []
    for name in ("a/c", "a/b", "b/a"):
        storage.write(name, b"")
    assert storage.names("a") == ["a/b", "a/c"]
    storage.delete("a/b")
    assert storage.names("a") == ["a/c"]


def test_tensors_round_trip_bit_for_bit(storage: Storage) -> None:
    tensors = {"x": torch.randn(3, 4), "step": torch.tensor(7.0), "half": torch.randn(2).bfloat16()}
    storage.write_tensors("c.safetensors", tensors, {"epoch": 3, "score": float("nan")})
    loaded, state = storage.read_tensors("c.safetensors") or ({}, {})
    assert state["epoch"] == 3
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[n], tensors[n]) and loaded[n].dtype == tensors[n].dtype for n in tensors)


DAMAGES = {
    "nothing": lambda content: b"",
    "a few bytes": lambda content: content[:4],
    "half a header": lambda content: content[:30],
    "all but a byte": lambda content: content[:-1],
    "garbage": lambda content: bytes(range(256)) * 4,
    "zeros": lambda content: bytes(len(content)),
    "another byte in a tensor": lambda content: content[:-50] + b"\x01" + content[-49:],
    "another number in the state": lambda content: content.replace(b"1234", b"1235"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_reported_with_its_path(storage: Storage, damage: str) -> None:
    tensors = {"x": torch.ones(100), "none": torch.ones(0), "one": torch.tensor(1.0)}
    storage.write_tensors("c.safetensors", tensors, {"score": 1234})
    storage.write("c.safetensors", DAMAGES[damage](storage.read("c.safetensors")))
    with pytest.raises(ValueError, match=r"/c\.safetensors is damaged \("):
        storage.read_tensors("c.safetensors")
    aside = storage.set_aside("c.safetensors")
    assert aside.endswith("/c.safetensors.damaged")
    assert storage.read_tensors("c.safetensors") is None
    assert storage.exists("c.safetensors.damaged")


def test_equal_contents_are_equal_files(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    for name in map(str, range(20)):
        storage.write_tensors(name, {"x": torch.ones(3), "y": torch.zeros(2)}, {"b": 1, "a": [2]})
    assert len({storage.read(str(i)) for i in range(20)}) == 1


def test_a_file_without_a_checksum_is_read(tmp_path: Path) -> None:
    content = safetensors.torch.save({"x": torch.ones(2)}, metadata={"state": "7"})
    Storage(str(tmp_path)).write("old.safetensors", content)
    loaded, state = Storage(str(tmp_path)).read_tensors("old.safetensors") or ({}, None)
    assert (loaded["x"].tolist(), state) == ([1, 1], 7)


def test_what_cannot_be_written_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"^\S+/file/x/\.writable cannot be written \(.+\)$"):
        Storage(str(tmp_path / "file" / "x")).check()
    with pytest.raises(OSError, match=r"^the storage nowhere://\*\*\*@host/x cannot be used: Protocol not known"):
        Storage("nowhere://user:secret@host/x").check()
    Storage(str(tmp_path / "new")).check()
    assert not list((tmp_path / "new").iterdir()), "a check leaves nothing behind"


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
    storage.write("other", b"")
    assert len(list(tmp_path.iterdir())) == 3, "half a file is there, and nobody knows whether its writer is alive"
    storage.write("f", b"newer")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "other"], "until the next one of its name is whole"


class TestAStoreThatIsAwayForAWhile:
    """A remote store whose client fails a few times; what it raises is its own."""

    @pytest.fixture
    def failing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
        from fsspec.implementations.memory import MemoryFileSystem

        from trainables import checkpoint

        monkeypatch.setattr(checkpoint, "RETRY_SECONDS", (0.0, 0.0, 0.0))

        def fail(method: str, times: int, error: Exception) -> list[str]:
            calls: list[str] = []
            real = getattr(MemoryFileSystem, method)

            def attempt(self: MemoryFileSystem, path: str, *arguments: object, **named: object) -> object:
                calls.append(path)
                if len(calls) <= times:
                    raise error
                return real(self, path, *arguments, **named)

            monkeypatch.setattr(MemoryFileSystem, method, attempt)
            return calls

        return fail

    def test_it_is_waited_for(self, failing: Callable[..., list[str]], caplog: pytest.LogCaptureFixture) -> None:
        store = Storage("memory://away")
        calls = failing("pipe_file", 2, RuntimeError("connection refused"))
        store.write("a", b"one")
        assert len(calls) == 3
        failing("cat_file", 1, RuntimeError("connection refused"))
        assert store.read("a") == b"one"
        assert "memory://away does not answer (connection refused); trying again in 0 s" in caplog.text

    def test_not_for_ever(self, failing: Callable[..., list[str]]) -> None:
        calls = failing("pipe_file", 99, RuntimeError("connection refused"))
        with pytest.raises(OSError, match=r"memory://away/a cannot be written \(connection refused\)"):
            Storage("memory://away").write("a", b"one")
        assert len(calls) == 4

    def test_a_rule_of_the_store_is_no_reason_to_wait(self, failing: Callable[..., list[str]]) -> None:
        calls = failing("pipe_file", 99, PermissionError("not yours"))
        with pytest.raises(OSError, match="check the credentials"):
            Storage("memory://away").write("a", b"one")
        assert len(calls) == 1

    def test_before_a_search_nobody_waits(self, failing: Callable[..., list[str]]) -> None:
        calls = failing("pipe_file", 99, RuntimeError("connection refused"))
        with pytest.raises(OSError, match="connection refused"):
            Storage("memory://away").check()
        assert len(calls) == 1
