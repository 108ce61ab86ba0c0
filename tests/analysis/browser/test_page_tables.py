"""Tables of the page in a real Chromium: sorted, filtered, with links to the runs."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from analysis.links import runs_of
from analysis.page import Document
from analysis.page import page as document_page
from analysis.reports import Section
from analysis.tables import Cell, Table

sync_api = pytest.importorskip("playwright.sync_api")


def shown(browser: sync_api.Browser, block: Table) -> sync_api.Page:
    """A page of that table alone."""
    page = browser.new_page()
    page.set_content(document_page(Document("t", "w", (), (), (Section("s", "i.", (block,)),)), {}))
    return page


def table(page: sync_api.Page, words: str) -> sync_api.Locator:
    return page.locator("figure.table, details.table").filter(has_text=words).first


def column(grid: sync_api.Locator, number: int) -> list[str]:
    return grid.locator(f"tbody tr:visible td:nth-child({number})").all_inner_texts()


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
