"""``aot report`` of several studies and files, in parts and while a search runs; ``aot diff``."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.commands import refused
from helpers.stored import journal_of, write_down
from helpers.stub_study import write_study
from typer.testing import CliRunner

from analysis import reports
from search import study
from search.cli import app, reporting
from search.planning.plan import plan
from search.study import Study

runner = CliRunner()
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("AOT_DATA_DIR", raising=False)


def aot(*arguments: str | Path) -> tuple[str, str]:
    """What a command that succeeds prints: stdout and stderr."""
    done = runner.invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def trained(folder: Path, **changes: Any) -> Study:
    """A study in a folder of its own, of which every trial is done."""
    folder.mkdir()
    of = study.load(write_study(folder, None, **changes))
    write_down(of, plan(of).trials)
    return of


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Study a: BitFit, 4 trials. Study b: BitFit at a rate that a has and at one that it has not, and LoRA."""
    trained(tmp_path / "a", study="a")
    rates = {"learning_rate": [2e-3, 3e-3], "batch_size": [16]}
    trained(tmp_path / "b", study="b", methods={"bitfit": {}, "lora": {"rank": 2}}, defaults=rates)
    return tmp_path


def results(folder: Path) -> dict[str, int]:
    """Assignments by method in a report's results."""
    return pd.read_csv(folder / "tables/results.csv").set_index("method")["n_assignments"].to_dict()


def test_two_studies_are_one_report(two: Path) -> None:
    """Both have BitFit at 2e-3, whose two trials count once: 3 assignments, and 4 + 8 - 2 trials planned."""
    stdout, told = aot("report", two / "a/study.yaml", two / "b/study.yaml", "--out", two / "report")
    assert stdout.strip() == str(two / "report/report.html")
    assert "All 10 trials of the study have a result: 10 finished." in (two / "report/report.md").read_text() + told
    assert results(two / "report") == {"bitfit": 3, "lora": 2}
    coverage = pd.read_csv(two / "report/tables/coverage.csv").set_index("method")
    assert coverage.loc["bitfit", ["planned", "finished", "assignments", "complete"]].tolist() == [6, 6, 3, 3]


def test_studies_and_files_in_any_mixture_give_the_same_numbers(two: Path) -> None:
    for name in "ab":
        aot("export", two / name / "study.yaml", "--out", two / f"{name}.csv")
    aot("report", two / "a/study.yaml", two / "b/study.yaml", "--out", two / "studies")
    aot("report", "--runs", two / "a.csv", "--runs", two / "b.csv", "--out", two / "files")
    aot("report", two / "a/study.yaml", "--runs", two / "b.csv", "--out", two / "both")
    for name in ("results", "macro"):
        expected = (two / f"studies/tables/{name}.csv").read_bytes()
        assert (two / f"files/tables/{name}.csv").read_bytes() == expected
        assert (two / f"both/tables/{name}.csv").read_bytes() == expected
    for name in ("studies", "files", "both"):
        assert "10 trials of the study have a result: 10 finished" in (two / name / "report.md").read_text()


