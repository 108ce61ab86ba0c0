"""Artifacts in use: predictions for a file, and a server."""

from __future__ import annotations

import ipaddress
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli import _server
from search.cli._shared import FAILED, INTERRUPTED, fail, faults, say

if TYPE_CHECKING:
    from serving._tables import Source
    from serving.options import Service
    from serving.predict import Counts

PORT = 8_000
#: Processes that Ray has ready for a server: its controller, its proxy, the HTTP side and a replica.
_WORKERS = 4


class RowsFrom(StrEnum):
    """``serving.engine.Rows``."""

    host = "host"
    device = "device"
    factors = "factors"


Artifacts = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of artifacts; `aot fuse` makes them.")]
Backbone = Annotated[
    str | None, typer.Option(help="Its artifacts alone: a name, or where it is now; needed where they are of several.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1; auto: a GPU if there is one.")]
Rows = Annotated[RowsFrom, typer.Option(help="Where rows of P come from, by default host memory.")]
Cache = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Memory for cached rows of P, such as 2GB, with device and factors.")
]
OptionsFile = Annotated[
    Path | None,
    typer.Option("--options", metavar="FILE", help="Replicas, limits and more, in YAML; see docs/serving.md."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to ``aot``."""
    app.command(
        epilog="Examples: `aot predict winners reviews.csv --task mine/reviews --out said.csv`; "
        "`head -3 rows.jsonl | aot predict winners`"
    )(predict)
    app.command(epilog="Examples: `aot serve winners`; `aot serve winners --host 0.0.0.0 --token-file token`")(serve)


def predict(
    directory: Artifacts,
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="CSV, TSV, JSON lines or parquet; - is standard input.")
    ] = Path("-"),
    out: Annotated[Path, typer.Option("--out", "-o", help="The same kinds of file; - is standard output.")] = Path("-"),
    task: Annotated[
        str | None,
        typer.Option(help="The task of all rows; else their column `task` says it, or the only one there is."),
    ] = None,
    backbone: Backbone = None,
    device: Device = "auto",
    rows: Rows = RowsFrom.host,
    cache: Cache = None,
    options: OptionsFile = None,
) -> None:
    """Predict every row of a file; one that is wrong gets its error in its row. No server, no Ray is started."""
    with faults(ValueError):
        service = _service(directory, backbone, device, rows, cache, options)
        from serving import _load
        from serving._tables import STDIO, Source, format_of
        from serving.predict import predict as predicted

        source = Source(file)
        if out != STDIO:
            format_of(out)
        engine, _ = _load.engine(service, verify=True)
        known = {name for each in engine.tasks() for name in (each.name, f"{each.task}@{each.method}")}
        if task is not None and task not in known:
            fail(f"no artifact in {directory} is of task {task}; known: {', '.join(sorted(known))}")
        with _bar(source) as tell:
            counts = predicted(engine, source, out, task, tell)
    wrong = f", {counts.refused:,} of them with an error" if counts.refused else ""
    say(f"{counts.rows:,} rows{wrong}")
    if counts.refused:
        raise typer.Exit(FAILED)


def serve(
    directory: Artifacts,
    backbone: Backbone = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; beyond this machine with a token only.")
    ] = _server.HOST,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help=f"Default: {PORT}, or the next free one.", show_default=False)
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the bearer token that clients must send.")
    ] = None,
    device: Device = "auto",
    rows: Rows = RowsFrom.host,
    cache: Cache = None,
    options: OptionsFile = None,
) -> None:
    """Answer over HTTP for all tasks of a folder, in mixed batches, until Ctrl-C; a page at / lets one try them."""
    with faults(ValueError):
        service = _service(directory, backbone, device, rows, cache, options)
        from serving import _load
        from serving.options import token

        if token_file is not None:
            token(token_file)
            service = service.model_copy(update={"token_file": token_file.absolute()})
        elif not _is_this_machine(host):
            fail(f"whoever reaches {host} could ask; give --token-file FILE, or leave --host out to be alone")
        taken = _server.port(port, PORT, host)
        source, artifacts = _load.found(service, verify=True)
        say(f"{len(artifacts)} artifacts of {source.name}; starting")
    try:
        _served(service, host, taken)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except RuntimeError as error:
        say(f"the server does not start: {_reason(error)}")
        raise typer.Exit(FAILED) from None


def _served(service: Service, host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM, then answer what was accepted; a second one ends at once."""
    from search._process import environment
    from search.tune import local
    from serving import app

    with environment({"RAY_USAGE_STATS_ENABLED": "0"}), local.running(_WORKERS):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray has put its own there
        handle = app.start(service, host, port)
        say("it is there; Ctrl-C ends it:")
        typer.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("ending: what was accepted is answered first; again for at once")
            app.stop(handle)
            raise


def _service(
    directory: Path, backbone: str | None, device: str, rows: RowsFrom, cache: str | None, options: Path | None
) -> Service:
    from serving.options import Options, Service, load, size

    if cache is not None and rows is RowsFrom.host:
        fail("--cache means nothing with --rows host, which caches nothing; leave it out, or give another --rows")
    return Service(
        folder=directory.absolute(),
        backbone=backbone,
        device=device,
        rows=rows.value,
        cache_bytes=size(cache) if cache is not None else None,
        options=load(options) if options is not None else Options(),
    )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    """The last line of Ray's report, which is the error itself."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def _bar(source: Source) -> Iterator[Callable[[Counts], None]]:
    """A bar on stderr that follows a file, or counts rows of a stream; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("rows", total=source.total, rows=0)
        yield lambda counts: progress.update(bar, completed=counts.position, rows=counts.rows)
