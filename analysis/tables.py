"""One table value, four forms: Markdown, HTML, LaTeX, CSV. Also how numbers are printed and how the best are marked.

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


@dataclass(frozen=True)
class Cell:
    """A cell: its text, its mark (best: bold, second: underlined), and signs that point to notes under the table."""

    text: str
    mark: Mark = ""
    signs: str = ""


@dataclass(frozen=True)
class Table:
    """A table of any kind. ``name`` is the stem of its files; the first ``left`` columns hold words, the rest numbers.

    A rule is drawn under each row whose index is in ``rules``. ``folded`` tables start closed in HTML. ``place``: the
    benchmark and backbone that it is of; empty where it is of several.
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

    def __post_init__(self) -> None:
        wrong = [i for i, row in enumerate(self.rows) if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(
                f"table {self.name!r} has {len(self.columns)} columns, but rows {wrong} have another number"
            )


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
        return text + value.signs

    rules = [":--" if i < table.left else "--:" for i in range(len(table.columns))]
    body = [[cell(value) for value in row] for row in table.rows]
    lines = [[escape_markdown(c) for c in table.columns], rules, *body]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        "\n\n".join([f"**{escape_markdown(table.title)}**", text, *(escape_markdown(note) for note in table.notes)])
        + "\n"
    )


def to_html(table: Table) -> str:
    """A ``figure`` with the caption above the table; a closed ``details`` where the table is folded."""

    def cell(value: Cell, tag: str, column: int) -> str:
        kind = ' class="word"' if column < table.left else ""
        text = html.escape(value.text)
        text = {"best": f"<strong>{text}</strong>", "second": f"<u>{text}</u>", "": text}[value.mark]
        return f"<{tag}{kind}>{text}{f'<sup>{html.escape(value.signs)}</sup>' if value.signs else ''}</{tag}>"

    head = "".join(cell(Cell(name), "th", i) for i, name in enumerate(table.columns))
    rows = []
    for i, row in enumerate(table.rows):
        kind = ' class="rule"' if i in table.rules else ""
        rows.append(f"<tr{kind}>{''.join(cell(value, 'td', j) for j, value in enumerate(row))}</tr>")
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    grid = (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )
    notes = f'<div class="notes">{notes}</div>' if notes else ""
    title = html.escape(table.title)
    if table.folded:
        return f"<details><summary>{title}</summary>{grid}{notes}</details>\n"
    return f"<figure><figcaption>{title}</figcaption>{grid}{notes}</figure>\n"


def to_latex(table: Table) -> str:
    """A ``table`` environment with booktabs rules; needs the packages booktabs and graphicx."""

    def cell(value: Cell) -> str:
        text = escape_latex(value.text)
        text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", "": text}[value.mark]
        return text + (rf"\textsuperscript{{{escape_latex(value.signs)}}}" if value.signs else "")

    layout = "l" * table.left + "r" * (len(table.columns) - table.left)
    lines = [
        *(r"\begin{table}[t]", r"\centering", r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"),
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        " & ".join(escape_latex(name) for name in table.columns) + r" \\",
        r"\midrule",
    ]
    for i, row in enumerate(table.rows):
        lines.append(" & ".join(cell(value) for value in row) + r" \\")
        if i in table.rules and i + 1 < len(table.rows):
            lines.append(r"\midrule")
    notes = "".join(f" {escape_latex(note)}" for note in table.notes)
    ends = "" if table.title.endswith((".", "?")) or not notes else "."
    lines += [r"\bottomrule", r"\end{tabular}}", rf"\caption{{{escape_latex(table.title)}{ends}{notes}}}",
              rf"\label{{tab:{table.name}}}", r"\end{table}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in a table cell as well."""
    text = re.sub(r"([\\`*_\[\]<|])", r"\\\1", text)
    return text.replace("\n", " ")


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}",
    "·": r"$\cdot$", "×": r"$\times$", "≈": r"$\approx$",
    "≥": r"$\geq$", "≤": r"$\leq$", "−": r"$-$", "—": "---", "–": "--", "…": r"\ldots{}", "Δ": r"$\Delta$",
    "→": r"$\rightarrow$", "✓": r"\checkmark{}",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is: its special characters, and the few other signs that the tables use."""
    return "".join(_LATEX.get(character, character) for character in text.replace("\n", " "))
