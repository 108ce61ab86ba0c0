"""The report's page in a real Chromium: what a reader can see, click, sort and print, at three widths."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import pandas as pd
import pytest

from analysis import style
from analysis.links import runs_of
from analysis.page import Document
from analysis.page import page as document_page
from analysis.report import write_report
from analysis.reports import MethodInfo, Options, Section
from analysis.tables import Cell, Table

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
    large = make_runs("superglue", "deberta-xl", ("lora", "aot_fc"), ("rte", "cb"), 2)
    out = tmp_path_factory.mktemp("page")
    return write_report(pd.concat([small, large]), out, Options(paper=True, methods=methods)).as_uri()


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


def shown(browser: sync_api.Browser, block: Table) -> sync_api.Page:
    """A page of that table alone."""
    page = browser.new_page()
    page.set_content(document_page(Document("t", "w", (), (), (Section("s", "i.", (block,)),)), {}))
    return page


def table(page: sync_api.Page, words: str) -> sync_api.Locator:
    return page.locator("figure.table, details.table").filter(has_text=words).first


def column(grid: sync_api.Locator, number: int) -> list[str]:
    return grid.locator(f"tbody tr:visible td:nth-child({number})").all_inner_texts()


def test_the_first_screen_answers(page: sync_api.Page) -> None:
    """The four questions, the macro of every method and what to beware of, without scrolling."""
    for words in (
        "Which method, and by how much?",
        "At what cost?",
        "Macro scores · choose one to see it alone",
        "How sure is that?",
        "Did the paper hold?",
        "Before you quote a number",
    ):
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
    scores = [float(text.split("±")[0]) for text in column(grid, 9)[:-3]]
    assert scores == sorted(scores, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.press("Enter")
    scores = [float(text.split("±")[0]) for text in column(grid, 9)[:-3]]
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
def test_what_a_column_is_sorted_by(browser: sync_api.Browser, values: list[str], ordered: list[str]) -> None:
    """The largest number first, words by letter, what has none last, totals below all."""
    rows = tuple((Cell(f"m{i}"), Cell(value)) for i, value in enumerate(values))
    block = Table("t", "t", ("a", "b"), (*rows, (Cell("All"), Cell("5"))), totals=1)
    page = shown(browser, block)
    page.get_by_role("columnheader", name="b").click()
    assert column(page.locator("figure.table"), 2) == [*ordered, "5"]
    page.close()


def test_rows_that_belong_together_say_so_when_they_are_apart(page: sync_api.Page) -> None:
    grid = table(page, "beside the paper")
    assert column(grid, 1)[:4] == ["Fine-Tuning", "", "", "Adapters"]
    grid.get_by_role("columnheader", name="Source").click()
    assert "" not in column(grid, 1)


def test_a_filter_keeps_the_rows_that_hold_its_words(page: sync_api.Page) -> None:
    grid = table(page, "beside the paper")
    before = len(column(grid, 1))
    grid.get_by_role("searchbox").fill("lora")
    assert len(column(grid, 1)) == 3 < before, "also those whose method is said above them"
    grid.get_by_role("searchbox").fill("LoRA paper")
    assert column(grid, 2) == ["paper"]
    grid.get_by_role("searchbox").fill("")
    assert len(column(grid, 1)) == before


def places(page: sync_api.Page) -> set[str]:
    """What the titles in view are of, by their beginnings."""
    titles = page.locator("main figcaption:visible, main details.table > summary:visible, .answers p:visible")
    return {found[0] for text in titles.all_inner_texts() if (found := re.match(r"\w+ · [\w-]+", text))}


def test_one_place_is_in_view_with_what_is_of_none(page: sync_api.Page) -> None:
    """At first the smallest backbone's; another by the list or by its card, all when asked for."""
    assert places(page) == {"GLUE · RoBERTa-Base"}
    assert page.locator(".card:visible").count() == 2, "cards are the way to the other"
    assert page.locator("#macro-score-by-backbone figure:visible").count() == 1, "of no one place"
    page.select_option("#place", label="SuperGLUE · DeBERTa-XL")
    assert places(page) == {"SuperGLUE · DeBERTa-XL"}
    assert page.get_by_role("button", name="SuperGLUE · DeBERTa-XL").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="GLUE · RoBERTa-Base", exact=True).click()
    assert places(page) == {"GLUE · RoBERTa-Base"}
    assert page.input_value("#place") == "glue|roberta-base"
    page.select_option("#place", label="everything")
    assert places(page) == {"GLUE · RoBERTa-Base", "SuperGLUE · DeBERTa-XL"}
    hidden = page.locator("section.elsewhere").count()
    assert hidden == 0


