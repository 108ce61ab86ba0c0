"""``aot speed`` and ``aot report --speed``: options that take several values, and what is refused in a line."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer
from helpers.commands import refused
from helpers.families import save_tiny
from typer.testing import CliRunner

from common.speed import read
from search.cli import app

FILE = Path(__file__).parents[2] / "analysis" / "data" / "speed.csv"
runner = CliRunner()


def parsed(line: str) -> dict:
    """What ``aot speed`` makes of its words."""
    command = typer.main.get_command(app).commands["speed"]  # type: ignore[attr-defined]
    return command.make_context("speed", shlex.split(line)).params


def test_the_issue_s_command_line() -> None:
    line = "--backbone roberta-base --batch 1 16 --length 64 384 --methods aot_fc lora --evaluations 50 --out FILE.csv"
    found = parsed(line)
    assert found["backbone"] == ["roberta-base"]
    assert found["batch"] == [1, 16]
    assert found["length"] == [64, 384]
    assert found["methods"] == ["aot_fc", "lora"]
    assert found["evaluations"] == 50
    assert found["out"] == Path("FILE.csv")


@pytest.mark.parametrize(
    "line",
    [
        "--batch 1 --batch 16 --out a.csv",
        "--out a.csv --batch 1 16",
        "--batch=1 16 --out a.csv",
        "-o a.csv --batch 1 --batch=16",
    ],
)
def test_several_values_however_they_are_written(line: str) -> None:
    assert parsed(line)["batch"] == [1, 16]
    assert parsed(line)["out"] == Path("a.csv")


def test_bad_options_are_refused_in_a_line(tmp_path: Path) -> None:
    out = tmp_path / "speed.csv"
    assert "--evaluations must be at least 6" in refused("speed", "--evaluations", "5", "--out", out)
    assert "unknown method 'lorra'" in refused("speed", "--methods", "lora", "lorra", "--out", out)
    assert "--backbone takes roberta-base" in refused("speed", "--backbone", "bart-base", "--out", out)
    assert "must be a file that ends in .csv" in refused("speed", "--out", tmp_path / "speed.txt")
    assert "at most 512 tokens, but --length 600" in refused(
        "speed", "--length", "600", "--methods", "lora", "--out", out
    )
    assert runner.invoke(app, ["speed", "--batch", "1", "x", "--out", str(out)]).exit_code == 2
    assert runner.invoke(app, ["speed", "--quick", "16", "--out", str(out)]).exit_code == 2
    assert not out.exists()


def test_measure_and_draw(tmp_path: Path) -> None:
    backbone, out = save_tiny("bert", tmp_path / "tiny"), tmp_path / "speed.csv"
    words = [
        "speed",
        "--backbone",
        str(backbone),
        "--batch",
        "1",
        "2",
        "--length",
        "8",
        "--methods",
        "bitfit",
        "aot_fc",
    ]
    done = runner.invoke(app, [*words, "--tasks", "1", "--rows", "host", "--evaluations", "6", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert len(read(out)) == 8
    drawn = runner.invoke(app, ["report", "--speed", str(out), "--out", str(tmp_path / "report")])
    assert drawn.exit_code == 0, drawn.output
    page = Path(drawn.stdout.strip()).read_text()
    assert "tiny" in page
    assert "Figure 4 of the paper" in page


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "speed.csv"
    damaged.write_text(FILE.read_text() + "a,b\n")
    out = ("--out", tmp_path / "report")
    assert "line 106: a line has 12 values" in refused("report", "--speed", damaged, *out)
    assert "cannot be read" in refused("report", "--speed", tmp_path / "none.csv", *out)
    assert "is a report of trials" in refused("report", "--speed", FILE, "--only", "scale", *out)
    assert "--watch follows studies and runs" in refused("report", "--speed", FILE, "--watch", "5", *out)
    assert "give at least one STUDY, --runs FILE, --speed FILE or --tokens FILE" in refused("report", *out)
