"""The file of inference times: what is written is read again, and what is damaged is refused with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.speed import COLUMNS, Measured, Point, Setup, SpeedFileError, line, read, read_setup, setup_path, setup_text

HEAD = ",".join(COLUMNS) + "\n"
GOOD = {
    "backbone": "roberta-base", "batch": "16", "length": "64", "method": "aot_fc", "variant": "fused", "tasks": "8",
    "rows": "host", "ratio": "1.01", "low": "1.00", "high": "1.02", "milliseconds": "812.5", "device": "CPU",
}  # fmt: skip


def written(folder: Path, **changes: str) -> Path:
    path = folder / "speed.csv"
    path.write_text(HEAD + ",".join({**GOOD, **changes}.values()) + "\n")
    return path


def test_the_columns_are_those_that_were_agreed() -> None:
    agreed = "backbone, batch, length, method, variant, tasks, rows, ratio, low, high, milliseconds, device"
    assert list(COLUMNS) == agreed.split(", ")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    points = [
        Measured(Point("a", 1, 64, "aot_fc", "fused", 8, "host"), 1.01234, 0.99, 1.5, 12.25, 'AMD "EPYC", 2 threads'),
        Measured(Point("a", 1, 64, "adapters", "", 1, ""), 1.25, 1.25, 1.25, 0.5, "CPU"),
    ]
    path = tmp_path / "speed.csv"
    path.write_text(HEAD + "".join(map(line, points)))
    assert read(path) == points


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": "0"}, "batch must be a whole number of at least 1, but is '0'"),
        ({"length": "6.5"}, "length must be a whole number"),
        ({"tasks": "-1"}, "tasks must be a whole number"),
        ({"variant": "merged"}, "variant must be empty or one of fused, unfused, but is 'merged'"),
        ({"rows": "disk"}, "rows must be empty or one of host, device, factors"),
        ({"variant": "unfused"}, "rows must be empty where the variant is not fused"),
        ({"ratio": "nan"}, "ratio must be a positive number, but is 'nan'"),
        ({"high": "inf"}, "high must be a positive number"),
        ({"milliseconds": "fast"}, "milliseconds must be a positive number"),
        ({"low": "1.015"}, "ratio must be between low and high, 1.015 and 1.02"),
        ({"method": " "}, "method must be named"),
        ({"device": "CPU,2"}, "a line has 12 values, but this one has 13"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(SpeedFileError) as refused:
        read(path)
    assert f"{path}, line 2: {said}" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "but has nothing"),
        ("a,b\n1,2\n", "must begin with the columns backbone,batch"),
        (HEAD + ",".join(GOOD.values()), "the last line of"),
        (HEAD + 2 * (",".join(GOOD.values()) + "\n"), "that of line 2 stands here again"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "speed.csv"
    path.write_text(text)
    with pytest.raises(SpeedFileError, match=said):
        read(path)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpeedFileError, match="cannot be read"):
        read(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpeedFileError, match="cannot be read"):
        read(tmp_path / "binary.csv")


def test_the_setup_stands_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert read_setup(path) is None
    setup = Setup({"device": "CPU", "evaluations": [300, 100]}, {"roberta-base": {"cache_bytes": 5}})
    setup_path(path).write_text(setup_text(setup))
    assert read_setup(path) == setup


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "settings": {}, "backbones": {}}', '{"format": 1}'])
def test_a_damaged_setup_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path)
    setup_path(path).write_text(text)
    with pytest.raises(SpeedFileError, match=r"speed\.json must say how speed\.csv was measured"):
        read_setup(path)
