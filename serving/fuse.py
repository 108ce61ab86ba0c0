"""From a trained trial to an artifact (section 3.3 of the paper: what is trained is fused once, ahead of time).

Everything is written in pieces into a folder beside the artifact's, which takes its place when it is whole: P of
RoBERTa-Large is 2.4 GB, of which no second copy is held in memory; and whoever is killed leaves no artifact behind.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving import _document, _tensor_file
from serving._document import ROWS, TENSORS, WEIGHTS, StoredFile, StoredTensor
from serving.artifact import FILE, Artifact, ArtifactError, load
from trainables import head, methods, whole_files
from trainables.methods import Method
from trainables.trial import RESULT_VERSION, Trial

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.backbones import Backbone

#: What is told of long work: bytes written so far, and of how many.
Told = Callable[[int, int], None]

#: How the names of ``Backbone.named_parameters()`` begin.
_OF_THE_BACKBONE = "model."
#: Left on the disk beside what is written, for the JSON and the file system's own.
_SPARE = 1 << 20


@dataclass(frozen=True)
class _File:
    """A file to be written: its tensors, and their numbers in pieces."""

    tensors: Mapping[str, StoredTensor]
    pieces: Callable[[], Iterable[Tensor]]

    @property
    def bytes(self) -> int:
        return _tensor_file.size(self.tensors)


def _nothing(written: int, total: int) -> None:
    return None


def write(
    folder: str | Path,
    trial: Trial,
    tensors: Mapping[str, Tensor],
    backbone: Backbone,
    *,
    study: str = "",
    score: float | None = None,
    merge: bool = False,
    tell: Told = _nothing,
) -> Artifact:
    """Write the artifact of a trained trial, in place of one that was in ``folder``.

    Args:
        folder: the artifact's own folder, such as ``DIR/BACKBONE/glue-rte/aot_fc``.
        trial: the trial; its task has labels.
        tensors: of the trial's weights file, float32: the method's, frozen ones among them, and the head's.
        backbone: the trial's, in float32. Where it is on a GPU, rows are computed there.
        study: the name of the study that trained it.
        score: in percent on the dev split.
        merge: also write the backbone's weights with the method's change merged into them, where it has such a form.
        tell: hears of each piece of a large file.

    Raises:
        ArtifactError: there is no room on the disk for it; the folder holds something else; the tensors are not those
            of such a trial; nobody knows which weights its backbone is.
        ValueError: P is too large for half precision.
    """
    folder = Path(folder)
    check_place(folder, FILE)
    if not trial.backbone.pinned:
        raise ArtifactError(
            f"an artifact names the weights of its backbone for ever, but of {trial.backbone.name} neither the hub nor "
            "its cache here tells the commit; connect to the hub, then fuse again"
        )
    kind = methods.get(trial.method)
    method = kind(kind.Config(**trial.method_config), backbone.spec)
    files = _files(trial, method, tensors, backbone, merge)
    total = sum(file.bytes for file in files.values())
    check_room(folder, total)
    before = 0
    written: dict[str, StoredFile] = {}
    with whole_files.replacing_folder(folder) as new:
        for name, file in files.items():
            pieces = _told(file.pieces(), before, total, tell)
            written[name] = _tensor_file.write(new / name, file.tensors, pieces)
            before += file.bytes
        document = _document.describe(trial, kind.label, study, score, written, RESULT_VERSION)
        (new / FILE).write_bytes(_document.written(document))
        load(new, verify=False).method(backbone.spec)
    return load(folder, verify=False)


def is_of(made: Artifact, trial: Trial, tensors: Mapping[str, Tensor], merge: bool) -> bool:
    """Whether an artifact is the one that ``write`` would make of a trial and its tensors."""
    floats = _floats(tensors)
    file = _whole(floats)
    lacks_merged = merge and WEIGHTS not in made.files and _can_merge(trial.method, _own(floats))
    same = made.trial_id == trial.id and made.files[TENSORS].sha256 == _tensor_file.hash_of(file.tensors, file.pieces())
    return same and not lacks_merged


def check_place(folder: Path, file: str) -> None:
    """ArtifactError where ``folder`` holds something, but not ``file``: what is not ours is not replaced."""
    if folder.is_dir() and not (folder / file).exists() and any(folder.iterdir()):
        raise ArtifactError(
            f"{folder} must be new, empty, or hold an earlier {file} to be replaced, but holds something else; choose "
            "another --out, or move it away"
        )


def check_room(folder: Path, needed: int) -> None:
    """ArtifactError where the disk of ``folder``, which need not be there yet, has no room for so many bytes."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed + _SPARE:
        raise ArtifactError(
            f"{folder} needs {needed + _SPARE:,} bytes, but {there} has only {free:,} free; make room, or choose "
            "another folder"
        )


def _files(
    trial: Trial, method: Method, tensors: Mapping[str, Tensor], backbone: Backbone, merge: bool
) -> dict[str, _File]:
    missing = {head.WEIGHT, head.BIAS} - tensors.keys()
    if missing:
        raise ArtifactError(
            f"the weights of trial {trial.id} must hold its head, but have no {' and no '.join(sorted(missing))}; "
            "train it again"
        )
    floats = _floats(tensors)
    files = {TENSORS: _whole(floats)}
    own = {name: tensor.to(backbone.embedding_matrix.device) for name, tensor in _own(floats).items()}
    rows: Any = getattr(method, "fused_rows", None)
    if rows is not None:
        spec = backbone.spec
        shape = [spec.vocabulary, spec.layers, spec.width]
        files[ROWS] = _File({"rows": StoredTensor(dtype="F16", shape=shape)}, lambda: rows(own, backbone))
    elif merge and _can_merge(trial.method, own):
        files[WEIGHTS] = _whole(dict(method.fuse(own, backbone).weights))
    return files


def _can_merge(method: str, own: Mapping[str, Tensor]) -> bool:
    """Whether a member can be merged into weights, and is none already: fine-tuning's tensors are the backbone's."""
    kind = methods.get(method)
    weights = all(name.startswith(_OF_THE_BACKBONE) for name in own)
    return kind.fusable and not hasattr(kind, "fused_rows") and not weights


def _floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in tensors.items()}


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The method's tensors, without the head's."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(head.PREFIX)}


def _whole(tensors: Mapping[str, Tensor]) -> _File:
    ordered = dict(sorted(tensors.items()))
    return _File(_tensor_file.stored(ordered), ordered.values)


def _told(pieces: Iterable[Tensor], before: int, total: int, tell: Told) -> Iterator[Tensor]:
    for piece in pieces:
        yield piece
        before += piece.numel() * piece.element_size()
        tell(before, total)
