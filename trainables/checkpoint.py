"""Files of a study: written whole or not at all, on a local folder or any store that fsspec knows."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor


@dataclass(frozen=True)
class Storage:
    """A folder or URI (``s3://bucket/folder``) with named byte files. A reader never sees half of one."""

    uri: str

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        return fsspec.core.url_to_fs(self.uri)

    @property
    def _local(self) -> bool:
        return "file" in self._filesystem[0].protocol

    def _path(self, name: str) -> str:
        return f"{self._filesystem[1].rstrip('/')}/{name}"

    def write(self, name: str, content: bytes) -> None:
        """Replace the file ``name``; on a local folder it is on disk when this returns. OSError where it cannot be."""
        path = self._path(name)
        if not self._local:
            self._filesystem[0].pipe_file(path, content)
            return
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes | None:
        """The file's content; None where there is no such file."""
        try:
            return bytes(self._filesystem[0].cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def exists(self, name: str) -> bool:
        return bool(self._filesystem[0].exists(self._path(name)))

    def delete(self, name: str) -> None:
        """Remove the file; nothing happens where there is none."""
        if self.exists(name):
            self._filesystem[0].rm_file(self._path(name))

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Tensors with one JSON value beside them, as one safetensors file."""
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        self.write(name, safetensors.torch.save(plain, metadata={"state": json.dumps(state)}))

    def read_tensors(self, name: str) -> tuple[dict[str, Tensor], Any] | None:
        """What ``write_tensors`` wrote; None where there is no file, ValueError where it is damaged."""
        content = self.read(name)
        if content is None:
            return None
        try:
            tensors = safetensors.torch.load(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            return tensors, json.loads(header["__metadata__"]["state"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{self._path(name)} is damaged ({error}); delete it to start that pack afresh") from error
