"""A small hub of models and datasets on this machine: what the hub's own client and ``datasets`` ask, over HTTP."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

_API = re.compile(r"/api/(models|datasets)/([\w.-]+/[\w.-]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
_FILE = re.compile(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")

Files = dict[str, bytes]


@dataclass
class Repository:
    """The files of each commit, and the commit of each branch."""

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Files, branch: str = "main") -> str:
        """A new commit of these files, at the end of the branch."""
        name = hashlib.sha1(f"{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        return name


@dataclass
class LocalHub:
    """``repositories`` by kind (``models`` or ``datasets``) and id."""

    endpoint: str
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> Repository:
        """A repository without commits yet."""
        return self.repositories.setdefault((kind, name), Repository())


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """A hub that answers as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = hub = LocalHub(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _MissingError(Exception):
    """What the hub does not have; by the word of its header ``X-Error-Code``."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        try:
            if path == "/":
                self._answer(200)
            elif match := _API.fullmatch(path):
                self._api(*match.groups(), body)
            elif match := _FILE.fullmatch(path):
                self._file("datasets" if match[1] else "models", match[2], match[3], match[4])
            else:
                self._answer(404)
        except _MissingError as missing:
            self._answer(404, headers={"X-Error-Code": str(missing)})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def _found(self, kind: str, name: str, revision: str) -> tuple[str, Files]:
        repository = self.server.hub.repositories.get((kind, name))  # type: ignore[attr-defined]
        if repository is None:
            raise _MissingError("RepoNotFound")
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise _MissingError("RevisionNotFound")
        return commit, repository.commits[commit]

    def _api(self, kind: str, name: str, what: str | None, revision: str | None, inside: str | None, body: str) -> None:
        commit, files = self._found(kind, name, revision or "main")
        if what in (None, "revision"):
            answer: object = {"id": name, "sha": commit, "siblings": [{"rfilename": path} for path in files]}
        elif what == "tree":
            answer = [entry for entry in _entries(files) if entry["path"].startswith(f"{inside}/" if inside else "")]
            if not answer:
                raise _MissingError("EntryNotFound")
        else:
            asked = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
            answer = [entry for entry in _entries(files) if entry["path"] in asked]
        self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _file(self, kind: str, name: str, revision: str, path: str) -> None:
        commit, files = self._found(kind, name, revision)
        if path not in files:
            raise _MissingError("EntryNotFound")
        etag = f'"{hashlib.sha1(files[path]).hexdigest()}"'
        self._answer(200, files[path], {"X-Repo-Commit": commit, "ETag": etag})

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is its own."""


def _entries(files: Files) -> list[dict]:
    found = [
        {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        for path, content in files.items()
    ]
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    return [*found, *({"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders))]
