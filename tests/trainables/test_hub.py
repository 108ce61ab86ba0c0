"""What a study names on the hub is pinned to a commit: with a hub that answers, with its cache alone, and with neither.

The hub's client reads where it asks and what it keeps once, when it is imported: each question is a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest
from helpers.families import save_tiny
from helpers.hub import Files, LocalHub, local_hub
from pyarrow import parquet

pytestmark = pytest.mark.cluster  # a server, and processes that import everything

ROOT = Path(__file__).parents[2]

READ = """
from trainables import tasks
from trainables.tasks.custom import Columns, custom_task, files

def told(source):
    task = tasks.resolve(custom_task("x", source=source, columns=Columns(("text",)), labels=("no", "yes")))
    return {"identity": task.identity(), "revision": getattr(task.source, "revision", None), "rows": task.source.rows}

def of(revision):
    local = revision is not None and revision.startswith("/")
    return told(files(revision, revision) if local else tasks.Hub("someone/rows", None, revision))
"""

ENCODER = """
from trainables import backbones

def of(revision):
    name, _, revision = (revision or "someone/tiny").partition("@")
    source = backbones.resolve(name, revision=revision or None)
    told = {"identity": source.identity, "revision": source.revision, "dropout": source.dropout}
    if source.pinned:
        weight = backbones.load(source).embedding_matrix[5, 5].item()
        told |= {"weight": weight, "ids": backbones.tokenizer(source)("a cat")["input_ids"]}
    return told
"""

ASK = """
import json, sys

for asked in json.loads(sys.argv[1]):
    try:
        print(json.dumps(of(asked)))
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub() as hub:
        yield hub


def ask(script: str, *asked: str | None, home: Path, endpoint: str = "http://127.0.0.1:9", **variables: str) -> list:
    """What a fresh process says of each; the default endpoint answers nobody."""
    env = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "AOT_DATA_DIR")}
    env |= {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, **variables}
    command = [sys.executable, "-c", script + ASK, json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Retrying" not in done.stderr  # nobody waits for a hub that does not answer
    return [json.loads(line) for line in done.stdout.splitlines()]


def dataset(folder: Path, last: str, **more: bytes) -> Files:
    rows = [*({"text": f"row {i}", "label": i % 2} for i in range(6)), {"text": last, "label": 0}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{last}.parquet")
    content = (folder / f"{last}.parquet").read_bytes()
    return {"data/train.parquet": content, "data/validation.parquet": content, **more}


def model(folder: Path, seed: int = 0) -> Files:
    return {path.name: path.read_bytes() for path in save_tiny("bert", folder, seed=seed).iterdir()}


def test_data_of_the_hub_is_pinned_and_known_by_its_rows(hub: LocalHub, tmp_path: Path) -> None:
    repository = hub.add("datasets", "someone/rows")
    first = repository.commit(dataset(tmp_path, "one"), "old")
    licensed = repository.commit(dataset(tmp_path, "one", LICENSE=b"mine"), "licensed")
    last = repository.commit(dataset(tmp_path, "two"))
    asked = ("old", "licensed", None, "main", first, str(tmp_path / "one.parquet"), "nowhere")
    *told, unknown = ask(READ, *asked, home=tmp_path / "home", endpoint=hub.endpoint)
    old, same, main, named, by_commit, local = told
    assert [t["revision"] for t in told] == [first, licensed, last, last, first, None]
    assert all(t["rows"] == [7, 7] for t in told)
    assert old["identity"] == same["identity"] == by_commit["identity"] == local["identity"]
    assert main["identity"] == named["identity"] != old["identity"]
    assert "the hub has no dataset 'someone/rows' with revision 'nowhere'" in unknown["error"]


def test_data_in_the_cache_is_read_without_the_hub(hub: LocalHub, tmp_path: Path) -> None:
    commit = hub.add("datasets", "someone/rows").commit(dataset(tmp_path, "one"))
    (told,) = ask(READ, None, home=tmp_path / "home", endpoint=hub.endpoint)
    cached, by_commit, another = ask(READ, None, commit, "0" * 40, home=tmp_path / "home")
    assert (cached["identity"], cached["rows"]) == (told["identity"], [7, 7])
    assert by_commit["identity"] == told["identity"]
    assert another["rows"] is None  # the rows of the commit that is there are not taken for those of another
    assert another["identity"]["data"]["source"] == ["hub", "someone/rows", None, "0" * 40, "train", "validation"]
    (nothing,) = ask(READ, None, home=tmp_path / "empty")
    assert nothing["rows"] is None


def test_a_backbone_of_the_hub_is_pinned_to_its_commit(hub: LocalHub, tmp_path: Path) -> None:
    repository, home = hub.add("models", "someone/tiny"), tmp_path / "home"
    first = repository.commit(model(tmp_path / "a"), "old")
    last = repository.commit(model(tmp_path / "b", seed=1))
    asked = ("someone/tiny@old", None, f"someone/tiny@{first}", "someone/tiny@nowhere")
    old, main, by_commit, unknown = ask(ENCODER, *asked, home=home, endpoint=hub.endpoint)
    assert (old["identity"], old["revision"], old["dropout"]) == (f"commit:{first}", first, [0.1, 0.1])
    assert (main["identity"], main["revision"]) == (f"commit:{last}", last)
    assert old["weight"] != main["weight"]
    assert by_commit == old
    assert "the hub has no model 'someone/tiny' with revision 'nowhere'" in unknown["error"]
    # Where the hub is gone, its cache tells what the branches were.
    assert ask(ENCODER, *asked[:3], home=home) == [old, main, by_commit]


def test_a_cache_as_the_hubs_own_client_lays_it_out(tmp_path: Path) -> None:
    commit = "c0ffee" + "0" * 34
    for name in ("known", "unknown"):
        save_tiny("bert", tmp_path / "hub" / f"models--someone--{name}" / "snapshots" / commit)
    (tmp_path / "hub" / "models--someone--known" / "refs").mkdir()
    (tmp_path / "hub" / "models--someone--known" / "refs" / "main").write_text(commit)
    known, unknown = ask(ENCODER, "someone/known", "someone/unknown", home=tmp_path, HF_HUB_OFFLINE="1")
    assert (known["identity"], known["revision"]) == (f"commit:{commit}", commit)
    assert (unknown["identity"], unknown["revision"]) == ("someone/unknown@main", None)
