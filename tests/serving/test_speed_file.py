"""A file of inference times that grows, is cut off, is continued, or must not be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common.speed import Measured, Point, SpeedFileError, read, read_setup
from serving.speed_file import opened

SETTINGS = {"precision": "float32", "evaluations": [300, 100], "cache_gb": None}
FIRST = Measured(Point("a", 1, 64, "lora", "unfused", 1, ""), 1.5, 1.4, 1.6, 12.0, "CPU")
SECOND = Measured(Point("a", 16, 64, "lora", "unfused", 1, ""), 1.2, 1.1, 1.3, 99.0, "CPU")


def say(words: str) -> None:
    SAID.append(words)


SAID: list[str] = []


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A file with one point."""
    SAID.clear()
    path = tmp_path / "speed.csv"
    with opened(path, "CPU", SETTINGS, say) as file:
        assert file.done == set()
        file.know("a", {"layers": 3, "bytes_per_task": {"lora-unfused": 10}})
        file.add(FIRST)
    return path


def test_points_are_kept_one_by_one_and_known_afterwards(begun: Path) -> None:
    with opened(begun, "CPU", SETTINGS, say) as file:
        assert file.done == {FIRST.point}
        file.add(SECOND)
        assert read(begun) == [FIRST, SECOND]  # on disk at once
        file.know("a", {"layers": 3, "bytes_per_task": {"adapters": 7}})
    setup = read_setup(begun)
    assert setup is not None
    assert setup.settings == {"device": "CPU", **SETTINGS}
    assert setup.backbones == {"a": {"layers": 3, "bytes_per_task": {"lora-unfused": 10, "adapters": 7}}}
    assert SAID == []


def test_a_line_that_was_cut_off_is_removed_and_measured_again(begun: Path) -> None:
    whole = begun.read_bytes()
    begun.write_bytes(whole + b"a,16,64,lora,unf")
    with opened(begun, "CPU", SETTINGS, say) as file:
        assert file.done == {FIRST.point}
        file.add(SECOND)
    assert read(begun) == [FIRST, SECOND]
    assert [f"the last line of {begun} was cut off while it was written; its point is measured again"] == SAID


def test_a_file_that_was_cut_off_in_its_head_begins_anew(begun: Path) -> None:
    begun.write_text("backbone,bat")
    with opened(begun, "CPU", SETTINGS, say) as file:
        assert file.done == set()
        file.add(SECOND)
    assert read(begun) == [SECOND]


@pytest.mark.parametrize(
    ("device", "settings", "said"),
    [
        ("GPU", SETTINGS, "was measured with device CPU, which cannot be mixed with GPU"),
        ("CPU", {**SETTINGS, "precision": "bfloat16"}, "with precision float32, which cannot be mixed with bfloat16"),
        ("CPU", {**SETTINGS, "cache_gb": 2.0}, "with cache_gb not set, which cannot be mixed with 2.0"),
        ("CPU", {**SETTINGS, "evaluations": [50, 50]}, r"evaluations \[300, 100\], which cannot be mixed"),
    ],
)
def test_another_device_or_other_settings_are_refused(begun: Path, device: str, settings: dict, said: str) -> None:
    before = begun.read_bytes()
    with pytest.raises(SpeedFileError, match=said), opened(begun, device, settings, say):
        pass
    assert begun.read_bytes() == before


def test_a_file_that_does_not_say_how_it_was_measured_is_not_continued(begun: Path) -> None:
    begun.with_suffix(".json").unlink()
    with pytest.raises(SpeedFileError, match=r"says how it was measured, but"), opened(begun, "CPU", SETTINGS, say):
        pass


@pytest.mark.parametrize("text", ["study,score\ns,1\n", "study,score\ns,1", "study"])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(SpeedFileError, match=r"runs\.csv"), opened(path, "CPU", SETTINGS, say):
        pass
    assert path.read_text() == text


def test_two_processes_do_not_write_at_once(begun: Path) -> None:
    script = f"""
from pathlib import Path
from serving.speed_file import opened
try:
    with opened(Path({str(begun)!r}), "CPU", {SETTINGS!r}, print):
        print("opened")
except ValueError as error:
    print(error)
"""
    ask = [sys.executable, "-c", script]
    root = Path(__file__).parents[2]
    with opened(begun, "CPU", SETTINGS, say):
        beside = subprocess.run(ask, cwd=root, capture_output=True, text=True, check=True)
    after = subprocess.run(ask, cwd=root, capture_output=True, text=True, check=True)
    assert "another aot speed writes to" in beside.stdout
    assert after.stdout == "opened\n"
