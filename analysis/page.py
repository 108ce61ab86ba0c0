"""The report as one document, in Markdown and as one self-contained HTML page: figures, styles and all inside."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from analysis import names, svg
from analysis.reports import PARTS
from analysis.reports._section import QUESTIONS, Answer, Picture, Section, heading, slug
from analysis.standings import Standing
from analysis.tables import Table, escape_markdown, place_key, printed, to_html, to_markdown

_ASSETS = Path(__file__).parent / "assets"
_CARE = "Before you quote a number"
_FOLDED = {PARTS[400]}  # parts whose sections start closed
_INTRO, _TEXT, _REST = 180, 420, 90  # signs that are shown at once, of an intro, of a text; a rest worth folding
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Document:
    """What the report says, whatever its form.

    ``answers``: to ``QUESTIONS``, of which those that nobody answers are not shown. ``standings``: macro scores by
    benchmark and backbone, for the first screen.
    """

    title: str
    what: str
    answers: tuple[Answer, ...]
    caveats: tuple[str, ...]
    sections: tuple[Section, ...]
    standings: Mapping[tuple[str, str], tuple[Standing, ...]] = field(default_factory=dict)


def markdown(document: Document, folder: str = "figures") -> str:
    """The report in Markdown; figures are linked as ``FOLDER/NAME.png``."""
    parts = [f"# {escape_markdown(document.title)}", escape_markdown(document.what)]
    asked = [(question, [text for text, _ in texts]) for question, texts in _answered(document)]
    for title, lines in [*asked, (_CARE, list(document.caveats))]:
        if lines:
            parts += [f"## {title}", "\n".join(f"- {escape_markdown(line)}" for line in lines)]
    for section in document.sections:
        parts += [f"## {escape_markdown(section.title)}", escape_markdown(section.intro)]
        for block in section.blocks:
            if isinstance(block, Table):
                parts.append(to_markdown(block).rstrip())
            elif isinstance(block, Picture):
                parts.append(
                    f"![{escape_markdown(block.title)}]({folder}/{block.name}.png)\n\n*{escape_markdown(block.title)}*"
                )
            else:
                parts.append(escape_markdown(block))
    return "\n\n".join(parts) + "\n"


def page(document: Document, images: Mapping[str, str]) -> str:
    """The report as HTML. ``images`` holds each picture's SVG by its name; nothing is loaded from elsewhere."""
    title = html.escape(document.title)
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="color-scheme" content="light dark"><title>{title}</title><style>{_style()}</style>'
    )
    body = "\n".join([*_first_screen(document), *_parts(document, images)])
    script = (_ASSETS / "page.js").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{_bar(document)}{_contents(document)}'
        f'<main>\n{body}\n</main><div id="tip" role="status" hidden></div>'
        f"<script>{script}</script></body></html>\n"
    )


def _style() -> str:
    light, dark = svg.style_sheet()
    return (
        f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        + (_ASSETS / "page.css").read_text(encoding="utf-8")
        + svg.rules()
    )


# --- above the report ------------------------------------------------------------------------------------------------


def _bar(document: Document) -> str:
    """What stays in view: the title, and where there are several places, the choice of one."""
    order = _places(document)
    options = "".join(
        f'<option value="{html.escape(place_key(place))}">{html.escape(heading(*place))}</option>' for place in order
    )
    choice = (
        f'<label>Show <select id="place">{options}<option value="">everything</option></select></label>'
        if len(order) > 1
        else ""
    )
    return (
        f'<div class="bar"><a href="#top">{html.escape(document.title)}</a>{choice}'
        '<button id="all" type="button" hidden>Show all methods</button></div>'
    )


def _places(document: Document) -> list[tuple[str, str]]:
    """The benchmarks and backbones that there is something of, in their order."""
    found: dict[tuple[str, str], None] = dict.fromkeys(document.standings)
    for section in document.sections:
        found.update((block.place, None) for block in section.blocks if not isinstance(block, str) and block.place)
    return [
        (b, k) for b in names.benchmarks(b for b, _ in found) for k in names.backbones(k for c, k in found if c == b)
    ]


def _contents(document: Document) -> str:
    """Links to the sections, by the parts of the report."""
    parts = []
    for part, sections in groupby(document.sections, key=lambda section: section.part):
        links = "".join(f'<li><a href="#{slug(s.title)}">{html.escape(s.title)}</a></li>' for s in sections)
        parts.append((f"<p>{html.escape(part)}</p>" if part else "") + f"<ol>{links}</ol>")
    return f'<nav aria-label="Contents"><details open><summary>Contents</summary>{"".join(parts)}</details></nav>'