def test_sections_on_how_it_was_made_open_by_their_link(page: sync_api.Page) -> None:
    grid = page.locator("#trials-and-cost figure")
    assert not grid.first.is_visible()
    page.locator("nav a[href='#trials-and-cost']").click()
    assert grid.first.is_visible()


def test_legends_hide_and_show_a_method_in_every_figure(page: sync_api.Page) -> None:
    drawn, others = page.locator(".fig [data-method=lora]:visible"), page.locator(".fig [data-method=bitfit]:visible")
    count, rest = drawn.count(), others.count()
    assert page.locator(".fig").count() > 4
    assert count > 30
    figure = page.locator(".fig:has([data-legend])").first
    figure.get_by_role("button", name="LoRA").click()
    assert (drawn.count(), others.count()) == (0, rest)
    assert figure.get_by_role("button", name="LoRA").get_attribute("aria-pressed") == "false"
    figure.get_by_role("button", name="LoRA").press("Enter")
    assert drawn.count() == count
    figure.get_by_role("button", name="BitFit").click()
    page.get_by_role("button", name="Show all methods").click()
    assert others.count() == rest


def test_points_say_their_values_under_the_pointer_and_by_keys(page: sync_api.Page) -> None:
    figure = page.locator("#expected-validation-performance .fig").first
    figure.scroll_into_view_if_needed()
    spot = figure.evaluate(
        """svg => {
            const point = points(svg).find((point) => point.group.dataset.method === "aot_fc");
            const at = new DOMPoint(point.x, point.y).matrixTransform(svg.getScreenCTM());
            return { x: at.x, y: at.y, text: point.text };
        }"""
    )
    tip = page.locator("#tip")
    page.mouse.move(spot["x"] + 2, spot["y"] - 2)
    assert tip.inner_text().split("\n")[1]
    assert tip.is_visible()
    page.mouse.move(5, 5)
    assert tip.is_hidden()
    figure.focus()
    figure.press("ArrowRight")
    first = tip.inner_text()
    figure.press("ArrowRight")
    second = tip.inner_text()
    assert first.split("\n")[0] == second.split("\n")[0]
    assert first != second
    figure.press("ArrowDown")
    assert tip.inner_text().split("\n")[0] != first.split("\n")[0]
    figure.press("Escape")
    assert tip.is_hidden()


def test_every_point_has_its_value(page: sync_api.Page) -> None:
    """The number of texts is that of the vertices that the page reads from the path, in every figure."""
    lost = page.evaluate(
        """() => all(".fig").map((svg) => all("[data-tips]", svg)
            .reduce((sum, group) => sum + group.dataset.tips.split("|").length, 0) - everyPoint(svg).length)"""
    )
    assert set(lost) == {0}


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_hidden_without_a_cue(page: sync_api.Page, width: int) -> None:
    """The page is no wider than the screen; a table or figure that is says so, and can be moved to its last column."""
    page.set_viewport_size({"width": width, "height": 1000})
    page.select_option("#place", label="everything")
    page.evaluate("all('main details').forEach((fold) => { fold.open = true; })")
    page.wait_for_function("() => all('main details').every((fold) => fold.open)")
    page.evaluate("fit()")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = page.evaluate(
        """() => all(".scroll").map((frame) => {
            const cued = getComputedStyle(frame.nextElementSibling).display !== "none";
            const wide = frame.scrollWidth > frame.clientWidth + 2;
            const last = frame.querySelector("thead th:last-child, svg");
            frame.scrollLeft = 1e6;
            const reached = last.getBoundingClientRect().right <= frame.getBoundingClientRect().right + 1;
            frame.scrollLeft = 0;
            return { wide, cued, reached };
        })"""
    )
    assert found
    assert all(frame["wide"] == frame["cued"] and frame["reached"] for frame in found)
    clipped = page.evaluate(
        """() => all("p, h1, h2, li, figcaption, summary, .card").filter((text) => text.offsetParent
            && text.getBoundingClientRect().right > innerWidth + 1).map((text) => text.textContent.slice(0, 40))"""
    )
    assert clipped == []
    if width >= 1024:
        macro = table(page, "GLUE · RoBERTa-Base: median").get_by_role("columnheader", name="Macro").bounding_box()
        assert macro is not None
        assert macro["x"] + macro["width"] <= width


