"""A file of rows through an engine: each with its prediction, or with what is wrong with it. No server, no Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving._tables import STDIO, Csv, JsonLines, Parquet, Row, Sink, Source, TableError, Unreadable, format_of
from serving.request import Answer, Refusal, Request
from trainables import whole_files

if TYPE_CHECKING:
    from serving.engine import Engine

#: The columns that are added, or written over, and their types in parquet. ``predicted_scores`` are the labels'
#: probabilities, as JSON where a column holds no mapping.
COLUMNS = {
    "predicted_label": "string",
    "predicted_probability": "double",
    "predicted_value": "double",
    "predicted_scores": "string",
    "text_cut": "bool",
    "prediction_error": "string",
}
#: The column that says for which task a row is, where there are several.
TASK = "task"


@dataclass
class Counts:
    """Rows so far, those of them with an error, and the bytes of the source that were read."""

    rows: int = 0
    refused: int = 0
    position: int = 0


def predict(engine: Engine, source: Source, out: Path, task: str | None, tell: Callable[[Counts], None]) -> Counts:
    """Write every row of ``source``, in order, with its prediction to ``out``; ``-`` is standard output.

    A row is for ``task``; without it for what its column ``task`` says, or for the only task there is. Memory does not
    grow with the rows. ``tell`` hears how far it is, after each chunk. A file appears under its name once it is whole.

    Raises:
        TableError: the source is no table from some place on, or ``out`` cannot be written.
    """
    served = {name: set(each.fields) for each in engine.tasks() for name in (each.name, f"{each.task}@{each.method}")}
    only = engine.tasks()[0].name if len(engine.tasks()) == 1 else None
    counts = Counts()
    sink: Sink | None = None
    with _output(out) as place:
        for chunk in source.chunks():
            asked = [_request(row, task or only, served) for row in chunk]
            answers = iter(engine.predict([each for each in asked if isinstance(each, Request)]))
            said = [next(answers) if isinstance(each, Request) else each for each in asked]
            rows = [{**_values(row), **_columns(answer)} for row, answer in zip(chunk, said, strict=True)]
            sink = sink or _sink(out, place, source)
            sink.write(rows)
            counts.rows += len(rows)
            counts.refused += sum(not isinstance(answer, Answer) for answer in said)
            counts.position = source.position
            tell(counts)
        (sink or _sink(out, place, source)).close()
    return counts


def _request(row: Row | Unreadable, task: str | None, served: dict[str, set[str]]) -> Request | Refusal | Unreadable:
    if isinstance(row, Unreadable):
        return row
    name = task if task is not None else row.get(TASK)
    if not isinstance(name, str) or not name:
        return Unreadable(f"the row has no task; give --task, or a column {TASK!r}")
    # What is no field of the task, such as a row's number, is not the engine's.
    wanted = served.get(name, set())
    return Request(name, {field: value for field, value in row.items() if field in wanted and value is not None})


def _values(row: Row | Unreadable) -> Row:
    return row.values if isinstance(row, Unreadable) else row


def _columns(answer: Answer | Refusal | Unreadable) -> Row:
    """The added columns of a row, all of them."""
    said: Row = dict.fromkeys(COLUMNS)
    if not isinstance(answer, Answer):
        return {**said, "prediction_error": answer.reason}
    if answer.label is not None:
        probability = answer.scores[answer.label]
        said |= {"predicted_label": answer.label, "predicted_probability": probability}
        said |= {"predicted_scores": dict(answer.scores)}
    return {**said, "predicted_value": answer.value, "text_cut": answer.cut}


def _sink(out: Path, place: Any, source: Source) -> Sink:
    kind = format_of(out) if out != STDIO else "csv" if source.format == "csv" else "jsonl"
    if kind == "jsonl":
        return JsonLines(place)
    if kind in ("csv", "tsv"):
        return Csv(place, source.columns, list(COLUMNS), "\t" if kind == "tsv" else ",")
    import pyarrow as pa

    added = pa.schema([(name, pa.type_for_alias(type_)) for name, type_ in COLUMNS.items()])
    return Parquet(place, source.schema, source.columns, added)


@contextmanager
def _output(out: Path) -> Iterator[Any]:
    """A stream of text, or for parquet the path, of a new file; at the end it takes its name."""
    if out == STDIO:
        yield sys.stdout
        return
    kind = format_of(out)
    try:
        with whole_files.replacing(out) as new:
            if kind == "parquet":
                yield new
                return
            with open(new, "w", encoding="utf-8", newline="") as stream:
                yield stream
    except OSError as error:
        raise TableError(f"{out} cannot be written: {error.strerror}") from None
