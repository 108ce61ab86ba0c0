"""The paper's own numbers as runs, through the whole report."""

import re
from pathlib import Path

import pandas as pd

from analysis.frame import tidy
from analysis.published import published
from analysis.report import write_report
from analysis.reports import MethodInfo, Options, paper


def as_runs(table: pd.DataFrame) -> pd.DataFrame:
    """A published table as a frame: one trial per cell, whose score is the printed median."""
    rows = table.assign(study="paper", assignment_id="a", seed=0, status="finished", score=table["median"])
    rows = rows.assign(best_epoch=None, epochs=None, trainable_parameters=None, seconds=None)
    rows = rows.assign(trial_id=range(len(table)))
    return tidy(rows.drop(columns=["median", "std"]))


def test_the_papers_medians_as_runs_give_its_tables_and_no_difference(
    methods: dict[str, MethodInfo], tmp_path: Path
) -> None:
    results = published()[0]
    frame = as_runs(results[results["backbone"] == "deberta-xl"])
    write_report(frame, tmp_path, Options(paper=True, methods=methods))
    merged = pd.read_csv(tmp_path / "tables/macro.csv").merge(published()[1], on=["benchmark", "backbone", "method"])
    assert (merged["macro_x"].round(1) == merged["macro_y"]).all()
    text = (tmp_path / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| FC AoT P-Tuning |"))
    assert "**91.0** | **98.0** | **94.2** | 74.1 | 86.5 | 92.3 | 88.1 | 89.2" in row  # as marked in Table 3
    differences = [line for line in text.splitlines() if line.startswith("|  | difference |")]
    assert len(differences) == 8
    assert all(re.fullmatch(r"\|  \| difference \|( 0\.0 \|)+", line) for line in differences)


def test_other_spellings_are_matched_and_other_backbones_are_not() -> None:
    results = published()[0].query("backbone == 'roberta-large' and benchmark == 'superglue'")
    matched = paper.compute(as_runs(results.assign(backbone="FacebookAI/RoBERTa-large")), Options(paper=True))
    assert len(paper.exports(matched)["paper"]) == 56
    unmatched = paper.compute(as_runs(results.assign(backbone="minilm")), Options(paper=True))
    assert "paper" not in paper.exports(unmatched)
    section = paper.render(unmatched)
    table = section.blocks[-1]
    assert table.title == "SuperGLUE · MiniLM beside other backbones of the paper"
    assert [row[1].text for row in table.rows[:4]] == ["ours", "paper, RoBERTa-Large", "paper, DeBERTa-XL", "ours"]
    assert section.blocks[0].startswith("No backbone here is one of the paper's")


def test_beside_the_paper_stand_only_tasks_that_both_have() -> None:
    results = published()[0].query("backbone == 'roberta-base' and task in ['glue/rte', 'glue/cola']")
    table = paper.render(paper.compute(as_runs(results), Options(paper=True))).blocks[-1]
    assert table.columns == ("Method", "Source", "RTE", "CoLA", "Macro")
    assert [cell.text for cell in table.rows[1]] == ["", "paper", "81.2 ± 0.7", "63.8 ± 1.4", "72.5"]
    assert [cell.text for cell in table.rows[2]] == ["", "difference", "0.0", "0.0", "0.0"]
    strange = as_runs(results.assign(task="glue/mine").head(1))
    assert paper.compute(strange, Options(paper=True)).comparisons == []
    assert paper.compute(strange.assign(benchmark="mine"), Options(paper=True)) is None
