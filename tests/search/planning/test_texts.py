"""What ``aot plan`` and ``aot run`` say of a study's tasks: rows, labels, and what of their texts is cut or unknown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.families import save_tiny
from helpers.small_study import write_study
from transformers import BertTokenizerFast
from typer.testing import CliRunner

from search.cli import app
from search.planning.calibration import tokens_of
from search.planning.texts import describe, warnings
from search.study import load
from trainables import data
from trainables.data.loading import token_file
from trainables.tasks import resolve

runner = CliRunner()

OWN = {"files": {"train": "rows.jsonl", "dev": "rows.jsonl"}, "text": "text"}


def rows(folder: Path, labels: list[Any], text: str = "the cat") -> None:
    lines = [json.dumps({"text": text, "label": label}) for label in labels]
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")


def told(path: Path) -> list[str]:
    return list(warnings(describe(load(path))))


def minilm_study(folder: Path, minilm: Any, **sections: Any) -> Path:
    return write_study(folder, backbones=[{"source": minilm.source, "name": "minilm"}], **sections)


def test_the_plan_shows_rows_labels_and_shares(tmp_path: Path, minilm: Any, real_data: str) -> None:
    rows(tmp_path, ["good", "bad", "good"])
    path = minilm_study(
        tmp_path,
        minilm,
        tasks=["superglue/cb", "glue/sts-b", {"name": "mine/a", **OWN}],
        protocol={"max_length": 64, "dev_rows": 56},
        data_dir=real_data,
    )
    done = runner.invoke(app, ["plan", str(path)], env={"COLUMNS": "150"})
    assert done.exit_code == 0, done.output
    lines = {line.split()[0]: line for line in reversed(done.stdout.splitlines()) if line.strip()}
    assert "250 / 56" in lines["superglue/cb"]
    assert "64 % / 73 %" in lines["superglue/cb"]
    assert "entailment: 115, contradiction: 119, neutral: 16" in lines["superglue/cb"]
    assert "~" in lines["glue/sts-b"], "of 5,749 rows a sample is told"
    assert "0 to 5, mean 2.7" in lines["glue/sts-b"]
    assert "bad: 1, good: 2" in lines["mine/a"]
    warned = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert [line.split(":")[0] for line in warned] == [f"WARNING superglue/cb, {s}, minilm" for s in ("train", "dev")]
    assert "73 % of the sequences are cut at 64 tokens, on the left (the first segment first)" in warned[1]


def test_labels_of_any_kind_are_shown_on_a_line(tmp_path: Path, minilm: Any) -> None:
    labels = ["\x1b[31mred", "[bold]no markup", "long " * 20, *(f"label {i}" for i in range(20))]
    rows(tmp_path, labels)
    path = minilm_study(tmp_path, minilm, tasks=[{"name": "mine/a", **OWN}], protocol={"train_rows": 23})
    done = runner.invoke(app, ["plan", str(path)], env={"COLUMNS": "400"})
    assert "\x1b" not in done.stdout
    assert r"\x1b[31mred: 1, [bold]no markup: 1, label 0: 1, " in done.stdout
    assert ", … (23 labels)" in done.stdout


def test_machines_are_told_the_same(tmp_path: Path, minilm: Any, real_data: str) -> None:
    path = minilm_study(tmp_path, minilm, tasks=["superglue/cb"], protocol={"max_length": 64}, data_dir=real_data)
    (task,) = json.loads(runner.invoke(app, ["plan", str(path), "--json"]).stdout)["tasks"]
    assert (task["task"], task["rows"]) == ("superglue/cb", {"train": 250, "dev": 56})
    assert (task["max_length"], task["truncation"]) == (64, {"side": "left", "segment": "first"})
    assert task["classes"] == {"entailment": 115, "contradiction": 119, "neutral": 16}
    dev = task["texts"]["minilm"]["dev"]
    assert dev["cut"] == pytest.approx(41 / 56)
    assert (dev["unknown"], dev["estimated"]) == (0, False)


def test_what_cannot_be_known_here_is_left_out(tmp_path: Path) -> None:
    path = write_study(tmp_path, tasks=["glue/rte", "demo/choice"], protocol={"max_length": 32})
    hub, demo = describe(load(path, offline=True))
    assert (hub.rows, hub.texts) == (None, {})
    assert (demo.rows.rows, demo.texts) == ({"train": 400, "dev": 200}, {})
    assert "on the hub" in runner.invoke(app, ["plan", str(path)]).stdout


def test_of_data_on_the_hub_the_token_cache_tells(tmp_path: Path, minilm: Any, real_data: str) -> None:
    """The tokens of copies, put where those of the hub's data would be."""
    path = minilm_study(tmp_path, minilm, tasks=["superglue/copa"], protocol={"max_length": 24, "train_rows": 60})
    study = load(path)
    (task,), (backbone,) = study.tasks, study.backbones
    copies = resolve(task, real_data)
    loaded = data.load(copies, backbone, study.protocol_for(task), tmp_path)
    places = [
        token_file(t, backbone, 24, (60, None), folder) for t, folder in ((copies, tmp_path), (task, study.cache_dir))
    ]
    places[1].parent.mkdir(parents=True)
    shutil.copy(*places)
    (told,) = describe(study)
    assert told.texts == {"minilm": loaded.facts}
    assert told.row_counts == {"train": 60, "dev": 100}
    assert "60 / 100" in runner.invoke(app, ["plan", str(path)]).stdout


