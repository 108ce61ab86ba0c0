"""``aot serve`` and ``aot predict``: what they refuse before anything is started, each in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.artifacts import write_artifact
from helpers.commands import refused, runner

from search.cli import app as command
from serving import app, options
from serving.options import Service


@pytest.fixture
def winners(source: Callable, tmp_path: Path) -> Path:
    write_artifact(tmp_path / "winners" / "one", "lora", "glue/rte", source("bert"))
    return tmp_path / "winners"


def test_beyond_this_machine_a_token_is_needed(winners: Path, tmp_path: Path) -> None:
    assert "give --token-file FILE" in refused("serve", winners, "--host", "0.0.0.0")
    (tmp_path / "token").write_text("short")
    assert "holds no token: 5 signs" in refused("serve", winners, "--token-file", tmp_path / "token")


def test_options_that_do_not_fit(winners: Path, tmp_path: Path) -> None:
    assert "--cache means nothing with --rows host" in refused("serve", winners, "--cache", "2GB")
    assert "must be a number of bytes" in refused("predict", winners, "--cache", "much", "--rows", "device")
    (tmp_path / "o.yaml").write_text("replicas: none\nlimit: {}\n")
    assert "2 problems" in refused("serve", winners, "--options", tmp_path / "o.yaml")


def test_artifacts_that_are_not_there(winners: Path, tmp_path: Path, source: Callable) -> None:
    assert "make artifacts with: aot fuse" in refused("serve", tmp_path / "none")
    other = source("roberta")
    assert "no artifact in" in refused("serve", winners, "--backbone", other.source)
    write_artifact(winners / "two", "lora", "glue/rte", other)
    assert "choose one with --backbone" in refused("serve", winners)


def test_files_and_tasks_that_are_not_there(winners: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("sentence1,sentence2\na,b\n")
    assert "cannot be read: No such file" in refused("predict", winners, tmp_path / "no.csv")
    assert "a file of rows ends in" in refused("predict", winners, tmp_path / "in.csv", "--out", "out.txt")
    known = refused("predict", winners, tmp_path / "in.csv", "--task", "glue/cola")
    assert "known: glue/rte, glue/rte@lora" in known


def test_a_file_is_predicted(winners: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("sentence1,sentence2\na,b\na,\n")
    done = runner.invoke(
        command, ["predict", str(winners), str(tmp_path / "in.csv"), "--out", str(tmp_path / "o.jsonl")]
    )
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith("2 rows, 1 of them with an error\n")
    first, second = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())
    assert first["predicted_label"] in ("entailment", "not_entailment")
    assert "is empty" in second["prediction_error"]


def test_replicas_that_find_no_room(winners: Path) -> None:
    asked = options.checked({"replicas": 3, "cpus": 900}, "o")
    with pytest.raises(RuntimeError, match=r"3 replicas take 2700 cores, but this machine has \d+; ask for less"):
        app.start(Service(folder=winners, options=asked), "127.0.0.1", 1)


def test_a_cluster_has_a_token(winners: Path) -> None:
    with pytest.raises(ValueError, match=r"args\.token_file must name a file"):
        app.build({"folder": str(winners)})
