"""A table in LaTeX, for ``\\input``: booktabs rules, a short caption, notes below it, halves where it is wide."""

from __future__ import annotations

import re

from analysis.tables import Cell, Table

#: Columns of numbers that stand side by side; a table with more is set in halves, one above the other.
_WIDEST = 7
_LONGEST = 240  # signs of a note; of a longer one, the first sentence


def to_latex(table: Table) -> str:
    """A ``table`` environment; needs the packages booktabs and graphicx.

    More than seven columns of numbers are split into halves of like length, the words before each, as in the paper's
    Tables 2 and 3.
    """
    lines = [r"\begin{table}[t]", r"\centering", r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
    parts = _halves(table)
    wide = max(len(part) for part in parts)
    if len(parts) > 1:
        lines.append(r"\begin{tabular}{@{}c@{}}")
    for i, part in enumerate(parts):
        lines += [*_grid(table, part, wide), *([r"\\[1.5ex]"] if i + 1 < len(parts) else [])]
    lines.append(r"\end{tabular}}" if len(parts) > 1 else "}")
    lines += [rf"\caption{{{escape_latex(table.title)}}}", rf"\label{{tab:{table.name}}}"]
    notes = [_shorter(note) for note in table.notes]
    if notes:
        text = " ".join(escape_latex(note) for note in notes)
        lines.append(rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {text}}}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _halves(table: Table) -> list[list[int]]:
    """The columns of each part of the table."""
    words = list(range(table.left))
    numbers = list(range(table.left, len(table.columns)))
    if len(numbers) <= _WIDEST:
        return [words + numbers]
    middle = -(-len(numbers) // 2)
    return [words + numbers[:middle], words + numbers[middle:]]


def _grid(table: Table, columns: list[int], wide: int) -> list[str]:
    """One ``tabular`` of those columns; empty ones at its right make it as wide as its sibling."""

    def row(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    layout = "l" * table.left + "r" * (wide - table.left)
    lines = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule"]
    lines += [row([escape_latex(table.columns[i]) for i in columns]), r"\midrule"]
    for number, cells in enumerate(table.rows):
        lines.append(row([_cell(cells[i]) for i in columns]))
        if number in table.rules and number + 1 < len(table.rows):
            lines.append(r"\midrule")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _cell(value: Cell) -> str:
    text = escape_latex(value.text)
    text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", "": text}[value.mark]
    return text + (rf"\textsuperscript{{{escape_latex(value.signs)}}}" if value.signs else "")


def _shorter(note: str) -> str:
    """A note, or what its first sentence says: lists of cells are in the report."""
    if len(note) <= _LONGEST:
        return note
    first = re.split(r"(?<=[.:;]) ", note, maxsplit=1)[0]
    return first.rstrip(":;") if len(first) <= _LONGEST else first[: _LONGEST - 1].rsplit(" ", 1)[0] + " …"


_SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}",
    "±": r"$\pm$", "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}", "§": r"\S{}",
    "·": r"$\cdot$", "×": r"$\times$", "≈": r"$\approx$", "Σ": r"$\Sigma$", "σ": r"$\sigma$", "α": r"$\alpha$",
    "≥": r"$\geq$", "≤": r"$\leq$", "−": r"$-$", "—": "---", "–": "--", "…": r"\ldots{}", "Δ": r"$\Delta$",
    "→": r"$\rightarrow$", "←": r"$\leftarrow$", "✓": r"$\surd$", "²": r"$^2$", "⁻": r"$^-$", "½": r"$\frac12$",
    "“": "``", "”": "''", "’": "'", "‘": "`", "∞": r"$\infty$", "≠": r"$\neq$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is: its special characters, and the few other signs that the tables use."""
    return "".join(_SIGNS.get(character, character) for character in text.replace("\n", " "))
