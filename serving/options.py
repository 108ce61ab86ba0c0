"""How a server is set up: a YAML file of options, checked as a whole, and the token that its clients must know."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.words import printable

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
_Count = Annotated[int, Field(ge=1, le=10**9)]

SHORTEST_TOKEN = 16


class OptionsError(ValueError):
    """Options that cannot be used; it names each that is wrong, with its value and the rule."""


class Replicas(BaseModel):
    """How many copies of the engine there are: from ``min`` to ``max``, one for every ``requests`` at a time.

    A number instead of a mapping is both ``min`` and ``max``.
    """

    model_config = _STRICT
    min: _Count = 1
    max: _Count = 1
    requests: _Count = 16

    @model_validator(mode="before")
    @classmethod
    def _number(cls, data: Any) -> Any:
        return {"min": data, "max": data} if isinstance(data, int) and not isinstance(data, bool) else data

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min must be at most max, but is {self.min} of {self.max}")
        return self


class Limits(BaseModel):
    """What the server takes: rows and bytes of one request, rows that wait in all, seconds until an answer is there."""

    model_config = _STRICT
    rows: _Count = 1_024
    bytes: _Count = 1_048_576
    queue: _Count = 8_192
    seconds: float = Field(60.0, gt=0, le=86_400)

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.rows > self.queue:
            raise ValueError(f"queue must hold the rows of one request, but is {self.queue} of {self.rows}")
        return self


class Options(BaseModel):
    """The whole file; every key may be left out.

    ``cpus``: cores of one replica; left out, the machine's, shared evenly by its replicas. ``gpus``: of one replica;
    0.5 puts two on one; left out, one where the machine has any. ``batch_tokens``: of a batch, the texts' estimated
    lengths added up; left out, what suits the device.
    """

    model_config = _STRICT
    replicas: Replicas = Replicas()
    cpus: float | None = Field(None, gt=0, le=10_000)
    gpus: float | None = Field(None, ge=0, le=64)
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_tokens: _Count | None = None
    too_long: Literal["cut", "refuse"] = "cut"
    limits: Limits = Limits()


class Service(BaseModel):
    """What is served, and how: the artifacts in a folder, of one backbone.

    ``backbone``: its name or where it is, needed where the artifacts are of several. ``rows`` and ``cache_bytes``: as
    the engine takes them. ``token_file``: where the token is that clients must send; None: they need none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: Path
    backbone: str | None = None
    device: str = "auto"
    rows: Literal["host", "device", "factors"] = "host"
    cache_bytes: int | None = Field(None, ge=1)
    token_file: Path | None = None
    options: Options = Options()


def load(path: Path) -> Options:
    """The options in a YAML file.

    Raises:
        OptionsError: the file cannot be read or breaks rules; it names all of them.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionsError(f"{path}: cannot be read as YAML: {_one_line(error)}") from None
    return checked(data, str(path))


def checked(data: Any, name: str) -> Options:
    """Options from what a YAML file holds; ``OptionsError`` names ``name`` and everything that is wrong."""
    try:
        return Options.model_validate({} if data is None else data)
    except ValidationError as error:
        problems = dict.fromkeys(_told(each) for each in error.errors())
        lines = "\n".join(f"  {problem}" for problem in problems)
        number = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        raise OptionsError(f"{name}: not valid options of a server, {number}\n{lines}") from None


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def size(text: str) -> int:
    """Bytes of ``2GB``, ``500 MB`` or ``1000000``; ValueError where it is none of these."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not found or not (size := int(float(found[1]) * _UNITS[found[2].upper()])):
        raise ValueError(f"a size must be a number of bytes such as 500MB or 2GB, but got {text!r}")
    return size


def token(path: Path) -> str:
    """The bearer token in a file, without the end of its line.

    Raises:
        OptionsError: the file cannot be read, or holds no token; its content is in no message.
    """
    advice = f"a token is at least {SHORTEST_TOKEN} letters, digits and signs without a space; make one: " + (
        "python -c 'import secrets; print(secrets.token_urlsafe())' > FILE"
    )
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise OptionsError(f"the token file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OptionsError(f"the token file {path} holds no token, but signs beyond ASCII; {advice}") from None
    if len(text) < SHORTEST_TOKEN or not all("!" <= sign <= "~" for sign in text):
        raise OptionsError(f"the token file {path} holds no token: {len(text)} signs; {advice}")
    return text


_SECTIONS: dict[str, type[BaseModel]] = {"replicas": Replicas, "limits": Limits, "": Options}


def _told(error: Any) -> str:
    """A problem as ``path = value: rule``."""
    section, _, key = (path := ".".join(map(str, error["loc"]))).rpartition(".")
    rule = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if error["type"] == "extra_forbidden":
        known = list(_SECTIONS[section].model_fields)
        near = difflib.get_close_matches(key, known, n=1)
        rule = f"unknown; {f'did you mean {near[0]!r}? ' if near else ''}known: {', '.join(known)}"
    if error["type"] == "model_type":
        rule = f"must be a mapping of {', '.join(_SECTIONS[path].model_fields)}"
        rule += " or a whole number" if path == "replicas" else ""
    value = "" if isinstance(error["input"], dict) else f" = {printable(repr(error['input'])[:100])}"
    return f"{path or 'the file'}{value}: {rule}"


def _one_line(error: Exception) -> str:
    return printable(" ".join(str(error).split()))[:300]
