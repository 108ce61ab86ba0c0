"""A table in LaTeX, for ``\\input``: booktabs rules, a short caption, notes below it, halves where it is wide."""

from __future__ import annotations

import textwrap

from analysis.names import sentences
from analysis.tables import Cell, Table

#: Columns of numbers that stand side by side; a table with more is set in halves, one above the other.
_WIDEST = 7
_LONGEST = 240  # signs of a note; of a longer one, the first sentence
_HIGHEST = 40  # lines of a page
_HEADING, _TEXT = 14, 36  # signs of a line of a heading; of a cell that is not broken into lines


def to_latex(table: Table) -> str:
    """A ``table`` environment; needs the packages booktabs and graphicx.

    More than seven columns of numbers are split into halves of like length, the words before each, as in the paper's
    Tables 2 and 3. A table that is higher than a page is set in several, cut at a rule where there is one.
    """
    parts = _halves(table)
    pages = _pages(table, _HIGHEST // len(parts))
    return "".join(_environment(table, parts, rows, i, len(pages)) for i, rows in enumerate(pages))


def _environment(table: Table, parts: list[list[int]], rows: range, page: int, pages: int) -> str:
    """One of the table's ``pages``; the label is the first one's, the notes are the last one's."""
    lines = [r"\begin{table}[t]", r"\centering", r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
    wide = max(len(part) for part in parts)
    if len(parts) > 1:
        lines.append(r"\begin{tabular}{@{}c@{}}")
    for i, part in enumerate(parts):
        lines += [*_grid(table, part, wide, rows), *([r"\\[1.5ex]"] if i + 1 < len(parts) else [])]
    lines.append(r"\end{tabular}}" if len(parts) > 1 else "}")
    number = f" ({page + 1} of {pages})" if pages > 1 else ""
    lines.append(rf"\caption{{{escape_latex(table.title)}{number}}}")
    if page == 0:
        lines.append(rf"\label{{tab:{table.name}}}")
    notes = [_shorter(note) for note in table.notes]
    if notes and page + 1 == pages:
        text = " ".join(escape_latex(note) for note in notes)
        lines.append(rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {text}}}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _pages(table: Table, most: int) -> list[range]:
    """Rows that go on a page together: up to ``most`` lines, to the last rule among them where there is one."""
    if not table.rows:
        return [range(0)]
    lines = [max(1, *(-(-len(cell.text) // _TEXT) for cell in row)) for row in table.rows]
    pages, start, cut = [], 0, 0
    for number in range(len(lines)):
        if sum(lines[start : number + 1]) > most and number > start:
            end = cut if cut > start else number
            pages.append(range(start, end))
            start = end
        if number in table.rules:
            cut = number + 1
    return [*pages, range(start, len(lines))]


def _halves(table: Table) -> list[list[int]]:
    """The columns of each part of the table."""
    words = list(range(table.left))
    numbers = list(range(table.left, len(table.columns)))
    if len(numbers) <= _WIDEST:
        return [words + numbers]
    middle = -(-len(numbers) // 2)
    return [words + numbers[:middle], words + numbers[middle:]]


def _grid(table: Table, columns: list[int], wide: int, rows: range) -> list[str]:
    """One ``tabular`` of those columns; empty ones at its right make it as wide as its sibling."""

    def row(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    layout = "".join(_column(table, i) for i in columns) + "r" * (wide - len(columns))
    lines = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule"]
    lines += [row([_heading(table.columns[i], "l" if i < table.left else "r") for i in columns]), r"\midrule"]
    for number in rows:
        lines.append(row([_cell(table.rows[number][i]) for i in columns]))
        if number in table.rules and number + 1 < rows.stop:
            lines.append(r"\midrule")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _column(table: Table, column: int) -> str:
    """Words to the left, numbers to the right, sentences in lines."""
    if any(len(row[column].text) > _TEXT for row in table.rows):
        return rf"p{{{_TEXT // 2}em}}"
    return "l" if column < table.left else "r"


def _heading(text: str, side: str) -> str:
    """A name of a column; a long one in lines, so that it is not wider than what stands below it."""
    lines = textwrap.wrap(text, _HEADING, break_long_words=False, break_on_hyphens=False)
    if len(lines) < 2:
        return escape_latex(text)
    broken = r" \\ ".join(map(escape_latex, lines))
    return rf"\shortstack[{side}]{{{broken}}}"


def _cell(value: Cell) -> str:
    text = escape_latex(value.text)
    text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", "": text}[value.mark]
    return text + (rf"\textsuperscript{{{escape_latex(value.signs)}}}" if value.signs else "")


def _shorter(note: str) -> str:
    """A note, or what its first sentence says: lists of cells are in the report."""
    if len(note) <= _LONGEST:
        return note
    first = sentences(note, r"(?<=[.:;]) ")[0]
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
