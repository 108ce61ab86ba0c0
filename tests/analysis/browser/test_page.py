"""The report's page in a real Chromium: what a reader can see, click, sort and print, at three widths."""

from __future__ import annotations

import re

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
WIDTHS = (390, 1024, 1600)
A4 = 1047  # pixels between the margins of a landscape page


def places(page: sync_api.Page) -> set[str]:
    """What the titles in view are of, by their beginnings."""
    titles = page.locator("main figcaption:visible, main details.table > summary:visible, .answers p:visible")
    return {found[0] for text in titles.all_inner_texts() if (found := re.match(r"\w+ · [\w-]+", text))}


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
        grid = page.locator("figure.table", has_text="GLUE · RoBERTa-Base: median")
        macro = grid.get_by_role("columnheader", name="Macro").bounding_box()
        assert macro is not None
        assert macro["x"] + macro["width"] <= width


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
    answers = page.locator(".answers > div").evaluate_all(
        "parts => parts.map((part) => [part.getBoundingClientRect().left, getComputedStyle(part).breakInside])"
    )
    assert len({left for left, _ in answers}) == 1 < len(answers), "a column as high as a page would leave one empty"
    assert {rule for _, rule in answers} == {"auto"}
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert places(page) == {"GLUE · RoBERTa-Base"}
    page.evaluate("take('superglue|deberta-xl')")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert places(page) == {"SuperGLUE · DeBERTa-XL"}
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.pdf(prefer_css_page_size=True)[:5] == b"%PDF-"


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