def test_a_study_named_twice_is_one(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = two / "a/study.yaml"
    data = path.read_text()
    path.write_text(data.replace("- 1\n", "- 1\n- 2\n"))
    monkeypatch.chdir(two)
    _, told = aot("report", path, "a/study.yaml", "--out", two / "report")
    assert "The study is 66 % trained: of 6 trials 4 finished, 2 not run yet." in told


def test_a_study_that_has_not_begun_is_counted_beside_one_that_has(two: Path) -> None:
    (two / "c").mkdir()
    path = write_study(two / "c", None, study="c", methods={"lora": {"rank": 4}})
    _, told = aot("report", two / "a/study.yaml", path, "--out", two / "report")
    assert "The study is 50 % trained: of 8 trials 4 finished, 4 not run yet." in told
    assert "c: no trial of it has a result yet." in (two / "report/report.md").read_text()
    assert "run the study first" in refused("report", path, "--out", two / "other")


def test_a_cell_under_two_protocols_is_refused(two: Path) -> None:
    of = trained(two / "long", study="long", protocol={"epochs": 9, "patience": 2, "max_length": 32})
    told = refused("report", two / "a/study.yaml", two / "long/study.yaml", "--out", two / "report")
    assert "cell demo × minilm × demo/sentiment × bitfit is in" in told
    assert "which differ in max_epochs (6 and 9)" in told
    assert "report them apart" in told
    assert not (two / "report").exists()
    assert of.name == "long"


def test_what_the_report_holds_is_listed() -> None:
    stdout, _ = aot("report", "--list")
    for name in reports.names():
        assert f" {name} " in stdout
    for name in ("table-2", "table-4", "table-6", "figure-1", "figure-3", "figure-5", "figure-8"):
        assert name in stdout


@pytest.mark.parametrize("name", ["table-2", "Table 2", "tab. 3", "results", "TABLE2"])
def test_a_part_is_found_by_its_name_and_by_the_papers(two: Path, name: str) -> None:
    aot("report", two / "a/study.yaml", "--only", name, "--only", "fig. 1", "--out", two / "report")
    assert (two / "report/tables/results.csv").is_file()
    assert (two / "report/tables/scale.csv").is_file()
    assert not (two / "report/tables/coverage.csv").exists()


def test_an_unknown_part_is_told_with_the_known_ones(two: Path) -> None:
    told = refused("report", two / "a/study.yaml", "--only", "table-12", "--out", two / "report")
    assert "unknown report 'table-12'; known: coverage, results" in told
    assert "of the paper: table-2, table-3, table-4, table-5, table-6, table-7" in told


def test_the_page_says_what_makes_it_again(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    written = reporting._write

    def remembered(asked: Any, names: Any, runs: Any) -> Path:
        seen.append(asked.options(runs))
        return written(asked, names, runs)

    monkeypatch.setattr(reporting, "_write", remembered)
    paths = (two / "a/study.yaml", two / "b/study.yaml")
    words = ["report", *map(str, paths), "--out", str(two / "my report"), "--against", "LoRA:BitFit", 
             "--margin", "0.5", "--price", "2.5", "--estimator", "v", "--tracking-url",
             "https://me:secret@host/#/experiments/3"]  # fmt: skip
    aot(*words)
    (options,) = seen
    assert (options.against, options.margin, options.price, options.estimator) == ("lora:bitfit", 0.5, 2.5, "v")
    assert options.tracking == "https://host/#/experiments/3"
    assert set(options.studies) == {"a", "b"}
    assert "study: a" in options.studies["a"]
    assert shlex.split(options.command) == ["aot", *words[:-1], "https://host/#/experiments/3"]


def test_against_names_what_the_runs_have(two: Path) -> None:
    path = two / "a/study.yaml"
    assert "known: bitfit" in refused("report", path, "--against", "prefix", "--out", two / "report")
    assert "compared with itself" in refused("report", path, "--against", "bitfit:BitFit", "--out", two / "report")
    assert "must be an address" in refused("report", path, "--tracking-url", "sqlite:///runs/mlflow.db")
    assert "give at least one STUDY, --runs FILE, --speed FILE or --tokens FILE" in refused("report")
    runs = two / "runs.csv"
    runs.touch()
    assert f"report it with: aot report --runs {runs}" in refused("report", runs, "--out", two / "other")
    assert "runs.csv is a file" in refused("report", path, "--predictions", runs, "--out", two / "other")
    for option in ("--margin", "--price", "--watch"):
        assert f"Invalid value for '{option}'" in refused("report", path, option, "inf", "--out", two / "other")


def waited(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@pytest.mark.cluster
def test_watching_a_search(tmp_path: Path) -> None:
    """It waits for the first trial, makes a report for each change and none without, and ends whole by Ctrl-C."""
    of = study.load(write_study(tmp_path, None))
    out, log = tmp_path / "report", tmp_path / "words"
    command = [sys.executable, "-m", "search.cli", "report", str(tmp_path / "study.yaml"), "--out", str(out)]
    with log.open("w") as words:
        watcher = subprocess.Popen(
            [*command, "--watch", "0.2"], cwd=ROOT, stderr=words, stdout=subprocess.PIPE, text=True
        )
    try:
        waited(lambda: "no trial has a result yet" in log.read_text())
        first, *others = plan(of).trials
        write_down(of, [first])
        waited(lambda: "1 trial (+1), written in" in log.read_text())
        journal = journal_of(of)
        os.utime(journal, ns=(1, 1))  # looked at again, and nothing is new
        write_down(of, others)
        waited(lambda: "4 trials (+3), written in" in log.read_text())
        watcher.send_signal(signal.SIGINT)
        stdout, _ = watcher.communicate(timeout=60)
    finally:
        watcher.kill()
    assert watcher.returncode == 130
    assert stdout.strip() == str(out / "report.html")
    assert log.read_text().count("written in") == 2
    assert "the last report is whole" in log.read_text()
    assert pd.read_csv(out / "tables/results.csv")["n_assignments"].tolist() == [2]
    assert "</html>" in (out / "report.html").read_text()


def test_ctrl_c_while_a_report_is_written_leaves_it_whole(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = reporting._write

    def interrupted(asked: Any, names: Any, runs: Any) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return written(asked, names, runs)

    monkeypatch.setattr(reporting, "_write", interrupted)
    done = runner.invoke(app, ["report", str(two / "a/study.yaml"), "--out", str(two / "report"), "--watch", "1"])
    assert done.exit_code == 130
    assert "written to its end" in done.stderr
    assert "</html>" in (two / "report/report.html").read_text()


def test_what_changed_between_a_study_and_a_file_of_it(two: Path) -> None:
    before, after = two / "before.csv", two / "after.csv"
    aot("export", two / "b/study.yaml", "--out", before)
    frame = pd.read_csv(before)
    frame.loc[frame["method"] == "lora", "score"] += 1.0
    frame.to_csv(after, index=False)
    stdout, told = aot("diff", before, two / "b/study.yaml")
    assert (stdout, told.splitlines()[-1]) == ("", "nothing changed")
    stdout, _ = aot("diff", before, after)
    assert "LoRA" in stdout
    assert "+1.0" in stdout
    assert "BitFit" not in stdout
    stdout, _ = aot("diff", two / "b/study.yaml", after, "--out", two / "changes.csv")
    assert stdout.strip() == str(two / "changes.csv")
    changes = pd.read_csv(two / "changes.csv")
    assert changes["what"].tolist() == ["median", "macro"]
    assert changes["difference"].tolist() == pytest.approx([1.0, 1.0])
    aot("diff", before, after, "--out", two / "changes.md")
    assert "| median | Demo | minilm |" in (two / "changes.md").read_text().replace("MiniLM", "minilm")
    assert "--out must be a file that ends in .md or .csv" in refused("diff", before, after, "--out", two / "x.txt")
