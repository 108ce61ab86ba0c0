"""What ``aot tokens`` writes: its file, tables and heat maps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import style
from analysis.figures import arrange
from analysis.page import Document, markdown
from analysis.reports import tokens
from analysis.reports._section import Options, Picture

CSV, MARKDOWN, FIGURES = "tokens.csv", "tokens.md", "figures"


def write(found: pd.DataFrame, folder: Path) -> list[Path]:
    """Write ``tokens.csv``, ``tokens.md`` and ``figures/*.png`` into a folder; their paths."""
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
