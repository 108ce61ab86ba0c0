"""The command line: what it prints where, and its exit codes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.ports import free_port
from helpers.small_study import write_study
from helpers.stub_study import BACKBONE
from typer.testing import CliRunner

from search.cli import app

ROOT = Path(__file__).parents[3]
COMMANDS = (
    "plan", "run", "submit", "status", "logs", "stop", "list", "ui", "export", "replay", "report", "diff", "fuse",
    "tokens", "predict", "serve", "speed",
)  # fmt: skip

runner = CliRunner()


def run(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, stdout: Any = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    command = [sys.executable, "-m", "search.cli", *map(str, arguments)]
    variables = {**os.environ, **(environment or {})}
    return subprocess.run(
        command, cwd=ROOT, env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


# --- help and usage ---------------------------------------------------------------------------------------------------


def test_help_comes_at_once_and_without_the_heavy_libraries() -> None:
    heavy = "torch ray transformers mlflow pandas numpy optuna sqlalchemy huggingface_hub search.study analysis"
    code = (
        "import sys; from search.cli import app; early = {'pydantic'} & set(sys.modules)\n"  # Typer has it for options
        f"for command in ([], *([name] for name in {COMMANDS!r})):\n"
        "    app([*command, '--help'], standalone_mode=False)\n"
        f"print('held:', *early, *(set({heavy!r}.split()) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["held:"]


def test_a_command_ends_at_once() -> None:
    """Python looks through what is not frozen once more."""
    code = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "sys.argv = ['aot', '--version']; from search.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


def test_help_names_the_commands_that_there_are() -> None:
    done = runner.invoke(app, ["--help"])
    assert done.exit_code == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert {info.name or info.callback.__name__ for info in app.registered_commands if info.callback} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    done = runner.invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.stdout
    assert f"aot {command}" in done.stdout


@pytest.mark.parametrize("arguments", [["-h"], ["plan", "-h"], ["report", "-h"]])
def test_h_is_help(arguments: list[str]) -> None:
    done = runner.invoke(app, arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == runner.invoke(app, [*arguments[:-1], "--help"]).stdout


def test_the_version_names_the_commit() -> None:
    done = runner.invoke(app, ["--version"])
    assert done.exit_code == 0
    assert re.fullmatch(r"aot-search \S+( \([0-9a-f]{12}\))?, Python \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.cluster
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """By the script that the command prints; ``aot`` is this tree's."""
    script = run("--show-completion", "bash").stdout
    (tmp_path / "aot").write_text(f"#!/bin/sh\nexec {sys.executable} -m search.cli\n")
    (tmp_path / "aot").chmod(0o755)
    ask = "COMP_WORDS=(aot {0}); COMP_CWORD={1}; _aot_completion aot; echo ${{COMPREPLY[*]}}\n"
    lines = script + ask.format("re", 1) + ask.format("plan --ca", 2)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-c", lines]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("report replay\n--calibrate\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["plan"],
        ["plan", "x.yaml", "--jsn"],
        ["export", "x.yaml"],
        ["report"],
        ["report", "x.yaml", "--runs", "y.csv"],
        ["report", "x.yaml", "--estimator", "w"],
        ["ui", "x.yaml", "--tracking", "sqlite:///y.db"],
        ["ui", "--port", "0"],
        ["ui", "--tracking", "runs/mlflow.db"],
        ["--show-completion", "tcsh"],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr


@pytest.mark.parametrize("command", ["plan", "run", "export", "report", "ui"])
def test_a_malformed_study_exits_with_2_and_starts_nothing(tmp_path: Path, command: str) -> None:
    path = write_study(tmp_path, seeds=[1, 1], methods={"lora": {"rank": [0]}})
    out = ["--out", str(tmp_path / "runs.csv")] if command in ("export", "report") else []
    done = runner.invoke(app, [command, str(path), *out])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "2 problems" in done.stderr
    assert "methods.lora.rank[0] = 0 (line " in done.stderr
    assert "seeds[1] = 1 (line " in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


# --- terminals, pipes and full disks ----------------------------------------------------------------------------------


@pytest.mark.cluster
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path, option: list[str]) -> None:
    command = [sys.executable, "-m", "search.cli", "plan", str(write_study(tmp_path)), *option]
    plan = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert plan.stdout is not None
    assert plan.stderr is not None
    plan.stdout.close()
    assert "Traceback" not in plan.stderr.read()
    assert plan.wait(60) in (0, 1)


