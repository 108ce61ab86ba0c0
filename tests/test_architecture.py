"""The arrows of the house go one way, and each part knows only the libraries that are its business."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: part -> what it may not import, at any depth of a function
FORBIDDEN = {
    "trainables": {"ray", "mlflow", "search", "serving", "analysis"},
    "analysis": {"torch", "transformers", "ray", "search", "serving", "trainables"},
    "search": {"serving", "analysis"},
    "serving": {"mlflow", "search", "analysis"},
    "common": {"search", "serving", "analysis", "trainables", "torch", "pandas", "ray", "mlflow"},
}
#: the command line is where the parts meet
MEETING_PLACE = "search/cli/"
#: library -> the only places that may import it, where a decision says so
ONLY_IN = {
    "ray": ("search/tune/", "search/jobs/", "serving/app"),
    "optuna": ("search/strategy/samplers.py", "analysis/reports/importance.py"),
    "mlflow": ("search/tracking/mlflow_",),
}
#: The rooms of search/, and what each may import of the others; files directly in search/ are the corridor, open to
#: all, which itself knows none of them.
ROOMS = {
    "study": set(),
    "tracking": {"study"},
    "strategy": {"study", "tracking"},
    "tune": {"study", "tracking", "strategy"},
    "planning": {"study", "tracking", "strategy"},
    "jobs": {"study", "tracking", "strategy"},
    "cli": {"study", "tracking", "strategy", "tune", "planning", "jobs"},
    "": set(),
}


def modules(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, ``from A import b`` as ``A.b``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imports(path: Path) -> set[str]:
    """Top-level names of everything that a file imports."""
    return {name.split(".")[0] for name in modules(path)}


def files(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def local(name: str) -> Path | None:
    """The file of this project that an imported name stands in, or is."""
    for dotted in (name, name.rpartition(".")[0]):
        path = ROOT / dotted.replace(".", "/")
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        if dotted and (path / "__init__.py").is_file():
            return path / "__init__.py"
    return None


@pytest.mark.parametrize("part", FORBIDDEN)
def test_arrows_go_one_way(part: str) -> None:
    assert files(part), f"no files in {part}"
    crossing = {shown(f): imports(f) & FORBIDDEN[part] for f in files(part)}
    assert not {file: names for file, names in crossing.items() if names and not file.startswith(MEETING_PLACE)}


def room_of(path: Path) -> str:
    inside = path.relative_to(ROOT / "search").parts
    return inside[0] if len(inside) > 1 else ""


def test_every_room_is_on_the_plan() -> None:
    assert {room_of(f) for f in files("search")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_of_search_know_what_lies_below(room: str) -> None:
    crossing = {}
    for file in files("search"):
        if room_of(file) == room:
            targets = [local(name) for name in modules(file)]
            rooms = {room_of(t) for t in targets if t is not None and t.is_relative_to(ROOT / "search")}
            if above := rooms - ROOMS[room] - {room, ""}:
                crossing[shown(file)] = above
    assert not crossing


@pytest.mark.parametrize("part", FORBIDDEN)
def test_no_file_imports_itself_in_a_circle(part: str) -> None:
    """Also not through others; a package's ``__init__`` and the files in it may know each other."""
    own = files(part)
    arrows = {f: {t for name in modules(f) if (t := local(name)) in own and t.name != "__init__.py"} for f in own}

    def reached(start: Path) -> set[Path]:
        seen: set[Path] = set()
        waiting = [start]
        while waiting:
            new = arrows[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    assert not [shown(f) for f in own if f in reached(f)]


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("search.cli", "torch transformers ray mlflow optuna pandas"),  # a command's --help comes at once
        ("search.strategy.replay", "ray mlflow"),
        ("search.tune.tuner", "ray mlflow torch transformers optuna pandas"),  # a finished study ends at once
        ("search.tune.driver", "mlflow torch transformers"),  # workers train, another process logs
        ("search.tracking.mlflow_process", "mlflow torch transformers ray"),
    ],
)
def test_what_a_module_starts_without(module: str, without: str) -> None:
    script = f"import sys, {module}; print(*[name for name in {without.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("command", "without"),
    [
        (["plan"], "torch transformers ray mlflow optuna scipy sklearn"),
        (["export", "--all-runs", "--out", "runs.parquet"], "torch transformers ray mlflow optuna"),
    ],
)
def test_what_a_command_does_without(command: list[str], without: str, tmp_path: Path) -> None:
    """On a backbone that this machine has seen before, of a study whose tokens are at hand or not to be had."""
    study = tmp_path / "study.yaml"
    study.write_text(
        "study: far\nbackbones: [FacebookAI/roberta-base]\ntasks: [glue/rte]\nmethods: {lora: {rank: 4}}\nseeds: 2\n"
        "defaults: {learning_rate: [0.001], batch_size: [16]}\nprotocol: {epochs: 2, patience: 2}\n"
        f"storage: {tmp_path / 'runs'}\ntracking: sqlite:///{tmp_path / 'mlflow.db'}\n"
    )
    script = (
        "import sys; from search.cli import app\n"
        "try: app(sys.argv[1:])\n"
        f"finally: print('\\nheld:', *[name for name in {without.split()} if name in sys.modules])\n"
    )
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    variables |= {"PYTHONPATH": str(ROOT)}
    variables.pop("AOT_DATA_DIR", None)
    told = [sys.executable, "-c", script, command[0], str(study), *command[1:]]
    for _ in ("seen", "seen again"):
        done = subprocess.run(told, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1].split() == ["held:"], done.stderr


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_where_it_is_used(library: str) -> None:
    users = {shown(f) for part in FORBIDDEN for f in files(part) if library in imports(f)}
    assert users, f"nobody uses {library}"
    assert not {user for user in users if not user.startswith(ONLY_IN[library])}
