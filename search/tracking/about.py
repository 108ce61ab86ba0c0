"""What people read of a study in MLflow: what it asks, under which protocol, and how to do it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from search._provenance import git_commit, versions
from search._words import trials
from trainables.whole_files import replacing

if TYPE_CHECKING:  # with it come the methods, and with them torch
    from search.study import Study

FILE_NAME = "about.md"
#: MLflow takes so many signs in an experiment's description; a longer study file is cut, and says so.
MOST_SIGNS = 20_000


def about(study: Study, total: int) -> str:
    """The study in Markdown, its file included, without what is secret in it. ``total``: its trials, at most."""
    backbones = [one.name if one.name == one.source else f"{one.name} ({one.source})" for one in study.backbones]
    commit = f", commit `{git_commit()[:12]}`" if git_commit() else ""
    head = f"""{study.description or f"Study {study.name}."}

- **Methods**: {", ".join(study.methods)}
- **Tasks**: {", ".join(task.name for task in study.tasks)}
- **Backbones**: {", ".join(backbones)}
- **Search**: {study.search.words}, {_seeds(study.seeds)}, at most {trials(total)}
- **Protocol**: {_protocol(study)}
- **Score**: the task's metric in percent, at the best epoch, on the dev split
- **Made by**: aot-search {versions()["aot-search"]}{commit}

Each row is a cell (method, task, backbone); under it stand its trials. `best_median` is the median over seeds of the
cell's best assignment.

To do it again, save this as `study.yaml`; then `aot run study.yaml`, and `aot report study.yaml`:

```yaml
"""
    text, room = study.text.rstrip(), MOST_SIGNS - len(head) - 100
    if len(text) > room:
        text = text[:room].rpartition("\n")[0] + "\n# … and so on: the file is too long for here"
    return f"{head}{text}\n```\n"


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"


def _protocol(study: Study) -> str:
    """What holds for all tasks, and what each task has of its own as a range."""
    protocols = [study.protocol_for(task) for task in study.tasks]
    words = {"epochs": "epochs at most", "patience": "of patience", "max_length": "tokens at most"}
    parts = []
    for name, what in words.items():
        values = sorted({getattr(protocol, name) for protocol in protocols})
        parts.append(f"{values[0]} {what}" if len(values) == 1 else f"{values[0]} to {values[-1]} {what}")
    return ", ".join([*parts, *sorted({protocol.precision for protocol in protocols})])


def changed(text: str, folder: Path) -> bool:
    """Whether what lies there is something else."""
    file = folder / FILE_NAME
    return not file.exists() or file.read_text(encoding="utf-8") != text


def write(text: str, folder: Path) -> None:
    """Leave the text where the writer to MLflow finds it, whole or not at all. OSError where the disk takes none."""
    with replacing(folder / FILE_NAME) as new:
        new.write_text(text, encoding="utf-8")
