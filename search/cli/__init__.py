"""The ``aot`` command. Each command is thin: parse, call, print; results go to stdout, words to stderr.

Exit codes: 0 success, 1 a trial failed, 2 a study or the command line is wrong, 130 stopped with Ctrl-C.
Whatever takes time to import is imported by the command that needs it.
"""

from __future__ import annotations

import typer

from search.cli import jobs, planning, replaying, results, running

app = typer.Typer(
    name="aot",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Compare fine-tuning methods on equal terms: one YAML file is a study, and every trial of it is trained once.",
    epilog="A first study: `aot run studies/demo.yaml`, then `aot report studies/demo.yaml --out report`",
)
for part in (planning, running, jobs, results, replaying):
    part.register(app)


def main() -> None:
    """Entry point of ``aot``."""
    app()
