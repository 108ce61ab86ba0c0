"""A study that is trained here, without a driver: its weights in its storage, its results in its journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.stub_study import write_study

from search import study
from search.planning.plan import plan
from search.tracking.journal import Entry, Journal, local_folder
from trainables import training

PROTOCOL = {"epochs": 2, "patience": 2, "max_length": 32, "train_rows": 32, "dev_rows": 24}


def train(folder: Path, **changes: Any) -> Path:
    """The file of a study of short trials; ``changes`` replace its top-level keys."""
    path = write_study(folder, **{"protocol": PROTOCOL, "seeds": [0], **changes})
    of = study.load(path)
    where = training.Workspace(of.folder, of.cache_dir, "cpu", 1)
    entries = []
    for pack in plan(of).packs:
        ended = {r.trial_id: r for progress in training.train(pack, where) for r in progress.results}
        entries += [Entry.of(of.name, trial, ended[trial.id], {}, "abc") for trial in pack.trials]
    book = Journal(local_folder(of.folder), pytest.fail)
    book.append(entries)
    book.close()
    return path
