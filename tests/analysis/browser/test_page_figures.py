"""Figures of the page in a real Chromium: legends, values under the pointer, large enough, dark in the dark."""

from __future__ import annotations

import pytest

from analysis import style

sync_api = pytest.importorskip("playwright.sync_api")


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
