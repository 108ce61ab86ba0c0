"""Files of a study: written whole or not at all, on a local folder or any store that fsspec knows."""

from __future__ import annotations

import errno
import json
import logging
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import fsspec

from common.uris import masked_in
from trainables import whole_files

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

PROBE = ".writable"
CHECKPOINTS = "checkpoints"  # the folder of those of a study
WEIGHTS = "weights"  # and that of the best weights of its trials
PREDICTIONS = "predictions"  # and that of their answers on the dev split, at the same epochs
DAMAGED = ".damaged"  # what a file that was set aside is called after its name

#: An object store that is away for a while is waited for: a pack has hours in it, and the store comes back.
RETRY_SECONDS = (2.0, 10.0, 30.0, 60.0, 120.0)


T = TypeVar("T")


@dataclass(frozen=True)
class Storage:
    """A folder or URI (``s3://bucket/folder``) with named byte files. A reader never sees half of one.

    Errors are OSErrors of one line, whatever the store's own library raises: which file, why, and what to do.
    """

    uri: str

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        try:
            return fsspec.core.url_to_fs(self.uri)
        except (ImportError, ValueError) as error:  # a package is missing, or there is no such kind of store
            raise OSError(f"the storage {masked_in(self.uri)} cannot be used: {error}") from error

    @property
    def _local(self) -> bool:
        return "file" in self._filesystem[0].protocol

    def _path(self, name: str) -> str:
        return f"{self._filesystem[1].rstrip('/')}/{name}"

    def shown(self, name: str) -> str:
        """A file's path or URI for people, without what is secret in it."""
        return self._path(name) if self._local else f"{masked_in(self.uri).rstrip('/')}/{name}"

    def check(self) -> None:
        """Write a file and delete it. OSError where that cannot be: before a search, not in each of its packs."""
        with self._explained("written", PROBE):
            self._put(PROBE, b"")
        self.delete(PROBE)

    def write(self, name: str, content: bytes) -> None:
        """Replace the file ``name``; on a local folder it is on disk when this returns. OSError where it cannot be."""
        with self._explained("written", name):
            self._patiently(lambda: self._put(name, content))

    def _put(self, name: str, content: bytes) -> None:
        if self._local:
            with whole_files.replacing(Path(self._path(name))) as new:
                new.write_bytes(content)
        else:
            self._filesystem[0].pipe_file(self._path(name), content)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Try again for some minutes where a remote store fails for another reason than a rule of its own."""
        for seconds in () if self._local else RETRY_SECONDS:
            try:
                return attempt()
            except (FileNotFoundError, PermissionError, MemoryError):
                raise
            except Exception as error:  # of whatever library the store's client is made
                log.warning(
                    "%s does not answer (%s); trying again in %g s",
                    masked_in(self.uri),
                    masked_in(_line(error)),
                    seconds,
                )
                time.sleep(seconds)
        return attempt()

    def read(self, name: str) -> bytes | None:
        """The file's content; None where there is no such file."""
        with self._explained("read", name):
            try:
                return self._patiently(lambda: bytes(self._filesystem[0].cat_file(self._path(name))))
            except FileNotFoundError:
                return None

    def exists(self, name: str) -> bool:
        with self._explained("read", name):
            return bool(self._filesystem[0].exists(self._path(name)))

    def delete(self, name: str) -> None:
        """Remove the file; nothing happens where there is none."""
        if self.exists(name):
            with self._explained("deleted", name):
                self._filesystem[0].rm_file(self._path(name))

    def names(self, folder: str) -> list[str]:
        """The files that lie directly in a folder, sorted and whole; none where there is no such folder."""
        with self._explained("read", folder):
            try:
                found = self._filesystem[0].ls(self._path(folder), detail=False, refresh=True)
            except FileNotFoundError:
                return []
        files = (path.rstrip("/").rsplit("/", 1)[-1] for path in found)
        return sorted(f"{folder}/{file}" for file in files if not file.startswith(whole_files.UNFINISHED))

    def sweep(self, folder: str) -> None:
        """Remove what killed writers left in a folder of half-written files. Nobody may be writing there."""
        if self._local:
            whole_files.sweep(Path(self._path(folder)))

    def set_aside(self, name: str) -> str:
        """Rename the file, so that another one can take its place; its new path, for people."""
        aside = f"{name}{DAMAGED}"
        with self._explained("renamed", name):
            self._filesystem[0].mv(self._path(name), self._path(aside))
        return self.shown(aside)

    @contextmanager
    def _explained(self, done: str, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # what the client of an object store raises is its own, and often no OSError
            if isinstance(error, MemoryError) or (self._local and not isinstance(error, OSError)):
                raise
            raise OSError(_explanation(error, done, self.shown(name), self._local)) from error

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Tensors with one JSON value beside them, as one safetensors file with a checksum."""
        import safetensors.torch

        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        text = json.dumps(state)
        # One key: safetensors writes several in any order, and equal contents are to be equal files.
        metadata = {"contents": json.dumps({"crc32": _checksum(plain, text), "state": text})}
        if not self._local:
            self.write(name, safetensors.torch.save(plain, metadata))
            return
        with self._explained("written", name), whole_files.replacing(Path(self._path(name))) as new, _system_errors():
            safetensors.torch.save_file(plain, new, metadata)  # straight from the tensors: no copy in memory

    def read_tensors(self, name: str) -> tuple[dict[str, Tensor], Any] | None:
        """What ``write_tensors`` wrote; None where there is no file, ValueError where it is damaged."""
        import safetensors.torch
        from safetensors import SafetensorError

        content = self.read(name)
        if content is None:
            return None
        try:
            tensors = safetensors.torch.load(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            metadata = header["__metadata__"]
            if "contents" not in metadata:  # a file of before there were checksums
                return tensors, json.loads(metadata["state"])
            contents = json.loads(metadata["contents"])
            if contents["crc32"] != _checksum(tensors, contents["state"]):
                raise ValueError("its checksum is another one")
            return tensors, json.loads(contents["state"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.shown(name)} is damaged ({error})") from error


@contextmanager
def _system_errors() -> Iterator[None]:
    """What safetensors says of the system while it writes, as the OSError that it was."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(number[1]), str(error)) from error
        raise


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    import torch

    crc = zlib.crc32(text.encode())
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def _explanation(error: Exception, done: str, where: str, local: bool) -> str:
    reason = masked_in(_line(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for {where}; make room, then start again"
    if isinstance(error, PermissionError):
        whose = "its permissions" if local else "the credentials and what they allow"
        return f"{where} cannot be {done} ({reason}); check {whose}, then start again"
    if local:
        return f"{where} cannot be {done} ({reason})"
    if isinstance(error, FileNotFoundError):
        return f"{where} cannot be {done} ({reason}); make the bucket, or correct `storage` in the study"
    what = f"{where} cannot be {done} ({reason})"
    return f"{what}; check that the store answers and takes your credentials, then start again"


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
