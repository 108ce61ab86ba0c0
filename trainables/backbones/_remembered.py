"""What was found in the files of a backbone, kept on this machine: hashing gigabytes takes a minute, and importing the
libraries that read a config or a tokenizer takes over a second.

An answer counts as long as all that it was found with is the same: the files, the code of this folder, the libraries.
The folder of answers may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from common.stamps import Stamp, settled, stamp
from trainables.whole_files import replacing

LIBRARIES = ("transformers", "tokenizers", "safetensors")
#: Of each file of a folder.
Stamps = tuple[Stamp, ...]


def stamps(folder: Path) -> Stamps:
    """What tells that a file of the folder has changed."""
    return tuple(stamp(path) for path in sorted(folder.iterdir()) if path.is_file())


def remembered(kind: Any, asked: list[Any], find: Callable[[], Any]) -> Any:
    """The answer to what is ``asked``, plain values and ``Stamps``: as it was found before, else found now and kept.

    ``kind``: its type, of plain values and dataclasses. What ``find`` raises is not kept.
    """
    path = place(asked)
    with suppress(OSError, ValueError):
        return TypeAdapter(kind).validate_json(path.read_bytes())
    found = find()
    if all(settled(part) for part in asked if isinstance(part, tuple)):
        with suppress(OSError), replacing(path) as new:
            new.write_bytes(TypeAdapter(kind).dump_json(found))
    return found


def place(asked: list[Any]) -> Path:
    """The file of an answer."""
    name = hashlib.sha256(json.dumps([_code(), asked]).encode()).hexdigest()[:32]
    return Path.home() / ".cache" / "aot-search" / "backbones" / f"{name}.json"


@cache
def _code() -> list[str]:
    """What answers depend on beside the files: this folder's code and the libraries."""
    own = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return [hashlib.sha256(own).hexdigest(), *map(importlib.metadata.version, LIBRARIES)]
