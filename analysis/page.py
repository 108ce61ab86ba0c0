"""The report as one document, in Markdown and as one self-contained HTML page: figures, styles and all inside."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from analysis import names, svg
from analysis.reports._section import QUESTIONS, Answer, Picture, Section, heading, slug
from analysis.standings import Standing
from analysis.tables import Table, escape_markdown, place_key, printed, to_html, to_markdown

_ASSETS = Path(__file__).parent / "assets"
_CARE = "Before you quote a number"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Document:
    """What the report says, whatever its form.

    ``findings`` answer the first of ``QUESTIONS``; ``answers`` the others, those that nobody answers are not shown.
    ``standings``: macro scores by benchmark and backbone, for the bars of the first screen.
    """

    title: str
    what: str
    findings: tuple[str, ...]
    caveats: tuple[str, ...]
    sections: tuple[Section, ...]
    answers: tuple[Answer, ...] = ()
    standings: Mapping[tuple[str, str], tuple[Standing, ...]] = field(default_factory=dict)


def markdown(document: Document, folder: str = "figures") -> str:
    """The report in Markdown; figures are linked as ``FOLDER/NAME.png``."""
    parts = [f"# {escape_markdown(document.title)}", escape_markdown(document.what)]
    asked = [(question, [text for text, _ in texts]) for question, texts in _answered(document)]
    named = [("What came out", list(document.findings)), *asked, (_CARE, list(document.caveats))]
    for title, lines in named:
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
    found: dict[tuple[str, str], None] = dict.fromkeys(document.standings)
    for section in document.sections:
        found.update((block.place, None) for block in section.blocks if not isinstance(block, str) and block.place)
    order = [
        (b, k) for b in names.benchmarks(b for b, _ in found) for k in names.backbones(k for c, k in found if c == b)
    ]
    options = "".join(
        f'<option value="{html.escape(place_key(place))}">{html.escape(heading(*place))}</option>' for place in order
    )
    choice = (
        f'<label>Show <select id="place"><option value="">everything</option>{options}</select></label>'
        if len(order) > 1
        else ""
    )
    return (
        f'<div class="bar"><a href="#top">{html.escape(document.title)}</a>{choice}'
        '<button id="all" type="button" hidden>Show all methods</button></div>'
    )


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
    asked = [(QUESTIONS[0], [(text, "") for text in document.findings])] if document.findings else []
    for question, texts in _answered(document):
        if asked and question == QUESTIONS[0]:
            asked[0][1].extend(texts)
        else:
            asked.append((question, texts))
    answers = "".join(
        f"<div><h2>{html.escape(question)}</h2>{''.join(_sentence(*text) for text in texts)}</div>"
        for question, texts in asked
    )
    if answers:
        yield f'<div class="answers">{answers}</div>'
    if any(document.standings.values()):
        cards = "".join(_card(place, lines) for place, lines in document.standings.items() if lines)
        yield f'<div class="cards" aria-label="Macro scores">{cards}</div>'
    if document.caveats:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in document.caveats)
        yield f'<div class="care"><h2>{_CARE}</h2><ul>{items}</ul></div>'
    yield "</header>"


def _sentence(text: str, place: str) -> str:
    where = f' data-place="{html.escape(place)}"' if place else ""
    return f"<p{where}>{html.escape(text)}</p>"


def _card(place: tuple[str, str], lines: tuple[Standing, ...]) -> str:
    """Macro scores as dots between the least and the highest, which the lines' ends name: bars would begin at zero."""
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
    return (
        f'<table class="card" data-place="{html.escape(place_key(place))}"><caption>{html.escape(heading(*place))}: '
        f"macro score</caption><tbody>{''.join(rows)}</tbody></table>"
    )


# --- the report ------------------------------------------------------------------------------------------------------


def _parts(document: Document, images: Mapping[str, str]) -> Iterator[str]:
    for part, sections in groupby(document.sections, key=lambda section: section.part):
        if part:
            yield f'<p class="part">{html.escape(part)}</p>'
        for section in sections:
            yield f'<section id="{slug(section.title)}"><h2>{html.escape(section.title)}</h2>'
            yield f"<p>{html.escape(section.intro)}</p>"
            yield from (_block(block, images) for block in section.blocks)
            yield "</section>"


def _block(block: Table | Picture | str, images: Mapping[str, str]) -> str:
    if isinstance(block, Table):
        return to_html(block)
    if isinstance(block, Picture):
        where = f' data-place="{html.escape(place_key(block.place))}"' if block.place else ""
        return (
            f'<figure class="picture"{where}><figcaption>{html.escape(block.title)}</figcaption>'
            f'<div class="scroll">{images[block.name]}</div></figure>'
        )
    return f"<p>{html.escape(block)}</p>"
