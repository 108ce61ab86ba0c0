"""What a report says of where its trials come from and of what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis import coverage
from analysis.frame import FrameError, tidy
from analysis.report import write_report

CELL = {"benchmark": "glue", "backbone": "b", "task": "glue/rte", "method": "lora"}


def cells(**counts: int) -> pd.DataFrame:
    zero = dict.fromkeys(coverage.COUNTS, 0)
    return pd.DataFrame([CELL | zero | counts])


@pytest.mark.parametrize(
    ("counts", "elsewhere", "expected"),
    [
        ({"planned": 10, "finished": 9, "diverged": 1}, 0,
         "All 10 trials of the study have a result: 9 finished, 1 diverged."),
        ({"planned": 10, "finished": 9, "failed": 1}, 0,
         "The study is 90 % trained: of 10 trials 9 finished, 1 failed."),
        ({"planned": 1000, "finished": 999, "lost": 1}, 0,
         "The study is 99 % trained: of 1,000 trials 999 finished, 1 lost."),
        ({"planned": 6, "undecided": 2, "finished": 1, "not_run": 5}, 4,
         "The study is 10 % trained: of at most 10 trials 1 finished, 9 not run yet."),
    ],
)  # fmt: skip
def test_progress_in_a_sentence(counts: dict[str, int], elsewhere: int, expected: str) -> None:
    table = cells(**counts)
    assert coverage.progress(table, elsewhere) == expected
    assert coverage.is_whole(table, elsewhere) == expected.startswith("All")


def planned(frame: pd.DataFrame, **changes: object) -> pd.DataFrame:
    whole = frame.groupby(coverage.CELL)["trial_id"].transform("size")
    numbers = {"planned_in_cell": whole, "planned_in_study": len(frame), "planned_seeds": 2}
    return tidy(frame.assign(**{**numbers, **changes}))


def test_a_file_tells_what_is_missing_of_it(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = planned(make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=2))
    table, elsewhere = coverage.of_frame(frame)
    assert table is not None
    assert coverage.is_whole(table, elsewhere)
    lora = frame["method"] == "lora"
    table, elsewhere = coverage.of_frame(frame.drop(frame.index[lora][3:]))
    assert table is not None
    assert table.set_index("method")["not_run"].to_dict() == {"lora": lora.sum() - 3, "bitfit": 0}
    assert coverage.of_frame(frame[lora])[1] == (~lora).sum(), "cells without a trial are counted together"
    assert coverage.of_frame(frame.drop(columns="planned_in_cell"))[0] is None, "files of before do not say"


def test_a_file_of_two_studies_plans_what_both_do(make_runs: Callable[..., pd.DataFrame]) -> None:
    parts = [planned(make_runs(methods=(m,), tasks=("rte",), seeds=2)).assign(study=m) for m in ("lora", "bitfit")]
    size = len(parts[0])
    again = parts[0].assign(study="again", trial_id=parts[0]["trial_id"] + "again")  # the same cell, in a third study
    again["assignment_id"] += "again"
    frame = tidy(pd.concat([parts[0].drop(parts[0].index[3:]), parts[1], again], ignore_index=True))
    table, elsewhere = coverage.of_frame(frame)
    assert table is not None
    assert table.set_index("method")["planned"].to_dict() == {"lora": 2 * size, "bitfit": len(parts[1])}
    assert (table["not_run"].sum(), elsewhere) == (size - 3, 0)
    lost = tidy(pd.concat([parts[0].assign(planned_in_study=100), parts[1].assign(planned_in_study=50)]))
    assert coverage.of_frame(lost)[1] == 150 - len(lost)
    unknown = parts[1].drop(columns=["planned_in_cell", "planned_in_study"])  # of a file of before
    table, elsewhere = coverage.of_frame(tidy(pd.concat([lost[:size], unknown], ignore_index=True)))
    assert table is not None
    assert (table["method"].tolist(), elsewhere) == (["lora"], 100 - size)


def test_trials_that_the_study_does_not_name_change_no_number(
    make_runs: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    own = planned(make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=2), in_study=True, max_epochs=5)
    others = own.assign(in_study=False, max_epochs=1, score=100.0, trial_id=own["trial_id"] + "old")
    others["assignment_id"] += "old"
    write_report(own, tmp_path / "own")
    write_report(tidy(pd.concat([own, others], ignore_index=True)), tmp_path / "both")
    for path in (tmp_path / "own" / "tables").iterdir():
        assert (tmp_path / "both" / "tables" / path.name).read_bytes() == path.read_bytes(), path.name
    text = (tmp_path / "both" / "report.md").read_text().replace("\\", "")
    assert (
        f"{len(own)} trials are left out: they are of another version of the study (they differ in max_epochs)" in text
    )
    with pytest.raises(FrameError, match=f"it has {len(own)} that the study does not name"):
        write_report(others, tmp_path / "none")


def test_a_whole_study_says_so_and_warns_of_nothing(make_runs: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    write_report(planned(make_runs(methods=("lora",), tasks=("rte",), seeds=2)), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "All 24 trials of the study have a result: 24 finished." in text
    assert "% trained" not in text
    assert "cells that are not whole" not in text
