"""The font of figures: DejaVu Sans with the signs that reports use, cut out once.

A PDF holds the part of each font that it uses, and matplotlib cuts that part out of the whole font again for every
figure: 0.2 s each for the 6,000 glyphs of DejaVu Sans with their rules of layout, a hundredth of it for what is left
here. The outlines stay TrueType (Type 42), as publishers ask.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from matplotlib import font_manager

_WHOLE = "DejaVu Sans"
_PART = "AoT Sans"  # another name, as the font's licence asks of a changed one
#: Blocks of Unicode: Latin, Greek, punctuation, sub- and superscripts, currencies, arrows, operators, shapes, ticks.
_BLOCKS = (
    (0x20, 0x24F), (0x370, 0x3FF), (0x2000, 0x209F), (0x20A0, 0x20BF), (0x2190, 0x22FF), (0x25A0, 0x25FF),
    (0x2700, 0x27BF),
)  # fmt: skip
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends
_FAMILY, _FULL, _POSTSCRIPT = 1, 4, 6  # what a font's names are of


def families() -> list[str]:
    """The families of figures, the first that has a sign sets it: the small font, then the whole one."""
    return [_small(), _WHOLE]


def can_set(text: str) -> bool:
    """Whether figures have every sign of a text; in place of another one they would show a box."""
    font = font_manager.get_font(font_manager.findfont(_WHOLE))
    return all(font.get_char_index(ord(sign)) for sign in text)


@cache
def _small() -> str:
    """Make the small font known to matplotlib, until the process ends, and return its family."""
    folder = tempfile.TemporaryDirectory(prefix="aot-font-")
    _FOLDERS.append(folder)
    path = Path(folder.name, "AoTSans.ttf")
    whole = font_manager.findfont(_WHOLE)
    with TTFont(whole, recalcTimestamp=False) as font:
        options = Options(layout_features=[], legacy_kern=True, glyph_names=True)
        options.drop_tables += ["GSUB", "GPOS", "GDEF", "FFTM"]
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=[code for first, last in _BLOCKS for code in range(first, last + 1)])
        subsetter.subset(font)
        for kind, name in ((_FAMILY, _PART), (_FULL, _PART), (_POSTSCRIPT, "AoTSans")):
            for record in [record for record in font["name"].names if record.nameID == kind]:
                font["name"].setName(name, kind, record.platformID, record.platEncID, record.langID)
        font.save(path)
    font_manager.fontManager.addfont(path)
    return _PART
