"""An artifact: one winner ready for use, in a folder of JSON and safetensors. Here one is read and checked.

``artifact.json`` says what it is, and of each file its size, its hash and its tensors. ``tensors.safetensors`` holds
the member's own tensors with its head, float32, by the names they are trained under; ``rows.safetensors``, of methods
with rows of P, one tensor ``rows`` ``(v, l, d)`` in half precision; ``weights.safetensors``, where they were asked
for, the backbone's weights with the method's change merged into them. ``serving/fuse.py`` writes all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from serving import _document, _tensor_file
from serving._document import ROWS, TENSORS, WEIGHTS, Document, StoredFile
from trainables import head, methods, whole_files
from trainables.backbones import Spec
from trainables.methods import Method
from trainables.tasks import Task
from trainables.trial import BackboneSource, Precision

if TYPE_CHECKING:
    from torch import Tensor

FILE = "artifact.json"

#: A file of up to so many bytes is always compared with its hash: a moment's work.
SMALL = 64 << 20

_NOT_PARAMETERS = ("learning_rate", "batch_size")
_AGAIN = "make it again with: aot fuse"


class ArtifactError(ValueError):
    """An artifact that cannot be used. One sentence: the file, the rule, the value that broke it, the next step."""


@dataclass(frozen=True)
class Artifact:
    """One winner ready for use.

    ``task`` has no data. ``max_length`` in tokens, as in training. ``method_name`` is a name of ``trainables.methods``
    and ``method_label`` the one of tables. ``score`` in percent on the dev split; ``None`` where it is not known.
    ``precision`` is what it was trained in. ``files``: what lies beside ``artifact.json``.
    """

    path: Path
    task: Task
    max_length: int
    method_name: str
    method_label: str
    hyperparameters: Mapping[str, Any]
    backbone: BackboneSource
    precision: Precision
    trial_id: str
    study: str
    seed: int
    score: float | None
    result_version: int
    files: Mapping[str, StoredFile]

    @property
    def bytes(self) -> int:
        """The bytes of its files, without the JSON."""
        return sum(file.bytes for file in self.files.values())

    @property
    def outputs(self) -> int:
        """Outputs of its head per sequence: one per class; 1 for regression and multiple choice."""
        return self.task.outputs

    def tensors(self) -> dict[str, Tensor]:
        """The member's own tensors by name, trained and frozen, and ``head.weight`` (outputs, d), ``head.bias``."""
        return self._read(TENSORS)

    def weights(self) -> dict[str, Tensor] | None:
        """Merged weights, by the names of ``Backbone.named_parameters()``; None where there are none."""
        return self._read(WEIGHTS) if WEIGHTS in self.files else None

    def rows(self) -> Tensor | None:
        """The rows of P ``(v, l, d)``, float16, mapped from the file and not read; None where the method has none."""
        return _tensor_file.mapped(self.path / ROWS, "rows") if ROWS in self.files else None

    def method(self, spec: Spec) -> Method:
        """The method with its hyperparameters on a backbone of these sizes.

        Raises:
            ArtifactError: the tensors do not fit such a backbone.
        """
        kind = methods.get(self.method_name)
        try:
            method = kind(_config(self.method_name, self.hyperparameters), spec)
        except ValueError as error:
            raise ArtifactError(f"{self.path / FILE}: {error}; {_AGAIN}") from error
        stored = self.files[TENSORS].tensors
        own = {name: t for name, t in stored.items() if not name.startswith((head.PREFIX, methods.FROZEN))}
        numbers, count = sum(math.prod(tensor.shape) for tensor in own.values()), method.count()
        self._require(numbers == count, TENSORS, f"its trained numbers must be {count:,} here", f"{numbers:,}")
        self._require_shape(TENSORS, head.WEIGHT, [self.outputs, spec.width])
        if ROWS in self.files:
            self._require_shape(ROWS, "rows", [spec.vocabulary, spec.layers, spec.width])
        return method

    def check_backbone(self, source: BackboneSource) -> None:
        """ArtifactError where ``source`` is another backbone than the one it was trained on, whatever it is called."""
        if source.identity != self.backbone.identity:
            raise ArtifactError(
                f"{self.path} was trained on backbone {self.backbone.name} ({self.backbone.identity}), but the one in "
                f"use is {source.name} ({source.identity}); use the backbone that it was trained on"
            )

    def _read(self, name: str) -> dict[str, Tensor]:
        import safetensors.torch

        return safetensors.torch.load_file(self.path / name)

    def _require_shape(self, file: str, name: str, shape: list[int]) -> None:
        found = self.files[file].tensors[name].shape
        self._require(found == shape, file, f"{name} must be {shape} on this backbone", str(found))

    def _require(self, holds: bool, file: str, rule: str, value: str) -> None:
        if not holds:
            raise ArtifactError(f"{self.path / file}: {rule}, but is {value}; {_AGAIN}")


