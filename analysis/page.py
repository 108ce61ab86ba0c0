"""The report as one document, in Markdown and as one self-contained HTML page: figures, styles and all inside."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.reports._section import Picture, Section, slug
from analysis.tables import Table, escape_markdown, to_html, to_markdown


@dataclass(frozen=True)
class Document:
    """What the report says, whatever its form."""

    title: str
    what: str
    findings: tuple[str, ...]
    caveats: tuple[str, ...]
    sections: tuple[Section, ...]


def markdown(document: Document, folder: str = "figures") -> str:
    """The report in Markdown; figures are linked as ``FOLDER/NAME.png``."""
    parts = [f"# {escape_markdown(document.title)}", escape_markdown(document.what)]
    for heading, lines in (("What came out", document.findings), ("Before you quote a number", document.caveats)):
        if lines:
            parts += [f"## {heading}", "\n".join(f"- {escape_markdown(line)}" for line in lines)]
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


def page(document: Document, images: Mapping[str, bytes]) -> str:
    """The report as HTML. ``images`` holds each picture's PNG by its name; nothing is loaded from elsewhere."""
    body = [f'<header><h1>{html.escape(document.title)}</h1><p class="lead">{html.escape(document.what)}</p>']
    for heading, kind, lines in (
        ("What came out", "out", document.findings),
        ("Before you quote a number", "care", document.caveats),
    ):
        if lines:
            items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
            body.append(f'<div class="{kind}"><h2>{heading}</h2><ul>{items}</ul></div>')
    body.append("</header>")
    links = []
    for section in document.sections:
        anchor = slug(section.title)
        links.append(f'<li><a href="#{anchor}">{html.escape(section.title)}</a></li>')
        body.append(f'<section id="{anchor}"><h2>{html.escape(section.title)}</h2><p>{html.escape(section.intro)}</p>')
        body += [_block(block, images) for block in section.blocks]
        body.append("</section>")
    nav = f'<nav aria-label="Contents"><p>{html.escape(document.title)}</p><ol>{"".join(links)}</ol></nav>'
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(document.title)}</title><style>{_CSS}</style>"
    )
    text = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{nav}<main>\n{text}\n</main></body></html>\n'


def _block(block: Table | Picture | str, images: Mapping[str, bytes]) -> str:
    if isinstance(block, Table):
        return to_html(block)
    if isinstance(block, Picture):
        data = base64.b64encode(images[block.name]).decode()
        width = int.from_bytes(images[block.name][16:20])  # a PNG says its size in its first chunk
        caption = html.escape(block.title)
        style = f"max-width:min(100%,{round(width / 1.5)}px)"
        image = f'<img alt="{caption}" style="{style}" src="data:image/png;base64,{data}">'
        return f'<figure class="picture"><figcaption>{caption}</figcaption><div class="paper">{image}</div></figure>'
    return f"<p>{html.escape(block)}</p>"


_CSS = re.sub(
    r"\s*\n\s*",
    "",
    """
:root{--bg:#fbfbfa;--card:#fff;--ink:#1d2329;--soft:#5b6670;--line:#e3e5e8;--hover:#f3f6f8;--accent:#0b7a4b;--care:#fff8e6;--careline:#e5b84b}
@media (prefers-color-scheme:dark){
:root{--bg:#14181c;--card:#1b2026;--ink:#e4e8ec;--soft:#9aa6b1;--line:#303841;--hover:#232a31;--accent:#5fc4a0;--care:#2a2517;--careline:#a8832a}
.paper{background:#fff;border-radius:6px;padding:8px}
}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
nav{position:fixed;inset:0 auto 0 0;width:216px;padding:28px 20px;
border-right:1px solid var(--line);overflow:auto;font-size:14px}
nav p{font-weight:650;margin:0 0 12px}
nav ol{list-style:none;margin:0;padding:0}
nav a{display:block;padding:4px 0;color:var(--soft);text-decoration:none}
nav a:hover,nav a:focus{color:var(--accent)}
main{margin-left:216px;padding:36px 36px 80px;max-width:1320px}
h1{font-size:30px;line-height:1.2;margin:0 0 10px;letter-spacing:-.01em}
h2{font-size:21px;margin:0 0 8px;letter-spacing:-.005em}
header h2{font-size:16px;margin:0 0 4px}
header ul{margin:0;padding-left:20px}
header li{margin:3px 0}
.lead{font-size:17px;color:var(--soft);max-width:80ch;margin:0 0 18px}
.out,.care{border:1px solid var(--line);
border-left:4px solid var(--accent);background:var(--card);border-radius:6px;padding:14px 18px;margin:0 0 14px}
.care{border-left-color:var(--careline);background:var(--care)}
section{margin-top:44px;scroll-margin-top:16px}
section>p{color:var(--soft);max-width:86ch;margin:0 0 16px}
figure,details{margin:0 0 22px;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 16px}
figcaption,summary{font-weight:600;font-size:15px}
figcaption{margin-bottom:10px}
summary{cursor:pointer}
details[open] summary{margin-bottom:10px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums;min-width:60%}
th,td{padding:6px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;white-space:normal;vertical-align:bottom;border-bottom:2px solid var(--line)}
.word{text-align:left}
th:first-child,td:first-child{position:sticky;left:0;background:var(--card)}
tbody tr:hover td{background:var(--hover)}
tr.rule td{border-bottom:1px solid var(--soft)}
tbody tr:last-child td{border-bottom:0}
td u{text-underline-offset:3px}
sup{line-height:0;margin-left:1px}
.notes p{font-size:13px;color:var(--soft);margin:8px 0 0;max-width:110ch}
.picture .paper{text-align:center}
img{height:auto;width:100%}
@media (max-width:900px){
nav{position:static;width:auto;border-right:0;border-bottom:1px solid var(--line);padding:16px}
nav ol{columns:2}
main{margin:0;padding:20px 16px 60px}
}
@media print{
nav{display:none}
main{margin:0;max-width:none;padding:0}
figure{break-inside:avoid}
}
""",
).strip()
