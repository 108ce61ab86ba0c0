"""The arrows of the house go one way, and each part knows only the libraries that are its business."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: part -> what it may not import, at any depth of a function
FORBIDDEN = {
    "trainables": {"ray", "mlflow", "search", "serving", "analysis"},
    "analysis": {"torch", "transformers", "ray", "search", "serving", "trainables"},
    "search": {"serving"},
    "common": {"search", "serving", "analysis", "trainables", "torch", "pandas", "numpy", "ray", "mlflow"},
}
#: the command line is where the parts meet
MEETING_PLACE = "search/cli/"
#: library -> the only files that may import it, where a decision says so
ONLY_IN = {
    "ray": {
        f"search/{name}.py"
        for name in ("tuner", "searcher", "connection", "sharing", "schedulers", "trainable", "submit")
    },
    "optuna": {"search/samplers.py"},
}


def imports(path: Path) -> set[str]:
    """Top-level names of everything that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def files(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


@pytest.mark.parametrize("part", FORBIDDEN)
def test_arrows_go_one_way(part: str) -> None:
    assert files(part), f"no files in {part}"
    crossing = {str(f.relative_to(ROOT)): imports(f) & FORBIDDEN[part] for f in files(part)}
    assert not {file: names for file, names in crossing.items() if names and not file.startswith(MEETING_PLACE)}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_where_it_is_used(library: str) -> None:
    users = {str(f.relative_to(ROOT)) for part in FORBIDDEN for f in files(part) if library in imports(f)}
    assert users <= ONLY_IN[library]


def test_mlflow_is_read_in_one_file_of_the_analysis() -> None:
    assert {f.name for f in files("analysis") if "mlflow" in imports(f)} <= {"frame.py"}
