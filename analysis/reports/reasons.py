"""Why trials failed or diverged: the reasons that were written down, by kind and count."""

from __future__ import annotations

import re

import pandas as pd

from analysis import style
from analysis.reports._section import DEFAULT, Options, Section, plural
from analysis.tables import Cell, Table

TITLE = "Why trials were lost"
POSITION = 412
_LONGEST = 160  # signs of a reason in the table
SHOWN = 20  # kinds
_INTRO = (
    "The reasons of trials that failed or diverged, those alike taken together: numbers and addresses in them are left "
    "out. What fails for want of memory can be run again in smaller packs; what diverges at high learning rates is a "
    "result."
)
COLUMNS = ["status", "kind", "count", "methods", "backbones", "example"]


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``COLUMNS``, the most frequent first: the first line of a reason without its numbers is its ``kind``.

    ``example`` is the whole first line of the first such trial; trials without a reason have the kind ``""``.
    """
    lost = frame[frame["status"].isin(["failed", "diverged"])]
    if "reason" not in lost or not (lost["reason"].fillna("") != "").any():
        return pd.DataFrame(columns=COLUMNS)
    text = lost["reason"].fillna("").astype(str)
    kinds = {reason: kind_of(reason) for reason in text.unique()}
    lost = lost.assign(kind=text.map(kinds), example=text.map(first_line))
    table = lost.groupby(["status", "kind"]).agg(
        count=("kind", "size"),
        methods=("method", lambda names: tuple(sorted(set(names)))),
        backbones=("backbone", lambda names: tuple(sorted(set(names)))),
        example=("example", "first"),
    )
    return table.reset_index().sort_values(["count", "status", "kind"], ascending=[False, True, True])[COLUMNS]


def first_line(reason: str) -> str:
    """The line of a reason that says what happened; of a traceback, its last one."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    return (lines[-1] if lines and lines[0].startswith("Traceback") else lines[0]) if lines else ""


def kind_of(reason: str) -> str:
    """``CUDA out of memory. Tried to allocate … GiB``: what reasons that differ in numbers alone have in common."""
    return re.sub(r"0x[0-9a-fA-F]+|[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?", "…", first_line(reason))


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``reasons.csv``."""
    return {"reasons": data.assign(methods=data["methods"].map(" ".join), backbones=data["backbones"].map(" ".join))}


def render(data: pd.DataFrame) -> Section | None:
    """One table, the most frequent kinds first; ``None`` where no reason is known."""
    if data.empty:
        return None
    rows = []
    for row in data.head(SHOWN).to_dict("records"):
        kind = row["kind"] or "no reason was written down"
        short = kind if len(kind) <= _LONGEST else kind[: _LONGEST - 1] + "…"
        methods = ", ".join(style.method(name) for name in style.methods(row["methods"]))
        backbones = ", ".join(style.backbone(name) for name in row["backbones"])
        rows.append(tuple(map(Cell, (short, row["status"], methods, backbones, f"{row['count']:,}"))))
    rest = data["count"].iloc[SHOWN:]
    notes = (f"{plural(len(rest), 'further kind')} with {plural(int(rest.sum()), 'trial')}.",) if len(rest) else ()
    columns = ("Reason", "Status", "Methods", "Backbones", "Trials")
    table = Table("reasons", "Reasons of trials that failed or diverged", columns, tuple(rows), notes, left=4)
    return Section(TITLE, _INTRO, (table,))
