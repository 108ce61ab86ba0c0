"""The report of inference times, from a file whose numbers were made up; and inference in the Pareto picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.lines import Line2D

from analysis import style, timings
from analysis.figures import GREYS
from analysis.report import write_report_without_runs
from analysis.reports import DEFAULT, Options, pareto, speed
from analysis.reports._section import Picture, Section
from analysis.tables import Table

FILE = Path(__file__).parents[1] / "data" / "speed.csv"
DEVICE = "Example CPU, 2 threads, float32"


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with style.context():
        yield


@pytest.fixture
def section() -> Section:
    made = speed.render(timings.load([FILE]))
    assert made is not None
    return made


def tables(section: Section) -> dict[str, Table]:
    return {block.name: block for block in section.blocks if isinstance(block, Table)}


def test_without_a_file_there_is_nothing() -> None:
    assert speed.compute(pd.DataFrame(), DEFAULT) is None
    assert speed.render(None) is None
    assert speed.exports(None) == {}
    assert speed.answers(None) == []


def test_every_number_of_a_table_is_the_file_s(section: Section) -> None:
    raw = pd.read_csv(FILE, keep_default_na=False)
    (name,) = [name for name in tables(section) if name.endswith("roberta-base_384")]
    table = tables(section)[name]
    assert table.columns == ("Method", "Batch 1", "Batch 16")
    assert [row[0].text for row in table.rows] == [
        "Fine-Tuning", "Adapters", "LoRA, fused", "LoRA, unfused", "BitFit, fused", "BitFit, unfused", "P-Tuning v2",
        "FC AoT P-Tuning, fused, rows on the host", "FC AoT P-Tuning, unfused",
    ]  # fmt: skip
    own = raw[(raw["backbone"] == "roberta-base") & (raw["length"] == 384) & (raw["tasks"] == 1)]
    lora = own[(own["method"] == "lora") & (own["variant"] == "unfused")].sort_values("batch")
    shown = [cell.text for cell in table.rows[3][1:]]
    assert shown == [f"{r:.3f} [{lo:.3f}, {hi:.3f}]" for r, lo, hi in lora[["ratio", "low", "high"]].to_numpy()]


def test_what_the_paper_leaves_out_has_a_table_of_its_own(section: Section) -> None:
    table = tables(section)[next(name for name in tables(section) if "tasks" in name and "roberta-base" in name)]
    assert table.columns == ("Batch × tokens", "Method", "1 task", "8 tasks")
    words = {(row[0].text, row[1].text): row for row in table.rows}
    assert ("1 × 64", "LoRA, unfused") not in words, "measured with one task alone, as in the paper"
    device = words["16 × 64", "FC AoT P-Tuning, fused, rows on the device"]
    assert [cell.signs for cell in device[2:]] == ["", "†"], (
        "0.93 GB fit into the cache of 2 GB, eight times that do not"
    )
    assert [cell.signs for cell in words["16 × 64", "FC AoT P-Tuning, fused, rows on the host"][2:]] == ["", ""]
    assert any(note.startswith("† ") for note in table.notes)


def test_the_paper_s_text_stands_beside_ours_and_no_other_number_does(section: Section) -> None:
    table = tables(section)[next(name for name in tables(section) if "paper" in name)]
    assert [tuple(cell.text for cell in row[:4]) for row in table.rows] == [
        ("RoBERTa-Base", "1 × 64", "AoT, fused", "1.12"),
        ("RoBERTa-Base", "1 × 384", "LoRA, unfused", "1.50 to 1.70"),
        ("DeBERTa-XL", "1 × 384", "AoT, fused", "slightly below 1"),
        ("DeBERTa-XL", "1 × 384", "the other methods, unfused", "1.12 to 1.25"),
    ]
    raw = pd.read_csv(FILE, keep_default_na=False).query("backbone == 'deberta-xl' and batch == 1 and length == 384")
    others = raw[
        raw["method"].isin(["adapters", "p_tuning_v2"])
        | (raw["method"].isin(["lora", "bitfit"]) & (raw["variant"] == "unfused"))
    ]
    assert table.rows[3][4].text == f"{others['ratio'].min():.2f} to {others['ratio'].max():.2f}"


def test_the_figures_are_those_of_the_paper(section: Section) -> None:
    fourth, ninth = [block for block in section.blocks if isinstance(block, Picture)]
    assert (
        fourth.title
        == f"Inference time over the plain model's on {DEVICE}, sequences of 384 tokens (Figure 4 of the paper)"
    )
    assert [axis.get_title() for axis in fourth.figure.axes] == ["RoBERTa-Base, 384 tokens", "DeBERTa-XL, 384 tokens"]
    assert [axis.get_title() for axis in ninth.figure.axes] == ["RoBERTa-Base, 64 tokens", "DeBERTa-XL, 64 tokens"]


def test_a_figure_shows_each_ratio_with_its_interval_and_unfused_ones_hollow(section: Section) -> None:
    raw = pd.read_csv(FILE, keep_default_na=False)
    own = raw.query("backbone == 'roberta-base' and length == 384 and tasks == 1 and rows in ['', 'host']")
    axis = next(block for block in section.blocks if isinstance(block, Picture)).figure.axes[0]
    dots = [artist for artist in axis.lines if len(artist.get_xdata()) == 1]
    bars = [artist for artist in axis.lines if len(artist.get_xdata()) == 2 and artist.get_gid()]
    assert sorted(float(dot.get_ydata()[0]) for dot in dots) == pytest.approx(sorted(own["ratio"]))
    assert sorted(tuple(bar.get_ydata()) for bar in bars) == sorted(
        own[["low", "high"]].itertuples(index=False, name=None)
    )
    hollow = {round(float(dot.get_ydata()[0]), 5) for dot in dots if dot.get_markerfacecolor() == GREYS["card"]}
    assert hollow == set(own.loc[own["variant"] == "unfused", "ratio"].round(5))
    assert all(isinstance(dot, Line2D) for dot in dots)


def test_the_first_screen_says_what_it_costs() -> None:
    first, second = speed.answers(timings.load([FILE]))
    assert first.question == "At what cost?"
    raw = pd.read_csv(FILE, keep_default_na=False).query("backbone == 'roberta-base' and tasks == 1")
    fused = raw.loc[raw["rows"] == "host", "ratio"]
    assert f"takes {fused.min():.2f} to {fused.max():.2f} of the plain model's time" in first.text
    assert first.text.startswith(f"RoBERTa-Base on {DEVICE}")
    assert second.text.startswith("DeBERTa-XL")


def test_lengths_that_are_not_the_paper_s_have_figures_as_well() -> None:
    found = timings.load([FILE])
    short = timings.Timings(found.table[found.table["length"] == 64], {})
    made = speed.render(short)
    assert made is not None
    (picture,) = [block for block in made.blocks if isinstance(block, Picture)]
    assert "sequences of 64 tokens" in picture.title
    assert "no file beside the CSV says how" in next(block for block in made.blocks if isinstance(block, str))


def test_a_report_of_times_alone(tmp_path: Path) -> None:
    page = write_report_without_runs(tmp_path, Options(speed=timings.load([FILE])))
    assert "Figure 9 of the paper" in page.read_text()
    written = pd.read_csv(tmp_path / "tables" / "speed.csv", keep_default_na=False)
    raw = pd.read_csv(FILE, keep_default_na=False).assign(device=DEVICE)
    pd.testing.assert_frame_equal(written, raw)
    with pytest.raises(ValueError, match="'Macro score by backbone' is a report of trials"):
        write_report_without_runs(tmp_path, Options(speed=timings.load([FILE])), only=["scale"])


def test_inference_joins_the_pareto_picture(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = make_runs(methods=("fine_tuning", "lora", "aot_fc"), tasks=("rte", "cola"))
    without = pareto.compute(frame)
    assert without[["slowdown", "bytes_per_task"]].isna().all(axis=None)
    found = timings.load([FILE])
    with_times = pareto.compute(frame, Options(speed=found)).set_index("method")
    assert with_times["slowdown"].to_dict() == pytest.approx(
        timings.costs(found, ["roberta-base"]).set_index("method")["slowdown"][list(with_times.index)].to_dict()
    )
    assert with_times.loc["aot_fc", "bytes_per_task"] == 50265 * 12 * 768 * 2
    section = pareto.render(with_times.reset_index())
    assert section is not None
    picture, table = section.blocks
    assert isinstance(picture, Picture)
    assert isinstance(table, Table)
    titles = [axis.get_title() for axis in picture.figure.axes]
    assert titles[2:] == ["Inference time over the plain model's", "Bytes for one more task"]
    assert table.columns[5:] == ("Inference time over the plain model's", "Bytes for one more task")
    plain = pareto.render(without)
    assert plain is not None
    assert "timed" not in plain.intro
    assert len(plain.blocks[1].columns) == 5  # type: ignore[union-attr]


def test_who_is_slower_is_beaten_by_its_like(make_runs: Callable[..., pd.DataFrame]) -> None:
    """Two methods with the same scores, size and hours: inference alone decides."""
    lora = make_runs(methods=("lora",), tasks=("rte",))
    twin = lora.assign(method="aot_fc", trial_id="t" + lora["trial_id"], assignment_id="t" + lora["assignment_id"])
    frame = pd.concat([lora, twin], ignore_index=True)
    assert pareto.compute(frame)["front"].all()
    table = timings.load([FILE])
    timed = pareto.compute(frame, Options(speed=timings.Timings(table.table, {}))).set_index("method")
    assert timed["beaten_by"].to_dict() == {"aot_fc": "", "lora": "aot_fc"}
