"""The page of tasks says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.metrics import METRICS
from trainables.tasks import Hub, get, names

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", names())
def test_the_table_has_every_task_as_it_is(name: str) -> None:
    task = get(name)
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == [f"`{task.text[0]}`", f"`{task.text[1]}`" if len(task.text) > 1 else ""]
    assert cells[3] == ("a number, 0 to 5" if task.labels is None else ", ".join(task.labels))
    assert cells[4] == f"`{task.metric}`"
    if isinstance(task.source, Hub):
        assert cells[5:] == [f"{task.epochs} / {task.patience}", f"`{task.source.folder}`"]
        assert f"`{task.source.id}` on the hub" in PAGE


@pytest.mark.parametrize("name", [name for name in names() if not name.startswith("demo/")])
def test_the_table_of_what_is_cut_has_every_task_as_it_is(name: str) -> None:
    cut = get(name).truncation
    assert f"| `{name}` | {cut.side}, {cut.segment} |" in PAGE.split("## What is cut")[1]


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_explained(metric: str) -> None:
    assert f"`{metric}`" in PAGE.split("## Metrics")[1].split("## Where")[0]


@pytest.mark.parametrize("page", ["docs/tasks.md", "README.md"])
def test_the_ten_lines_work(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "TASKS = (" in block]
    found: dict = {}
    exec(code, found)
    (task,) = found["TASKS"]
    assert (task.benchmark, task.outputs, task.columns) == ("news", 4, ("text",))
