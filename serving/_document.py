"""``artifact.json``: what an artifact says of itself, with every key checked, and a checksum of the whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from trainables import tasks
from trainables.tasks import Files, Task, Truncation
from trainables.trial import BackboneSource, Trial, canonical

#: Raised with every change of what the files hold or mean.
FORMAT: Final = 1

#: The files of an artifact beside its JSON.
TENSORS, ROWS, WEIGHTS = "tensors.safetensors", "rows.safetensors", "weights.safetensors"
FileName = Annotated[str, Field(pattern=r"^(tensors|rows|weights)\.safetensors$")]  # so that none leads elsewhere

_CHECKSUM = "checksum"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class StoredTensor(_Part):
    """``dtype`` as safetensors writes it: ``F32``, ``F16``."""

    dtype: str
    shape: list[int]


class StoredFile(_Part):
    """``sha256`` of the whole file in hexadecimal digits."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    tensors: dict[str, StoredTensor]


class _Truncation(_Part):
    side: Literal["left", "right"]
    segment: Literal["longest", "first", "second"]


class TaskDocument(_Part):
    """A task without its data: how fields become text, and what its outputs mean. ``columns`` are the fields."""

    name: str = Field(min_length=1)
    kind: Literal["classification", "regression", "multiple_choice"]
    metric: str
    choices: int
    columns: list[str]
    text: list[str] = Field(min_length=1, max_length=2)
    options: list[str]
    derived: tuple[str, int] | None
    label: str
    labels: Annotated[list[str], Field(min_length=1)] | None
    blanks: bool
    truncation: _Truncation

    def task(self) -> Task:
        """The built-in task of this recipe, else one made of what is written here; it has no data.

        Raises:
            ValueError: columns were derived by code that this version does not have, or no longer has so; or what is
                written here does not fit together.
        """
        if self.name in tasks.names():
            known = tasks.get(self.name)
            if _of_task(known) == self:
                return known
        if self.derived is not None:
            raise ValueError(
                f"task {self.name} derives columns by {self.derived[0]}, version {self.derived[1]}, which is not what "
                "this version of the code has; fuse it again with the code that serves it, or serve with that version"
            )
        task = Task(
            name=self.name,
            text=tuple(self.text),
            source=Files((), ()),
            metric=self.metric,
            labels=None if self.labels is None else tuple(self.labels),
            label=self.label,
            options=tuple(self.options),
            blanks=self.blanks,
            truncation=Truncation(self.truncation.side, self.truncation.segment),
        )
        if _of_task(task) != self:
            raise ValueError(
                f"kind, choices and columns of task {self.name} must be those of its templates, labels and options, "
                f"{task.kind}, {task.choices} and {', '.join(task.columns)}, but are {self.kind}, {self.choices} and "
                f"{', '.join(self.columns)}; fuse it again"
            )
        return task


class _Backbone(_Part):
    name: str
    source: str
    revision: str | None
    identity: str = Field(min_length=1)
    dropout: tuple[float, float] | None


class Document(_Part):
    """The keys of ``artifact.json`` but for its checksum. ``score`` in percent; ``max_length`` in tokens."""

    format: Literal[1]
    task: TaskDocument
    max_length: int = Field(ge=1)
    method: str
    label: str
    hyperparameters: dict[str, JsonValue]
    backbone: _Backbone
    precision: Literal["float32", "bfloat16"]
    trial_id: str
    study: str
    seed: int
    score: float | None
    result_version: int
    files: dict[FileName, StoredFile]

    def source(self) -> BackboneSource:
        """The backbone that it belongs to."""
        return BackboneSource(**self.backbone.model_dump())


def describe(
    trial: Trial, label: str, study: str, score: float | None, files: Mapping[str, StoredFile], version: int
) -> Document:
    """What the artifact of a trial says of itself; ``label`` is the method's."""
    source, protocol = trial.backbone, trial.protocol
    return Document(
        format=FORMAT,
        task=_of_task(trial.task),
        max_length=protocol.max_length,
        method=trial.method,
        label=label,
        hyperparameters=dict(trial.hyperparameters),
        backbone=_Backbone(
            name=source.name,
            source=source.source,
            revision=source.revision,
            identity=source.identity,
            dropout=source.dropout,
        ),
        precision=protocol.precision,
        trial_id=trial.id,
        study=study,
        seed=trial.seed,
        score=score,
        result_version=version,
        files=dict(files),
    )


def _of_task(task: Task) -> TaskDocument:
    reading = task.reading()
    derived = reading.pop("derived")
    return TaskDocument(
        name=task.name,
        kind=task.kind,
        metric=task.metric,
        choices=task.choices,
        columns=list(task.columns),
        derived=None if derived is None else tuple(derived),
        truncation=_Truncation(side=task.truncation.side, segment=task.truncation.segment),
        **reading,
    )


def written(document: Document) -> bytes:
    """The content of ``artifact.json``."""
    values = document.model_dump(mode="json")
    return (json.dumps({**values, _CHECKSUM: _checksum(values)}, indent=1, ensure_ascii=False) + "\n").encode()


def read(content: bytes) -> Document:
    """The document of an ``artifact.json``; ValueError says which rule it breaks, with the value."""
    try:
        values = json.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"it must be JSON, but is not ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"it must be an object of JSON, but is {str(values)[:40]!r}")
    if values.get("format") != FORMAT:
        raise ValueError(
            f"its format must be {FORMAT}, which is what this version reads, but is {values.get('format')!r}"
        )
    checksum = values.pop(_CHECKSUM, None)
    try:
        found = Document.model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        got = "" if first["type"] == "missing" else f", but got {str(first['input'])[:60]!r}"
        raise ValueError(f"{where}: {first['msg']}{got}") from error
    if checksum != _checksum(values):
        raise ValueError(f"its checksum must be that of its content, but is {str(checksum)[:16]!r}: it was changed")
    return found


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(values).encode()).hexdigest()
