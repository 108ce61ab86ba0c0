"""What an artifact holds: read as it was written, in another process too, and found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.artifacts import own, trained, write_artifact

from serving import artifact, fuse
from serving.artifact import ArtifactError
from trainables import methods, tasks, whole_files
from trainables.tasks import Files, Task
from trainables.tasks.custom import Columns, custom_task

ROOT = Path(__file__).parents[2]
every_method = pytest.mark.parametrize("name", methods.names())


@every_method
def test_what_is_written_is_read(name: str, source, tmp_path: Path) -> None:
    trial, tensors, backbone = trained(name, "glue/rte", source("bert"))
    written = fuse.write(tmp_path / "one", trial, tensors, backbone, study="mine", score=71.5)
    read = artifact.load(tmp_path / "one")

    assert read == written
    assert (read.trial_id, read.study, read.score, read.seed) == (trial.id, "mine", 71.5, trial.seed)
    assert (read.task.labels, read.max_length) == (("entailment", "not_entailment"), 128)
    assert read.backbone == trial.backbone
    assert dict(read.hyperparameters) == dict(trial.hyperparameters)
    assert read.method_label == methods.get(name).label
    found = read.tensors()
    assert found.keys() == tensors.keys()
    for key, value in tensors.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0)
    assert type(read.method(backbone.spec)) is methods.get(name)
    assert read.bytes == sum(file.stat().st_size for file in (tmp_path / "one").glob("*.safetensors"))


@pytest.mark.parametrize("name", ["aot_fc", "aot_kronecker"])
def test_rows_are_mapped_and_those_of_fuse(name: str, source, tmp_path: Path) -> None:
    trial, tensors, backbone = trained(name, "glue/rte", source("bert"))
    read = fuse.write(tmp_path / "one", trial, tensors, backbone)
    spec = backbone.spec
    rows = read.rows()

    assert rows is not None
    assert rows.shape == (spec.vocabulary, spec.layers, spec.width)
    assert torch.equal(rows, read.method(spec).fuse(own(tensors), backbone).rows)
    before = (tmp_path / "one" / "rows.safetensors").read_bytes()
    rows[0] = 1.0  # a private page: the file stays as it is
    assert (tmp_path / "one" / "rows.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", methods.names())
def test_merged_weights_where_they_were_asked_for(name: str, source, tmp_path: Path) -> None:
    trial, tensors, backbone = trained(name, "glue/rte", source("roberta"))
    assert fuse.write(tmp_path / "apart", trial, tensors, backbone).weights() is None
    merged = fuse.write(tmp_path / "merged", trial, tensors, backbone, merge=True).weights()
    if name not in ("lora", "bitfit", "ia3"):  # the others have none, or are weights already
        assert merged is None
        return
    expected = methods.get(name)(methods.get(name).Config(**trial.method_config), backbone.spec).fuse(
        own(tensors), backbone
    )
    assert merged is not None
    assert merged.keys() == expected.weights.keys()
    assert all(torch.equal(merged[key], value) for key, value in expected.weights.items())


def test_every_built_in_task_comes_back(source, tmp_path: Path) -> None:
    for name in tasks.names():
        read = write_artifact(tmp_path / name.replace("/", "-"), "bitfit", name, source("bert"))
        assert read.task == tasks.get(name)


@pytest.mark.parametrize("kind", ["classification", "regression", "multiple_choice"])
def test_a_task_of_a_study_comes_back_without_its_data(kind: str, source, tmp_path: Path) -> None:
    choice = {"choices": ("left", "right")} if kind == "multiple_choice" else {}
    task = custom_task(
        "mine/reviews",
        source=Files(("/nowhere/train.csv",), ("/nowhere/dev.csv",)),
        columns=Columns(("{title}: {body}",), "stars", **choice),
        kind=kind,
        labels=("bad", "good, or “fine”") if kind == "classification" else None,
        truncation=tasks.Truncation(side="left"),
    )
    read = write_artifact(tmp_path / "one", "bitfit", task, source("bert"))
    assert isinstance(read.task, Task)
    assert replace(read.task, source=task.source, epochs=task.epochs, patience=task.patience) == task
    assert read.task.columns == task.columns
    assert read.outputs == task.outputs


def test_a_changed_recipe_counts_as_it_was_trained(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_artifact(tmp_path / "rte", "bitfit", "glue/rte", source("bert"))
    write_artifact(tmp_path / "copa", "bitfit", "superglue/copa", source("bert"))
    get = tasks.get
    monkeypatch.setattr(tasks, "get", lambda name: replace(get(name), text=("{other}",)))

    assert artifact.load(tmp_path / "rte").task.text == get("glue/rte").text
    with pytest.raises(ArtifactError, match=r"copa derives columns by copa_question, version 1, .* fuse it again"):
        artifact.load(tmp_path / "copa")


def test_another_process_reads_it(source, tmp_path: Path) -> None:
    write_artifact(tmp_path / "one", "aot_fc", "glue/sts-b", source("roberta"), score=88.0)
    script = (
        "import sys; from serving import artifact; a = artifact.load(sys.argv[1]); "
        "print(a.task.name, a.method_name, a.score, float(a.rows().double().sum()), float(a.tensors()['w_1'].sum()))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "one")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ}).stdout
    read = artifact.load(tmp_path / "one")
    sums = float(read.rows().double().sum()), float(read.tensors()["w_1"].sum())
    assert told.split() == ["glue/sts-b", "aot_fc", "88.0", *map(str, sums)]


def test_artifacts_are_found_and_unfinished_ones_are_not(source, tmp_path: Path) -> None:
    for name in ("bitfit", "lora"):
        write_artifact(tmp_path / "tiny" / "glue-rte" / name, name, "glue/rte", source("bert"))
    left = tmp_path / "tiny" / "glue-rte" / f"{whole_files.UNFINISHED}host-ia3-x" / "ia3"
    left.mkdir(parents=True)
    (left / "artifact.json").write_text("{")

    assert [a.method_name for a in artifact.find(tmp_path)] == ["bitfit", "lora"]
    assert [a.method_name for a in artifact.find(tmp_path / "tiny" / "glue-rte" / "lora")] == ["lora"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"empty holds no artifact.*aot fuse STUDY --out DIR"):
        artifact.find(tmp_path / "empty")
    with pytest.raises(ArtifactError, match=r"nowhere is no folder"):
        artifact.find(tmp_path / "nowhere")


def test_an_artifact_takes_the_place_of_an_earlier_one(source, tmp_path: Path) -> None:
    write_artifact(tmp_path / "one", "aot_fc", "glue/rte", source("bert"))
    write_artifact(tmp_path / "one", "bitfit", "glue/rte", source("bert"))
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == ["artifact.json", "tensors.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_the_json_is_for_people(source, tmp_path: Path) -> None:
    write_artifact(tmp_path / "one", "lora", "glue/rte", source("bert"), score=60.25)
    said = json.loads((tmp_path / "one" / "artifact.json").read_text(encoding="utf-8"))
    assert said["task"]["text"] == ["{sentence1}", "{sentence2}"]
    assert said["task"]["columns"] == ["sentence1", "sentence2"]
    assert said["hyperparameters"]["rank"] == 3
    assert said["files"]["tensors.safetensors"]["tensors"]["head.weight"] == {"dtype": "F32", "shape": [2, 32]}
