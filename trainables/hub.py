"""Which commit of a hub repository is meant: what is trained and what a trial's id stands for must be one and the same.

The hub is asked where it can be reached; else its cache on this machine is, which holds the commits of branches and
tags as they were last seen.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from huggingface_hub import constants  # the rest of it where it is used: what is local never asks the hub

Kind = Literal["model", "dataset"]

SECONDS = 5.0  # to wait for the hub's answer
_COMMIT = re.compile(r"[0-9a-f]{40}")
#: What Git takes for the name of a branch or tag, and some less: it becomes a part of addresses and paths.
_REVISION = re.compile(r"(?!.*(\.\.|//|/\.|\.lock$|\.$|/$))[\w][\w./+-]{0,199}", re.ASCII)


def check_revision(revision: str) -> str:
    """The revision itself; ValueError where no branch, tag or commit can be called so."""
    if not _REVISION.fullmatch(revision):
        raise ValueError("must be a branch, tag or commit as the hub has them, such as main, v1.0 or refs/pr/1")
    return revision


def check_id(repository: str) -> str:
    """The id itself; ValueError where no repository of the hub can be called so."""
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repository)
    return repository


def is_commit(revision: str | None) -> bool:
    """Whether a revision names a commit itself and not a branch or tag, which may move on."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


@cache
def commit(kind: Kind, repository: str, revision: str | None = None) -> str | None:
    """The commit of a branch, tag or commit, by default of the main branch; ``None`` where nobody here can tell.

    It stays the same for the life of the process, so that all of a study means the same commit.

    Raises:
        ValueError: the hub knows no such repository or revision.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if revision is not None and is_commit(revision):
        return revision
    if reachable():
        try:
            info = HfApi().repo_info(repository, repo_type=kind, revision=revision, timeout=SECONDS)
            return str(info.sha)
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            if found := _cached(kind, repository, revision or "main"):  # seen before: gone, or this machine logged out
                return found
            what = f"{repository!r}" if revision is None else f"{repository!r} with revision {revision!r}"
            raise ValueError(
                f"the hub has no {kind} {what}, or this machine may not see it; correct the id, or log in"
            ) from error
        except _no_answer():
            pass  # it answers, but not to this
    return _cached(kind, repository, revision or "main")


def remember(kind: Kind, repository: str, revision: str | None, found: str) -> None:
    """Note the commit of a branch in the hub's cache, as the library does that asked for the branch by its name.

    Files that are loaded by their commit leave no such note, and without it nobody could tell offline what was meant.
    """
    reference = _repository(kind, repository) / "refs" / (revision or "main")
    if not is_commit(revision) and (_repository(kind, repository) / "snapshots" / found).is_dir():
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(found)


def has(name: str, repository: str, revision: str | None) -> bool:
    """Whether a file of a model is in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, name, revision=revision), str)


def reachable() -> bool:
    """Whether the hub answers. It is asked once in a process, and never in the libraries' offline mode."""
    return not constants.is_offline_mode() and _answers(constants.ENDPOINT)


@contextmanager
def spared() -> Iterator[None]:
    """Where the hub does not answer, the libraries read their caches at once instead of asking it for half a minute."""
    if reachable():
        yield
        return
    flags = [module for name in ("huggingface_hub.constants", "datasets.config") if (module := sys.modules.get(name))]
    before = [module.HF_HUB_OFFLINE for module in flags]
    try:
        for module in flags:
            module.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
        yield
    finally:
        for module, value in zip(flags, before, strict=True):
            module.HF_HUB_OFFLINE = value  # type: ignore[attr-defined]


def _no_answer() -> tuple[type[Exception], ...]:
    """What a request raises that gets no answer; whose HTTP library that is, is the hub library's own choice."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__


@cache
def _answers(endpoint: str) -> bool:
    from huggingface_hub.utils import get_session

    try:
        get_session().head(endpoint, timeout=SECONDS)
    except _no_answer():
        return False
    return True


def _cached(kind: Kind, repository: str, revision: str) -> str | None:
    reference = _repository(kind, repository) / "refs" / revision
    if not reference.is_file():
        return None
    found = reference.read_text().strip()
    return found if is_commit(found) else None


def _repository(kind: Kind, repository: str) -> Path:
    """Where the hub's cache keeps a repository: ``refs`` with the commits of branches, ``snapshots`` with the files."""
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
