"""The winners of a study as artifacts, and the tokens that matter in them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli import _outputs
from search.cli._shared import FAILED, StudyFile, fail, faults, say


class Format(StrEnum):
    """What an artifact is written for."""

    aot = "aot"
    peft = "peft"


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command(
        epilog="Examples: `aot fuse studies/demo.yaml --out artifacts`; `aot fuse studies/demo.yaml --out artifacts "
        "--method lora --merge`; `aot fuse studies/demo.yaml --out adapters --method lora --format peft`"
    )(fuse)
    app.command(
        epilog="Examples: `aot tokens artifacts`; `aot tokens artifacts --top 50 --out paper`; then: `aot report "
        "studies/demo.yaml --tokens tokens/tokens.csv`"
    )(tokens)


def fuse(
    study_file: StudyFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that takes BACKBONE/TASK/METHOD folders.")],
    method: Annotated[list[str] | None, typer.Option(help="Only cells of this method; several times.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only cells of this task; several times.")] = None,
    backbone: Annotated[list[str] | None, typer.Option(help="Only cells of this backbone; several times.")] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Also the backbone's weights with LoRA, BitFit or IA3 merged into them.")
    ] = False,
    form: Annotated[
        Format, typer.Option("--format", help="aot: what aot serve and aot predict read; peft: what PEFT loads.")
    ] = Format.aot,
) -> None:
    """Make each cell's winner ready for use: the best seed of the best assignment, in a folder of its own.

    What is there already and equal stays as it is.
    """
    from search.cli import _winners

    _outputs.check_folder(out, "--out")
    if merge and form is Format.peft:
        fail("--merge writes merged weights for aot serve, which --format peft has no place for: leave one of them out")
    with faults():
        asked = _winners.Asked(method or (), task or (), backbone or ())
        found, study = _winners.of_study(study_file, asked)
    if form is Format.peft and not method:
        found = _winners.for_peft(found)
    if not found:
        fail("there is no winner to fuse: no cell has a trial with a score; train the study first: aot run STUDY")
    failed = False
    for folder, winner in _winners.places(found, out).items():
        if _winners.make(study, winner, folder, merge=merge, peft=form is Format.peft):
            typer.echo(folder)
        else:
            failed = True
    if failed:
        raise typer.Exit(FAILED)


def tokens(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of artifacts, as aot fuse writes them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that takes the file and the figures.")] = Path(
        "tokens"
    ),
    top: Annotated[int, typer.Option(min=1, max=10_000, help="So many tokens of each layer.")] = 50,
    data_dir: Annotated[
        Path | None, typer.Option(help="A data folder to tell which tokens occur in train; default: AOT_DATA_DIR.")
    ] = None,
) -> None:
    """Find the tokens with the largest rows of P, layer by layer: a CSV, Markdown, and a heat map for each artifact."""
    from serving import artifact

    _outputs.check_folder(out, "--out")
    with faults(artifact.ArtifactError):
        found = [one for one in artifact.find(directory, verify=False) if one.rows() is not None]
    if not found:
        fail(f"no artifact in {directory} has rows of P; fuse one of an AoT method: aot fuse STUDY --out {directory}")
    from analysis.tokens import table
    from analysis.tokens_folder import write
    from serving import norms

    rows: list[dict[str, Any]] = []
    with faults(ValueError):
        for one in found:
            seen = norms.train_tokens(one, None if data_dir is None else str(data_dir))
            name = f"{one.backbone.name} · {one.task.name} · {one.method_name}"
            say(name if seen is not None else f"{name}: its train split is not to be read, so what is seen stays empty")
            rows += norms.largest(one, top, seen)
    for path in write(table(rows), out):
        typer.echo(path)
