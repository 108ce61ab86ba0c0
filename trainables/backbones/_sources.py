"""Where a backbone comes from: a hub id, a folder, or ``package:NAME/FOLDER``; and which weights it is."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import re
from contextlib import suppress
from pathlib import Path

from common.words import check_name
from trainables import hub
from trainables.backbones._identity import config_dropout, dropout_of, identity_of
from trainables.backbones._remembered import remembered
from trainables.trial import BackboneSource

PACKAGE, COMMIT = "package:", "commit:"
ADAPTER = "adapter_config.json"  # what a folder has that PEFT saved an adapter to
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def resolve(source: str, name: str | None = None, revision: str | None = None) -> BackboneSource:
    """Find ``source`` without loading its weights, and fill in its identity.

    ``name`` is for people; by default the last part of the hub id, the folder's name or the package's name.
    ``revision`` is a hub branch, tag or commit, by default the main branch. The identity of a folder is a hash of
    what its files hold; that of a hub id is the commit that its revision stands for now, which is then also the
    revision to load. Where neither the hub nor its cache on this machine can tell, it is the id and the revision.

    Raises ValueError where a package is not installed, a folder is missing, has no config.json or no safetensors, or
    has an adapter beside them, a local source is given a revision, the text is neither a folder nor a hub id, or the
    hub knows no such id.
    """
    folder = folder_of(source)
    if folder is None:
        if not _HUB_ID.fullmatch(source):
            raise ValueError(
                f"a backbone is a hub id such as FacebookAI/roberta-base, a folder that exists, or "
                f"{PACKAGE}NAME/FOLDER, but got {source!r}"
            )
        return _on_the_hub(source, name or source.split("/")[-1], revision)
    if revision is not None:
        raise ValueError(f"only a hub id has a revision, but {source!r} is local and got {revision!r}; leave it out")
    if source.startswith(PACKAGE):
        return BackboneSource(name or _package_of(source), source, None, identity_of(folder), dropout_of(folder))
    return BackboneSource(name or folder.name, str(folder), None, identity_of(folder), dropout_of(folder))


def _on_the_hub(source: str, name: str, revision: str | None) -> BackboneSource:
    check_name(name)  # before the hub's library is asked, which knows no names but ids
    hub.check_id(source)
    commit = hub.commit("model", source, revision)
    if commit is None:
        return BackboneSource(name, source, revision, f"{source}@{revision or 'main'}")
    try:
        dropout = _dropout_at(source, commit)
        hub.remember("model", source, revision, commit)
    except (OSError, ValueError, KeyError):
        dropout = None  # whoever loads it says what is wrong
    return BackboneSource(name, source, commit, f"{COMMIT}{commit}", dropout)


def _dropout_at(source: str, commit: str) -> tuple[float, float] | None:
    """As ``dropout_of``, of a commit on the hub."""

    def find() -> tuple[float, float] | None:
        from transformers import AutoConfig  # with torch

        with hub.spared():
            return config_dropout(AutoConfig.from_pretrained(source, revision=commit, trust_remote_code=False))

    here = hub.has("config.json", source, commit)
    return remembered(tuple[float, float] | None, ["dropout", source, commit], find) if here else find()


def folder_of(source: str) -> Path | None:
    """The folder of a local source, or ``None`` for what can only be a hub id; errors as ``resolve``."""
    if source.startswith(PACKAGE):
        folder = _package_folder(source)
    else:
        folder = Path(source)
        try:
            folder = folder.expanduser()
            there = bool(source) and folder.is_dir()
        except (OSError, RuntimeError):  # longer than any path, or of a user that is not there
            there = False
        if not there:
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
    if (folder / ADAPTER).is_file():
        raise ValueError(
            f"a backbone's folder must hold the whole model and no adapter beside it, but {source!r} has {ADAPTER}: "
            "the library adds it to the weights wherever PEFT is installed; merge it into them, or move it away"
        )
    return folder.resolve()


def location(source: BackboneSource) -> str:
    """What the library loads from: a folder's path or the hub id."""
    folder = folder_of(source.source)
    return source.source if folder is None else str(folder)


def _package_of(source: str) -> str:
    return source.removeprefix(PACKAGE).split("/")[0]


def _package_folder(source: str) -> Path:
    """The folder inside an installed package, found without importing it."""
    package, _, inside = source.removeprefix(PACKAGE).partition("/")
    if not package.isidentifier() or ".." in Path(inside).parts:
        raise ValueError(f"a backbone in a package is {PACKAGE}NAME/FOLDER, but got {source!r}")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a module that has no place, such as __main__
        spec = None
    if spec is None or not spec.submodule_search_locations:
        near = difflib.get_close_matches(package, _installed(), n=1, cutoff=0.6)
        install = f"if the name is right, run: pip install --no-deps {package.replace('_', '-')}"
        hint = f"did you mean {near[0]!r}? Or, {install}" if near else install
        raise ValueError(f"{source!r} needs the package {package!r}, which is not installed; {hint}")
    with suppress(OSError):  # longer than any path
        for parent in spec.submodule_search_locations:
            if (Path(parent) / inside).is_dir():
                return Path(parent) / inside
    raise ValueError(f"package {package!r} has no folder {inside!r}, which {source!r} names; correct the folder")


def _installed() -> list[str]:
    """The packages that can be imported here, by the names under which they can."""
    return [name for name in importlib.metadata.packages_distributions() if name.isidentifier()]
