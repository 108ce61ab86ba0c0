"""The file of ``aot tokens``: of each AoT artifact the tokens with the largest ‖P_x‖₂, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg

COLUMNS = ["backbone", "task", "method", "layer", "rank", "token_id", "token", "norm", "special", "seen"]
CSV, MARKDOWN, FIGURES = "tokens.csv", "tokens.md", "figures"
_KEY = ["backbone", "task", "method"]
_TRUTH = {"True": True, "False": False, "": None}


class TokensError(ValueError):
    """A file that is not one of ``aot tokens``."""


def table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a frame with ``COLUMNS``."""
    return pd.DataFrame(list(rows), columns=COLUMNS)


def read(path: Path) -> pd.DataFrame:
    """The frame of a file; TokensError says what is wrong in it.

    A token may be called ``NA`` or ``null``: nothing but an empty ``seen`` is missing.
    """
    try:
        found = pd.read_csv(path, keep_default_na=False, dtype=str)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise TokensError(f"{path} cannot be read ({error}); give the tokens.csv that aot tokens wrote") from error
    if missing := [name for name in COLUMNS if name not in found]:
        raise TokensError(f"{path} must have the columns of aot tokens, but has no {', '.join(missing)}")
    try:
        numbers = dict.fromkeys(("layer", "rank", "token_id"), int) | {"norm": float}
        found = found[COLUMNS].astype(numbers)
    except ValueError as error:
        raise TokensError(f"{path}: layer, rank, token_id and norm must be numbers ({error})") from error
    for name in ("special", "seen"):
        if other := sorted(set(found[name]) - _TRUTH.keys()):
            raise TokensError(f"{path}: {name} must be True, False or empty, but is {other[0]!r}")
        found[name] = found[name].map(_TRUTH).astype(object)
    return found.sort_values([*_KEY, "layer", "rank"], ignore_index=True)


def write(found: pd.DataFrame, folder: Path) -> list[Path]:
    """Write ``tokens.csv``, ``tokens.md`` and ``figures/*.png`` into a folder; their paths."""
    from analysis import style
    from analysis.figures import arrange
    from analysis.page import Document, markdown
    from analysis.reports import tokens
    from analysis.reports._section import Options, Picture

    folder.mkdir(exist_ok=True)
    found.to_csv(folder / CSV, index=False)
    written = [folder / CSV, folder / MARKDOWN]
    with style.context(names=found["method"]):
        section = tokens.render(tokens.compute(pd.DataFrame(), Options(tokens=found)))
        sections = () if section is None else (section,)
        text = markdown(Document("Tokens with the largest rows of P", f"All of them are in {CSV}.", (), (), sections))
        (folder / MARKDOWN).write_text(text, encoding="utf-8")
        for picture in [block for part in sections for block in part.blocks if isinstance(block, Picture)]:
            (folder / FIGURES).mkdir(exist_ok=True)
            canvas = FigureCanvasAgg(picture.figure)
            arrange(picture.figure, canvas.get_renderer())
            written.append(folder / FIGURES / f"{picture.name}.png")
            canvas.print_png(written[-1], metadata={"Software": None})
    return written
