"""One table value, its forms Markdown, HTML and CSV. Also how numbers are printed and how the best are marked.

Numbers are rounded once, half away from zero, in decimal: 84.75 prints 84.8 on every machine, whatever its binary
digits. Marks compare what is printed, so two results that look equal are marked equal, as in the paper's Tables 2, 3.
"""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

Mark = Literal["", "best", "second"]
EMPTY = "—"
_LONG, _SHORT = 300, 10  # signs: of the notes that are shown at once; of a heading that is not broken into lines


@dataclass(frozen=True)
class Cell:
    """A cell: its text, its mark (best: bold, second: underlined), and signs that point to notes under the table.

    ``link``: the address of the runs behind it, which the page and Markdown lead to.
    """

    text: str
    mark: Mark = ""
    signs: str = ""
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table of any kind. ``name`` is the stem of its files; the first ``left`` columns hold words, the rest numbers.

    A rule is drawn under each row whose index is in ``rules``. ``folded`` tables start closed in HTML. ``place``: the
    benchmark and backbone that it is of; empty where it is of several. The last ``totals`` rows stay below when a
    reader sorts. ``counts``: cells are counts, of which a nought is of no interest and stands back.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    rules: frozenset[int] = frozenset()
    left: int = 1
    folded: bool = False
    place: tuple[str, str] | tuple[()] = ()
    totals: int = 0
    counts: bool = False

    def __post_init__(self) -> None:
        wrong = [i for i, row in enumerate(self.rows) if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(
                f"table {self.name!r} has {len(self.columns)} columns, but rows {wrong} have another number"
            )


def place_key(place: tuple[str, str] | tuple[()]) -> str:
    """A place in one word, as the page compares it; empty for that of several."""
    return "|".join(place)


# --- numbers ---------------------------------------------------------------------------------------------------------


def rounded(value: float, digits: int = 1) -> Decimal:
    """``value`` to ``digits`` decimals, half away from zero, after dropping binary noise past 12 significant digits."""
    result = Decimal(format(value, ".12g")).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return abs(result) if result == 0 else result  # no "-0.0"


def printed(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A number as it stands in a table; a dash where there is none. ``sign`` writes a plus as well."""
    if value is None or not math.isfinite(value):
        return EMPTY
    number = rounded(value, digits)
    return f"{number:,f}" if not sign or number <= 0 else f"+{number:,f}"


def median_std(median: float, std: float) -> str:
    """``median ± std``, the median alone where there is no deviation (one seed), a dash where there is neither."""
    return printed(median) if not math.isfinite(std) else f"{printed(median)} ± {printed(std)}"


def p_value(p: float) -> str:
    """A p-value: three decimals, ``< 0.001`` below."""
    if not math.isfinite(p):
        return EMPTY
    return "< 0.001" if p < 0.001 else printed(p, 3)


def marks(values: Sequence[float | None], digits: int = 1) -> list[Mark]:
    """Which of the values are best and second-best as printed; ties share a mark, and a lone value gets none."""
    shown = [None if v is None or not math.isfinite(v) else rounded(v, digits) for v in values]
    present = [v for v in shown if v is not None]
    if len(present) < 2:
        return [""] * len(shown)
    ranked = sorted(set(present), reverse=True)
    names: dict[Decimal | None, Mark] = {ranked[0]: "best"}
    if len(ranked) > 1:
        names[ranked[1]] = "second"
    return [names.get(v, "") if v is not None else "" for v in shown]


# --- forms -----------------------------------------------------------------------------------------------------------


def to_csv(table: Table) -> str:
    """The texts alone, without marks, signs or notes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([cell.text for cell in row] for row in table.rows)
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """A pipe table with ``**best**`` and ``<u>second</u>``, notes below."""

    def cell(value: Cell) -> str:
        text = escape_markdown(value.text)
        text = {"best": f"**{text}**", "second": f"<u>{text}</u>", "": text}[value.mark]
        return (f"[{text}]({value.link})" if value.link else text) + value.signs

    rules = [":--" if i < table.left else "--:" for i in range(len(table.columns))]
    body = [[cell(value) for value in row] for row in table.rows]
    lines = [[escape_markdown(c) for c in table.columns], rules, *body]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        "\n\n".join([f"**{escape_markdown(table.title)}**", text, *(escape_markdown(note) for note in table.notes)])
        + "\n"
    )


def to_html(table: Table, attributes: str = "") -> str:
    """A ``figure`` with the caption above the table; a closed ``details`` where the table is folded."""
    head = "".join(_cell(table, Cell(name), "th", i) for i, name in enumerate(table.columns))
    rows = []
    for i, row in enumerate(table.rows):
        kinds = ["rule"] * (i in table.rules) + ["total"] * (i >= len(table.rows) - table.totals)
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        rows.append(f"<tr{kind}>{''.join(_cell(table, value, 'td', j) for j, value in enumerate(row))}</tr>")
    grid = (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )
    kind = ' class="table counts"' if table.counts else ' class="table"'
    title = html.escape(table.title)
    if table.folded:
        return f"<details{kind}{attributes}><summary>{title}</summary>{grid}{_notes(table)}</details>\n"
    return f"<figure{kind}{attributes}><figcaption>{title}</figcaption>{grid}{_notes(table)}</figure>\n"


def _cell(table: Table, value: Cell, tag: str, column: int) -> str:
    """A deviation has a line of its own where the page is narrow."""
    kinds = ["word"] * (column < table.left) + ["nought"] * (table.counts and value.text in ("0", EMPTY))
    kinds += ["short"] * (tag == "th" and len(value.text) < _SHORT)
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    median, sign, deviation = value.text.partition(" ± ")
    text = html.escape(median) + (f'<span class="std"> ± {html.escape(deviation)}</span>' if sign else "")
    text = {"best": f"<strong>{text}</strong>", "second": f"<u>{text}</u>", "": text}[value.mark]
    if value.link:
        text = f'<a href="{html.escape(value.link)}">{text}</a>'
    return f"<{tag}{kind}>{text}{f'<sup>{html.escape(value.signs)}</sup>' if value.signs else ''}</{tag}>"


def _notes(table: Table) -> str:
    """The notes below; long ones are folded."""
    text = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    if sum(map(len, table.notes)) > _LONG:
        return f'<details class="notes"><summary>Notes</summary>{text}</details>'
    return f'<div class="notes">{text}</div>' if text else ""


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in a table cell as well."""
    text = re.sub(r"([\\`*_\[\]<|])", r"\\\1", text)
    return text.replace("\n", " ")
