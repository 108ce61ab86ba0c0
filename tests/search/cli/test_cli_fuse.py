"""``aot fuse``: the winners of a study become artifacts, and what cannot is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import typer
from helpers.commands import refused
from helpers.families import save_tiny
from helpers.stored import journal_of
from helpers.trained_study import train
from typer.testing import CliRunner

from analysis import frame
from analysis.selection import best_trials
from search import study
from search.cli import _winners, app
from serving import artifact
from trainables import methods
from trainables.trial import CellKey

runner = CliRunner()
SMALL = {"rank": 3, "prompt_length": 4}


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("AOT_DATA_DIR", raising=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of every method and two seeds, trained."""
    folder = tmp_path_factory.mktemp("trained")
    backbone = save_tiny("roberta", folder / "tiny")
    grids = {
        name: {key: value for key, value in SMALL.items() if key in methods.get(name).Config.model_fields}
        for name in methods.names()
    }
    train(
        folder,
        backbones=[{"source": str(backbone), "name": "tiny"}],
        methods=grids,
        defaults={"learning_rate": [1e-2], "batch_size": [16]},
        seeds=[0, 1],
    )
    return folder


@pytest.fixture
def trained(whole: Path, tmp_path: Path) -> Path:
    """A copy of its results; the study's file names another storage, which has no part in a trial's id."""
    shutil.copytree(whole / "runs", tmp_path / "runs")
    text = (whole / "study.yaml").read_text()
    (tmp_path / "study.yaml").write_text(text.replace(str(whole / "runs"), str(tmp_path / "runs")))
    return tmp_path


def aot(*arguments: str | Path, code: int = 0) -> tuple[list[str], str]:
    """The lines on stdout, and stderr."""
    done = runner.invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done.stdout.splitlines(), done.stderr


def fused(folder: Path, *options: str, code: int = 0) -> tuple[list[str], str]:
    return aot("fuse", folder / "study.yaml", "--out", folder / "artifacts", *options, code=code)


def winners(folder: Path) -> pd.DataFrame:
    aot("export", folder / "study.yaml", "--out", folder / "runs.csv")
    return best_trials(frame.read(folder / "runs.csv")).set_index("method")


def test_every_method_becomes_an_artifact(trained: Path) -> None:
    paths, told = fused(trained)
    best = winners(trained)
    assert paths == [str(trained / f"artifacts/tiny/demo-sentiment/{name}") for name in methods.names()]
    for path in paths:
        made = artifact.load(path)
        row = best.loc[made.method_name]
        assert (made.trial_id, made.score, made.seed) == (row["trial_id"], pytest.approx(row["score"]), row["seed"])
        assert (made.study, made.backbone.name, made.max_length) == ("stub", "tiny", 32)
        assert f"tiny · demo/sentiment · {made.method_name}: " in told
        assert f"score {made.score:.2f}, of trial {made.trial_id}" in told


def test_what_is_there_stays_and_what_is_not_is_made_again(trained: Path) -> None:
    fused(trained, "--method", "lora", "--method", "aot_fc")
    made = trained / "artifacts/tiny/demo-sentiment"
    times = {path: path.stat().st_mtime_ns for path in made.rglob("*.*")}
    _, told = fused(trained, "--method", "lora", "--method", "aot_fc")
    assert told.count("is there already, of trial") == 2
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.*")} == times

    rows = made / "aot_fc" / "rows.safetensors"
    rows.write_bytes(rows.read_bytes()[:-1])
    _, told = fused(trained, "--method", "aot_fc")
    assert "it is cut or another file" in told
    assert "it is made again" in told
    artifact.load(made / "aot_fc")

    _, told = fused(trained, "--method", "lora", "--merge")
    assert "is there already" not in told
    assert artifact.load(made / "lora").weights() is not None
    _, told = fused(trained, "--method", "lora")
    assert "is there already" in told, "what has more than was asked for stays"


