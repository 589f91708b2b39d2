"""Pieces of HTML: sections, tables, figures. Text from outside is escaped here."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sccc.graph_layout import markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content-Security-Policy: the page may load nothing and run nothing."""

BAR = 120
"""Pixels of the longest bar in a table."""

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 "DejaVu Sans", "Segoe UI", sans-serif; color: #222; background: #fff; }
body { margin: 0 auto; max-width: 1120px; padding: 0 24px 48px; }
h1 { font-size: 26px; margin: 28px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 40px 0 8px; padding-bottom: 4px; border-bottom: 2px solid #1f4e8c; }
h3 { font-size: 15px; margin: 24px 0 4px; overflow-wrap: anywhere; }
p { margin: 6px 0 10px; max-width: 860px; }
nav a { color: #1f4e8c; margin-right: 18px; }
code { font-family: "DejaVu Sans Mono", monospace; font-size: 13px; overflow-wrap: anywhere; }
.note { color: #555; font-size: 13px; }
.scroll { overflow-x: auto; }
.scroll, .graph { background: linear-gradient(270deg, #fff 30%, #fff0) 100% 0 / 48px 100% no-repeat local,
  linear-gradient(270deg, #8fa3bb66, #8fa3bb00) 100% 0 / 14px 100% no-repeat scroll; }
.graph { overflow: auto; max-height: 760px; border: 1px solid #ddd; padding: 4px; }
.figures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px 24px; }
.tiles { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 12px; margin: 16px 0; }
.tile { border: 1px solid #d5dbe3; border-radius: 6px; padding: 8px 12px; }
.tile b { display: block; font-size: 20px; } .tile span { color: #555; font-size: 13px; }
svg { max-width: 100%; height: auto; } .graph svg { max-width: none; display: block; margin: 0 auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 8px 0 14px; }
th, td { padding: 4px 12px; text-align: left; border-bottom: 1px solid #e3e3e3; }
th { background: #f2f5f9; border-bottom: 2px solid #c7d0dc; vertical-align: bottom; }
td.number, th.number { text-align: right; white-space: nowrap; }
tfoot td { font-weight: bold; border-top: 2px solid #c7d0dc; border-bottom: 0; }
td.name { overflow-wrap: break-word; max-width: 640px; }
td.name:first-child { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; max-width: 420px; }
.bar { display: inline-block; height: 10px; background: #7fa8d6; vertical-align: middle; }
details { margin: 8px 0; } summary { cursor: pointer; color: #1f4e8c; }
@media (max-width: 900px) { .figures { grid-template-columns: minmax(0, 1fr); } }
@media print { .graph { max-height: none; } }
"""


def page(title: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """A whole page. sections: (identifier, heading, HTML); the first heads the page, those without HTML are left out."""
    (first, heading, top), *others = sections
    held = [section for section in others if section[2]]
    links = "".join(f'<a href="#{name}">{markup(words)}</a>' for name, words, _ in held)
    parts = [f'<section id="{first}">\n<h1>{markup(heading)}</h1>\n<nav>{links}</nav>\n{top}\n</section>']
    parts += [f'<section id="{name}">\n<h2>{markup(words)}</h2>\n{text}\n</section>' for name, words, text in held]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{markup(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], footer: Sequence[Any] = (), bar: int | None = None
) -> str:
    """A table. Columns of numbers are aligned right; beside column `bar` stands a bar for its share of the largest."""
    numeric = [any(map(_is_number, column)) for column in zip(*rows, strict=True)] or [False] * len(headings)
    head = "".join(_cell("th", heading, right) for heading, right in zip(headings, numeric, strict=True))
    lines = ["".join(_cell("td", value, right) for value, right in zip(row, numeric, strict=True)) for row in rows]
    foot = "".join(_cell("td", value, right) for value, right in zip(footer, numeric, strict=False))
    largest = max((row[bar] for row in rows), default=0) if bar is not None else 0
    if bar is not None and largest:
        head += f'<th aria-label="share of {markup(headings[bar])}"></th>'
        widths = [round(BAR * row[bar] / largest) for row in rows]
        lines = [
            f'{x}<td><span class="bar" style="width:{w}px"></span></td>' for x, w in zip(lines, widths, strict=True)
        ]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    last = f"<tfoot><tr>{foot}</tr></tfoot>" if footer else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>{last}</table></div>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"-?[\d.,]+", value) is not None)


def _cell(tag: str, value: Any, numeric: bool) -> str:
    kind = ' class="number"' if numeric else ' class="name"' if tag == "td" else ""
    return f"<{tag}{kind}>{markup(number(value))}</{tag}>"


def number(value: Any) -> str:
    """A number as people read it; None is a dash, text stays."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{markup(text)}</p>' if kind else f"<p>{markup(text)}</p>"


def figure_svg(figure: Figure, label: str) -> str:
    """A matplotlib figure as an SVG element. Same figure, same text."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with matplotlib.rc_context({"svg.hashsalt": label, "svg.fonttype": "none"}):
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(
            buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return inline_svg(buffer.getvalue(), label)


def inline_svg(text: str, label: str) -> str:
    """The svg element of a file's text, with a label for those who cannot see it; without metadata and document type."""
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    return element.replace("<svg", f'<svg role="img" aria-label="{markup(label)}"', 1).strip()
