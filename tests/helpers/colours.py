"""Small tasks on files of our own."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from trainables.tasks import Task, resolve
from trainables.tasks.custom import Columns, custom_task, files

COLOURS, THINGS = ("red", "green", "blue"), ("cat", "dog", "house", "river", "tree")


def colours(folder: Path) -> Task:
    """A classification that a word decides, its rows in ``folder``: 24 train and 12 dev rows."""
    pairs = list(itertools.product(COLOURS, THINGS, ("a", "the")))
    for split, rows in {"train": pairs[:24], "dev": pairs[18:]}.items():
        lines = [{"text": f"{a} {c} {t}", "label": "warm" if c == "red" else "cold"} for c, t, a in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    source = files("train.jsonl", "dev.jsonl", folder)
    return resolve(custom_task("colours", source=source, columns=Columns(("text",), "label")))


def values(folder: Path) -> Task:
    """A regression, its 15 rows in ``folder``: scores hardly ever tie, so that members stop in different epochs."""
    pairs = itertools.product(COLOURS, THINGS)
    lines = [{"text": f"the {c} {t}", "value": 100.0 + 10 * i} for i, (c, t) in enumerate(pairs)]
    for split in ("train", "dev"):
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    source = files("train.jsonl", "dev.jsonl", folder)
    return resolve(custom_task("values", source=source, columns=Columns(("text",), "value"), kind="regression"))
