"""A damaged artifact, or one that is of something else, is refused with a sentence that says what to do."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from helpers.artifacts import trained, write_artifact

from serving import _document, artifact, fuse
from serving.artifact import ArtifactError

TENSORS, ROWS = "tensors.safetensors", "rows.safetensors"


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("whole") / "one", "aot_fc", "superglue/copa", source("bert")).path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return shutil.copytree(whole, tmp_path / "one")


def truncated(folder: Path) -> None:
    content = (folder / ROWS).read_bytes()
    (folder / ROWS).write_bytes(content[:-100])


def flipped(name: str, place: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[place] ^= 1
        (folder / name).write_bytes(content)

    return damage


def other_tensors(change: Callable[[dict[str, torch.Tensor]], None], name: str = TENSORS) -> Callable[[Path], None]:
    """The file as the library writes it again after a change, of the same size as far as the change allows."""

    def damage(folder: Path) -> None:
        tensors = safetensors.torch.load_file(folder / name)
        change(tensors)
        safetensors.torch.save_file(tensors, folder / name)
        _say_size(folder, name)

    return damage


def _say_size(folder: Path, name: str) -> None:
    """Make the JSON agree with the file's size, so that the next check is the one that tells."""

    def change(said: dict[str, Any]) -> None:
        said["files"][name]["bytes"] = (folder / name).stat().st_size

    rewrite(folder, change)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON and its checksum, as somebody would who means it."""
    said = json.loads((folder / "artifact.json").read_text(encoding="utf-8"))
    said.pop("checksum")
    change(said)
    said["checksum"] = _document._checksum(said)
    (folder / "artifact.json").write_text(json.dumps(said), encoding="utf-8")


def said(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, change)


def pickled(folder: Path) -> None:
    (folder / TENSORS).write_bytes(pickle.dumps({"head.weight": [0.0] * 10_000}))
    _say_size(folder, TENSORS)


def moved_out(folder: Path) -> None:
    """The weights beside the artifact, and a name that leads there."""
    shutil.move(folder / TENSORS, folder.parent / TENSORS)
    rewrite(folder, lambda s: s["files"].update({f"../{TENSORS}": s["files"].pop(TENSORS)}))


def as_classes(task: dict[str, Any], labels: list[str]) -> dict[str, Any]:
    """The same fields as a classification of these labels."""
    columns = ["premise", "asked", "choice"]
    more = {"kind": "classification", "choices": 1, "columns": columns}
    return {**task, "options": [], "derived": None, "labels": labels, **more}


def wider_bias(folder: Path) -> None:
    """A head that does not fit the task, in a file that is what the JSON says."""
    path = folder / TENSORS
    tensors = safetensors.torch.load_file(path) | {"head.bias": torch.zeros(2)}
    safetensors.torch.save_file(tensors, path)
    content = path.read_bytes()

    def change(said: dict[str, Any]) -> None:
        own = said["files"][TENSORS]
        own |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        own["tensors"]["head.bias"]["shape"] = [2]

    rewrite(folder, change)


def halved(tensors: dict[str, torch.Tensor]) -> None:
    tensors["w_1"] = tensors["w_1"].half()


def reshaped(tensors: dict[str, torch.Tensor]) -> None:
    tensors["w_1"] = tensors["w_1"].transpose(1, 2).contiguous()


def one_more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["w_3"] = torch.zeros(3)


def rows_in_float32(tensors: dict[str, torch.Tensor]) -> None:
    tensors["rows"] = tensors["rows"].float()


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut": (truncated, r"rows.safetensors must have [\d,]+ bytes, but has [\d,]+: it is cut"),
    "a byte of the tensors": (flipped(TENSORS, -5), r"tensors.safetensors: its SHA-256 must be .* it is damaged"),
    "a byte of the rows": (flipped(ROWS, -5), r"rows.safetensors: its SHA-256 must be .* copy it again"),
    "a byte of the header": (flipped(ROWS, 9), r"rows.safetensors: it is no whole file of safetensors"),
    "the header's length": (flipped(ROWS, 6), r"rows.safetensors: it is no whole file of safetensors"),
    "another dtype": (other_tensors(halved), r"tensor 'w_1' must be F32 \[3, 32, 3\], .* but is F16"),
    "rows in float32": (other_tensors(rows_in_float32, ROWS), r"tensor 'rows' must be F16 .* but is F32"),
    "another shape": (other_tensors(reshaped), r"tensor 'w_1' must be F32 \[3, 32, 3\], .* but is F32 \[3, 3, 32\]"),
    "a missing tensor": (other_tensors(lambda t: t.pop("b_1")), r"tensor 'b_1' must be .*, but is missing"),
    "a tensor more": (other_tensors(one_more), r"tensor 'w_3' must be missing, .* but is F32 \[3\]"),
    "a missing file": (lambda f: (f / ROWS).unlink(), r"rows.safetensors is missing, though artifact.json names it"),
    "a folder for a file": (
        lambda f: ((f / ROWS).unlink(), (f / ROWS).mkdir()),
        r"rows.safetensors is missing, though artifact.json names it",
    ),
    "no JSON": (lambda f: (f / "artifact.json").write_text("{'a': 1}"), r"artifact.json: it must be JSON, but is not"),
    "JSON cut": (
        lambda f: (f / "artifact.json").write_bytes((f / "artifact.json").read_bytes()[:-20]),
        r"artifact.json: it must be JSON, but is not",
    ),
    "JSON of bytes": (lambda f: (f / "artifact.json").write_bytes(b"\xff\xfe\x00"), r"must be JSON, but is not"),
    "JSON of a list": (lambda f: (f / "artifact.json").write_text("[]"), r"must be an object of JSON, but is '\[\]'"),
    "JSON without end": (lambda f: (f / "artifact.json").write_text("[" * 100_000), r"must be JSON, but is not"),
    "no artifact.json": (lambda f: (f / "artifact.json").unlink(), r"artifact.json cannot be read .*No such file"),
    "a label changed": (
        lambda f: (f / "artifact.json").write_text((f / "artifact.json").read_text().replace("choice1", "choice3")),
        r"its checksum must be that of its content, .* it was changed",
    ),
    "a key more": (said(lambda s: s.update(extra=1)), r"artifact.json: extra: Extra inputs are not permitted"),
    "a key less": (said(lambda s: s.pop("max_length")), r"artifact.json: max_length: Field required"),
    "a wrong type": (said(lambda s: s.update(seed="0")), r"artifact.json: seed: .*integer, but got '0'"),
    "a future format": (said(lambda s: s.update(format=2)), r"its format must be 1, .* but is 2"),
    "an unknown method": (said(lambda s: s.update(method="magic")), r"unknown method 'magic'; known: adapters"),
    "an unknown hyperparameter": (
        said(lambda s: s["hyperparameters"].update(ranks=3)),
        r"hyperparameter ranks of aot_fc: Extra inputs are not permitted",
    ),
    "no labels": (said(lambda s: s["task"].update(labels=[])), r"task\.labels\S*: List should have at least 1 item"),
    "another kind": (
        said(lambda s: s["task"].update(derived=None)),
        r"kind, choices and columns of task superglue/copa must be those of its templates, .*, but are multiple_choice",
    ),
    "another number of labels": (
        said(lambda s: s["task"].update(as_classes(s["task"], ["a", "b", "c"]))),
        r"head.weight in tensors.safetensors must have one row for each of the task's 3 outputs, but got F32 \[1, 32\]",
    ),
    "a head without its bias": (
        said(lambda s: s["files"][TENSORS]["tensors"].pop("head.bias")),
        r"tensor 'head.bias' must be missing, as artifact.json says, but is F32 \[1\]",
    ),
    "a head of another width": (
        wider_bias,
        r"head.bias in tensors.safetensors must have one number for each of the task's 1 outputs, but got F32 \[2\]",
    ),
    "no rows": (said(lambda s: s["files"].pop(ROWS)), r"an artifact of aot_fc must have rows.safetensors"),
    "no tensors": (said(lambda s: s["files"].pop(TENSORS)), r"an artifact must have tensors.safetensors"),
    "a pickle": (pickled, r"tensors.safetensors: it is no whole file of safetensors"),
    "a path out of the folder": (moved_out, r"artifact.json: files\.\.\./tensors.safetensors\.\[key\]: String should"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_refused(damage: str, folder: Path) -> None:
    artifact.load(folder)  # whole so far
    harm, sentence = DAMAGES[damage]
    harm(folder)
    with pytest.raises(ArtifactError, match=sentence) as refused:
        artifact.load(folder)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_large_files_are_not_read_where_nobody_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flipped(ROWS, -5)(folder)
    monkeypatch.setattr(artifact, "SMALL", 1 << 16)
    monkeypatch.setattr(artifact, "SMALL", (folder / ROWS).stat().st_size - 1)
    artifact.load(folder, verify=False)
    flipped(TENSORS, -5)(folder)
    with pytest.raises(ArtifactError, match=r"tensors.safetensors: its SHA-256"):
        artifact.load(folder, verify=False)


def test_of_another_backbone(source, tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "one", "lora", "glue/rte", source("bert"))
    made.check_backbone(source("bert"))
    with pytest.raises(ArtifactError, match=r"trained on backbone bert-0 \(sha256:\w+\), .* in use is bert-1"):
        made.check_backbone(source("bert", 1))


def test_tensors_that_do_not_fit_the_backbone(source, tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "one", "aot_fc", "glue/rte", source("bert"))
    from trainables import backbones

    other = backbones.load(source("roberta")).spec  # of another vocabulary
    with pytest.raises(ArtifactError, match=r"rows must be \[\d+, 3, 32\] on this backbone, but is \[\d+, 3, 32\]"):
        made.method(other)


def test_tensors_of_another_trial_are_not_written(source, tmp_path: Path) -> None:
    trial, _, backbone = trained("lora", "glue/rte", source("bert"))
    _, others, _ = trained("bitfit", "glue/rte", source("bert"))
    with pytest.raises(ArtifactError, match=r"its trained numbers must be [\d,]+ here, but is [\d,]+"):
        fuse.write(tmp_path / "one", trial, others, backbone)
    with pytest.raises(ArtifactError, match=r"must hold its head, but have no head.bias; train it again"):
        fuse.write(tmp_path / "one", trial, {k: v for k, v in others.items() if k != "head.bias"}, backbone)
    assert not list(tmp_path.iterdir())


def test_a_backbone_that_nobody_can_name_for_ever(source, tmp_path: Path) -> None:
    trial, tensors, backbone = trained("lora", "glue/rte", source("bert"))
    floating = replace(trial, backbone=replace(trial.backbone, identity="org/model@main"))
    with pytest.raises(ArtifactError, match=r"of bert-0 neither the hub nor its cache here tells the commit; connect"):
        fuse.write(tmp_path / "one", floating, tensors, backbone)
    assert not list(tmp_path.iterdir())
