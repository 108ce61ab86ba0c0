"""What the commands share: the study argument, words on stderr, and errors that say themselves what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from common.words import shown

if TYPE_CHECKING:
    from search.study import Study

FAILED, WRONG, INTERRUPTED = 1, 2, 130

#: Planning so many takes a second; drawing them at random more.
MANY_TRIALS = 10_000

Confirm = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=100,
        help="Train what each cell selects on so many fresh seeds, too; default: the study's `confirm`, or none.",
    ),
]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's YAML file; see docs/studies.md.")]


def load(path: Path, *, bind: bool = True, offline: bool = False) -> Study:
    """The study of a file; imported here, as it takes time."""
    from search import study

    return study.load(path, bind=bind, offline=offline)


def confirming(study: Study, k: int | None) -> Study:
    """The study with the number of fresh seeds that the command line asks for, if it does."""
    return study if k is None else study.model_copy(update={"confirm": k})


def unpinned(study: Study) -> str:
    """The words for what a study names on the hub, where that does not answer."""
    return f"neither the hub nor its cache here tells the commit or the rows of {', '.join(study.unpinned)}"


def say(words: str) -> None:
    """Words for people, on stderr, without what is secret in them."""
    typer.echo(shown(words), err=True)


def fail(words: str) -> NoReturn:
    """End the command: something that was asked for is wrong."""
    say(words)
    raise typer.Exit(WRONG)


def say_if_large(study: Study) -> None:
    """A word before the seconds that it takes to plan a large study."""
    from search.study import trials_at_most

    if (number := trials_at_most(study)) > MANY_TRIALS:
        say(f"planning {number:,} trials")


@contextmanager
def faults(*expected: type[Exception]) -> Iterator[None]:
    """Errors that say themselves what to do: their words and exit code 2, without a traceback."""
    from search.errors import RefusedError
    from search.study import StudyError

    known: tuple[type[Exception], ...] = (StudyError, RefusedError, *expected)
    try:
        yield
    except known as error:
        fail(str(error))
