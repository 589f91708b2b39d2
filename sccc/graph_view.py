"""A module as a picture: operations in ranks from the input down, as SVG that needs no other program.

Layers as in Sugiyama, Tagawa & Toda (1981): the rank of an operation is its longest path from a source, and within a rank
operations are ordered by the mean place of what they read, then of what reads them.
"""

from __future__ import annotations

from html import escape

from sccc.ir import Module, Operation
from sccc.types import Count, Fixed, Level, Random, Real, Stream, Total, Type

CHARACTER, LINE, PAD, GAP_X, GAP_Y = 6.6, 15, 8, 18, 34
"""Pixels: a character's width, a line's height, a box's padding, and the gaps between boxes."""

SWEEPS = 4
"""Passes over the ranks, down and up in turn, that order them."""

COLOURS: dict[type[Type], str] = {
    Real: "#f2f2f2", Level: "#fff3d6", Random: "#e9e3f5", Stream: "#dcecff", Count: "#d9f2e3", Total: "#c9e8d2", Fixed: "#fbe0dc",
}  # fmt: skip
"""Fill of a box by the type of what its operation makes."""

MOST_OPERATIONS = 600
"""Beyond it a picture helps nobody, and the text says more."""


def svg(module: Module) -> str:
    """The module as an SVG element: one box per operation, with its result's name and type, coloured by type."""
    ranks = _ordered(module, _ranks(module))
    sizes = {op: _size(op) for op in module}
    places, width, height = _placed(ranks, sizes)
    edges = [_edge(places, sizes, operand.op, op) for op in module for operand in op.operands if operand.op is not None]
    boxes = [_box(op, *places[op], *sizes[op]) for op in module]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="monospace" font-size="11">'
    )
    style = '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
    style += '<path d="M0 0 L8 4 L0 8 z" fill="#777"/></marker></defs>'
    return "\n".join([head, f"<title>{escape(module.name)}</title>", style, *edges, *boxes, "</svg>"])


def html(module: Module) -> str:
    """What a notebook shows: the picture, in a box that scrolls; of very large modules their text's first lines."""
    if len(module) > MOST_OPERATIONS:
        return f"<pre>{escape(repr(module))}</pre>"
    return f'<div style="max-height:600px;overflow:auto">{svg(module)}</div>'


def _ranks(module: Module) -> dict[Operation, int]:
    """Longest path from a source; what does not depend on an input stands just above what reads it."""
    rank: dict[Operation, int] = {}
    fixed: set[Operation] = set()
    for op in module:
        makers = [v.op for v in op.operands if v.op is not None]
        rank[op] = max((rank[maker] + 1 for maker in makers), default=0)
        if not op.name.endswith(".input") and fixed.issuperset(makers):
            fixed.add(op)
    readers: dict[Operation, list[int]] = {}
    for op in reversed(module.ops):
        if op in fixed and op in readers:
            rank[op] = min(readers[op]) - 1
        for operand in op.operands:
            if operand.op is not None:
                readers.setdefault(operand.op, []).append(rank[op])
    return rank


def _ordered(module: Module, rank: dict[Operation, int]) -> list[list[Operation]]:
    rows: list[list[Operation]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for op in module:
        rows[rank[op]].append(op)
    above = {op: [v.op for v in op.operands if v.op is not None] for op in module}
    below: dict[Operation, list[Operation]] = {op: [] for op in module}
    for op, others in above.items():
        for other in others:
            below[other].append(op)
    for sweep in range(SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        place = {op: i / max(1, len(row)) for row in rows for i, op in enumerate(row)}
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            middle = {op: _mean([place[other] for other in neighbours[op]], place[op]) for op in row}
            row.sort(key=lambda op: middle[op])
            place |= {op: i / len(row) for i, op in enumerate(row)}
    return rows


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _text(op: Operation) -> list[str]:
    if op.result is None:
        return [op.name]
    return [f"%{op.result.name}", op.name, str(op.result.type)]


def _size(op: Operation) -> tuple[float, float]:
    lines = _text(op)
    return max(map(len, lines)) * CHARACTER + 2 * PAD, len(lines) * LINE + PAD


def _placed(
    rows: list[list[Operation]], sizes: dict[Operation, tuple[float, float]]
) -> tuple[dict[Operation, tuple[float, float]], float, float]:
    """The upper left corner of each box, rows centred; width and height of it all."""
    widths = [sum(sizes[op][0] for op in row) + GAP_X * (len(row) - 1) for row in rows if row]
    width, y = max(widths, default=0.0) + 2 * GAP_X, float(GAP_X)
    places: dict[Operation, tuple[float, float]] = {}
    for row, own in zip([row for row in rows if row], widths, strict=True):
        x = (width - own) / 2
        for op in row:
            places[op] = x, y
            x += sizes[op][0] + GAP_X
        y += max(sizes[op][1] for op in row) + GAP_Y
    return places, width, y - GAP_Y + GAP_X if places else y


def _edge(
    places: dict[Operation, tuple[float, float]],
    sizes: dict[Operation, tuple[float, float]],
    a: Operation,
    b: Operation,
) -> str:
    x0, y0 = places[a][0] + sizes[a][0] / 2, places[a][1] + sizes[a][1]
    x1, y1 = places[b][0] + sizes[b][0] / 2, places[b][1]
    middle = (y0 + y1) / 2
    path = f"M{x0:.1f} {y0:.1f} C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    return f'<path d="{path}" fill="none" stroke="#999" marker-end="url(#tip)"/>'


def _box(op: Operation, x: float, y: float, width: float, height: float) -> str:
    kind = op.result.type if op.result is not None else op.operands[0].type if op.operands else None
    fill = COLOURS.get(type(kind), "#ffffff") if kind is not None else "#ffffff"
    more = [f"{k} = {_short(v)}" for k, v in op.attributes.items()] + ([f"from {op.origin}"] if op.origin else [])
    lines = "".join(
        f'<text x="{x + PAD:.1f}" y="{y + LINE * (i + 1) - 2:.1f}"{" font-weight=" + chr(34) + "bold" + chr(34) if i == 0 else ""}>'
        f"{escape(line)}</text>"
        for i, line in enumerate(_text(op))
    )
    rect = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="4" fill="{fill}" stroke="#888"/>'
    )
    return f"<g><title>{escape(chr(10).join(more))}</title>{rect}{lines}</g>"


def _short(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"tensor of shape {list(shape)}" if shape else str(value)
