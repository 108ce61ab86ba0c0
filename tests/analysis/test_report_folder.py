"""The folder of a report: the same files for the same runs, nothing stale, nothing of anybody else's touched."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import reports
from analysis.report import write_report
from analysis.reports._section import slug


def one_cell(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["method"] == "aot_fc") & (frame["task"] == "glue/rte")].head(1)


def test_the_same_frame_gives_the_same_files(make_runs: Callable, tmp_path: Path) -> None:
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=2)
    write_report(frame, tmp_path / "a")
    write_report(frame.sample(frac=1, random_state=1), tmp_path / "b")
    first, second = ({p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "ab")
    assert first == second


def test_a_manifest_that_names_what_is_not_a_reports_removes_nothing(make_runs: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    (tmp_path / "out/.report-files").write_text("../mine.txt\nnotes.txt\nfigures/../../mine.txt\n")
    write_report(one_cell(make_runs()), tmp_path / "out")
    assert (tmp_path / "mine.txt").is_file()
    assert (tmp_path / "out/notes.txt").is_file()


def test_what_a_killed_report_had_begun_goes_with_the_next_one(make_runs: Callable, tmp_path: Path) -> None:
    """Not that of one that may still be at work, and nobody else's."""
    names = (".report-in-old", ".report-in-new", ".report-mine")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.html").write_text("half of it")
        os.utime(tmp_path / name, (0, 0) if name != ".report-in-new" else None)
    write_report(one_cell(make_runs()), tmp_path)
    assert [name for name in names if (tmp_path / name).exists()] == [".report-in-new", ".report-mine"]


def test_a_report_in_an_old_folder_leaves_nothing_of_the_earlier_one(make_runs: Callable, tmp_path: Path) -> None:
    """Not a figure, not a table, and not one file fewer of whoever keeps notes there."""
    both = pd.concat([make_runs(backbone=name, methods=("lora", "bitfit"), tasks=("rte",), seeds=2) for name in "ab"])
    write_report(both, tmp_path / "out")
    (tmp_path / "out/figures/mine.png").write_text("mine")
    (tmp_path / "out/notes.txt").write_text("mine")
    write_report(both[both["backbone"] == "b"], tmp_path / "out")
    write_report(both[both["backbone"] == "b"], tmp_path / "fresh")
    old, fresh = ({p.relative_to(tmp_path / n).as_posix() for p in (tmp_path / n).rglob("*")} for n in ("out", "fresh"))
    assert old - fresh == {"figures/mine.png", "notes.txt"}
    assert fresh <= old
    assert not [name for name in old if name.startswith(".report-") and name != ".report-files"]


def test_a_report_that_breaks_leaves_the_earlier_one_whole(
    make_runs: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=2)
    write_report(frame, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/last_of_all.py").write_text(
        "TITLE, POSITION = 'x', 499\ndef compute(frame, options): raise RuntimeError('no')\ndef render(data): pass\n"
    )
    monkeypatch.setattr(reports, "__path__", [*reports.__path__, str(tmp_path / "broken")])
    with pytest.raises(RuntimeError, match="no"):
        write_report(make_runs(methods=("lora", "adapters"), tasks=("cola",), seeds=2), tmp_path)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and "broken" not in p.parts}
    assert after == before


def test_nothing_random_is_left_behind(make_runs: Callable, tmp_path: Path) -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    write_report(one_cell(make_runs()), tmp_path)
    assert np.random.get_state()[1].tolist() == before


def test_names_that_are_one_in_a_file_name_do_not_overwrite_each_other(make_runs: Callable, tmp_path: Path) -> None:
    """Also on file systems that know no capitals."""
    names = ("a_b", "A-b")
    frames = [make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=2, backbone=name) for name in names]
    write_report(pd.concat(frames), tmp_path)
    for folder, ending in (("figures", "png"), ("figures", "pdf"), ("tables", "tex")):
        written = sorted(path.stem for path in (tmp_path / folder).glob(f"*_glue_*.{ending}"))
        stems = sorted({name.partition("_glue")[0] for name in written})
        assert stems
        assert written == [f"{stem}_glue_a-b{number}" for stem in stems for number in ("", "-2")]
    page = (tmp_path / "report.md").read_text()
    assert all(page.count(f"figures/{path.name}") == 1 for path in (tmp_path / "figures").glob("*.png"))


def test_a_long_name_is_cut_in_a_file_name() -> None:
    assert slug("evp", 300 * "a", "b") == f"evp_{60 * 'a'}_b"
