"""``aot tokens``, and its file in a report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.artifacts import write_artifact
from helpers.commands import refused
from helpers.families import save_tiny
from helpers.stored import write_down
from helpers.stub_study import write_study
from typer.testing import CliRunner

from analysis import tokens
from analysis.tokens import TokensError
from search import study
from search.cli import app
from search.planning.plan import plan
from trainables import backbones
from trainables.trial import BackboneSource

runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("AOT_DATA_DIR", raising=False)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BackboneSource:
    return backbones.resolve(str(save_tiny("bert", tmp_path_factory.mktemp("tiny"), layers=9)), "tiny")


@pytest.fixture(scope="module")
def made(tiny: BackboneSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts of both AoT methods and of another one, and what ``aot tokens`` wrote of them."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("aot_fc", "aot_kronecker", "bitfit"):
        write_artifact(folder / "artifacts/tiny/demo-sentiment" / name, name, "demo/sentiment", tiny)
    done = runner.invoke(app, ["tokens", str(folder / "artifacts"), "--out", str(folder / "tokens"), "--top", "20"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        str(folder / "tokens" / name)
        for name in (
            "tokens.csv", "tokens.md", "figures/tokens_demo-sentiment_tiny_aot-kronecker.png",
            "figures/tokens_demo-sentiment_tiny_aot-fc.png",
        )
    ]  # fmt: skip
    return folder


def test_the_file(made: Path) -> None:
    found = tokens.read(made / "tokens/tokens.csv")
    assert list(found.columns) == tokens.COLUMNS
    assert len(found) == 2 * 9 * 20
    for _, rows in found.groupby(["method", "layer"]):
        assert rows["rank"].tolist() == list(range(1, 21))
        assert rows["norm"].is_monotonic_decreasing
    assert set(found["seen"]) == {True, False}
    assert found["special"].any()


def test_the_markdown_shows_layers_tokens_and_marks(made: Path) -> None:
    text = (made / "tokens/tokens.md").read_text()
    found = tokens.read(made / "tokens/tokens.csv")
    own = found[(found["method"] == "aot_fc") & (found["layer"] == 0)]
    (line,) = [line for line in text.splitlines() if line.startswith("| 0 |")][1:]
    words = [
        token + "\\*" * special + "†" * (not seen)
        for token, special, seen in own[["token", "special", "seen"]].itertuples(index=False)
    ]
    assert words[0].replace("[", "\\[").replace("]", "\\]") in line
    assert f"{own['norm'].max():.2f} … {own['norm'].min():.2f}" in line
    assert "![Tokens with the largest norms, darkest at " in text
    shown = [line.split(" ")[1] for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert shown == ["0", "1", "2", "3", "5", "6", "7", "8"] * 2, "eight of nine layers, the first and the last too"
    for picture in (made / "tokens/figures").glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_it_is_part_of_a_report(made: Path, tmp_path: Path) -> None:
    of = study.load(write_study(tmp_path, None))
    write_down(of, plan(of).trials)
    command = ["report", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "report")]
    done = runner.invoke(app, [*command, "--tokens", str(made / "tokens/tokens.csv")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report/report.html").read_text()
    assert "Tokens that P moves most" in page
    assert f"--tokens {made}/tokens/tokens.csv" in page
    assert (tmp_path / "report/figures/tokens_demo-sentiment_tiny_aot-fc.png").exists()
    written = pd.read_csv(tmp_path / "report/tables/tokens.csv", keep_default_na=False)
    assert written["token"].tolist() == tokens.read(made / "tokens/tokens.csv")["token"].tolist()
    done = runner.invoke(app, command)
    assert "Tokens that P moves most" not in (tmp_path / "report/report.html").read_text()


def test_they_are_a_report_by_themselves(made: Path, tmp_path: Path) -> None:
    done = runner.invoke(
        app, ["report", "--tokens", str(made / "tokens/tokens.csv"), "--out", str(tmp_path / "report")]
    )
    assert done.exit_code == 0, done.output
    assert "<title>Report: tokens that P moves most</title>" in (tmp_path / "report/report.html").read_text()
    assert (tmp_path / "report/figures/tokens_demo-sentiment_tiny_aot-fc.png").exists()


def test_without_artifacts_or_rows(tiny: BackboneSource, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no artifact" in refused("tokens", tmp_path / "empty", "--out", tmp_path / "out")
    write_artifact(tmp_path / "some" / "bitfit", "bitfit", "demo/sentiment", tiny)
    words = refused("tokens", tmp_path / "some", "--out", tmp_path / "out")
    assert "no artifact in" in words
    assert "has rows of P; fuse one of an AoT method: aot fuse STUDY --out " in words
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("layer", "level", 1), "must have the columns of aot tokens, but has no layer"),
        (lambda text: text.replace(",1,", ",one,", 1), "layer, rank, token_id and norm must be numbers"),
        (lambda text: text.replace("True", "perhaps", 1), "must be True, False or empty, but is 'perhaps'"),
        (lambda text: "", "cannot be read"),
    ],
)
def test_a_file_of_something_else(change, words: str, made: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text(change((made / "tokens/tokens.csv").read_text()))
    with pytest.raises(TokensError, match=words):
        tokens.read(tmp_path / "tokens.csv")
    of = study.load(write_study(tmp_path, None))
    write_down(of, plan(of).trials)
    done = runner.invoke(
        app,
        [
            "report",
            str(tmp_path / "study.yaml"),
            "--tokens",
            str(tmp_path / "tokens.csv"),
            "--out",
            str(tmp_path / "r"),
        ],
    )
    assert done.exit_code == 2
    assert words in done.stderr


def test_tokens_that_look_like_nothing(tmp_path: Path) -> None:
    """``NA``, ``null`` and an empty text are tokens of many vocabularies."""
    rows = [
        dict.fromkeys(tokens.COLUMNS, 1) | {"token": token, "rank": rank, "special": False, "seen": None}
        for rank, token in enumerate(["NA", "null", "", '"', ",", "nan"])
    ]
    tokens.table(rows).to_csv(tmp_path / "tokens.csv", index=False)
    assert tokens.read(tmp_path / "tokens.csv")["token"].tolist() == ["NA", "null", "", '"', ",", "nan"]
