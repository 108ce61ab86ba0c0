"""The study of the tests of the command line: two methods on a generated task, short trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def write_study(folder: Path, **sections: Any) -> Path:
    data = {
        "study": "small",
        "backbones": [{"source": "FacebookAI/roberta-base", "name": "base"}],
        "tasks": ["demo/sentiment"],
        "methods": {"lora": {"rank": [2, 4]}, "bitfit": {}},
        "defaults": {"batch_size": 16, "learning_rate": [1e-3, 2e-3]},
        "seeds": 2,
        "protocol": {"max_length": 32, "epochs": 2, "train_rows": 16, "dev_rows": 8},
        "storage": str(folder / "runs"),
        **sections,
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path
