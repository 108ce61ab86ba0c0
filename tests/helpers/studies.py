"""Study files as text: a valid one, and the same with changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from search.study import Problem, StudyError, load

VALID = """\
study: trial_run
backbones: [FacebookAI/roberta-base]
tasks: [demo/sentiment, demo/choice]
methods:
  lora: {rank: [2, 4], learning_rate: [1e-4, 5e-4]}
  bitfit:
  aot_kronecker: {rank: 5, a: 256, b: 200}
defaults:
  batch_size: [16, 64]
  learning_rate: 1e-3
overrides:
  demo/choice: {epochs: 7, batch_size: 8}
seeds: 2
"""

OWN = {"name": "mine/a", "files": {"train": "t.csv", "dev": "d.csv"}, "text": ["s"]}  # a task of one's own


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, *, bind: bool = True) -> dict[str, Problem]:
    with pytest.raises(StudyError) as caught:
        load(write(folder, text), bind=bind)
    return {problem.path: problem for problem in caught.value.problems}


def changed(**sections: object) -> str:
    """The valid study with some sections replaced; ``None`` takes one away."""
    data = yaml.safe_load(VALID.replace("1e-", "1.0e-").replace("5e-4", "5.0e-4"))
    data.update(sections)
    return yaml.safe_dump({key: value for key, value in data.items() if value is not None}, sort_keys=False)
