"""Figures as inline SVG: small, without colours of their own, each point with what it says."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import style, svg
from analysis._svg_renderer import Renderer
from analysis.figures import arrange
from analysis.svg import to_svg


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with style.context({}, ["lora", "bitfit"]):
        yield


def figure() -> Figure:
    made, (left, right) = style.panels(2, "Assignments tried", "Score")
    left.set_title("RTE & <CoLA>")
    (line,) = left.plot([1, 2, 3], [80.0, 82.5, 83.0], color=style.look("lora").color, marker="D", markevery=[0, 2])
    style.mark(line, "lora", ["one", "two <2>", "three|3"])
    (plain,) = right.plot([1, 2, 4], [1e-4, np.nan, 3e-4], color=style.look("bitfit").color, marker="p")
    style.mark(plain, "bitfit")
    band = right.fill_between([1, 4], [0, 0], [2e-4, 4e-4], color=style.look("bitfit").color, alpha=0.1, lw=0)
    style.mark(band, "bitfit")
    dots = right.scatter([2], [2e-4], color=style.look("lora").color)
    style.mark(dots, "lora", ["a dot"])
    right.axhline(2e-4, color="#123456")
    style.legend(made, ["lora", "bitfit"])
    return made


def groups(text: str) -> list[ElementTree.Element]:
    return [group for group in ElementTree.fromstring(text).iter("g") if group.get("data-method")]


def test_what_is_marked_is_a_group_of_its_method_with_a_text_for_each_point() -> None:
    found = groups(to_svg(figure(), "f", "A figure"))
    said = [(group.get("data-method"), group.get("data-label"), group.get("data-tips")) for group in found]
    assert said == [
        ("lora", "LoRA", "one|two <2>|three/3"),
        ("bitfit", "BitFit", None),  # the band, below the lines
        ("lora", "LoRA", "a dot"),
        ("bitfit", "BitFit", "1: 0.0001|4: 0.0003"),  # for want of better, its coordinates
    ]


def test_a_line_has_a_vertex_per_text_and_others_say_where_their_points_are() -> None:
    line, _, dot, broken = groups(to_svg(figure(), "f", "A figure"))
    assert (line.get("data-at"), broken.get("data-at")) == (None, None)
    assert line.find("path").get("d").count("-") >= 2
    assert len(dot.get("data-at").split(";")) == 1


def test_colours_are_those_of_the_page_except_what_no_method_has() -> None:
    text = to_svg(figure(), "f", "A figure")
    assert 'stroke="#123456"' in text
    assert text.count("#123456") == text.count('"#') - text.count('href="#') == 1
    light, dark = svg.style_sheet()
    assert f":{style.look('lora').color};" in light
    assert f":{style.look('lora').dark};" in dark
    assert light.count(":#") == dark.count(":#") == 16
    slot = light[: light.index(f":{style.look('lora').color}")].rpartition("--")[2]
    assert f'class="s-{slot}"' in text, "its line"
    assert f".fig .s-{slot}{{stroke:var(--{slot})}}" in svg.rules()


def test_text_is_text_and_legends_name_their_methods() -> None:
    root = ElementTree.fromstring(to_svg(figure(), "f", "A & B"))
    words = ["".join(text.itertext()) for text in root.iter("text")]
    assert {"RTE & <CoLA>", "Assignments tried", "Score", "LoRA", "BitFit"} <= set(words)
    assert root.get("aria-label") == "A & B"
    assert sorted(g.get("data-legend") for g in root.iter("g") if g.get("data-legend")) == ["bitfit"] * 2 + ["lora"] * 2


def test_powers_of_ten_are_text() -> None:
    made, (axis,) = style.panels(1, "Learning rate", "Score")
    axis.plot([1e-5, 1e-1], [1, 2])
    axis.set_xscale("log")
    words = ["".join(text.itertext()) for text in ElementTree.fromstring(to_svg(made, "f", "t")).iter("text")]
    assert {"10−5", "10−1"} <= set(words)


def test_ids_begin_with_the_figures_name_and_the_figure_is_as_it_was() -> None:
    made = figure()
    first = to_svg(made, "f1", "t")
    assert first == to_svg(made, "f1", "t"), "the same again"
    root = ElementTree.fromstring(to_svg(made, "g", "t"))
    assert {node.get("id")[:2] for node in root.iter() if node.get("id")} == {"g-"}
    assert made.dpi == style.DPI


@pytest.mark.parametrize("count", [1, 3, 8])
def test_panels_overlap_nothing_and_leave_nothing_out(count: int) -> None:
    """Tick labels of any width, in the first column and in others; the legend below all."""
    made, axes = style.panels(count, "Trainable parameters", "Score")
    for i, axis in enumerate(axes):
        axis.plot([0, 1], [10.0**i, 10.0**i + 1])
        axis.set_title(f"T{i}")
        if i % 2 == 0:
            axis.set_yticks([10.0**i], ["a long name of a method"])
    style.legend(made, style.METHODS)
    renderer = Renderer(made, "f")
    made.dpi = 72
    arrange(made, renderer)
    boxes = [axis.get_tightbbox(renderer) for axis in axes]
    boxes += [made.legends[0].get_window_extent(renderer)]
    for i, one in enumerate(boxes):
        assert one.x0 >= -1 and one.y0 >= -1 and one.x1 <= made.bbox.x1 + 1 and one.y1 <= made.bbox.y1 + 1  # noqa: PT018
        for other in boxes[:i]:
            apart = one.x0 > other.x1 - 1 or other.x0 > one.x1 - 1 or one.y0 > other.y1 - 1 or other.y0 > one.y1 - 1
            assert apart, (i, one, other)
    assert min(axis.bbox.width for axis in axes) > 40


def test_a_long_curve_is_drawn_and_says_its_values_as_finely_as_the_eye_can_tell() -> None:
    """Values stand a few points apart, the first and the last among them; its shape is kept, in fewer vertices."""
    made, (axis,) = style.panels(1, "x", "y")
    x = np.linspace(0, 1, 2000)
    (line,) = axis.plot(x, np.sin(6 * x))
    style.mark(line, "lora", [f"at {value:.4f}" for value in x])
    text = to_svg(made, "f", "A figure")
    (group,) = groups(text)
    said = group.get("data-tips").split("|")
    at = np.array([pair.split(",") for pair in group.get("data-at").split(";")], float)
    assert len(said) == len(at)
    assert (said[0], said[-1]) == ("at 0.0000", "at 1.0000")
    apart = np.hypot(*np.diff(at, axis=0).T)
    assert apart[:-1].min() > 2
    assert apart.max() < 5
    assert 10 < len(group.find("path").get("d")) < 2500


def test_a_text_does_not_begin_with_the_methods_name_which_stands_above_it() -> None:
    made, (axis,) = style.panels(1, "x", "y")
    dots = axis.scatter([1, 2, 3], [1, 2, 3])
    style.mark(dots, "lora", ["LoRA: 81.0", "LoRA, 2k: 82.0", "LoRA's: 83.0"])
    assert groups(to_svg(made, "f", "A figure"))[0].get("data-tips") == "81.0|2k: 82.0|LoRA's: 83.0"