@pytest.mark.parametrize(
    ("labels", "warned"),
    [
        (
            [i / 4 for i in range(1, 13)],
            "its 12 labels (0.25, 0.5, 0.75, …) look like numbers and are taken for classes",
        ),
        ([0.5, 1.5], "its 2 labels (0.5, 1.5) look like numbers and are taken for classes"),
        (list(range(1, 13)), "its 12 labels (1, 2, 3, …) look like numbers"),
        ([1, 2, 3, 4, 5], None),
        (["a", "2.5"], None),
    ],
)
def test_labels_that_look_like_numbers(labels: list[Any], warned: str | None, tmp_path: Path) -> None:
    rows(tmp_path, [*labels, *labels])
    found = told(write_study(tmp_path, tasks=[{"name": "mine/stars", **OWN}]))
    assert len(found) == (warned is not None)
    if warned is not None:
        assert f"WARNING mine/stars: {warned}" in found[0]
        assert "kind: regression" in found[0]
        values = write_study(tmp_path, tasks=[{"name": "mine/stars", "kind": "regression", **OWN}])
        assert told(values) == []


def test_a_text_that_the_tokenizer_does_not_know(tmp_path: Path) -> None:
    """Capitals in the vocabulary, and a folder that does not say so: what has a ``vocab.txt`` alone lowercases."""
    folder = save_tiny("bert", tmp_path / "cased", layers=1)
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    for path in folder.glob("tokenizer*"):
        path.unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", *(f"Word{i}" for i in range(size - 6))]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    rows(tmp_path, ["x", "y"], "Word1 Word2 a Word3")
    study = {"backbones": [{"source": "cased", "name": "cased"}], "tasks": [{"name": "mine/a", **OWN}]}
    expected = [
        f"WARNING mine/a, {split}, cased: 75 % of the tokens are unknown to the tokenizer; "
        "check that it is the backbone's own and has all of its files"
        for split in ("train", "dev")
    ]
    assert told(write_study(tmp_path, **study)) == expected
    BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}, do_lower_case=False).save_pretrained(folder)
    assert told(write_study(tmp_path, **study)) == []


def test_an_estimate_by_analogy_takes_its_tokens_from_the_same_place(tmp_path: Path, minilm: Any) -> None:
    study = load(minilm_study(tmp_path, minilm))
    (task,) = study.tasks
    loaded = data.load(task, study.backbones[0], study.protocol_for(task), tmp_path)
    assert tokens_of(study)("minilm", task.name) == loaded.train.offsets[-1] + loaded.dev.offsets[-1]
    assert not (tmp_path / "runs").exists(), "nothing is written for it"