def test_a_cell_without_a_result_is_told(trained: Path) -> None:
    of = study.load(trained / "study.yaml")
    lines = journal_of(of).read_text().splitlines(keepends=True)
    journal_of(of).write_text("".join(line for line in lines if '"lora"' not in line))
    paths, told = fused(trained, "--method", "lora", "--method", "bitfit")
    assert [Path(path).name for path in paths] == ["bitfit"]
    assert "tiny · demo/sentiment · lora: no trial of it has a score yet; it is left out" in told
    done = runner.invoke(app, ["fuse", str(trained / "study.yaml"), "--out", str(trained / "a"), "--method", "lora"])
    assert done.exit_code == 2
    assert "there is no winner to fuse" in done.stderr


def test_weights_that_are_gone_damaged_or_others(trained: Path) -> None:
    best, kept = winners(trained), trained / "runs/stub/weights"
    (kept / f"{best.loc['lora', 'trial_id']}.safetensors").unlink()
    damaged = kept / f"{best.loc['bitfit', 'trial_id']}.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    shutil.copy(
        kept / f"{best.loc['p_tuning_v1', 'trial_id']}.safetensors",
        kept / f"{best.loc['p_tuning_v2', 'trial_id']}.safetensors",
    )
    options = [word for name in ("lora", "bitfit", "p_tuning_v2", "ia3") for word in ("--method", name)]
    paths, told = fused(trained, *options, code=1)
    assert [Path(path).name for path in paths] == ["ia3"]
    assert "lora: the weights of its winner are gone: there is no " in told
    assert "is damaged" in told
    assert "but says what makes trial" in told


def test_names_that_the_study_does_not_know(trained: Path) -> None:
    for option, known in (("--method", "lora"), ("--task", "demo/sentiment"), ("--backbone", "tiny")):
        words = refused("fuse", trained / "study.yaml", "--out", trained / "a", option, "magic")
        assert f"{option} must be one that study 'stub' names, but got 'magic': " in words
        assert known in words
    assert not (trained / "a").exists()


def test_for_peft(trained: Path) -> None:
    paths, told = fused(trained, "--format", "peft", "--method", "lora", "--method", "p_tuning_v1")
    assert [Path(path).name for path in paths] == ["lora", "p_tuning_v1"]
    assert json.loads((Path(paths[0]) / "adapter_config.json").read_text())["r"] == 3
    _, told = fused(trained, "--format", "peft", "--method", "bitfit", code=1)
    assert "PEFT takes lora, p_tuning_v1, p_tuning_v2, but the trial's method is bitfit" in told
    paths, told = fused(trained, "--format", "peft")
    assert [Path(path).name for path in paths] == ["lora", "p_tuning_v1", "p_tuning_v2"]
    assert "left out: adapters, aot_fc, " in told
    assert "leave one of them out" in refused(
        "fuse", trained / "study.yaml", "--out", trained / "a", "--merge", "--format", "peft"
    )


def test_what_is_not_ours_is_not_replaced(trained: Path) -> None:
    fused(trained, "--method", "lora")
    _, told = fused(trained, "--method", "lora", "--format", "peft", code=1)
    assert "demo-sentiment/lora must be new, empty, or hold an earlier adapter_config.json to be replaced" in told
    artifact.load(trained / "artifacts/tiny/demo-sentiment/lora")
    other = trained / "artifacts/tiny/demo-sentiment/bitfit"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    _, told = fused(trained, "--method", "bitfit", code=1)
    assert "but holds something else; choose another --out" in told
    assert (other / "thesis.tex").exists()


def test_two_tasks_never_share_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [CellKey("tiny", task, "lora") for task in ("a-b/c", "a/b-c")]
    one, other = (_winners.Winner(cell, "0" * 16, 50.0) for cell in cells)
    assert list(_winners.places([one], Path("out"))) == [Path("out/tiny/a-b-c/lora")]
    with pytest.raises(typer.Exit):
        _winners.places([one, other], Path("out"))
    assert (
        "a-b/c · lora and tiny · a/b-c · lora would both be written to out/tiny/a-b-c/lora" in capsys.readouterr().err
    )


def test_from_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal lies beside whoever runs the study; the weights are in the store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    backbone = save_tiny("bert", tmp_path / "tiny")
    backbones = [{"source": str(backbone), "name": "tiny"}]
    train(tmp_path, backbones=backbones, methods={"aot_kronecker": {"rank": 2}}, storage="memory://bucket/studies")
    (path,), _ = aot("fuse", "study.yaml", "--out", "artifacts")
    assert artifact.load(path).rows() is not None
