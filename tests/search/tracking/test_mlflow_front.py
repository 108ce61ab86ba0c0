"""What people see of a study when they open MLflow, in its own UI and a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import stored
from helpers.commands import runner
from helpers.entries import result, trial
from helpers.servers import mlflow_server, running
from helpers.stub_study import copy_database, write_study
from mlflow import MlflowClient

from analysis.links import runs_of
from search import study
from search.cli import app
from search.planning.plan import plan
from search.tracking import about, mlflow_front
from search.tracking.mlflow_access import page_of
from search.tracking.records import read_known
from search.tracking.store import Store

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def filled(tmp_path: Path) -> Callable[[str], MlflowClient]:
    """A study of two trials in SQLite, described by a text."""
    copy_database(tmp_path)

    def fill(text: str) -> MlflowClient:
        uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
        with Store("stub", str(tmp_path / "runs" / "stub"), uri, print) as store:
            store.records()
            store.describe(text)
            store.record([(one, result(one)) for one in (trial(), trial(1))])
        return MlflowClient(uri)

    return fill


def report(folder: Path, words: str) -> Path:
    page = folder / "report.html"
    page.write_text(f"<!doctype html><title>x</title><h1>{words}</h1>")
    return page


class TestAbout:
    def test_a_study_says_what_it_is_and_how_to_do_it_again(self, tmp_path: Path) -> None:
        tracking = "postgresql://lab:hunter2secret@db/mlflow"
        path = write_study(tmp_path, description="Does it hold?", tracking=tracking)
        text = about.about(study.load(path), 4)
        assert text.startswith("Does it hold?\n")
        for part in ("bitfit", "demo/sentiment", "minilm (package:", "grid, 2 seeds, at most 4 trials", "aot run"):
            assert part in text
        assert "6 epochs at most, 2 of patience, 32 tokens at most, float32" in text
        assert "learning_rate:" in text, "the file itself"
        assert "hunter2secret" not in text

    def test_a_file_that_is_too_long_is_cut(self, tmp_path: Path) -> None:
        path = write_study(tmp_path)
        path.write_text(path.read_text() + "# a remark\n" * 5_000)
        text = about.about(study.load(path), 4)
        assert len(text) <= about.MOST_SIGNS
        assert text.endswith("too long for here\n```\n")


@pytest.mark.cluster
class TestDress:
    def test_the_experiment_is_described_until_somebody_does_it_themselves(
        self, filled: Callable[[str], MlflowClient]
    ) -> None:
        client = filled("First words.")
        tags = client.get_experiment_by_name("stub").tags
        assert tags["mlflow.note.content"] == "First words."
        assert tags["mlflow.experimentKind"] == "custom_model_development"
        assert f"mlflow.sharedViewState.{mlflow_front.VIEW}" in tags
        filled("Second words.")
        experiment = client.get_experiment_by_name("stub")
        assert experiment.tags["mlflow.note.content"] == "Second words.", "the study was edited"
        client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "My own words.")
        filled("Third words.")
        assert client.get_experiment_by_name("stub").tags["mlflow.note.content"] == "My own words."

    def test_names_begin_with_the_method_and_cells_come_first(self, filled: Callable[[str], MlflowClient]) -> None:
        client = filled("Words.")
        number = client.get_experiment_by_name("stub").experiment_id
        runs = client.search_runs([number], order_by=["attributes.start_time ASC"])
        names = [run.info.run_name for run in runs]
        assert names[0] == "bitfit · glue/rte · tiny"
        assert sorted(names[1:]) == [
            f"bitfit · seed {seed} · lr 0.001, batch_size 16, deep True, kind x" for seed in (0, 1)
        ]


@pytest.mark.cluster
class TestAttach:
    def test_the_report_has_one_run_and_is_no_trial(
        self, tmp_path: Path, filled: Callable[[str], MlflowClient]
    ) -> None:
        client = filled("Words.")
        uri, folder = f"sqlite:///{tmp_path}/runs/mlflow.db", tmp_path / "runs" / "stub"
        known = read_known("stub", str(folder), uri, pytest.fail)
        first = mlflow_front.attach("stub", uri, report(tmp_path, "one"), "It leads.")
        second = mlflow_front.attach("stub", uri, report(tmp_path, "two"), "It no longer leads.")
        assert first == second is not None
        run = client.get_run(second)
        assert run.data.tags["mlflow.note.content"] == "It no longer leads."
        assert [one.path for one in client.list_artifacts(second)] == ["report.html"]
        assert "two" in Path(client.download_artifacts(second, "report.html")).read_text()
        assert read_known("stub", str(folder), uri, pytest.fail) == known
        assert mlflow_front.attach("other", uri, report(tmp_path, "three"), "") is None, "it makes no experiment"
        elsewhere = tmp_path / "elsewhere.db"
        assert mlflow_front.attach("stub", f"sqlite:///{elsewhere}", report(tmp_path, "four"), "") is None
        assert not elsewhere.exists()

    def test_a_whole_report_of_a_study_gets_there_and_no_part_of_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        copy_database(tmp_path)
        path = write_study(tmp_path, None)
        of = study.load(path)
        with Store(of.name, of.folder, of.tracking, print) as store:
            store.records()
            store.record([(one, stored.result(one)) for one in plan(of).trials])
        client = MlflowClient(of.tracking)
        number = client.get_experiment_by_name(of.name).experiment_id

        def reported(*options: str) -> list[str]:
            """The reports in MLflow after another one was made."""
            done = runner.invoke(app, ["report", str(path), "--out", str(tmp_path / "report"), *options])
            assert done.exit_code == 0, done.output
            runs = [run.info.run_id for run in client.search_runs([number], "tags.`aot.kind` = 'report'")]
            return [Path(client.download_artifacts(run, "report.html")).read_text() for run in runs]

        assert reported("--no-attach") == []
        whole = reported()
        assert whole == [(tmp_path / "report/report.html").read_text()]
        assert reported("--only", "results") == whole


@pytest.mark.cluster
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")
def test_what_a_browser_shows(tmp_path: Path, filled: Callable[[str], MlflowClient]) -> None:
    """The address of ``aot ui``: the study's runs, nested, with their scores; and the report, one click away."""
    from playwright.sync_api import expect, sync_playwright

    filled("What the study asks.")
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    run = mlflow_front.attach("stub", uri, report(tmp_path, "The report itself"), "It leads.")
    assert run is not None
    with running(mlflow_server(tmp_path, uri)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        experiment = page_of("stub", f"http://127.0.0.1:{server.port}")
        assert experiment is not None
        page.goto(mlflow_front.view(experiment))
        expect(page.get_by_text("bitfit · glue/rte · tiny")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("What the study asks.")).to_be_visible()
        for name in ("best_median", "best_std"):
            expect(page.locator(f"[role=columnheader][col-id='metrics.`{name}`']")).to_be_visible()
        assert page.get_by_text("bitfit · seed 1").count() == 0, "trials lie folded in their cell"
        row = page.get_by_role("row").filter(has_text="bitfit · glue/rte · tiny")
        row.get_by_role("button").first.click()
        expect(page.get_by_text("bitfit · seed 1")).to_be_visible()
        page.goto(runs_of(experiment, "tiny", "glue/rte", "bitfit", trial().assignment_id))  # from the report
        expect(page.get_by_text("bitfit · glue/rte · tiny")).to_be_visible(timeout=60_000)
        page.goto(mlflow_front.report_page(experiment, run))
        expect(page.frame_locator("iframe").get_by_text("The report itself")).to_be_visible(timeout=60_000)
        browser.close()
