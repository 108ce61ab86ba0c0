"""``aot export`` and ``aot report`` on a study: what they take, what they leave out, and what they say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.commands import refused
from helpers.stored import journal_of, write_down
from helpers.stub_study import write_study
from typer.testing import CliRunner

from search import study
from search.cli import app
from search.planning.plan import plan
from search.study import Study
from trainables.trial import RESULT_VERSION

runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("AOT_DATA_DIR", raising=False)


def make(folder: Path, **changes: Any) -> Study:
    return study.load(write_study(folder, None, **changes))


def aot(*arguments: str | Path) -> tuple[str, str]:
    """What a command that succeeds prints: stdout and stderr."""
    done = runner.invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def exported(folder: Path, *options: str) -> tuple[pd.DataFrame, str]:
    stdout, stderr = aot("export", folder / "study.yaml", "--out", folder / "runs.csv", *options)
    assert stdout.strip() == str(folder / "runs.csv")
    return pd.read_csv(folder / "runs.csv"), stderr


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """One trial of one short epoch, then another study of the same name of which one of two cells is trained."""
    short = make(tmp_path, protocol={"epochs": 1, "max_length": 32, "dev_rows": 16}, seeds=[0])
    write_down(short, plan(short).trials[:1], score=99.0)
    of = make(tmp_path, methods={"bitfit": {}, "lora": {"rank": 2}})
    bitfit, lora = plan(of).cells
    write_down(of, [*bitfit.trials, lora.trials[0]])
    return tmp_path


def test_an_export_holds_what_the_study_names(edited: Path) -> None:
    table, told = exported(edited)
    assert (len(table), set(table["in_study"]), set(table["max_epochs"])) == (5, {True}, {6})
    assert "1 trial of other versions of the study left out" in told
    assert "5 results are in the journal and not" in told
    table, told = exported(edited, "--all-runs")
    assert sorted(table["in_study"]) == [False] + [True] * 5
    other = table[~table["in_study"]].iloc[0]
    assert (other["max_epochs"], other["dev_rows"], other["score"]) == (1, 16, 99.0)
    assert "left out" not in told


def test_the_totals_of_an_export(edited: Path) -> None:
    stdout, _ = aot("export", edited / "study.yaml", "--out", edited / "runs.parquet", "--json")
    told = json.loads(stdout)
    assert (told["rows"], told["others"], told["not_in_mlflow"], told["out"]) == (5, 1, 5, f"{edited}/runs.parquet")
    assert (told["counts"]["planned"], told["counts"]["finished"], told["counts"]["not_run"]) == (8, 5, 3)
    assert [(cell["method"], cell["not_run"]) for cell in told["cells"]] == [("bitfit", 0), ("lora", 3)]


def test_a_report_is_of_the_study_and_says_what_is_missing(edited: Path) -> None:
    out = edited / "report"
    stdout, told = aot("report", edited / "study.yaml", "--out", out)
    assert stdout.strip() == str(out / "report.html")
    words = ["The study is 62 % trained: of 8 trials 5 finished, 3 not run yet.", "1 trial is left out: it is of an"]
    for text in (told, (out / "report.md").read_text().replace("\\", ""), (out / "report.html").read_text()):
        assert all(line in text for line in words)
        assert "it differs in max_epochs, patience, dev_rows" in text
    assert "5 results are in the journal and not" in (out / "report.md").read_text()
    coverage = pd.read_csv(out / "tables" / "coverage.csv").set_index("method")
    assert coverage.loc["lora", ["planned", "finished", "not_run"]].tolist() == [4, 1, 3]
    results = pd.read_csv(out / "tables" / "results.csv")
    assert results["median"].max() < 99
    assert results.set_index("method").loc["bitfit", "n_assignments"] == 2
    aot("export", edited / "study.yaml", "--all-runs", "--out", edited / "all.csv")
    _, told = aot("report", "--runs", edited / "all.csv", "--out", edited / "again")
    assert all(line in told for line in words)
    for name in ("results", "macro", "evp"):
        assert (edited / f"again/tables/{name}.csv").read_bytes() == (out / f"tables/{name}.csv").read_bytes()


def test_a_grid_that_is_cut_off_has_no_curve(edited: Path) -> None:
    aot("report", edited / "study.yaml", "--out", edited / "report")
    assert set(pd.read_csv(edited / "report/tables/evp.csv")["method"]) == {"bitfit"}
    text = (edited / "report/report.md").read_text()
    assert "only 1 of 4 trials of the grid have ended, which are no random sample: L" in text
    assert "another assignment may win, the macro change." in text


def test_a_report_works_while_mlflow_is_away(edited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    _, told = aot("report", edited / "study.yaml", "--out", edited / "report")
    assert "MLflow at http://127.0.0.1:9 cannot be read" in told
    assert "MLflow could not be read" in (edited / "report/report.md").read_text()
    journal_of(study.load(edited / "study.yaml")).unlink()
    assert "try again when MLflow is back" in refused("report", edited / "study.yaml")


def test_where_no_trial_is_the_studys_the_next_step_is_told(edited: Path) -> None:
    path = write_study(edited, None, seeds=[7])
    for command in (("export", path, "--out", edited / "runs.csv"), ("report", path, "--out", edited / "report")):
        told = refused(*command)
        assert "names 2 trials, of which none has a result; there are results of 6 trials of other versions" in told
        assert "--all-runs" in told
    assert not (edited / "report").exists()
    aot("export", path, "--all-runs", "--out", edited / "runs.csv")
    assert "it has 6 that the study does not name" in refused("report", "--runs", edited / "runs.csv")


def test_results_of_an_older_code_are_told_to_be_so(edited: Path) -> None:
    path = write_study(edited, None, seeds=[7])
    journal = journal_of(study.load(path))
    assert "as they were" in refused("report", path)
    now = f',"result_version":{RESULT_VERSION}}}'.encode()
    journal.write_bytes(journal.read_bytes().replace(now, b"}"))  # as before it was written down
    words = f"of another version of the code (its RESULT_VERSION is {RESULT_VERSION} now); train it"
    assert words in refused("report", path)


@pytest.mark.parametrize(
    ("place", "told_of_it"), [("empty", "no folder 'glue/rte' in the data folder"), ("gone", "must be a folder that")]
)
def test_without_the_data_nobody_can_tell_and_nothing_is_mixed_in_silence(
    edited: Path, place: str, told_of_it: str
) -> None:
    (edited / "empty").mkdir()
    path = write_study(edited, None, tasks=["glue/rte"], data_dir=str(edited / place))
    for command in (("export", path, "--out", edited / "runs.csv"), ("report", path)):
        told = refused(*command)
        assert told_of_it in told
        assert "nobody can tell which trials the study names as it stands" in told
        assert f"aot export {path} --all-runs --out runs.csv" in told
    _, told = aot("export", path, "--all-runs", "--out", edited / "runs.csv")
    assert "the column in_study is empty" in told
    assert pd.read_csv(edited / "runs.csv")["in_study"].isna().all()
    _, told = aot("report", "--runs", edited / "runs.csv", "--out", edited / "report")
    assert "nobody could tell which of them the study names" in told
    assert "Within a cell they differ in max_epochs, patience, dev_rows." in told


def test_what_the_journal_alone_and_what_mlflow_alone_knows_make_one_file(tmp_path: Path) -> None:
    """The trials of one journal, then in MLflow without it: the same rows to the last bit."""
    from search.tracking.mlflow_writer import Settings, Writer

    of = make(tmp_path)
    *trials, last = plan(of).trials
    write_down(of, trials)
    write_down(of, [last], status="failed", reason="ValueError: " + 5_000 * "x")  # MLflow keeps 4,000 characters
    by_journal, _ = exported(tmp_path)
    folder = journal_of(of).parent
    writer = Writer(Settings(str(folder), of.tracking, of.name))
    writer.connect()
    writer.read(pytest.fail)
    while writer.todo:
        writer.send_one()
    by_both, _ = exported(tmp_path)
    journal_of(of).rename(tmp_path / "aside")
    by_mlflow, told = exported(tmp_path)
    pd.testing.assert_frame_equal(by_mlflow.drop(columns="run_id"), by_journal.drop(columns="run_id"), check_exact=True)
    pd.testing.assert_frame_equal(by_mlflow, by_both, check_exact=True)
    assert by_journal["run_id"].isna().all()
    assert set(by_mlflow["run_id"]) == {run.run_id for run in writer.runs.values()}
    assert "in the journal" not in told


def test_replay_leaves_other_versions_out(tmp_path: Path) -> None:
    of = make(tmp_path)
    write_down(of, plan(of).trials)
    before, _ = aot("replay", tmp_path / "study.yaml", "--strategy", "grid", "--json")
    short = make(tmp_path, protocol={"epochs": 1, "max_length": 32})
    write_down(short, plan(short).trials, score=99.0)
    make(tmp_path)
    after, told = aot("replay", tmp_path / "study.yaml", "--strategy", "grid", "--json")
    assert after == before
    assert told == "4 trials of other versions of the study left out\n"
