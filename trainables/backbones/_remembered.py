"""What was found in the files of a backbone, kept on this machine: hashing gigabytes takes a minute, and importing the
libraries that read a config or a tokenizer takes over a second.

An answer counts as long as all that it was found with is the same: the files, the code of this folder, the libraries.
The folder of answers may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trainables.whole_files import replacing

LIBRARIES = ("transformers", "tokenizers", "safetensors")
#: A file that was changed so short a while ago might change again within one tick of its clock.
SETTLED_SECONDS = 5.0

#: Of each file of a folder: name, size, times of its content and of its entry (nanoseconds), and number.
Stamps = tuple[tuple[str, int, int, int, int], ...]


def stamps(folder: Path) -> Stamps:
    """What tells that a file of the folder has changed: nobody can set the time of an entry (ctime) back."""
    states = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return tuple((n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for n, s in states)


def remembered(kind: Any, asked: list[Any], find: Callable[[], Any]) -> Any:
    """The answer to what is ``asked``, plain values and ``Stamps``: as it was found before, else found now and kept.

    ``kind``: its type, of plain values and dataclasses. What ``find`` raises is not kept.
    """
    path = place(asked)
    with suppress(OSError, ValueError):
        return TypeAdapter(kind).validate_json(path.read_bytes())
    found = find()
    if _settled(asked):
        with suppress(OSError), replacing(path) as new:
            new.write_bytes(TypeAdapter(kind).dump_json(found))
    return found


def place(asked: list[Any]) -> Path:
    """The file of an answer."""
    name = hashlib.sha256(json.dumps([_code(), asked]).encode()).hexdigest()[:32]
    return Path.home() / ".cache" / "aot-search" / "backbones" / f"{name}.json"


def _settled(asked: list[Any]) -> bool:
    times = [one[3] for part in asked if isinstance(part, tuple) for one in part]
    return time.time() - max(times, default=0) / 1e9 > SETTLED_SECONDS


@cache
def _code() -> list[str]:
    """What answers depend on beside the files: this folder's code and the libraries."""
    own = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return [hashlib.sha256(own).hexdigest(), *map(importlib.metadata.version, LIBRARIES)]
