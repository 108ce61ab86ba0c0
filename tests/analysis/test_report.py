"""The whole report: its files, columns and words, on ordinary runs and on the worst ones."""

import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis import reports, style
from analysis.evp import curves
from analysis.frame import FrameError, tidy
from analysis.published import published
from analysis.report import write_report
from analysis.reports import MethodInfo, Options, evp
from analysis.selection import assignments, best_assignments, macro_scores
from analysis.times import significant

RESULTS = "benchmark,backbone,method,task,median,std,n_seeds,assignment_id,n_assignments,n_failed"
MACRO = "benchmark,backbone,method,macro,n_tasks,complete"
EVP = "benchmark,backbone,task,method,n,expected,lower,upper,estimator,n_assignments,n_floor,kind"


@pytest.fixture(scope="module")
def written(make_runs: Callable, methods: dict[str, MethodInfo], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of five methods on two tasks with lost trials, beside the paper."""
    frame = make_runs(
        methods=("fine_tuning", "lora", "p_tuning_v1", "aot_fc"), tasks=("rte", "cola"), seeds=2, losses=0.1
    )
    out = tmp_path_factory.mktemp("report") / "new" / "folder"
    page = write_report(frame, out, Options(paper=True, methods=methods), title="Mine & <yours>")
    assert page == out / "report.html"
    return out


class Page(HTMLParser):
    """Every attribute that loads something, every tag, and the balance of tags."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.loads += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_files_and_columns(written: Path) -> None:
    for name, columns in (("results", RESULTS), ("macro", MACRO), ("evp", EVP)):
        assert (written / "tables" / f"{name}.csv").read_text().splitlines()[0] == columns
    for name in ("evp", "budget", "parameters", "seeds", "sensitivity"):
        assert (written / f"figures/{name}_glue_roberta-base.png").read_bytes()[:4] == b"\x89PNG"
        assert (written / f"figures/{name}_glue_roberta-base.pdf").read_bytes()[:4] == b"%PDF"
    assert r"\begin{tabular}" in (written / "tables/results_glue_roberta-base.tex").read_text()


def test_the_tables_are_the_statistics(written: Path, make_runs: Callable) -> None:
    frame = make_runs(
        methods=("fine_tuning", "lora", "p_tuning_v1", "aot_fc"), tasks=("rte", "cola"), seeds=2, losses=0.1
    )
    winners = best_assignments(assignments(frame))
    pd.testing.assert_frame_equal(
        pd.read_csv(written / "tables/results.csv"), winners[RESULTS.split(",")], check_dtype=False
    )
    pd.testing.assert_frame_equal(pd.read_csv(written / "tables/macro.csv"), macro_scores(winners), check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_csv(written / "tables/evp.csv"), curves(frame)[0], check_dtype=False)


def test_the_page_is_self_contained_and_sound(written: Path) -> None:
    text = (written / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(load.startswith("#") for load in page.loads)
    assert not {"link", "iframe", "object", "img", "image"} & page.tags
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}, "of what is cut to its panel"
    assert "default-src 'none'" in text
    assert "Mine &amp; &lt;yours&gt;" in text
    ids = re.findall(r'<section id="([^"]+)"', text)
    every = re.findall(r' id="([^"]+)"', text)
    assert len(set(every)) == len(every)
    assert {load[1:] for load in page.loads} <= set(every)
    nav = text[text.index("<nav") : text.index("</nav>")]
    assert re.findall(r'href="#([^"]+)"', nav) == ids
    assert re.findall("<p>([^<]+)</p>", nav) == [*reports.PARTS.values()], "the parts of the report, in order"
    assert len(set(ids)) == len(ids) > 8


def test_markdown_says_the_same_and_its_figures_are_there(written: Path) -> None:
    text = (written / "report.md").read_text()
    figures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(figures) >= 4
    assert all((written / figure).is_file() for figure in figures)
    expected = (
        "4 methods (Fine-Tuning, LoRA, P-Tuning v1 and FC AoT P-Tuning) on 2 tasks of GLUE",
        "## Which method, and by how much?",
        "## How sure is that?",
        "more assignments a method had",
        "The best assignments rest on",
        "failed and",
        "# Mine & \\<yours>",
    )
    for words in expected:
        assert words in text, words


def test_what_a_report_answers_stands_on_the_first_screen_and_no_question_stands_there_unanswered(
    written: Path, make_runs: Callable, tmp_path: Path
) -> None:
    frame = make_runs(
        methods=("fine_tuning", "lora", "p_tuning_v1", "aot_fc"), tasks=("rte", "cola"), seeds=2, losses=0.1
    )
    hours = significant(frame["seconds"].sum() / 3600)
    for name in ("report.md", "report.html"):
        text = (written / name).read_text()
        assert f"{hours} hours of training in all: Fine-Tuning " in text
        assert "At what cost?" in text
        assert "Did the paper hold?" in text
        assert "Of 8 cells with a published deviation, " in text
    write_report(frame, tmp_path)
    assert "Did the paper hold?" not in (tmp_path / "report.md").read_text(), "nobody asked"
    assert (written / "report.html").read_text().count('class="card"') == 1


def test_the_papers_numbers_stand_beside_ours(written: Path) -> None:
    table = pd.read_csv(written / "tables/paper.csv")
    assert len(table) == 8
    theirs = published()[0].set_index(["benchmark", "backbone", "method", "task"])["median"]
    for row in table.to_dict("records"):
        assert row["paper"] == theirs["glue", "roberta-base", row["method"], row["task"]]
        assert row["difference"] == pytest.approx(row["ours"] - row["paper"])
    assert "## Beside the paper" in (written / "report.md").read_text()


def test_a_macro_that_misses_a_task_is_shown_and_not_ranked(make_runs: Callable, tmp_path: Path) -> None:
    frame = make_runs(methods=("lora", "adapters", "bitfit"), tasks=("rte", "mrpc"), seeds=1)
    frame = frame[(frame["method"] != "adapters") | (frame["task"] != "glue/rte")]
    write_report(frame, tmp_path)
    text = (tmp_path / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| Adapters |"))
    assert re.search(r"\| — \| .*\| 9\d\.\d \(1/2\) \| 0 / 0 \|$", row)
    assert "A macro followed by (k/n)" in text
    assert "1 of 6 cells" in text


def everything_failed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(status="failed", score=math.nan)


def one_cell(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["method"] == "aot_fc") & (frame["task"] == "glue/rte")].head(1)


def everything_pruned(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(status="pruned")


@pytest.mark.parametrize("spoil", [everything_failed, everything_pruned, one_cell])
def test_poor_runs_make_a_report_that_says_so(make_runs: Callable, tmp_path: Path, spoil: Callable) -> None:
    frame = spoil(make_runs(methods=("fine_tuning", "aot_fc"), tasks=("rte", "cola"), seeds=2))
    write_report(frame, tmp_path, Options(paper=True))
    text = (tmp_path / "report.md").read_text()
    assert "## Trials and cost" in text
    assert len(pd.read_csv(tmp_path / "tables/results.csv")) == (1 if spoil is one_cell else 4)
    if spoil is everything_failed:
        assert "no method has a score on every task" in text
        assert "no trial has a score" in text
    if spoil is everything_pruned:
        assert "cut short by an adaptive search" in text


def test_several_benchmarks_and_backbones(make_runs: Callable, tmp_path: Path) -> None:
    places = [("glue", "roberta-base"), ("glue", "roberta-large"), ("superglue", "roberta-base")]
    frame = pd.concat([make_runs(*place, ("bitfit", "aot_fc"), ("rte",), 1) for place in places])
    write_report(frame[(frame["hp.learning_rate"] == 1e-3) & frame["hp.rank"].isin([pd.NA, 128])], tmp_path)
    assert (tmp_path / "figures/scale.png").is_file()
    assert len(pd.read_csv(tmp_path / "tables/macro.csv")) == 6
    assert "with RoBERTa-Base and RoBERTa-Large" in (tmp_path / "report.md").read_text()


def test_frames_that_cannot_be_reported(frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="no trial; run the study first"):
        write_report(frame.head(0), tmp_path)
    with pytest.raises(FrameError, match="'status'"):
        write_report(frame.assign(status="done"), tmp_path)
    with pytest.raises(ValueError, match="but is 'x'"):
        write_report(frame, tmp_path, Options(estimator="x"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'drop', but is 'ignore'"):
        write_report(frame, tmp_path, Options(failures="ignore"))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_sixteen_methods_have_sixteen_looks_in_a_figure(make_runs: Callable, methods: dict[str, MethodInfo]) -> None:
    """The paper's eight and eight from elsewhere, in the legend and in the panels."""
    frame = make_runs(tasks=("rte",), seeds=1)
    frame = pd.concat([frame, frame.assign(method="other_" + frame["method"], trial_id="other_" + frame["trial_id"])])
    with style.context({name: methods[name].label for name in style.METHODS}, frame["method"]):
        (picture,) = evp.render(evp.compute(tidy(frame))).blocks
    (legend,) = picture.figure.legends
    drawn = [(line.get_color(), line.get_marker()) for line in picture.figure.axes[0].lines]
    assert len(legend.get_texts()) == len({text.get_text() for text in legend.get_texts()}) == 16
    handles = [(line.get_color(), line.get_marker()) for line in legend.get_lines()]
    assert len(set(handles)) == 16
    assert len({color for color, _ in handles}) == 16
    assert set(drawn) == set(handles)


@pytest.mark.parametrize("page", ["README.md", "docs/reports.md"])
def test_the_example_on_the_page_is_a_report(
    page: str, make_runs: Callable, methods: dict[str, MethodInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved as a file of the folder, as a reader would, it is a part of the whole report."""
    text = (Path(__file__).parents[2] / page).read_text()
    (example,) = re.findall(r"```python\n([^`]*def compute\(frame[^`]+)```", text)
    folder = tmp_path / "reports"
    folder.mkdir()
    name = f"slowest_{page.split('.')[0].replace('/', '_')}"
    (folder / f"{name}.py").write_text(example)
    monkeypatch.setattr(reports, "__path__", [*reports.__path__, str(folder)])
    assert reports.names()[-1] == name, "the last of all, as its position says"
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=1)
    write_report(frame, tmp_path / "out", Options(methods=methods))
    markdown = (tmp_path / "out/report.md").read_text()
    section = markdown[markdown.index("## Slowest trials") :]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")][2:]
    seconds = [float(row[3].replace(",", "")) for row in rows]
    assert seconds == pytest.approx(frame["seconds"].nlargest(5).tolist(), abs=0.051)
    assert "Slowest trials</h2>" in (tmp_path / "out/report.html").read_text()
    assert r"\begin{tabular}" in (tmp_path / "out/tables/slowest.tex").read_text()


def test_promoted_assignments_are_named(make_runs: Callable, methods: dict[str, MethodInfo], tmp_path: Path) -> None:
    """The first assignment of each cell has all seeds, the others their first."""
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=3)
    frame["promotion"] = frame["seed"].map(lambda seed: "promoted" if seed else "first")
    first = frame.groupby("method")["assignment_id"].transform("first") == frame["assignment_id"]
    kept = frame[first | (frame["seed"] == 0)].reset_index(drop=True)
    write_report(kept, tmp_path, Options(methods=methods))
    page = (tmp_path / "report.md").read_text()
    assert "Only promoted assignments got all seeds" in page
    assert "## Promoted assignments" in page
    assert "after the first seed only the best got the others (1 assignment per cell)" in page
    table = pd.read_csv(tmp_path / "tables/promotion.csv")
    assert table["promoted"].sum() == 2
    assert (table["selected"] == table["promoted"]).all()
    assert set(pd.read_csv(tmp_path / "tables/results.csv")["n_seeds"]) == {3}