def test_words_in_figures_can_be_read_on_a_phone(page: sync_api.Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    heights = page.locator(".fig text").evaluate_all(
        "texts => texts.map((text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().d)"
    )
    assert min(size for size in heights if size > 0) > 7


def test_figures_are_dark_in_the_dark(browser: sync_api.Browser, address: str) -> None:
    """Their ground is the card's, their words are the page's, their lines the dark palette: nothing stays light."""
    shown = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(address)
        shown[scheme] = page.evaluate(
            """() => {
                const value = (node, name) => getComputedStyle(node)[name];
                const figure = document.querySelector(".picture");
                return { card: value(figure, "backgroundColor"), ground: value(figure.querySelector(".f-card"), "fill"),
                    words: value(figure.querySelector("text"), "fill"), ink: value(document.body, "color"),
                    lora: value(figure.querySelector("[data-method=lora] path"), "stroke") };
            }"""
        )
        page.close()
    for scheme in shown.values():
        assert scheme["ground"] == scheme["card"]
        assert scheme["words"] == scheme["ink"]
    assert all(shown["light"][name] != shown["dark"][name] for name in shown["light"])
    assert shown["dark"]["lora"] == "rgb" + str(tuple(bytes.fromhex(style.METHODS["lora"].dark[1:])))


def test_print_has_every_column_and_row_on_white(page: sync_api.Page) -> None:
    """Of all places, until the reader chooses one."""
    page.set_viewport_size({"width": A4, "height": 700})
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= A4
    beyond = page.evaluate(
        f"() => all('main table, .fig').filter((part) => part.getBoundingClientRect().right > {A4}).length"
    )
    assert beyond == 0
    hidden = page.evaluate(
        "() => all('main td, main p').filter((part) => !part.matches('.cue') && !part.getClientRects().length).length"
    )
    assert hidden == 0, "also in folded tables and texts"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert places(page) == {"GLUE · RoBERTa-Base"}
    page.evaluate("take('superglue|deberta-xl')")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert places(page) == {"SuperGLUE · DeBERTa-XL"}
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.pdf(prefer_css_page_size=True)[:5] == b"%PDF-"


def test_a_number_leads_to_its_runs(browser: sync_api.Browser) -> None:
    link = runs_of("http://host:5000/#/experiments/3", "base", "glue/rte", "lora", "a's")
    block = Table("t", "t", ("a", "b"), ((Cell("m"), Cell("84.3 ± 0.4", link=link)),))
    page = shown(browser, block)
    address = page.get_by_role("link", name="84.3 ± 0.4").get_attribute("href")
    page.close()
    assert address is not None
    query = parse_qs(address.partition("?")[2])
    assert address.startswith("http://host:5000/#/experiments/3/runs?workflowType=machine_learning&")
    assert query["searchFilter"] == [
        "tags.`aot.kind` = 'trial' and tags.`aot.backbone` = 'base' and tags.`aot.task` = 'glue/rte' "
        "and tags.`aot.method` = 'lora' and tags.`aot.assignment_id` = \"a's\""
    ]
    assert runs_of(None, "base", "glue/rte", "lora") == ""


def test_the_papers_conclusions_are_those_of_the_place(page: sync_api.Page) -> None:
    """And what is told of several is told in few lines."""
    section = page.locator("#beside-the-paper")

    def titles() -> list[str]:
        found = section.locator("figcaption:visible, summary:visible").all_inner_texts()
        return [text for text in found if "conclusions" in text.lower()]

    for name in ("GLUE · RoBERTa-Base", "SuperGLUE · DeBERTa-XL"):
        page.select_option("#place", label=name)
        own = [text for text in titles() if "·" in text]
        assert own
        assert all(text.startswith(f"{name}: ") for text in own)
        rows = section.locator("figure:has(figcaption:text('onclusions of the paper')) tbody tr:visible")
        assert 0 < rows.count() < 12
