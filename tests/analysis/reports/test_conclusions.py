"""The paper's conclusions as tables: what is decided in a place stands there, what is open is folded."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.claims import COLUMNS
from analysis.reports._conclusions import tables
from analysis.tables import Table

SMALL, LARGE = ("glue", "roberta-base"), ("glue", "roberta-large")


def claims(*rows: tuple) -> pd.DataFrame:
    """(claim, benchmark, backbone, matched, verdict, reason)"""
    values = [(name, "4.2", f"The statement of {name}.", *rest) for name, *rest in rows]
    return pd.DataFrame(values, columns=list(COLUMNS))


FOUND = claims(
    ("a", *SMALL, True, "holds", "x 1, y 0: +1.0 (± 0.1)"),
    ("a", *LARGE, True, "not shown", "x 1, y 0: +1.0 (± 3.0)"),
    ("b", *SMALL, True, "could not have been shown", "no score on every task of y"),
    ("c", "superglue", "deberta-xl", False, "could not have been shown", "SuperGLUE · DeBERTa-XL was not run"),
    ("d", "", "", True, "does not hold", "9 of 10 (sign test, p = 0.021)"),
    ("e", "glue", "", True, "not shown", "lead 1, lead 2: -1.0 (± 3.0)"),
)


def by_name(found: pd.DataFrame, margin: float = 1.0) -> dict[str, Table]:
    return {table.name: table for table in tables(found, margin)}


def test_each_place_has_its_own_and_what_is_open_is_folded() -> None:
    found = by_name(FOUND)
    assert {name: (table.place, table.folded, len(table.rows)) for name, table in found.items()} == {
        "conclusions_glue_roberta-base": (SMALL, False, 1),
        "conclusions-open_glue_roberta-base": (SMALL, True, 1),
        "conclusions-open_glue_roberta-large": (LARGE, True, 1),
        "conclusions": ((), False, 2),
        "conclusions-not-run": ((), True, 1),
        "conclusions-by-place": ((), True, 2),
    }
    (row,) = found["conclusions_glue_roberta-base"].rows
    assert [cell.text for cell in row] == ["The statement of a.", "4.2", "holds", "x 1, y 0: +1.0 (± 0.1)"]
    assert [row[2].text for row in found["conclusions"].rows] == ["all together", "GLUE"]
    grid = found["conclusions-by-place"]
    assert grid.columns == ("Conclusion", "GLUE · RoBERTa-Base", "GLUE · RoBERTa-Large")
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["The statement of a.", "holds", "not shown"],
        ["The statement of b.", "could not have been shown", "—"],
    ]


def test_every_row_stands_in_one_table_beside_the_grid() -> None:
    found = by_name(FOUND)
    del found["conclusions-by-place"]
    told = [(row[0].text, row[-1].text) for table in found.values() for row in table.rows]
    assert sorted(told) == sorted(zip(FOUND["statement"], FOUND["reason"], strict=True))


def test_a_place_alone_has_no_grid_and_a_strange_backbone_says_that_it_is_one() -> None:
    strange = claims(("a", "glue", "minilm", False, "holds in the numbers", "x 1, y 0: +1.0 (noise unknown)"))
    (table,) = tables(strange, 0.5)
    assert table.title == "GLUE · MiniLM: conclusions of the paper, in direction only (the paper has other backbones)"
    assert table.notes == (
        "On par: within 0.5 points (--margin).",
        "In the numbers: results as they were selected, whose noise is not known.",
    )


@pytest.mark.parametrize("margin", [1.0, 2.0])
def test_the_margin_is_told(margin: float) -> None:
    words = "1 point" if margin == 1 else "2 points"
    assert by_name(FOUND, margin)["conclusions"].notes == (f"On par: within {words} (--margin).",)
