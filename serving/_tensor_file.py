"""Files of safetensors written piece by piece, and looked at without being read.

The format is 8 bytes with the length of the header, the header (JSON: of each tensor its dtype, its shape, and where
its bytes begin and end behind the header), and the bytes: https://github.com/huggingface/safetensors. The library
writes whole tensors alone; one of 2.4 GB would need as much memory again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving._document import StoredFile, StoredTensor

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_PREFIX = 8  # bytes that hold the header's length
_ALIGNMENT = 8


def _dtypes() -> dict[str, torch.dtype]:
    import torch

    return {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def dtype_name(dtype: torch.dtype) -> str:
    """``F32`` for float32, as safetensors writes it; ValueError for a dtype that no artifact has."""
    for name, known in _dtypes().items():
        if known == dtype:
            return name
    raise ValueError(f"an artifact's tensors are {', '.join(map(str, _dtypes().values()))}, but got {dtype}")


def stored(tensors: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
    """How these tensors stand in a file."""
    return {name: StoredTensor(dtype=dtype_name(t.dtype), shape=list(t.shape)) for name, t in tensors.items()}


def size(tensors: Mapping[str, StoredTensor]) -> int:
    """Bytes of the file of these tensors."""
    return len(_header(tensors)) + sum(map(_bytes, tensors.values()))


def _bytes(tensor: StoredTensor) -> int:
    return math.prod(tensor.shape) * _dtypes()[tensor.dtype].itemsize


def _header(tensors: Mapping[str, StoredTensor]) -> bytes:
    entries: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + _bytes(tensor)
        entries[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_PREFIX, "little") + text


def write(path: Path, tensors: Mapping[str, StoredTensor], pieces: Iterable[Tensor]) -> StoredFile:
    """Write a file of these tensors, whose numbers come in ``pieces``, one tensor's after the other's.

    No more than a piece is copied. What is written is on disk afterwards.
    """
    total, written = hashlib.sha256(), 0
    with path.open("wb") as file:
        for content in _contents(tensors, pieces):
            written += file.write(content)
            total.update(content)
        file.flush()
        os.fsync(file.fileno())
    if written != size(tensors):
        raise ValueError(f"{path}: its header promises {size(tensors)} bytes, but {written} were written")
    return StoredFile(bytes=written, sha256=total.hexdigest(), tensors=dict(tensors))


def hash_of(tensors: Mapping[str, StoredTensor], pieces: Iterable[Tensor]) -> str:
    """The SHA-256 of the file that ``write`` would write."""
    total = hashlib.sha256()
    for content in _contents(tensors, pieces):
        total.update(content)
    return total.hexdigest()


def _contents(tensors: Mapping[str, StoredTensor], pieces: Iterable[Tensor]) -> Iterator[Any]:
    import torch

    yield _header(tensors)
    for piece in pieces:
        yield piece.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def look(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file by its header, which the library checks; ValueError where it is no such file, or cut."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 -- it is no mapping
            return {n: StoredTensor(dtype=s.get_dtype(), shape=s.get_shape()) for n, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"it is no whole file of safetensors ({error})") from error


def checksum(path: Path) -> str:
    """The SHA-256 of a file, read once from its beginning to its end."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mapped(path: Path, name: str) -> Tensor:
    """A tensor of float16 where it lies in its file: nothing is read until it is used, and nothing is copied.

    It is mapped privately, so that what somebody writes into it never reaches the file; pages that are only read are
    shared by all processes.
    """
    import numpy as np
    import torch

    with path.open("rb") as file:
        length = int.from_bytes(file.read(_PREFIX), "little")
        entry = json.loads(file.read(length))[name]
    begin = _PREFIX + length + entry["data_offsets"][0]
    return torch.from_numpy(np.memmap(path, np.float16, "c", begin, tuple(entry["shape"])))
