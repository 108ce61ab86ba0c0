"""Files that are written whole or not at all, with others who write the same one at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainables import whole_files
from trainables.checkpoint import Storage

ROOT = Path(__file__).parents[2]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_one_to_end_is_there(tmp_path: Path) -> None:
    """A writer that is at work keeps its half file while others begin, end and clean up."""
    file = tmp_path / "f"
    with whole_files.replacing(file) as slow:
        slow.write_bytes(b"half of")
        for content in (b"one", b"two"):
            with whole_files.replacing(file) as quick:
                quick.write_bytes(content)
            assert file.read_bytes() == content
        with open(slow, "ab") as rest:
            rest.write(b" it")
    assert file.read_bytes() == b"half of it"
    assert left_in(tmp_path) == ["f"]


WRITER = """
import sys, time
from pathlib import Path
from trainables import whole_files
with whole_files.replacing(Path(sys.argv[1])) as new:
    new.write_bytes(b"of another process")
    print("begun", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["goes on", "is killed"])
def test_a_writer_in_another_process(end: str, tmp_path: Path) -> None:
    """While it lives its half file stays; when it is dead, the next writer removes it."""
    file = tmp_path / "f"
    other = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "begun\n"
    if end == "is killed":
        other.kill()
        other.wait()
    Storage(str(tmp_path)).write("f", b"ours")
    assert file.read_bytes() == b"ours"
    assert len(left_in(tmp_path)) == (1 if end == "is killed" else 2)
    if end == "goes on":
        other.communicate("\n", timeout=60)
        assert other.returncode == 0
        assert file.read_bytes() == b"of another process"
    assert left_in(tmp_path) == ["f"]


def test_what_a_writer_on_another_host_leaves_is_swept_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether that one is alive cannot be told from here on every file system."""
    storage, original = Storage(str(tmp_path)), whole_files.socket.gethostname
    monkeypatch.setattr(whole_files.socket, "gethostname", lambda: "elsewhere")
    elsewhere = whole_files.replacing(tmp_path / "a" / "f")
    elsewhere.__enter__().write_bytes(b"half")
    monkeypatch.setattr(whole_files.socket, "gethostname", original)
    storage.write("a/f", b"whole")
    assert len(left_in(tmp_path / "a")) == 2
    assert storage.names("a") == ["a/f"], "half of a file is none"
    storage.sweep("a")
    assert left_in(tmp_path / "a") == ["f"]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    def fail(new: Path) -> None:
        new.write_bytes(b"half")
        raise ValueError("on the way")

    Storage(str(tmp_path)).write("f", b"old")
    with pytest.raises(ValueError, match="on the way"), whole_files.replacing(tmp_path / "f") as new:
        fail(new)
    assert (tmp_path / "f").read_bytes() == b"old"
    assert left_in(tmp_path) == ["f"]


SAVE = """
import resource, sys
import safetensors.torch, torch
from trainables.checkpoint import Storage
tensors = {"x": torch.ones(50_000_000)}
Storage(sys.argv[1]).write_tensors("small", {"x": torch.ones(1)}, {})
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
Storage(sys.argv[1]).write_tensors("large", tensors, {"epoch": 1})
"""


def test_large_tensors_are_written_without_a_copy_in_memory(tmp_path: Path) -> None:
    """200 MB of them, in a process that may take 100 MB more."""
    subprocess.run([sys.executable, "-c", SAVE, str(tmp_path)], cwd=ROOT, check=True, timeout=120)
    tensors, state = Storage(str(tmp_path)).read_tensors("large") or ({}, None)
    assert (len(tensors["x"]), state) == (50_000_000, {"epoch": 1})
