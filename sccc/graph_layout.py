"""Boxes and arrows in ranks from the top down, as SVG that needs no other program.

Layered drawing after Sugiyama, Tagawa & Toda (1981): the rank of a box is its longest path from a source, an arrow over
several ranks bends in each, and within a rank everything is ordered by the mean place of what it reads, then of what reads it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from rich.cells import cell_len

CHARACTER, LINE, PAD, GAP_X, GAP_Y = 6.8, 15, 9, 18, 34
"""Pixels: a character's width, a line's height, a box's padding, and the gaps between boxes."""

SWEEPS = 4
"""Passes over the ranks, down and up in turn, that order them."""

LONGEST_LINE = 72
"""Characters; of longer lines the rest is in the tooltip only."""


@dataclass(frozen=True)
class Box:
    """What stands in a box: lines of text, the first in bold, its colour, and what is shown when the pointer rests on it."""

    lines: tuple[str, ...]
    fill: str = "#ffffff"
    tooltip: str = ""


@dataclass
class _Drawing:
    """Ranks, and the upper left corners and sizes of boxes and bends. Bends are numbered after the boxes and have no size."""

    rows: list[list[int]]
    sizes: list[tuple[float, float]]
    places: list[tuple[float, float]]
    width: float
    height: float


def draw(title: str, boxes: Sequence[Box], edges: Sequence[tuple[int, int]], late: Collection[int] = ()) -> str:
    """An SVG element.

    edges: pairs of places in `boxes`, each from an earlier to a later one. late: boxes that stand just above what reads them
    instead of at the top. Text may hold anything: it is escaped.
    """
    rank = _ranks(len(boxes), edges, late)
    routes = []
    for a, b in edges:
        bends = list(range(len(rank), len(rank) + rank[b] - rank[a] - 1))
        rank += range(rank[a] + 1, rank[b])
        routes.append([a, *bends, b])
    rows = _ordered(rank, [pair for route in routes for pair in pairwise(route)])
    drawing = _placed(rows, [_size(box) for box in boxes] + [(0.0, 0.0)] * (len(rank) - len(boxes)))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{drawing.width:.0f}" height="{drawing.height:.0f}" '
        f'viewBox="0 0 {drawing.width:.0f} {drawing.height:.0f}" role="img" aria-label="{markup(title)}" '
        'font-family="DejaVu Sans Mono, monospace" font-size="11" fill="#222222">'
    )
    arrows = [_arrow(drawing, route, *_entry(route, routes)) for route in routes]
    drawn = [_box(box, *drawing.places[i], *drawing.sizes[i]) for i, box in enumerate(boxes)]
    return "\n".join([head, *arrows, *drawn, "</svg>"])


def markup(text: str) -> str:
    """Text for XML and HTML: escaped, and without the characters that XML cannot hold."""
    return escape(re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text))


def _ranks(number: int, edges: Sequence[tuple[int, int]], late: Collection[int]) -> list[int]:
    rank = [0] * number
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        rank[b] = max(rank[b], rank[a] + 1)
    for i in sorted(late, reverse=True):
        rank[i] = min((rank[b] for a, b in edges if a == i), default=rank[i] + 1) - 1
    return rank


def _ordered(rank: list[int], links: Sequence[tuple[int, int]]) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for i, own in enumerate(rank):
        rows[own].append(i)
    above: list[list[int]] = [[] for _ in rank]
    below: list[list[int]] = [[] for _ in rank]
    for a, b in links:
        above[b].append(a)
        below[a].append(b)
    place = {i: k / len(row) for row in rows for k, i in enumerate(row)}
    for sweep in range(SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            means = {i: sum(place[j] for j in neighbours[i]) / len(neighbours[i]) for i in row if neighbours[i]}
            row.sort(key=lambda i: means.get(i, place[i]))
            place |= {i: k / len(row) for k, i in enumerate(row)}
    return [row for row in rows if row]


def _placed(rows: list[list[int]], sizes: list[tuple[float, float]]) -> _Drawing:
    """Each rank centred below the one before."""
    widths = [sum(sizes[i][0] for i in row) + GAP_X * (len(row) - 1) for row in rows]
    width, y = max(widths, default=0.0) + 2 * GAP_X, float(GAP_X)
    places = [(0.0, 0.0)] * len(sizes)
    for row, own in zip(rows, widths, strict=True):
        x, height = (width - own) / 2, max(sizes[i][1] for i in row)
        for i in row:
            places[i] = x, y
            x += sizes[i][0] + GAP_X
            if sizes[i] == (0.0, 0.0):
                sizes[i] = 0.0, height  # an arrow passes a rank straight down
        y += height + GAP_Y
    return _Drawing(rows, sizes, places, width, y - GAP_Y + GAP_X if rows else y)


def _shown(line: str) -> str:
    return line if cell_len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def _size(box: Box) -> tuple[float, float]:
    return max(cell_len(_shown(line)) for line in box.lines) * CHARACTER + 2 * PAD, len(box.lines) * LINE + PAD


def _entry(route: list[int], routes: list[list[int]]) -> tuple[int, int]:
    """Which of the arrows into a box this one is, and how many there are."""
    into = [other for other in routes if other[-1] == route[-1]]
    return next(k for k, other in enumerate(into) if other is route), len(into)


def _arrow(drawing: _Drawing, route: list[int], entry: int, entries: int) -> str:
    x, y = drawing.places[route[0]]
    width, height = drawing.sizes[route[0]]
    x, y = x + width / 2, y + height
    path = f"M{x:.1f} {y:.1f}"
    for i in route[1:]:
        (left, top), (width, height) = drawing.places[i], drawing.sizes[i]
        to = left + width * (entry + 1) / (entries + 1)
        middle = (y + top) / 2
        path += f" C{x:.1f} {middle:.1f} {to:.1f} {middle:.1f} {to:.1f} {top:.1f}"
        x, y = to, top
        if i != route[-1]:
            y += height
            path += f" V{y:.1f}"
    tip = f"M{x:.1f} {y:.1f} l-3 -6 h6 z"
    return f'<path class="edge" d="{path}" fill="none" stroke="#999999"/><path d="{tip}" fill="#777777"/>'


def _box(box: Box, x: float, y: float, width: float, height: float) -> str:
    lines = ""
    for i, line in enumerate(box.lines):
        weight = ' font-weight="bold"' if i == 0 else ""
        lines += f'<text x="{x + PAD:.1f}" y="{y + LINE * (i + 1) - 1:.1f}"{weight}>{markup(_shown(line))}</text>'
    rect = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="4" fill="{box.fill}" stroke="#888888"/>'
    tooltip = "\n".join([*(line for line in box.lines if _shown(line) != line), *filter(None, [box.tooltip])])
    return f"<g><title>{markup(tooltip)}</title>{rect}{lines}</g>" if tooltip else f"<g>{rect}{lines}</g>"