def _answered(document: Document) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Questions that are answered, in the order of ``QUESTIONS``, with the texts and the places that they are of."""
    asked = dict.fromkeys([*QUESTIONS, *(answer.question for answer in document.answers)])
    for question in asked:
        texts = [(a.text, place_key(a.place)) for a in document.answers if a.question == question]
        if texts:
            yield question, texts


def _first_screen(document: Document) -> Iterator[str]:
    """What was compared, what came out of it, and what to beware of."""
    yield f'<header id="top"><h1>{html.escape(document.title)}</h1><p class="lead">{html.escape(document.what)}</p>'
    answers = "".join(
        f"<div><h2>{html.escape(question)}</h2>{''.join(_sentence(*text) for text in texts)}</div>"
        for question, texts in _answered(document)
    )
    if answers:
        yield f'<div class="answers">{answers}</div>'
    if any(document.standings.values()):
        several = len(_places(document)) > 1
        cards = "".join(_card(place, lines, several) for place, lines in document.standings.items() if lines)
        how = " · choose one to see it alone" if several else ""
        yield f'<h2>Macro scores{how}</h2><div class="cards">{cards}</div>'
    if document.caveats:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in document.caveats)
        yield f'<div class="care"><h2>{_CARE}</h2><ul>{items}</ul></div>'
    yield "</header>"


def _sentence(text: str, place: str) -> str:
    where = f' data-place="{html.escape(place)}"' if place else ""
    return f"<p{where}>{html.escape(text)}</p>"


def _card(place: tuple[str, str], lines: tuple[Standing, ...], several: bool) -> str:
    """Macro scores as dots between the least and the highest, which the lines' ends name: bars would begin at zero.

    Where there are ``several`` places, its title is the button that shows this one.
    """
    low, high = min(line.macro for line in lines), max(line.macro for line in lines)
    rows = []
    for line in lines:
        at = 100.0 if high == low else 100 * (line.macro - low) / (high - low)
        dot = f'<i style="left:{at:.1f}%;background:{svg.color(line.method)}"></i>'
        kind = ' class="apart"' if line.apart else ""
        rows.append(
            f'<tr{kind}><th scope="row">{html.escape(names.method(line.method))}</th>'
            f'<td class="dots"><span>{dot}</span></td><td>{printed(line.macro)}</td></tr>'
        )
    title, key = html.escape(heading(*place)), html.escape(place_key(place))
    if several:
        title = f'<button type="button" aria-pressed="false" data-choose="{key}">{title}</button>'
    return f'<table class="card"><caption>{title}</caption><tbody>{"".join(rows)}</tbody></table>'


# --- the report ------------------------------------------------------------------------------------------------------


def _parts(document: Document, images: Mapping[str, str]) -> Iterator[str]:
    starts = {f"{heading(*place)}: ": place_key(place) for place in _places(document)}
    for part, sections in groupby(document.sections, key=lambda section: section.part):
        if part:
            yield f'<p class="part">{html.escape(part)}</p>'
        for section in sections:
            title = f"<h2>{html.escape(section.title)}</h2>"
            blocks = "".join(_block(block, images, starts) for block in section.blocks)
            body = f"{title}{_intro(section.intro)}{blocks}"
            if part in _FOLDED:
                body = f'<details class="fold"><summary>{title}</summary>{_intro(section.intro)}{blocks}</details>'
            yield f'<section id="{slug(section.title)}">{body}</section>'


def _intro(text: str) -> str:
    """What is shown, and folded how to read it."""
    return _text(text, ' class="intro"', "How to read it", _INTRO)


def _text(text: str, attributes: str, more: str, most: int) -> str:
    """A text whose first sentences, up to ``most`` signs or one of them, are shown and the others folded."""
    shown, *others = names.sentences(text)
    while others and (len(shown) + len(others[0]) <= most or len(" ".join(others)) <= _REST):
        shown = f"{shown} {others.pop(0)}"
    first = f"<p>{html.escape(shown)}</p>"
    if not others:
        return f"<div{attributes}>{first}</div>"
    rest = html.escape(" ".join(others))
    return f'<div{attributes}>{first}<details class="more"><summary>{more}</summary><p>{rest}</p></details></div>'


def _block(block: Table | Picture | str, images: Mapping[str, str], starts: Mapping[str, str]) -> str:
    """``starts``: how texts and titles begin that are of one place, and the place's key."""
    text = block if isinstance(block, str) else block.title
    key = "" if isinstance(block, str) else place_key(block.place)
    key = key or next((key for start, key in starts.items() if text.startswith(start)), "")
    where = f' data-place="{html.escape(key)}"' if key else ""
    if isinstance(block, Table):
        return to_html(block, where)
    if isinstance(block, Picture):
        return (
            f'<figure class="picture"{where}><figcaption>{html.escape(text)}</figcaption>'
            f'<div class="scroll">{images[block.name]}</div></figure>'
        )
    return _text(text, where, "More", _TEXT)
