"""Files of inference times as a table: several devices, the forms that stand for a method, what cannot be joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis import timings
from common.speed import COLUMNS, Measured, Point, Setup, SpeedFileError, line, setup_text

ROW = ("host", "device", "factors")


def one(method: str, variant: str, rows: str, ratio: float, batch: int = 1, length: int = 64, **others) -> Measured:
    point = Point(others.get("backbone", "deberta-xl"), batch, length, method, variant, others.get("tasks", 1), rows)
    return Measured(point, ratio, ratio - 0.1, ratio + 0.1, 10.0 * ratio, others.get("device", "CPU"))


def write(path: Path, points: list[Measured], setup: Setup | None = None) -> Path:
    path.write_text(",".join(COLUMNS) + "\n" + "".join(map(line, points)))
    if setup is not None:
        path.with_suffix(".json").write_text(setup_text(setup))
    return path


def test_devices_are_kept_apart_and_named_with_their_precision(tmp_path: Path) -> None:
    half = Setup({"precision": "bfloat16"})
    paths = [
        write(tmp_path / "cpu.csv", [one("lora", "unfused", "", 1.5)]),
        write(tmp_path / "half.csv", [one("lora", "unfused", "", 1.3)], half),
        write(tmp_path / "gpu.csv", [one("lora", "unfused", "", 1.2, device="GPU")], Setup({"precision": "float32"})),
    ]
    found = timings.load(paths)
    assert found.devices == ["CPU", "CPU, bfloat16", "GPU, float32"]
    assert dict(zip(found.table["device"], found.table["ratio"], strict=True)) == {
        "CPU": 1.5, "CPU, bfloat16": 1.3, "GPU, float32": 1.2,
    }  # fmt: skip
    assert list(found.table.columns) == list(COLUMNS)
    assert found.setups == {"CPU, bfloat16": half, "GPU, float32": Setup({"precision": "float32"})}


def test_two_files_of_a_device_are_one_where_they_were_measured_alike(tmp_path: Path) -> None:
    a = Setup({"precision": "float32", "evaluations": [300, 100]}, {"deberta-xl": {"layers": 48}})
    b = Setup(a.settings, {"roberta-base": {"layers": 12}})
    first = write(tmp_path / "a.csv", [one("lora", "unfused", "", 1.5)], a)
    second = write(tmp_path / "b.csv", [one("lora", "unfused", "", 1.4, backbone="roberta-base")], b)
    found = timings.load([first, second])
    assert found.setups["CPU, float32"].backbones == {**a.backbones, **b.backbones}
    with pytest.raises(SpeedFileError, match=r"a\.csv and .*c\.csv have the same point of CPU, float32"):
        timings.load([first, write(tmp_path / "c.csv", [one("lora", "unfused", "", 1.5)], a)])
    other = Setup({"precision": "float32", "evaluations": [9, 9]})
    with pytest.raises(SpeedFileError, match=r"other settings .*evaluations: \[300, 100\], \[9, 9\]"):
        timings.load([first, write(tmp_path / "d.csv", [one("lora", "fused", "", 1.5)], other)])


def test_a_file_without_a_point_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpeedFileError, match="has no point yet; measure with: aot speed --out"):
        timings.load([write(tmp_path / "a.csv", [])])


def test_the_paper_s_points(tmp_path: Path) -> None:
    points = [one("aot_fc", "fused", rows, 1.0, tasks=t) for rows in ROW for t in (1, 8)]
    points += [one("lora", "unfused", "", 1.4, tasks=t) for t in (1, 8)]
    table = timings.load([write(tmp_path / "a.csv", points)]).table
    own = timings.as_in_the_paper(table)
    assert set(own[["method", "tasks", "rows"]].itertuples(index=False, name=None)) == {
        ("aot_fc", 1, "host"), ("lora", 1, ""),
    }  # fmt: skip
    assert set(timings.as_in_the_paper(table[table["rows"] != "host"])["rows"]) == {"device", ""}


def test_what_inference_takes_of_each_method(tmp_path: Path) -> None:
    """The form that serves most tasks, by the geometric mean over the sizes that all of these have."""
    points = [
        *(one("aot_fc", "fused", "host", ratio, batch) for batch, ratio in ((1, 1.0), (16, 1.21))),
        one("aot_fc", "unfused", "", 1.7),
        one("aot_fc", "fused", "device", 3.0),
        *(one("lora", "unfused", "", ratio, batch) for batch, ratio in ((1, 1.6), (16, 2.5), (64, 9.0))),
        one("lora", "fused", "", 1.0),
        *(one("fine_tuning", "", "", ratio, batch) for batch, ratio in ((1, 1.0), (16, 1.0))),
        *(one("adapters", "", "", 2.0, batch, device="other") for batch in (1, 16)),
    ]
    facts = {"deberta-xl": {"bytes_per_task": {"aot_fc-fused-host": 4e9, "lora-unfused": 3e6, "lora-fused": 1e9}}}
    found = timings.load([write(tmp_path / "a.csv", points, Setup({}, facts))])
    table = timings.costs(found, ["microsoft/deberta-xlarge", "roberta-base", "microsoft/deberta-xlarge"])
    assert set(table["backbone"]) == {"microsoft/deberta-xlarge"}
    told = table.set_index("method")
    assert told["slowdown"].to_dict() == pytest.approx({"aot_fc": 1.1, "lora": 2.0, "fine_tuning": 1.0})
    assert told["bytes_per_task"].dropna().to_dict() == {"aot_fc": 4e9, "lora": 3e6}


@pytest.mark.parametrize(
    ("one_name", "other", "same"),
    [
        ("roberta-base", "FacebookAI/roberta-base", True),
        ("deberta-xl", "deberta-xlarge", True),
        ("roberta-base", "roberta-large", False),
        ("minilm", "minilm", True),
        ("minilm", "tiny", False),
    ],
)
def test_a_backbone_is_known_however_it_is_spelled(one_name: str, other: str, same: bool) -> None:
    assert timings.same(one_name, other) is same


def test_a_backbone_that_was_not_timed_has_no_cost(tmp_path: Path) -> None:
    found = timings.load([write(tmp_path / "a.csv", [one("lora", "unfused", "", 1.5)])])
    assert timings.costs(found, ["roberta-base"]).empty
    assert np.isnan(timings.costs(found, ["deberta-xl"])["bytes_per_task"]).all()