def load(path: str | Path, verify: bool = True) -> Artifact:
    """The artifact of a folder, checked.

    Sizes, headers, names, shapes and dtypes are always compared with what ``artifact.json`` says, and the hashes of
    small files; those of large ones with ``verify`` alone, for which they are read once.

    Raises:
        ArtifactError: a file is missing, damaged, or says something that this version does not understand.
    """
    folder = Path(path)
    document = _read_document(folder)
    try:
        task = document.task.task()
        _config(document.method, document.hyperparameters)
    except ValueError as error:
        raise ArtifactError(f"{folder / FILE}: {error}") from error
    for name, said in document.files.items():
        _check_file(folder / name, said, verify)
    _check_form(folder, document, task)
    return Artifact(
        path=folder,
        task=task,
        max_length=document.max_length,
        method_name=document.method,
        method_label=document.label,
        hyperparameters=document.hyperparameters,
        backbone=document.source(),
        precision=document.precision,
        trial_id=document.trial_id,
        study=document.study,
        seed=document.seed,
        score=document.score,
        result_version=document.result_version,
        files=document.files,
    )


def find(directory: str | Path, verify: bool = True) -> list[Artifact]:
    """Every artifact in a folder and the folders below it, by path; ArtifactError as ``load``, or where there is none.

    What a writer left unfinished is none.
    """
    folder = Path(directory)
    found = [file.parent for file in sorted(folder.rglob(FILE)) if not _unfinished(file.relative_to(folder))]
    if not found:
        what = "holds no artifact" if folder.is_dir() else "is no folder"
        raise ArtifactError(f"{folder} {what}: there is no {FILE} in it; make artifacts with: aot fuse STUDY --out DIR")
    return [load(path, verify) for path in found]


def _unfinished(path: Path) -> bool:
    return any(part.startswith(whole_files.UNFINISHED) for part in path.parts)


def _read_document(folder: Path) -> Document:
    path = folder / FILE
    try:
        return _document.read(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); give the folder of an artifact") from error
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}; {_AGAIN}") from error


def _config(method: str, hyperparameters: Mapping[str, Any]) -> Any:
    """The method's config; ValueError where it is unknown, or takes no such values."""
    own = {name: value for name, value in hyperparameters.items() if name not in _NOT_PARAMETERS}
    try:
        return methods.get(method).Config(**own)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"hyperparameter {where} of {method}: {first['msg']}, but got {first['input']!r}") from error


def _check_file(path: Path, said: StoredFile, verify: bool) -> None:
    if not path.is_file():
        raise ArtifactError(f"{path} is missing, though {FILE} names it; copy the whole folder, or {_AGAIN}")
    if (found := path.stat().st_size) != said.bytes:
        raise ArtifactError(
            f"{path} must have {said.bytes:,} bytes, but has {found:,}: it is cut or another file; copy it again, or "
            f"{_AGAIN}"
        )
    try:
        tensors = _tensor_file.look(path)
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}; copy it again, or {_AGAIN}") from error
    for name in sorted(tensors.keys() | said.tensors.keys()):
        if tensors.get(name) != said.tensors.get(name):
            raise ArtifactError(
                f"{path}: tensor {name!r} must be {_shown(said.tensors.get(name))}, as {FILE} says, but is "
                f"{_shown(tensors.get(name))}; copy the whole folder, or {_AGAIN}"
            )
    if (verify or said.bytes <= SMALL) and (found_hash := _tensor_file.checksum(path)) != said.sha256:
        raise ArtifactError(
            f"{path}: its SHA-256 must be {said.sha256[:16]}…, but is {found_hash[:16]}…: it is damaged; copy it "
            f"again, or {_AGAIN}"
        )


def _check_form(folder: Path, document: Document, task: Task) -> None:
    """What every artifact has, whatever its method: the head, float32 tensors, half precision for rows."""

    def require(holds: bool, rule: str, value: object) -> None:
        if not holds:
            raise ArtifactError(f"{folder}: {rule}, but got {value}; {_AGAIN}")

    require(TENSORS in document.files, f"an artifact must have {TENSORS}", ", ".join(document.files) or "no file")
    tensors = document.files[TENSORS].tensors
    weight, bias = tensors.get(head.WEIGHT), tensors.get(head.BIAS)
    rule = f"{head.WEIGHT} in {TENSORS} must have one row for each of the task's {task.outputs} outputs"
    require(weight is not None and len(weight.shape) == 2 and weight.shape[0] == task.outputs, rule, _shown(weight))
    rule = f"{head.BIAS} in {TENSORS} must have one number for each of the task's {task.outputs} outputs"
    require(bias is not None and bias.shape == [task.outputs], rule, _shown(bias))
    for file in (TENSORS, WEIGHTS):
        for name, tensor in document.files[file].tensors.items() if file in document.files else ():
            require(tensor.dtype == "F32", f"{name} in {file} must be float32 (F32)", tensor.dtype)
    if ROWS in document.files:
        rows = document.files[ROWS].tensors
        rule = f"{ROWS} must hold one tensor, rows (v, l, d) in float16 (F16)"
        good = list(rows) == ["rows"] and rows["rows"].dtype == "F16" and len(rows["rows"].shape) == 3
        require(good, rule, {name: _shown(tensor) for name, tensor in rows.items()})
    elif hasattr(methods.get(document.method), "fused_rows"):
        require(False, f"an artifact of {document.method} must have {ROWS}", ", ".join(document.files))


def _shown(tensor: _document.StoredTensor | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} {tensor.shape}"