@pytest.mark.cluster
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_full_disk_is_told(tmp_path: Path, option: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = run("plan", write_study(tmp_path), *option, stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "the output cannot be written: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.cluster
def test_a_terminal_without_dashes_shows_something_else(tmp_path: Path) -> None:
    path = write_study(tmp_path, backbones=[{"source": BACKBONE, "name": "größe"}])
    done = run("plan", path, environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "gr??e" in done.stdout


def test_a_narrow_terminal_loses_no_column(tmp_path: Path) -> None:
    done = runner.invoke(app, ["plan", str(write_study(tmp_path))], env={"COLUMNS": "40", "TERM": "dumb"})
    assert "demo/sentiment" in done.stdout
    assert "bitfit" in done.stdout


# --- plan -------------------------------------------------------------------------------------------------------------


def test_run_tells_an_address_that_is_none_before_anything_is_started(tmp_path: Path) -> None:
    path = write_study(tmp_path, backbones=[BACKBONE])
    for address, words in (
        (f"127.0.0.1:{free_port()}", "cannot be reached: Connection refused; is its head node up?"),
        ("head", "--address must be auto, or HOST:PORT of the head node, but got 'head'"),
        ("ray://head:10001", "ray://head:10001 is an address of Ray Client"),
    ):
        done = runner.invoke(app, ["run", str(path), "--address", address])
        assert done.exit_code == 2, done.output
        assert words in done.stderr


# --- export and report ------------------------------------------------------------------------------------------------


def test_there_is_nothing_to_export_before_a_run(tmp_path: Path) -> None:
    done = runner.invoke(app, ["export", str(write_study(tmp_path)), "--out", str(tmp_path / "runs.csv")])
    assert done.exit_code == 2
    assert "run the study first" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize("command", ["export", "report"])
def test_out_is_where_something_can_be_written(tmp_path: Path, command: str) -> None:
    """Told before anything is read; nothing is made, also no folder on the way."""
    path = write_study(tmp_path)
    (tmp_path / "folder").mkdir()
    wrong = {
        tmp_path / "no" / "such" / "runs.csv": f"there is no {tmp_path}/no/such; make it with: mkdir -p",
        path / "runs.csv": f"but {path} is a file; name another place",
    }
    if command == "export":
        wrong[tmp_path / "folder"] = f"must be a file, but {tmp_path}/folder is a folder"
        wrong[tmp_path / "runs.txt"] = "must be a file that ends in .csv or .parquet"
    else:
        wrong[path] = f"must be a folder, but {path} is a file"
    before = sorted(tmp_path.rglob("*"))
    for out, words in wrong.items():
        done = runner.invoke(app, [command, str(path), "--out", str(out)])
        assert (done.exit_code, done.stdout) == (2, ""), done.output
        assert words in done.stderr
        assert done.stderr.startswith("--out must ")
    assert sorted(tmp_path.rglob("*")) == before


def runs_file(folder: Path) -> Path:
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "base", "task": f"glue/{task}", "method": method,
            "assignment_id": f"{method}{rank}", "trial_id": f"{task}{method}{rank}{seed}", "seed": seed,
            "status": "finished", "score": 60.0 + rank + seed, "best_epoch": 2, "epochs": 3,
            "trainable_parameters": 1000 * rank, "seconds": 1.5, "hp.rank": rank,
        }
        for task in ("rte", "cola") for method in ("lora", "aot_fc") for rank in (2, 4) for seed in (0, 1)
    ]  # fmt: skip
    path = folder / "runs.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_report_is_written_from_a_file_of_runs(tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = runner.invoke(app, ["report", "--runs", str(runs_file(tmp_path)), "--out", str(out), "--estimator", "u"])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(out / "report.html")
    assert (out / "report.md").is_file()
    results = pd.read_csv(out / "tables" / "results.csv")
    assert set(results["median"]) == {64.5}


def test_report_calls_methods_as_they_call_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is only in the file, and not in the folder of methods, is called after its id."""
    from trainables import methods

    folder = tmp_path / "more"
    folder.mkdir()
    lora = Path(methods.__path__[0], "lora.py").read_text(encoding="utf-8")
    (folder / "lora_twice.py").write_text(lora.replace('= "LoRA"', '= "LoRA, 2×"'), encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
    runs = runs_file(tmp_path)
    frame = pd.read_csv(runs)
    others = [frame.assign(method=name, trial_id=name + frame["trial_id"]) for name in ("lora_twice", "from_elsewhere")]
    pd.concat([frame, *(other[frame["method"] == "lora"] for other in others)]).to_csv(runs, index=False)
    done = runner.invoke(app, ["report", "--runs", str(runs), "--out", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report" / "report.md").read_text()
    assert "4 methods (LoRA, FC AoT P-Tuning, From Elsewhere and LoRA, 2×)" in page


def test_report_names_a_method_whose_file_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables import methods

    lora = Path(methods.__path__[0], "lora.py").read_text(encoding="utf-8")
    without = re.sub(r"    (sizes|fusable): .*\n", "", lora)
    (tmp_path / "lora_of_before.py").write_text(without, encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    done = runner.invoke(app, ["report", "--runs", str(runs_file(tmp_path)), "--out", str(tmp_path / "report")])
    assert done.exit_code == 2, done.output
    assert "lora_of_before.py: class LoRA must say its sizes, fusable" in done.stderr


def test_report_tells_what_is_wrong_with_the_runs(tmp_path: Path) -> None:
    path = runs_file(tmp_path)
    path.write_text(path.read_text().replace("finished", "done"))
    done = runner.invoke(app, ["report", "--runs", str(path), "--out", str(tmp_path / "report")])
    assert done.exit_code == 2
    assert "done" in done.stderr
    assert not (tmp_path / "report").exists()
