"""A study file to a ``Study``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from common.uris import hidden_in
from search.study import _document, _sections
from search.study._binding import bind_backbones, bind_tasks, named
from search.study._collector import Collector
from search.study._fit import check_fit
from search.study._grids import GridReader
from search.study._model import MOST_FRESH_SEEDS, Keep, ProtocolSettings, Resources, Search, Study
from search.study._places import check_places, home, is_folder, unusable
from search.study._problems import StudyError
from search.study._size import check_size
from search.study._tasks import task_list

SECTIONS = (
    "study", "description", "backbones", "tasks", "methods", "defaults", "overrides", "seeds", "protocol", "search",
    "confirm", "resources", "keep", "tracking", "storage", "data_dir",
)  # fmt: skip
REQUIRED = ("study", "backbones", "tasks", "methods")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_TRACKING = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "file", "databricks")


def load(path: Path | str, *, bind: bool = True, offline: bool = False) -> Study:
    """The study in the YAML file ``path``.

    With ``bind``, the backbones and the data that the study names are found as well, and the methods are fitted to the
    backbones. Without it a study can be read for its results where neither is at hand. With ``offline``, a backbone on
    the hub that cannot be reached is no problem: a study can be planned without it. With ``offline`` and without
    ``bind``, neither is a data folder that is not here.

    Raises:
        StudyError: the file breaks a rule; it holds all problems, each with path, value, rule and known names.
    """
    path = Path(path)
    document = _document.read(path)
    problems = Collector(document)
    if not isinstance(document.data, dict):
        what = "is empty; a study needs" if document.data is None else "must be a mapping of"
        problems.add((), f"{what} {', '.join(REQUIRED)} and what else differs from the defaults")
        raise StudyError(path, problems.problems, document.data)
    study = _read(problems, problems.mapping((), document.data, "sections"), path.absolute().parent, bind, offline)
    if problems.problems or study is None:
        in_order = sorted(problems.problems, key=lambda problem: problem.line or 0)
        raise StudyError(path, in_order, document.data)
    return study.model_copy(update={"text": hidden_in(path.read_text(encoding="utf-8-sig"), document.data)})


def _read(problems: Collector, data: dict[str, Any], folder: Path, bind: bool, offline: bool) -> Study | None:
    _check_sections(problems, data)
    name, description = _name(problems, data), _text(problems, data, "description") or ""
    search = _search(problems, data)
    protocol = _sections.part(problems, ("protocol",), data.get("protocol"), ProtocolSettings)
    confirm = _confirm(problems, data)
    resources = _resources(problems, data)
    keep = _sections.part(problems, ("keep",), data.get("keep"), Keep)
    backbones = _sections.backbones(problems, data["backbones"], folder) if "backbones" in data else []
    placed = task_list(problems, data["tasks"], folder) if "tasks" in data else []
    reader = GridReader(problems, ranges=search is None or search.strategy != "grid")
    methods = _sections.method_grids(problems, ("methods",), data["methods"], reader) if "methods" in data else {}
    shared = _sections.defaults(problems, data.get("defaults"), reader)
    tasks = {task.name: task for _, task in placed}
    overrides = _sections.overrides(problems, data.get("overrides"), reader, tasks, methods)
    seeds = _sections.seeds(problems, data.get("seeds", 1))
    numbers = {"backbones": len(backbones), "seeds": len(seeds)}
    if check_size(problems, methods, shared, overrides, tasks, search or Search(), **numbers):
        _sections.check_cells(problems, methods, shared, overrides, tasks)
    if search is not None and search.promote is not None and len(seeds) == 1:
        rule = "needs two seeds at least: it gives the best assignments the further ones; raise seeds, or leave it out"
        problems.add(("search", "promote"), rule, search.promote)
    storage, tracking = _storage(problems, data), _tracking(problems, data)
    if bind and not offline:  # it is to be trained, here
        check_places(problems, storage, tracking)
    data_dir = _data_dir(problems, data, folder, needed=bind or not offline)
    bound_backbones = bind_backbones(problems, backbones, offline=offline) if bind else named(backbones)
    bound_tasks = bind_tasks(problems, placed, data_dir) if bind else tuple(tasks.values())
    if problems.problems or search is None:
        return None
    study = Study(
        name=name, description=description, backbones=bound_backbones, tasks=bound_tasks, methods=methods,
        defaults=shared, overrides=overrides, seeds=seeds, protocol=protocol, search=search, confirm=confirm,
        resources=resources, keep=keep, storage=storage, tracking=tracking or _default_tracking(storage),
        data_dir=data_dir,
    )  # fmt: skip
    if bind:
        check_fit(problems, study)
    return study


def _check_sections(problems: Collector, data: dict[str, Any]) -> None:
    for key in data:
        if key not in SECTIONS:
            problems.unknown((key,), data[key], SECTIONS)
    for key in REQUIRED:
        if key not in data:
            problems.add((key,), "is required")


def _name(problems: Collector, data: dict[str, Any]) -> str:
    value = data.get("study")
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    if "study" in data:
        rule = "must be a name of at most 64 letters, digits, - and _, beginning with a letter or digit"
        problems.add(("study",), rule, value)
    return ""


def _text(problems: Collector, data: dict[str, Any], key: str) -> str | None:
    """The text under ``key``; ``None`` where it is left out, empty or something else."""
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        problems.add((key,), "must be text, and not empty", value)
        return None
    return value.strip()


def _search(problems: Collector, data: dict[str, Any]) -> Search | None:
    """How to search; ``None`` where the section is broken, so that nobody can tell what it allows."""
    before = len(problems.problems)
    search = _sections.part(problems, ("search",), data.get("search"), Search)
    if len(problems.problems) > before:
        return None
    written = data.get("search") or {}
    if search.strategy != "grid" and search.n is None:
        rule = f"is required where the strategy is {search.strategy}: the assignments to try per cell"
        problems.add(("search", "n"), rule)
    if search.strategy == "grid":
        for key in ("n", "seed"):
            if key in written:
                rule = "means nothing in a grid search, which takes all; leave it out, or use strategy: random or tpe"
                problems.add(("search", key), rule, written[key])
    return search


def _confirm(problems: Collector, data: dict[str, Any]) -> int:
    value = data.get("confirm", 0)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_FRESH_SEEDS:
        return value
    rule = f"must be a number of fresh seeds from 0 to {MOST_FRESH_SEEDS}, on which each cell's winner is trained again"
    problems.add(("confirm",), rule, value)
    return 0


def _resources(problems: Collector, data: dict[str, Any]) -> Resources:
    resources = _sections.part(problems, ("resources",), data.get("resources"), Resources)
    for key, amount in (("cpu", resources.cpu), ("gpu", resources.gpus)):
        if amount > 1 and amount != int(amount):
            problems.add(("resources", key), "must be a whole number where it is more than 1", amount)
    return resources


def _storage(problems: Collector, data: dict[str, Any]) -> str:
    storage = _text(problems, data, "storage") or os.environ.get("AOT_STORAGE") or "runs"
    if not _URI.match(storage):
        storage = str(home(storage).absolute())
    if rule := unusable(storage):
        problems.add(("storage",), rule, storage)
    return storage


def _tracking(problems: Collector, data: dict[str, Any]) -> str | None:
    tracking = _text(problems, data, "tracking")
    rule = "must be an MLflow URI such as sqlite:///mlflow.db or http://HOST:PORT"
    if tracking is None and (tracking := os.environ.get("MLFLOW_TRACKING_URI") or None):
        rule = f"is left out, so MLFLOW_TRACKING_URI counts here, which {rule}"
    if tracking is None or tracking == "databricks":
        return tracking
    kind, slashes, _ = tracking.partition(":/")
    if not slashes or kind.split("+")[0] not in _TRACKING:
        problems.add(("tracking",), rule, tracking, known=[f"{scheme}://" for scheme in _TRACKING])
        return None
    if wrong := unusable(tracking) or _cut_password(kind, tracking):
        problems.add(("tracking",), wrong, tracking)
        return None
    return tracking


def _cut_password(kind: str, uri: str) -> str:
    """The rule that a database's URI breaks whose password would be taken for a host; empty where it is none."""
    _, at, place = uri.partition("?")[0].partition("@")
    if at and "@" in place and not kind.startswith(("http", "file", "sqlite")):
        return "must have an @ in a user or password written as %40: what follows the first @ is taken for the host"
    return ""


def _default_tracking(storage: str) -> str:
    """SQLite in the storage folder; it needs a real file, so in ``runs`` here where the storage is a URI."""
    folder = Path("runs").absolute() if _URI.match(storage) else Path(storage)
    return f"sqlite:///{folder / 'mlflow.db'}"


def _data_dir(problems: Collector, data: dict[str, Any], folder: Path, *, needed: bool) -> str | None:
    written = _text(problems, data, "data_dir")
    if written is None:
        return None
    path = home(written)
    for place in (folder / path, path.absolute()):
        if is_folder(place):
            return str(place.resolve())
    if not needed:
        return written
    rule = "must be a folder that exists, beside the study file or from the current folder"
    problems.add(("data_dir",), rule, written)
    return None
