"""The font of figures: all signs that reports use, set as in the whole font, and little of it in each PDF."""

import io
import re
import zlib

import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from analysis import fonts, style
from analysis.latex import _SIGNS


def pdf(text: str, log: bool = False) -> bytes:
    with style.context():
        figure = Figure()
        axis = figure.subplots()
        axis.set_title(text)
        if log:
            axis.set(xscale="log", xlim=(1e-5, 1))
        out = io.BytesIO()
        FigureCanvasPdf(figure).print_pdf(out, metadata={"CreationDate": None})
    return out.getvalue()


def embedded(data: bytes) -> set[str]:
    return {name.decode() for name in re.findall(rb"/BaseFont /[A-Z]{6}\+([\w-]+)", data)}


@pytest.mark.parametrize("log", [False, True])
def test_figures_are_set_in_the_small_font_as_truetype(log: bool) -> None:
    data = pdf("Score ± 0.4, Δ ≥ 1 → é ß µ", log)
    assert embedded(data) == {"AoTSans"}
    assert b"/Type3" not in data
    assert b"/CIDFontType2" in data or b"/TrueType" in data


def test_a_sign_that_the_small_font_lacks_comes_from_the_whole_one() -> None:
    assert embedded(pdf("LoRA Ж")) == {"AoTSans", "DejaVuSans"}


def test_the_small_font_has_every_sign_of_tables_and_is_as_wide_as_the_whole_one() -> None:
    small, whole = (TTFont(font_manager.findfont(name)) for name in fonts.families())
    signs = {*map(ord, "".join(_SIGNS)), *range(0x20, 0x7F)} & set(whole.getBestCmap())
    for code in signs:
        one, other = (font["hmtx"][font.getBestCmap()[code]][0] for font in (small, whole))
        assert one == other, chr(code)
    assert len(small.getGlyphOrder()) < len(whole.getGlyphOrder()) / 3
    assert "GSUB" not in small


def test_a_figure_gives_the_same_file_again() -> None:
    assert zlib.crc32(pdf("a")) == zlib.crc32(pdf("a"))
