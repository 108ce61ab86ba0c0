"""How long inference takes with each method, beside the plain model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from search.cli import _outputs
from search.cli._shared import FAILED, faults, say


class RowsFrom(StrEnum):
    """Where rows of P come from."""

    host = "host"
    device = "device"
    factors = "factors"


class DeviceName(StrEnum):
    """What computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class PrecisionName(StrEnum):
    """The precision of the forward pass."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class SeveralValues(TyperCommand):
    """A command whose repeatable options take several values at once: ``--batch 1 16`` is ``--batch 1 --batch 16``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # a Context of Typer's own copy of Click
        """Write the option before each further value, and read that."""
        several = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        written: list[str] = []
        option = ""
        for word in args:
            if word.startswith("-"):
                name = word.partition("=")[0]
                option = name if name in several else ""
            elif option and written[-1] != option:
                written.append(option)
            written.append(word)
        return super().parse_args(ctx, written)


def register(app: typer.Typer) -> None:
    """Add the command to ``aot``."""
    app.command(
        cls=SeveralValues,
        epilog="Examples: `aot speed --backbone roberta-base --batch 1 16 --length 64 384 --methods aot_fc lora "
        "--evaluations 50 --out speed.csv`; `aot speed --quick --out gpu.csv`; `aot report --speed speed.csv`",
    )(speed)


def speed(
    out: Annotated[Path, typer.Option("--out", "-o", help="The CSV; one that is there is continued.")],
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...", help="Sizes; default: roberta-base, roberta-large and deberta-xl. Or a model's folder."
        ),
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(metavar="N...", help="Sequences in a batch; default: 1, 16 and 64.")
    ] = None,
    length: Annotated[
        list[int] | None, typer.Option(metavar="N...", help="Tokens of each; default: 16, 64, 128 and 384.")
    ] = None,
    methods: Annotated[list[str] | None, typer.Option(metavar="METHOD...", help="Default: all.")] = None,
    tasks: Annotated[
        list[int] | None, typer.Option(metavar="N...", help="Tasks mixed in a batch; default: 1, 8 and 32.")
    ] = None,
    rows: Annotated[
        list[RowsFrom] | None,
        typer.Option(
            metavar="FROM...", help="Rows of fused P from the host, the device or their factors; default: all."
        ),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Of each point; default: 300 at batch 1 and 100 otherwise, as in the paper.")
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="auto is the first GPU if there is one.")] = DeviceName.auto,
    precision: Annotated[
        PrecisionName, typer.Option(help="auto is bfloat16 on a GPU and float32 on a CPU.")
    ] = PrecisionName.auto,
    cache_gb: Annotated[
        float | None,
        typer.Option(
            metavar="GB", help="Memory on the device for rows of P; default: eight tasks', a quarter of all at most."
        ),
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Takes a temporary file of random rows of P.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The paper's points in less than 8 minutes of a GPU, the rest in samples.")
    ] = False,
) -> None:
    """Measure inference time over the plain model's: section 4.3 of the paper, and what it leaves out.

    Backbones have random weights, which compute as fast. Interrupted, the same command goes on. On a machine without
    Ray and MLflow: `python -m serving.speed` with the same options.
    """
    _outputs.check_file(out, "--out", (".csv",))
    from common.speed import SpeedFileError
    from serving import speed as measuring
    from serving.speed_settings import Settings

    with faults(SpeedFileError, ValueError):
        settings = Settings(
            tuple(backbone or ()), tuple(batch or ()), tuple(length or ()), tuple(methods or ()), tuple(tasks or ()),
            tuple(place.value for place in rows or ()), evaluations, device.value, precision.value, quick, cache_gb,
            scratch,
        )  # fmt: skip
        if measuring.run(settings, out, say):
            raise typer.Exit(FAILED)
