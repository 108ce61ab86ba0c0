"""What changed between two searches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search._words import plain, wide_console
from search.cli import _outputs
from search.cli._shared import faults, say
from search.cli._sources import RUNS, Runs, gather
from search.cli.reporting import method_infos

if TYPE_CHECKING:
    from analysis.tables import Table


def register(app: typer.Typer) -> None:
    """Add the command to ``aot``."""
    app.command(epilog="Examples: `aot diff first.yaml second.yaml`; `aot diff old.csv new.csv --out changes.md`")(diff)


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A study, or a file of runs: .csv or .parquet.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The same, later or otherwise.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the changes to a .md or .csv file.")] = None,
) -> None:
    """Show what changed between two searches: trials, cells, winners, medians, macro scores, protocol."""
    from analysis import diff as compared
    from analysis import style
    from analysis.frame import FrameError
    from analysis.tables import to_markdown

    if out is not None:
        _outputs.check_file(out, "--out", (".md", ".csv"))
    with faults(FrameError):
        changes = compared.diff(*(_runs(path).frame for path in (before, after)))
    if changes.empty:
        say("nothing changed")
    with style.context({name: info.label for name, info in method_infos().items()}):
        table = compared.table(changes, f"From {before} to {after}")
    if out is None and len(changes):
        wide_console().print(_rich(table))
    elif out is not None:
        out.write_text(changes.to_csv(index=False) if out.suffix.lower() == ".csv" else to_markdown(table), "utf-8")
        typer.echo(out)


def _runs(path: Path) -> Runs:
    """The runs of a study or of a file of them, by the name."""
    return gather([], [path]) if path.suffix.lower() in RUNS else gather([path], [])


def _rich(table: Table) -> object:
    from rich import box
    from rich.table import Table as RichTable

    shown = RichTable(title=plain(table.title)[0], title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(table.columns):
        shown.add_column(name.lower(), justify="left" if i < table.left else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*plain(*(cell.text for cell in row)))
    return shown
