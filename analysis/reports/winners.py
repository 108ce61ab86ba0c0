"""The hyperparameters of every best assignment: what to use next time, and whether the search was wide enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis import style
from analysis.frame import HYPERPARAMETER, hyperparameters
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, hyperparameter_text, slug
from analysis.selection import CELL, assignments, best_assignments
from analysis.tables import Cell, Mark, Table, median_std, printed

TITLE = "Best hyperparameters"
POSITION = 260
LEAST = 3  # values of a grid, from which on one of them is no edge
MANY = 12  # values of a grid; a hyperparameter with more was drawn from a range
LEVEL = 0.025  # of calling a search space too narrow
END = 0.05  # of a range, at each of its ends
_INTRO = (
    "The assignment behind each entry of the results: its hyperparameters, size, and how many it was chosen from. A "
    "value with min or max is the least or greatest that was tried in its cell, of three or more; of values drawn at "
    f"random, it lies in the outer {100 * END:.0f} % of their range. There the best value may lie beyond what was "
    "searched."
)
EDGES = [*CELL, "hyperparameter", "value", "least", "most", "n_values", "edge", "by_chance"]


@dataclass(frozen=True)
class Winners:
    """``winners``: rows of selection.best_assignments that have a score; ``edges``: ``EDGES``, a row per winner and
    numeric hyperparameter that has edges: ``edge`` is ``min``, ``max`` or empty, and ``by_chance`` the probability of
    one where no value is better than another.
    """

    winners: pd.DataFrame
    edges: pd.DataFrame


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Winners:
    """The winners with their hyperparameters, and where these lie in what was tried."""
    table = assignments(frame)
    winners = best_assignments(table).dropna(subset="median")
    parts = [_edges(table, winners, name) for name in hyperparameters(table)]
    parts = [part for part in parts if len(part)]
    return Winners(winners, pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EDGES))


def _edges(table: pd.DataFrame, winners: pd.DataFrame, column: str) -> pd.DataFrame:
    """``EDGES`` of one hyperparameter. What was tried counts, with a score or without."""
    if not pd.api.types.is_numeric_dtype(table[column]) or pd.api.types.is_bool_dtype(table[column]):
        return pd.DataFrame(columns=EDGES)
    tried = table.dropna(subset=column).groupby(CELL)[column].agg(least="min", most="max", n_values="nunique")
    own = winners.dropna(subset=column).merge(tried[tried["n_values"] >= LEAST].reset_index(), on=CELL)
    value, least, most = (own[name].astype(float).to_numpy() for name in (column, "least", "most"))
    drawn = (own["n_values"] > MANY).to_numpy()
    reach = np.where(drawn, END, 0.0)
    log = (least > 0) & (most >= 10 * np.where(least > 0, least, 1))
    place = np.empty(len(own))
    place[log] = np.log(value[log] / least[log]) / np.log(most[log] / least[log])
    place[~log] = (value[~log] - least[~log]) / (most[~log] - least[~log])
    edge = np.where(place <= reach, "min", np.where(place >= 1 - reach, "max", ""))
    chance = np.where(drawn, 2 * END, 2 / own["n_values"].to_numpy(float))
    return own[CELL].assign(
        hyperparameter=column.removeprefix(HYPERPARAMETER), value=value, least=least, most=most,
        n_values=own["n_values"], edge=edge, by_chance=chance,
    )  # fmt: skip


def exports(data: Winners) -> dict[str, pd.DataFrame]:
    """``edges.csv``."""
    return {"edges": data.edges}


def render(data: Winners) -> Section | None:
    """How many winners lie at an edge, in words and by hyperparameter; a folded table per benchmark and backbone."""
    blocks: list[Table | str] = []
    if len(data.edges):
        blocks += [_count(data.edges), _by_hyperparameter(data.edges)]
    found = data.edges[data.edges["edge"] != ""]
    edges = {tuple(row[:5]): row[5] for row in found[[*CELL, "hyperparameter", "edge"]].itertuples(index=False)}
    blocks += [_table(*group, edges) for group in groups(data.winners)]
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def _count(edges: pd.DataFrame) -> str:
    """The sentence that says whether the search space may be too narrow, and what to expect of chance."""
    cells = edges.assign(at=edges["edge"] != "", inside=1 - edges["by_chance"]).groupby(CELL)
    at, total = int(cells["at"].any().sum()), cells.ngroups
    expected = float((1 - cells["inside"].prod()).sum())  # of grids whose values are equally good
    lie = "winner lies" if total == 1 else "winners lie"
    text = f"{at:,} of {total:,} {lie} at an edge of what was tried, in one hyperparameter or more; about "
    text += f"{printed(expected, 0)} would if no value were better than another. "
    if names := [name.replace("_", " ") for name in narrow(edges)]:
        return f"{text}More than chance explains lie there in {', '.join(names)}: the search space may be too narrow."
    return f"{text}That many say nothing of the search space."


def narrow(edges: pd.DataFrame) -> list[str]:
    """The hyperparameters in which more winners lie at an edge than chance explains.

    Binomial, one-sided at 2.5 %, which all hyperparameters share (Bonferroni).
    """
    found = edges.assign(at=edges["edge"] != "").groupby("hyperparameter")
    table = found.agg(at=("at", "sum"), n=("at", "size"), by_chance=("by_chance", "mean"))
    p = stats.binom.sf(table["at"] - 1, table["n"], table["by_chance"])
    return [str(name) for name in table.index[p < LEVEL / len(table)]]


def _by_hyperparameter(edges: pd.DataFrame) -> Table:
    body = []
    more = set(narrow(edges))
    for name, rows in edges.groupby("hyperparameter"):
        counts = [int((rows["edge"] == edge).sum()) for edge in ("min", "max")]
        share, chance = 100 * sum(counts) / len(rows), 100 * rows["by_chance"].mean()
        texts = (str(name).replace("_", " "), f"{len(rows):,}", *(f"{n:,}" for n in counts))
        mark: Mark = "best" if name in more else ""
        body.append((*map(Cell, texts), Cell(printed(share, 0), mark), Cell(printed(chance, 0))))
    notes = ("Bold: more than chance explains.",) if more else ()
    columns = ("Hyperparameter", "Winners", "At the least", "At the greatest", "At an edge, %", "By chance, %")
    return Table("edges", "Winners at an edge of what was tried, by hyperparameter", columns, tuple(body), notes)


def _table(benchmark: str, backbone: str, rows: pd.DataFrame, edges: dict[tuple, str]) -> Table:
    names = [c for c in hyperparameters(rows) if rows[c].notna().any()]
    found = {(row["task"], row["method"]): row for row in rows.to_dict("records")}
    order = [(t, m) for t in style.tasks(rows["task"]) for m in style.methods(rows["method"]) if (t, m) in found]
    body, rules = [], set()
    for i, key in enumerate(order):
        row = found[key]
        count = row["trainable_parameters"]
        first = i == 0 or order[i - 1][0] != key[0]
        if first and i:
            rules.add(i - 1)
        signs = [edges.get((benchmark, backbone, *key, name.removeprefix(HYPERPARAMETER)), "") for name in names]
        body.append((
            Cell(style.task(key[0]) if first else ""), Cell(style.method(key[1])),
            Cell(median_std(row["median"], row["std"])),
            *(Cell(hyperparameter_text(row[name]), "", sign) for name, sign in zip(names, signs, strict=True)),
            Cell("" if pd.isna(count) else f"{int(count):,}"),
            Cell(f"{row['n_scored_assignments']:,}"),
        ))  # fmt: skip
    labels = [name.removeprefix(HYPERPARAMETER).replace("_", " ") for name in names]
    columns = ("Task", "Method", "Score", *labels, "Trainable parameters", "Chosen from")
    title = f"{heading(benchmark, backbone)}: best assignments"
    return Table(slug("winners", benchmark, backbone), title, columns, tuple(body), (), frozenset(rules), 2, True,
                 (benchmark, backbone))  # fmt: skip
