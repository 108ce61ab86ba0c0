"""The heat map of tokens: every word in it can be read."""

from __future__ import annotations

import io
import warnings

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from analysis import style
from analysis.reports import tokens
from analysis.reports._section import Options, Picture
from analysis.tokens import table

WORDS = ("[CLS]", "terrace", "志", "colour", "ほ", "food")


@pytest.fixture
def heat_map() -> Figure:
    place = {"backbone": "tiny", "task": "demo/sentiment", "method": "aot_fc", "layer": 0}
    rows = [
        {
            **place,
            "rank": rank,
            "token_id": 100 + rank,
            "token": word,
            "norm": 7.0 - rank,
            "special": rank == 1,
            "seen": rank < 5,
        }
        for rank, word in enumerate(WORDS, start=1)
    ]
    with style.context(names=["aot_fc"]):
        section = tokens.render(tokens.compute(pd.DataFrame(), Options(tokens=table(rows))))
    assert section is not None
    (picture,) = [block for block in section.blocks if isinstance(block, Picture)]
    return picture.figure


def test_a_word_that_the_font_has_not_is_named_by_its_id(heat_map: Figure) -> None:
    shown = [text.get_text() for text in heat_map.axes[0].texts]
    assert shown == ["[CLS]*", "terrace", "id 103", "colour", "id 105†", "food†"]
    with warnings.catch_warnings(), style.context():
        warnings.simplefilter("error")
        FigureCanvasAgg(heat_map).print_png(io.BytesIO())


def test_words_stand_out_from_their_ground(heat_map: Figure) -> None:
    (axis,) = heat_map.axes
    for box, text in zip(axis.patches, axis.texts, strict=True):
        *color, share = box.get_facecolor()
        assert to_hex(color) == style.look("aot_fc").color  # as the page knows it, which has another where it is dark
        red, green, blue = (1 - share * (1 - part) for part in color)
        assert contrast((red, green, blue), to_rgb(text.get_color())) >= 3.5


def contrast(*colors: tuple[float, float, float]) -> float:
    """As WCAG 2 defines it."""
    dark, light = sorted(
        0.2126 * r + 0.7152 * g + 0.0722 * b
        for r, g, b in (
            [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color] for color in colors
        )
    )
    return (light + 0.05) / (dark + 0.05)
