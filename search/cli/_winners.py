"""The winners of a study: which trials they are, their weights from its storage, and artifacts made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from search.cli._shared import fail, load, say
from trainables.trial import CellKey

if TYPE_CHECKING:
    from torch import Tensor

    from search.study import Study
    from trainables.trial import Trial

#: A file of so many bytes takes a while to write: it is said before, or shown.
LARGE = 200_000_000


@dataclass(frozen=True)
class Asked:
    """The cells that the command line asks for, by names; empty: all."""

    methods: Sequence[str]
    tasks: Sequence[str]
    backbones: Sequence[str]

    def check(self, study: Study) -> None:
        """End the command where a name is none of the study's."""
        known = {
            "--method": (self.methods, list(study.methods)),
            "--task": (self.tasks, [task.name for task in study.tasks]),
            "--backbone": (self.backbones, [backbone.name for backbone in study.backbones]),
        }
        for option, (names, there) in known.items():
            for name in names:
                if name not in there:
                    fail(f"{option} must be one that study {study.name!r} names, but got {name!r}: {', '.join(there)}")

    def takes(self, cell: CellKey) -> bool:
        given = (self.backbones, cell.backbone), (self.tasks, cell.task), (self.methods, cell.method)
        return all(not names or name in names for names, name in given)


@dataclass(frozen=True)
class Winner:
    """The best seed of a cell's best assignment; ``score`` in percent."""

    cell: CellKey
    trial_id: str
    score: float


def of_study(path: Path, asked: Asked) -> tuple[list[Winner], Study]:
    """The winners that are asked for, with their study; a cell that has none yet is told."""
    from analysis import frame
    from analysis.selection import best_trials
    from search.cli._runs import coverage_of

    asked.check(load(path, bind=False, offline=True))
    found = coverage_of(path)
    study = load(path, offline=True)
    table = best_trials(frame.from_columns([found.own.columns], f"study {found.study!r}"))
    columns = zip(*(table[name] for name in ("backbone", "task", "method", "trial_id", "score")), strict=True)
    winners = {CellKey(*cell): Winner(CellKey(*cell), trial_id, score) for *cell, trial_id, score in columns}
    for row in found.cells:
        cell = CellKey(row["backbone"], row["task"], row["method"])
        if cell not in winners and asked.takes(cell):
            say(f"{cell}: no trial of it has a score yet; it is left out")
    return [winner for cell, winner in winners.items() if asked.takes(cell)], study


def for_peft(winners: Sequence[Winner]) -> list[Winner]:
    """Those of methods that PEFT has, too; which are left out is told."""
    from serving import peft_export

    left_out = dict.fromkeys(one.cell.method for one in winners if one.cell.method not in peft_export.METHODS)
    if left_out:
        say(f"PEFT loads {', '.join(peft_export.METHODS)}; left out: {', '.join(left_out)}")
    return [one for one in winners if one.cell.method in peft_export.METHODS]


def places(winners: Sequence[Winner], out: Path) -> dict[Path, Winner]:
    """Each winner's folder; ends the command where two would have one, as those of tasks ``a-b/c`` and ``a/b-c``."""
    found: dict[Path, Winner] = {}
    for one in winners:
        folder = out / one.cell.backbone / one.cell.task.replace("/", "-") / one.cell.method
        if folder in found:
            fail(f"{found[folder].cell} and {one.cell} would both be written to {folder}; name one of them with --task")
        found[folder] = one
    return found


def make(study: Study, winner: Winner, folder: Path, *, merge: bool, peft: bool) -> bool:
    """Write the artifact of a winner into its folder, or find it there; False where it cannot be, which is told."""
    from serving.artifact import ArtifactError
    from trainables import backbones

    try:
        trial, tensors = _weights(study, winner)
        if not peft and _is_there(folder, trial, tensors, merge):
            say(f"{winner.cell}: is there already, of trial {trial.id}")
            return True
        backbone = backbones.load(trial.backbone)
        if peft:
            from serving import peft_export

            size = peft_export.write(folder, trial, tensors, backbone)
        else:
            size = _write(folder, trial, tensors, backbone, study=study.name, score=winner.score, merge=merge)
    except (ArtifactError, OSError, ValueError) as error:
        say(f"{winner.cell}: {error}")
        return False
    say(f"{winner.cell}: {shown(size)}, score {winner.score:.2f}, of trial {trial.id}")
    return True


def _weights(study: Study, winner: Winner) -> tuple[Trial, dict[str, Tensor]]:
    """A winner's trial and its tensors from the study's storage; ValueError where they are gone or of another trial."""
    from trainables.checkpoint import WEIGHTS, Storage
    from trainables.trial import Protocol, Trial

    storage, name = Storage(study.folder), f"{WEIGHTS}/{winner.trial_id}.safetensors"
    read = storage.read_tensors(name)
    if read is None:
        raise ValueError(
            f"the weights of its winner are gone: there is no {storage.shown(name)}; put the file back, or delete the "
            "trial's runs and its line of the journal and train it again"
        )
    tensors, said = read
    trial = Trial(
        backbone=next(one for one in study.backbones if one.name == winner.cell.backbone),
        task=next(one for one in study.tasks if one.name == winner.cell.task),
        method=said["method"],
        hyperparameters=said["hyperparameters"],
        seed=said["seed"],
        protocol=Protocol(**said["protocol"]),
    )
    if trial.id != winner.trial_id:
        raise ValueError(
            f"{storage.shown(name)} must hold the weights of trial {winner.trial_id}, but says what makes trial "
            f"{trial.id}; it is another trial's file"
        )
    return trial, tensors


def _is_there(folder: Path, trial: Trial, tensors: dict[str, Tensor], merge: bool) -> bool:
    from serving import artifact, fuse

    if not (folder / artifact.FILE).exists():
        return False
    try:
        return fuse.is_of(artifact.load(folder), trial, tensors, merge)
    except artifact.ArtifactError as error:
        say(f"{error}: it is made again")
        return False


def _write(folder: Path, trial: Trial, tensors: dict[str, Tensor], backbone: Any, **options: Any) -> int:
    """Write an artifact; its bytes. A large one is followed by a bar, or said before where there is no terminal."""
    from serving import fuse

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task(str(trial.cell), total=None)
        told = False

        def tell(written: int, total: int) -> None:
            nonlocal told
            bar.update(row, completed=written, total=total)
            if total >= LARGE and not told and not console.is_terminal:
                say(f"{trial.cell}: writing {shown(total)}")
            told = True

        return fuse.write(folder, trial, tensors, backbone, tell=tell, **options).bytes


def shown(size: float) -> str:
    """Bytes for people: ``47.1 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
