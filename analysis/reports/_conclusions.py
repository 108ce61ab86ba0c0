"""The paper's conclusions as tables: those that are decided in a place and those left open there, and all of them."""

from __future__ import annotations

import pandas as pd

from analysis import style
from analysis.outcomes import NUMBERS, NUMBERS_FAIL, OPEN
from analysis.reports._section import groups, heading, slug
from analysis.tables import EMPTY, Cell, Table

_TITLE = "Conclusions of the paper"


def tables(claims: pd.DataFrame, margin: float) -> list[Table]:
    """From the rows of :func:`analysis.claims.check`: two tables per benchmark and backbone, of which that of what is
    left open is folded; one of conclusions over several; and folded, what was not run and every verdict by place."""
    over = claims["backbone"] == ""
    away = claims["reason"].str.endswith("was not run") & ~over
    own = claims[~over & ~away]
    found: list[Table | None] = []
    for benchmark, backbone, rows in groups(own):
        place = (benchmark, backbone)
        start = f"{heading(*place)}: conclusions of the paper"
        how = "" if rows["matched"].any() else ", in direction only (the paper has other backbones)"
        is_open = rows["verdict"].isin(OPEN)
        found += [
            _table(slug("conclusions", *place), f"{start}{how}", rows[~is_open], margin, place=place),
            _table(slug("conclusions-open", *place), f"{start} that these runs leave open{how}", rows[is_open], margin,
                   folded=True, place=place),
        ]  # fmt: skip
    found += [
        _table("conclusions", f"{_TITLE} over several backbones", claims[over], margin),
        _table("conclusions-not-run", f"{_TITLE} about what was not run", claims[away], margin, folded=True),
    ]
    several = own[["benchmark", "backbone"]].drop_duplicates()
    return [table for table in found if table] + ([_by_place(own)] if len(several) > 1 else [])


def _table(
    name: str, title: str, rows: pd.DataFrame, margin: float, *, folded: bool = False,
    place: tuple[str, str] | tuple[()] = (),
) -> Table | None:  # fmt: skip
    """A line per conclusion, and per benchmark where it is of several; ``None`` without any."""
    if rows.empty:
        return None
    where = [] if place or folded else ["Here"]
    body = [
        tuple(map(Cell, (row["statement"], row["section"], *map(_where, [row] * len(where)), row["verdict"],
                         row["reason"])))
        for row in rows.to_dict("records")
    ]  # fmt: skip
    notes = [f"On par: within {margin:g} {'point' if margin == 1 else 'points'} (--margin)."]
    if rows["verdict"].isin((NUMBERS, NUMBERS_FAIL)).any():
        notes.append("In the numbers: results as they were selected, whose noise is not known.")
    columns = ("Conclusion", "Section", *where, "Verdict", "Why")
    return Table(name, title, columns, tuple(body), tuple(notes), left=len(columns), folded=folded, place=place)


def _where(row: dict) -> str:
    return style.benchmark(row["benchmark"]) if row["benchmark"] else "all together"


def _by_place(rows: pd.DataFrame) -> Table:
    """The verdicts alone, a column per benchmark and backbone."""
    places = [(benchmark, backbone) for benchmark, backbone, _ in groups(rows)]
    told = {(row["claim"], row["benchmark"], row["backbone"]): row["verdict"] for row in rows.to_dict("records")}
    body = [
        tuple(map(Cell, (statement, *(told.get((claim, *place), EMPTY) for place in places))))
        for claim, statement in rows.drop_duplicates("claim")[["claim", "statement"]].itertuples(index=False)
    ]
    columns = ("Conclusion", *(heading(*place) for place in places))
    return Table("conclusions-by-place", f"{_TITLE}, place by place", columns, tuple(body), left=len(columns),
                 folded=True)  # fmt: skip
