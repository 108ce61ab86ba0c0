"""Rounding, marks and the four forms of a table."""

import csv
import io
import math
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.latex import escape_latex, to_latex
from analysis.tables import (
    Cell,
    Table,
    escape_markdown,
    marks,
    median_std,
    p_value,
    printed,
    rounded,
    to_csv,
    to_html,
    to_markdown,
)

TABLE = Table(
    "results_x",
    "A & B: 50 %",
    ("Method", "a_b", "c|d"),
    (
        (Cell("Fine-Tuning"), Cell("90.6 ± 0.3"), Cell("—")),
        (Cell("<LoRA>"), Cell("90.7 ± 0.2", "best"), Cell("1.0", "second", "†")),
    ),
    ("† one failed",),
    frozenset({0}),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (84.75, "84.8"),
        (84.65, "84.7"),
        (-0.04, "0.0"),
        (-0.05, "-0.1"),
        (100, "100.0"),
        (84.749999, "84.7"),
        (2.675, "2.7"),
    ],
)
def test_rounding_is_half_away_from_zero(value: float, expected: str) -> None:
    assert str(rounded(value)) == expected


@given(st.integers(0, 2000).map(lambda n: (n, n / 20)))
def test_rounding_agrees_with_exact_decimals(pair: tuple[int, float]) -> None:
    n, value = pair
    assert rounded(value) == Decimal((n + 1) // 2) / 10  # n / 20 rounded up at the half, in whole numbers


def test_rounding_absorbs_the_noise_of_a_mean() -> None:
    noisy = 84.75 - 2e-14  # what adding up eight scores in another order can make of it
    assert noisy < 84.75
    assert str(rounded(noisy)) == "84.8"


def test_numbers_in_print() -> None:
    assert printed(math.nan) == printed(None) == "—"
    assert (printed(1.25, sign=True), printed(-1.25, sign=True), printed(0, sign=True)) == ("+1.3", "-1.3", "0.0")
    assert printed(12345.6) == "12,345.6"
    assert median_std(90.64, 0.25) == "90.6 ± 0.3"
    assert median_std(90.64, math.nan) == "90.6"
    assert median_std(math.nan, math.nan) == "—"
    assert (p_value(0.0004), p_value(0.0312), p_value(1.0), p_value(math.nan)) == ("< 0.001", "0.031", "1.000", "—")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([88.4, 87.7, 87.7, 62.8], ["best", "second", "second", ""]),  # the paper's RTE column
        ([100.0, 100.0, 97.3], ["best", "best", "second"]),
        ([80.04, 80.01, 79.96], ["best", "best", "best"]),  # what looks equal is marked equal
        ([80.05, 80.04], ["best", "second"]),
        ([80.0, None, math.nan], ["", "", ""]),  # nothing to be better than
        ([80.0, 80.0], ["best", "best"]),
        ([], []),
    ],
)
def test_marks_follow_the_print(values: list[float | None], expected: list[str]) -> None:
    assert marks(values) == expected


def test_markdown() -> None:
    lines = to_markdown(TABLE).splitlines()
    assert lines[2:6] == [
        r"| Method | a\_b | c\|d |",
        "| :-- | --: | --: |",
        "| Fine-Tuning | 90.6 ± 0.3 | — |",
        r"| \<LoRA> | **90.7 ± 0.2** | <u>1.0</u>† |",
    ]
    assert lines[-1] == "† one failed"


def test_html_is_well_formed_and_escaped() -> None:
    root = ElementTree.fromstring(to_html(TABLE))
    assert "".join(root.find(".//td/strong").itertext()) == "90.7 ± 0.2"
    assert root.find(".//td/u").text == "1.0"
    assert root.find(".//td/sup").text == "†"
    assert root.findall(".//tr")[1].get("class") == "rule"
    assert "<LoRA>" in [cell.text for cell in root.iter("td")]


def test_latex() -> None:
    text = to_latex(TABLE)
    assert (
        r"\textless{}LoRA\textgreater{} & \textbf{90.7 $\pm$ 0.2} & \underline{1.0}\textsuperscript{\textdagger{}} \\"
        in text
    )
    assert r"\caption{A \& B: 50 \%}" in text, "notes are below, not in the caption"
    assert r"{\footnotesize \textdagger{} one failed}" in text
    assert text.index(r"\midrule") < text.index("Fine-Tuning") < text.rindex(r"\midrule") < text.index("LoRA")
    assert r"\begin{tabular}{lrr}" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


WIDE = Table(
    "wide",
    "A wide one",
    ("Method", *(f"t{i}" for i in range(9))),
    tuple((Cell(f"m{row}"), *(Cell(f"{row}{i}") for i in range(9))) for row in range(2)),
    ("short.", "† Trials failed. " + "LoRA: RTE 1 failed, CoLA 2 failed. " * 12),
)


