"""Methods that are not in the folder, added to it as anybody adds one: a file each."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables import methods

README = Path(__file__).parents[2] / "README.md"

#: Those of this folder: frozen tensors that are drawn, frozen ones as large as the weights, and no tensors at all.
FILES = ("vera", "pissa", "head_only")
#: The names under which ``added`` makes them known; the folder may come to have a VeRA of its own.
ADDED = ("layer_bias", *(f"{name}_example" for name in FILES))


def every_name() -> list[str]:
    """The methods of the folder and those that are added."""
    return list(dict.fromkeys([*methods.names(), *ADDED]))


def python_of_readme(definition: str) -> str:
    """The one example of README that has this definition in it."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if definition in block]
    return found


@contextmanager
def added(folder: Path) -> Iterator[None]:
    """README's example and ``FILES`` among the others, as files of ``folder``; taken out again afterwards."""
    (folder / "layer_bias.py").write_text(python_of_readme("class LayerBias:"), encoding="utf-8")
    for name in FILES:
        shutil.copy(Path(__file__).with_name(f"{name}.py"), folder / f"{name}_example.py")
    before = methods.__path__
    methods.__path__ = [*before, str(folder)]
    try:
        yield
    finally:
        methods.__path__ = before
        methods.get.cache_clear()
        for name in ADDED:
            sys.modules.pop(f"{methods.__name__}.{name}", None)
