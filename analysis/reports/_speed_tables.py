"""The tables of inference time: the paper's points, what the paper leaves out, and the paper's own numbers beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis import style, timings
from analysis.reports._section import listed, slug
from analysis.reports._speed_figures import interval, named
from analysis.tables import EMPTY, Cell, Table, printed
from common.speed import Setup, form

_RATIO = "Median of paired ratios [95 % interval]."
#: What section 4.3 of the paper says in numbers: backbone, batch, length, whose, and what it says.
_OF_PAPER: tuple[tuple[str, int, int, str, str], ...] = (
    ("roberta-base", 1, 64, "AoT, fused", "1.12"),
    ("roberta-base", 1, 384, "LoRA, unfused", "1.50 to 1.70"),
    ("deberta-xl", 1, 384, "AoT, fused", "slightly below 1"),
    ("deberta-xl", 1, 384, "the other methods, unfused", "1.12 to 1.25"),
)
_PICKED: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "AoT, fused": lambda rows: rows["rows"] != "",
    "LoRA, unfused": lambda rows: (rows["method"] == "lora") & (rows["variant"] == "unfused"),
    "the other methods, unfused": lambda rows: (
        (rows["variant"] != "fused") & (rows["method"] != "fine_tuning") & ~rows["method"].str.startswith("aot_")
    ),
}


def measured_on(device: str, setup: Setup | None) -> str:
    """How the points of a device were measured, in a few sentences."""
    if setup is None:
        return f"Measured on {device}; no file beside the CSV says how."
    told = setup.settings
    few, many = told["evaluations"]
    often = f"at most {few} at batch 1 and {many} otherwise, as many as there was time for" if told.get("quick") else (
        f"{few} at batch 1 and {many} otherwise" if few != many else str(few)
    )  # fmt: skip
    caches = [
        f"{printed(facts['cache_bytes'] / 1e9)} GB ({style.backbone(name)})"
        for name, facts in setup.backbones.items()
        if facts.get("cache_bytes")
    ]
    cached = f" Rows on the device, and those from factors, are kept in a cache of {listed(caches)}." if caches else ""
    return (
        f"Measured on {device}, with PyTorch {told.get('torch', '')}. Evaluations of each point: {often}. Every "
        f"method has its default hyperparameters. Token ids are drawn by Zipf's law, without padding.{cached}"
    )


def times(device: str, backbone: str, rows: pd.DataFrame) -> list[Table]:
    """A table for each length: a row per method and form, a column per batch."""
    found = []
    for length in sorted(rows["length"].unique(), reverse=True):
        own = rows[rows["length"] == length]
        batches = sorted(own["batch"].unique())
        body = []
        for method, variant, place in timings.forms(own):
            of = own[(own["method"] == method) & (own["variant"] == variant) & (own["rows"] == place)]
            points = {point["batch"]: point for point in of.to_dict("records")}
            cells = (Cell(interval(points[batch]) if batch in points else EMPTY) for batch in batches)
            body.append((Cell(named(method, variant, place)), *cells))
        title = f"{style.backbone(backbone)}, {length} tokens, on {device}: time over the plain model's"
        columns = ("Method", *(f"Batch {batch}" for batch in batches))
        found.append(Table(slug("speed", device, backbone, str(length)), title, columns, tuple(body), (_RATIO,)))
    return found


def left_out(device: str, backbone: str, rows: pd.DataFrame, setup: Setup | None) -> Table | None:
    """What the paper leaves out: rows of P from elsewhere, and several tasks mixed; ``None`` without such points."""
    paper = rows.index.isin(timings.as_in_the_paper(rows).index)
    places = ["batch", "length", "method", "variant", "rows"]
    extra = set(rows.loc[~paper, places].itertuples(index=False, name=None))
    if not extra:
        return None
    counts = sorted(rows["tasks"].unique())
    facts = {} if setup is None else setup.backbones.get(backbone, {})
    body, over = [], False
    for (batch, length), sized in rows.groupby(["batch", "length"]):
        for method, variant, place in timings.forms(sized):
            own = sized[(sized["method"] == method) & (sized["variant"] == variant) & (sized["rows"] == place)]
            if (batch, length, method, variant, place) not in extra:
                continue
            points = {point["tasks"]: point for point in own.to_dict("records")}
            cells = []
            for count in counts:
                sign = (
                    "†" if place in ("device", "factors") and count in points and _exceeds(facts, method, count) else ""
                )
                over = over or bool(sign)
                cells.append(Cell(interval(points[count]) if count in points else EMPTY, "", sign))
            body.append((Cell(f"{batch} × {length}"), Cell(named(method, variant, place)), *cells))
    notes = [_RATIO, "The sequences of a batch belong to the tasks in turn; of a batch of one, each to the next."]
    notes += ["† The rows of P of all these tasks are larger than the cache on the device."] if over else []
    title = f"{style.backbone(backbone)} on {device}: rows of P from elsewhere, and several tasks in one batch"
    columns = ("Batch × tokens", "Method", *(f"{count} task{'s' if count > 1 else ''}" for count in counts))
    return Table(slug("speed", "tasks", device, backbone), title, columns, tuple(body), tuple(notes), left=2,
                 folded=True)  # fmt: skip


def _exceeds(facts: Mapping[str, Any], method: str, tasks: int) -> bool:
    """Whether the rows of P of so many tasks are more than the cache takes."""
    one = facts.get("bytes_per_task", {}).get(form(method, "fused", "host"), 0)
    return bool(facts.get("cache_bytes")) and tasks * one > facts["cache_bytes"]


def beside_the_paper(device: str, rows: pd.DataFrame) -> Table | None:
    """The few ratios that the paper's text gives beside ours; ``None`` where none of these points was measured."""
    body = []
    for backbone, batch, length, whose, says in _OF_PAPER:
        own = timings.as_in_the_paper(rows[(rows["batch"] == batch) & (rows["length"] == length)])
        own = own[own["backbone"].map(lambda name, b=backbone: timings.same(name, b))]
        own = own[_PICKED[whose](own)] if len(own) else own
        if own.empty:
            continue
        least, most = (printed(value, 2) for value in (own["ratio"].min(), own["ratio"].max()))
        ours = interval(own.to_dict("records")[0]) if len(own) == 1 else f"{least} to {most}"
        words = (style.backbone(backbone), f"{batch} × {length}", whose, says, ours)
        body.append(tuple(Cell(word) for word in words))
    if not body:
        return None
    notes = (
        "The paper gives these numbers in section 4.3, of an NVIDIA A100; the others stand in its figures alone, and "
        "are not read off them.",
    )
    title = f"What the paper's text says of inference time, and what {device} says"
    columns = ("Backbone", "Batch × tokens", "Method", "Paper", "Ours")
    return Table(slug("speed", "paper", device), title, columns, tuple(body), notes, left=3)
