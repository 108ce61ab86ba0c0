"""The report's page in a real Chromium: what a reader can see, click, sort and print, at three widths."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import write_report
from analysis.reports import MethodInfo

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
WIDTHS = (390, 1024, 1600)
A4 = 1047  # pixels between the margins of a landscape page


@pytest.fixture(scope="module")
def address(make_runs: Callable, methods: dict[str, MethodInfo], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of all of GLUE on one backbone and two tasks on a larger one, with lost trials, beside the paper."""
    tasks = ("sts-b", "sst-2", "rte", "qqp", "qnli", "mrpc", "mnli", "cola")
    small = make_runs(tasks=tasks, seeds=2, losses=0.1)
    large = make_runs(backbone="deberta-xl", benchmark="superglue", tasks=("rte", "cb"), seeds=2)
    out = tmp_path_factory.mktemp("page")
    return write_report(pd.concat([small, large]), out, paper=True, methods=methods).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    """The page at 1600 pixels; at the end, nothing was asked of a network and nothing went wrong."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if request.url != address else None)
    page.goto(address)
    yield page
    page.close()
    assert not faults


def table(page: sync_api.Page, words: str) -> sync_api.Locator:
    return page.locator("figure.table, details.table").filter(has_text=words).first


def column(grid: sync_api.Locator, number: int) -> list[str]:
    return grid.locator(f"tbody tr:visible td:nth-child({number})").all_inner_texts()


def test_the_first_screen_answers(page: sync_api.Page) -> None:
    """What came out, the macro of every method and what to beware of, without scrolling."""
    for words in ("Which method, and by how much?", "GLUE · RoBERTa-Base: macro score", "Before you quote a number"):
        box = page.get_by_text(words, exact=True).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 1000, words
    dots = page.locator(".card").first.locator("i")
    assert dots.count() == 8
    assert len(set(dots.evaluate_all("dots => dots.map(dot => getComputedStyle(dot).backgroundColor)"))) == 8


def test_tables_sort_by_number_and_come_back(page: sync_api.Page) -> None:
    grid = table(page, "GLUE · RoBERTa-Base: median ± standard deviation")
    order = column(grid, 1)
    head = grid.get_by_role("columnheader", name="CoLA")
    head.click()
    scores = [float(text.split("±")[0]) for text in column(grid, 9)]
    assert scores == sorted(scores, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.press("Enter")
    scores = [float(text.split("±")[0]) for text in column(grid, 9)]
    assert scores == sorted(scores)
    head.click()
    assert column(grid, 1) == order


@pytest.mark.parametrize(
    ("values", "ordered"),
    [
        (["< 0.001", "—", "0.001", "1.000", "0.020"], ["1.000", "0.020", "0.001", "< 0.001", "—"]),
        (["+1.3", "-0.4", "", "0.0", "-12.0"], ["+1.3", "0.0", "-0.4", "-12.0", ""]),
        (["1,234", "98k", "20M", "7"], ["20M", "98k", "1,234", "7"]),
        (["84.3 ± 0.4†", "100.0 ± 0.0", "9.9"], ["100.0 ± 0.0", "84.3 ± 0.4†", "9.9"]),
        (["beta", "alpha", "—"], ["alpha", "beta", "—"]),
    ],
)
def test_what_a_column_is_sorted_by(page: sync_api.Page, values: list[str], ordered: list[str]) -> None:
    """The largest number first, words by letter, what has none last."""
    rows = "".join(f"<tr><td>m{i}</td><td>{value.replace('<', '&lt;')}</td></tr>" for i, value in enumerate(values))
    made = page.evaluate(
        """async (rows) => {
            const script = document.querySelector("script").textContent;
            const frame = document.body.appendChild(document.createElement("iframe"));
            const doc = frame.contentDocument;
            doc.body.innerHTML = `<button id="all"></button><div id="tip"></div><figure class="table"><div class="scroll">
                <table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>${rows}</tbody></table></div></figure>`;
            const run = new frame.contentWindow.Function(script);
            run();
            doc.querySelectorAll("th")[1].click();
            return [...doc.querySelectorAll("td:nth-child(2)")].map((cell) => cell.textContent);
        }""".replace("new frame.contentWindow.Function(script)", "(() => frame.contentWindow.eval(script))"),
        rows,
    )
    assert made == ordered
