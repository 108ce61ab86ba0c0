"""Passwords in a study, wherever they stand in it and however they are mistyped, are in nothing that is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.secrets import URIS, pieces
from helpers.studies import OWN, VALID, changed, write
from typer.testing import CliRunner

from search.cli import app
from search.study import StudyError, load

#: Where a URI may stand: what it changes of a study.
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "tracking": lambda uri: {"tracking": f"x{uri}"},
    "tracking in a list": lambda uri: {"tracking": [uri]},
    "tracking in a mapping": lambda uri: {"tracking": {"uri": uri, "password": "more2xyz"}},
    "tracking is the key": lambda uri: {"tracking": {uri: None}},
    "storage in a list": lambda uri: {"storage": [uri]},
    "mistyped key": lambda uri: {"trackng": uri},
    "section": lambda uri: {uri: 3},
    "name": lambda uri: {"study": uri},
    "description": lambda uri: {"description": [uri]},
    "backbones": lambda uri: {"backbones": uri},
    "backbone": lambda uri: {"backbones": [uri]},
    "backbone's source": lambda uri: {"backbones": [{"source": uri, "name": "a"}]},
    "backbone's name": lambda uri: {"backbones": [{"source": "FacebookAI/roberta-base", "name": uri}]},
    "backbone's key": lambda uri: {"backbones": [{"source": "FacebookAI/roberta-base", uri: "a"}]},
    "revision": lambda uri: {"backbones": [{"source": "./gone", "revision": uri}]},
    "task": lambda uri: {"tasks": [uri]},
    "own task's name": lambda uri: {"tasks": [{**OWN, "name": uri}]},
    "own task's file": lambda uri: {"tasks": [{**OWN, "files": {"train": uri, "dev": [uri]}}]},
    "own task's text": lambda uri: {"tasks": [{**OWN, "text": [uri, uri, uri]}]},
    "own task's labels": lambda uri: {"tasks": [{**OWN, "labels": [uri, uri]}]},
    "own task's metric": lambda uri: {"tasks": [{**OWN, "metric": uri}]},
    "own task's data on the hub": lambda uri: {"tasks": [{"name": "m/a", "text": "s", "hub": {"id": uri, uri: uri}}]},
    "method": lambda uri: {"methods": {uri: {}}},
    "hyperparameter": lambda uri: {"methods": {"lora": {uri: 1}}},
    "value": lambda uri: {"methods": {"lora": {"rank": [uri]}}},
    "default": lambda uri: {"defaults": {"learning_rate": uri, "batch_size": {"a": [uri]}}},
    "override": lambda uri: {"overrides": {uri: {"epochs": uri}}},
    "seeds": lambda uri: {"seeds": [uri, {"a": uri}]},
    "protocol": lambda uri: {"protocol": {"precision": uri, uri: 1}},
    "search": lambda uri: {"search": {"strategy": uri, "early_stopping": uri}},
    "resources": lambda uri: {"resources": {"cpu": uri}},
    "data": lambda uri: {"data_dir": uri},
}


@pytest.mark.parametrize("place", PLACES)
def test_no_password_is_told_with_what_is_wrong(tmp_path: Path, place: str) -> None:
    for uri in URIS:
        with pytest.raises(StudyError) as caught:
            load(write(tmp_path, changed(**PLACES[place](uri))))
        assert not [piece for piece in {*pieces(uri), "more2xyz"} if piece in str(caught.value)], str(caught.value)


@pytest.mark.parametrize(
    "command", [["plan"], ["run"], ["export", "--out", "x.csv"], ["report"], ["ui"], ["replay", "--all"], ["submit"]]
)
def test_no_command_prints_a_password(tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in URIS:
        sections = {"trackng": uri, "tracking": f"x{uri}", "tasks": [uri], "seeds": [uri], "methods": {uri: uri}}
        done = CliRunner().invoke(app, [*command, str(write(tmp_path, changed(**sections)))])
        assert done.exit_code == 2, done.output
        assert not [piece for piece in pieces(uri) if piece in done.output], done.output


@pytest.mark.parametrize("command", [["plan"], ["export", "--out", "x.csv"], ["replay", "--all"]])
def test_no_password_is_told_of_a_store_that_does_not_answer(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("http://bob:hunter2xyz@127.0.0.1:1/db", "http://bob:hunter%402xyz@127.0.0.1:1/x?password=hunter2xyz"):
        path = write(tmp_path, changed(tracking=uri, storage=str(tmp_path / "runs")))
        done = CliRunner().invoke(app, [*command, str(path)])
        assert "http://***@127.0.0.1:1" in done.output
        assert "2xyz" not in done.output


def test_the_ui_prints_a_store_without_its_password(tmp_path: Path) -> None:
    path = write(tmp_path, changed(tracking="http://bob:hunter2xyz@mlflow:5000"))
    done = CliRunner().invoke(app, ["ui", str(path)])
    assert done.stdout == "http://***@mlflow:5000\n"


@pytest.mark.parametrize("text", ["password: *hunter2xyz", "password: !hunter2xyz a", "password: 'hunter2xyz"])
def test_no_password_is_told_with_what_is_no_yaml(tmp_path: Path, text: str) -> None:
    with pytest.raises(StudyError) as caught:
        load(write(tmp_path, f"{VALID}{text}\n"))
    assert "hunter2xyz" not in str(caught.value)


def test_a_key_says_that_its_value_is_secret(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        load(write(tmp_path, f"{VALID}{yaml.safe_dump({'mlflow_password': 'hunter2xyz', 'token': ['more2xyz']})}"))
    assert "hunter2xyz" not in str(caught.value)
    assert "more2xyz" not in str(caught.value)
    assert "mlflow_password = ***" in str(caught.value)
