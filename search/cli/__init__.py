"""The ``aot`` command. Each command is thin: parse, call, print; results go to stdout, words to stderr.

Exit codes: 0 success, 1 a trial failed, 2 a study or the command line is wrong, 130 stopped with Ctrl-C.
Whatever takes time to import is imported by the command that needs it.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from search.cli import comparing, fusing, jobs, planning, predicting, replaying, reporting, results, running, speed
from search.cli._shared import FAILED, INTERRUPTED, say

app = typer.Typer(
    name="aot",
    no_args_is_help=True,
    add_completion=False,  # see --show-completion
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Compare fine-tuning methods on equal terms: one YAML file is a study, and every trial of it is trained once.",
    epilog="A first study: `aot run studies/demo.yaml`, then `aot report studies/demo.yaml --out report`",
)
#: Python looks for circles among its objects after every 700 new ones. Trials are many and in no circles: where 50,000
#: are exported, a fifth of the time went there.
OBJECTS_BETWEEN_COLLECTIONS = 100_000

for part in (planning, running, jobs, results, reporting, comparing, replaying, fusing, predicting, speed):
    part.register(app)


#: Set by a shell that asks what can be typed next.
COMPLETE = "_AOT_COMPLETE"


class Shell(StrEnum):
    """Shells that can complete what is typed."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from search._provenance import git_commit, versions

    found = versions()
    commit = f" ({git_commit()[:12]})" if git_commit() else ""
    typer.echo(f"aot-search {found['aot-search']}{commit}, Python {found['python']}")
    raise typer.Exit


def _print_completion(shell: Shell | None) -> None:
    if shell is None:
        return
    from typer.completion import get_completion_script

    typer.echo(get_completion_script(prog_name="aot", complete_var=COMPLETE, shell=shell))
    raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    completion: Annotated[
        Shell | None,
        typer.Option(
            "--show-completion",
            callback=_print_completion,
            is_eager=True,
            help='Print what completes `aot` in a shell; in bash: `eval "$(aot --show-completion bash)"`.',
        ),
    ] = None,
) -> None:
    """What ``aot`` takes by itself."""


def _leave_objects() -> None:
    """At the end Python would look through all that the libraries have made, for 0.3 s; what is left unfreed makes a
    library of PyTorch's complain at length."""
    if "triton" not in sys.modules:
        gc.freeze()


def main() -> None:
    """Entry point of ``aot``."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(_leave_objects)
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_print(stream)
    if COMPLETE in os.environ:
        from typer.completion import completion_init

        completion_init()
    try:
        app(prog_name="aot")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO):  # of no stream
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be printed would fail again
        say(f"the output cannot be written: {error.strerror}")
        sys.exit(FAILED)


def _never_fail_to_print(stream: Any) -> None:
    """A terminal that has no dash shows a question mark."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
