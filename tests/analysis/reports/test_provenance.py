"""Where results come from, and why trials were lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd

from analysis.frame import tidy
from analysis.reports import Options, coverage, provenance, reasons
from analysis.tables import Table


def known(make_runs: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Sixteen trials; the last four are of another commit and another torch."""
    frame = make_runs(methods=("bitfit",), tasks=("rte", "cola"), seeds=2)
    late = pd.Series(range(len(frame))) >= 12
    versions = {False: json.dumps({"python": "3.11", "torch": "2.0"}), True: json.dumps({"torch": "2.1"})}
    return tidy(
        frame.assign(
            commit=late.map({False: "a" * 40, True: "b" * 40}), versions=late.map(versions), device="cpu", pack_size=4,
            ended=[f"2026-01-{day:02d}T12:00:00+00:00" for day in range(1, 17)], backbone_hash="c" * 64,
            data_hash=frame["task"].map({"glue/rte": "d" * 64, "glue/cola": "e" * 64}),
        )
    )  # fmt: skip


def tables(frame: pd.DataFrame, options: Options | None = None) -> tuple[dict[str, list[list[str]]], list[str]]:
    section = provenance.render(provenance.compute(frame, options or Options()))
    assert section is not None
    found = {b.name: [[c.text + c.signs for c in r] for r in b.rows] for b in section.blocks if isinstance(b, Table)}
    return found, [block for block in section.blocks if isinstance(block, str)]


def test_counts_dates_and_versions(make_runs: Callable[..., pd.DataFrame]) -> None:
    found, words = tables(known(make_runs))
    assert found["provenance"] == [
        ["Study", "generated", "2026-01-01 12:00", "2026-01-16 12:00", "16"],
        ["Commit", "a" * 12, "2026-01-01 12:00", "2026-01-12 12:00", "12"],
        ["", "b" * 12, "2026-01-13 12:00", "2026-01-16 12:00", "4"],
        ["Device", "cpu", "2026-01-01 12:00", "2026-01-16 12:00", "16"],
        ["Trials in a pack", "4", "2026-01-01 12:00", "2026-01-16 12:00", "16"],
    ]
    assert found["versions"] == [
        ["python", "not known*", "4"], ["python", "3.11*", "12"], ["torch", "2.0*", "12"], ["torch", "2.1*", "4"],
    ]  # fmt: skip
    assert words == ["Trials were made with different versions of python, torch.", "Trials are of 2 commits."]
    assert found["hashes_glue_roberta-base"] == [["RTE", "c" * 12, "d" * 12], ["CoLA", "c" * 12, "e" * 12]]


def test_rows_that_differ_within_a_task_are_told(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = known(make_runs)
    frame.loc[0, "data_hash"] = "f" * 64
    _, words = tables(frame)
    assert words[-1] == "The rows of a task differ between trials: they are not comparable."


def test_the_command_and_the_studies_text_with_its_indentation(make_runs: Callable[..., pd.DataFrame]) -> None:
    options = Options(
        command="aot report a.yaml --out x", studies={"mine": "methods:\n  lora: {rank: 2}\n\nseeds: 1\n"}
    )
    found, _ = tables(make_runs(methods=("bitfit",), seeds=1), options)
    assert found["command"] == [["aot report a.yaml --out x"]]
    assert found["study_mine"] == [["methods:"], ["\u00a0\u00a0lora: {rank: 2}"], [""], ["seeds: 1"]]


def test_trials_on_fresh_seeds_are_among_them(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = known(make_runs)
    found, _ = tables(frame, Options(confirmation=frame.assign(trial_id=frame["trial_id"] + "x", commit="f" * 40)))
    assert ["", "f" * 12, "2026-01-01 12:00", "2026-01-16 12:00", "16"] in found["provenance"]


def test_runs_that_tell_nothing_have_no_such_section(make_runs: Callable[..., pd.DataFrame]) -> None:
    assert provenance.render(provenance.compute(make_runs(methods=("bitfit",)))) is None


def test_reasons_that_differ_in_numbers_are_one_kind(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = make_runs(methods=("bitfit", "lora"), tasks=("rte",), seeds=1)
    texts = ["CUDA out of memory. Tried to allocate 2.5 GiB", "CUDA out of memory. Tried to allocate 30 GiB",
             "Traceback (most recent call last):\n  File x\nKeyError: 7", ""]  # fmt: skip
    frame = frame.assign(reason=[*texts, *["out of time"] * (len(frame) - 4)])
    frame.loc[:3, ["status", "score"]] = ["failed", None]
    table = reasons.compute(tidy(frame))
    assert table[["kind", "count"]].to_numpy().tolist() == [
        ["CUDA out of memory. Tried to allocate … GiB", 2], ["", 1], ["KeyError: …", 1],
    ]  # fmt: skip
    section = reasons.render(table)
    assert section is not None
    assert [row[0].text for row in section.blocks[0].rows][1] == "no reason was written down"
    assert reasons.render(reasons.compute(make_runs(losses=0.5))) is None


def test_confirmation_is_counted_where_the_study_asks_for_it() -> None:
    place = {"benchmark": "glue", "backbone": "b", "task": "glue/rte", "method": "lora"}
    counts = dict.fromkeys(coverage.COLUMNS[4:], 0) | {"planned": 8, "finished": 5, "not_run": 3, "assignments": 4}
    cells = pd.DataFrame([place | counts | {"to_confirm": 5, "confirmed": 2}])
    data = coverage.compute(cells, Options(coverage=cells))
    section = coverage.render(data)
    assert section is not None
    assert "Besides, 2 of 5 trials on fresh seeds, to confirm the choices, have a score." in section.intro
    assert "nothing was lost there" in section.intro
    assert [*coverage.exports(data)["coverage"].columns][-2:] == ["to_confirm", "confirmed"]
    none = coverage.compute(cells, Options(coverage=cells.assign(to_confirm=0)))
    assert list(coverage.exports(none)["coverage"].columns) == list(coverage.COLUMNS)
    assert "fresh seeds" not in coverage.render(none).intro