def test_a_wide_table_is_set_in_halves_with_its_words_before_each() -> None:
    text = to_latex(WIDE)
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert rows == [
        r"Method & t0 & t1 & t2 & t3 & t4 \\", r"m0 & 00 & 01 & 02 & 03 & 04 \\", r"m1 & 10 & 11 & 12 & 13 & 14 \\",
        r"Method & t5 & t6 & t7 & t8 \\", r"m0 & 05 & 06 & 07 & 08 \\", r"m1 & 15 & 16 & 17 & 18 \\",
    ]  # fmt: skip
    assert text.count(r"\begin{tabular}{lrrrrr}") == 2, "both halves are of one width"


def test_long_notes_are_shortened_in_latex_and_folded_on_the_page() -> None:
    assert r"{\footnotesize short. \textdagger{} Trials failed.}" in to_latex(WIDE)
    assert '<details class="notes">' in to_html(WIDE)
    assert to_markdown(WIDE).count("CoLA 2 failed") == to_html(WIDE).count("CoLA 2 failed") == 12


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_every_table_compiles_where_it_is_put_in_and_fits_the_line(tmp_path: Path) -> None:
    """With the two packages that the docs name, and no other."""
    strange = Table("strange", "Signs ± † ‡ § · × ≈ ≥ ≤ − — … Δ → ✓ [x] {y} ~ ^ # $ % & _", ("a", "b"),
                    ((Cell("[x]"), Cell("1 ± 2", "best", "†‡§")),), ("[a] note − 5 %",))  # fmt: skip
    for table in (TABLE, WIDE, strange):
        (tmp_path / f"{table.name}.tex").write_text(to_latex(table), encoding="utf-8")
    inputs = "".join(rf"\input{{{table.name}}}" for table in (TABLE, WIDE, strange))
    (tmp_path / "main.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}" + inputs + r"\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_a_number_leads_to_its_runs_and_latex_is_plain() -> None:
    table = Table("t", "t", ("x", "y"), ((Cell("m"), Cell("84.3 ± 0.4", "best", "†", "http://h/#/e?a=1&b=2")),))
    (link,) = ElementTree.fromstring(to_html(table)).iter("a")
    assert link.get("href") == "http://h/#/e?a=1&b=2"
    assert "[**84.3 ± 0.4**](http://h/#/e?a=1&b=2)†" in to_markdown(table)
    assert "http" not in to_latex(table)


def test_totals_and_noughts_are_told_to_the_page() -> None:
    rows = ((Cell("m"), Cell("0")), (Cell("All"), Cell("3")))
    root = ElementTree.fromstring(to_html(Table("t", "t", ("x", "y"), rows, totals=1, counts=True)))
    assert [row.get("class") for row in root.iter("tr")] == [None, None, "total"]
    assert [cell.get("class") for cell in root.iter("td")] == ["word", "nought", "word", None]


def test_latex_escapes_every_special_character() -> None:
    assert escape_latex(r"a_b \ 5% {x} ~ ^ # $ &") == (
        r"a\_b \textbackslash{} 5\% \{x\} \textasciitilde{} \textasciicircum{} \# \$ \&"
    )
    assert escape_latex("±—·").isascii()


@given(st.text(st.sampled_from("ab*_`|<[]\\\n"), max_size=12))
def test_markdown_keeps_a_cell_in_its_cell(text: str) -> None:
    table = Table("t", "t", ("x", "y"), ((Cell(text), Cell("z")),))
    row = to_markdown(table).splitlines()[4]
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 3
    assert "\n" not in escape_markdown(text)


def test_csv_round_trips() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows == [list(TABLE.columns), *[[cell.text for cell in row] for row in TABLE.rows]]


def test_a_ragged_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'t' has 2 columns, but rows \[0\]"):
        Table("t", "t", ("a", "b"), ((Cell("1"),),))


def test_latex_breaks_long_headings_and_sentences_into_lines() -> None:
    rows = ((Cell("LoRA"), Cell("1.0"), Cell("could not have been shown with 2 seeds; 3 would be needed")),)
    text = to_latex(Table("t", "t", ("Method", "Found in 80 of 100 cases", "Answer"), rows))
    assert r"\begin{tabular}{lrp{18em}}" in text
    assert r"Method & \shortstack[r]{Found in 80 of \\ 100 cases} & Answer \\" in text


def test_latex_sets_a_table_higher_than_a_page_in_several_cut_at_a_rule() -> None:
    rows = tuple((Cell(f"m{i}"), Cell(f"{i}")) for i in range(100))
    text = to_latex(Table("t", "Long", ("Method", "Score"), rows, ("A note.",), frozenset({29})))
    parts = text.split(r"\end{table}")[:-1]
    assert [sum(f"m{i} & {i} " in part for i in range(100)) for part in parts] == [30, 40, 30]
    assert [f"Long ({i} of 3)" in part for i, part in enumerate(parts, 1)] == [True] * 3
    assert (text.count(r"\label"), text.count("A note.")) == (1, 1)
    assert text.count(r"\begin{table}[t]") == 3
