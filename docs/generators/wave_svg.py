"""Wires over clock cycles as SVG, drawn as WaveDrom draws them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import groupby

ROW, HEIGHT, LEFT, TOP, SLOPE = 30, 18, 150, 40, 3
"""Pixels: a row's distance and a wave's height, the margins, and the slope of a change."""

NUMBERED = 20
"""Pixels: cycles that are narrower have a number every fifth only."""


@dataclass(frozen=True)
class Row:
    """A wire: its name, `clock`, `bit` or `bus`, and for each cycle what it is: "0" or "1" of a bit, a label, None: not known."""

    name: str
    kind: str
    values: list[str | None]


def wave_svg(title: str, rows: list[Row], cycle: int = 24) -> str:
    """The picture, `cycle` pixels for a clock cycle. A clock has no values of its own and is as long as the other rows."""
    cycles = max(len(row.values) for row in rows)
    width, height = LEFT + cycles * cycle + 10, TOP + len(rows) * ROW + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}" font-family="DejaVu Sans, sans-serif" font-size="11" fill="#222222">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="14" font-weight="bold">{escape(title)}</text>',
    ]
    for number in range(0, cycles, 1 if cycle >= NUMBERED else 5):
        x = LEFT + number * cycle
        parts.append(f'<path d="M{x} {TOP - 8} V{height - 6}" stroke="#e4e4e4" fill="none"/>')
        parts.append(f'<text x="{x + cycle / 2}" y="{TOP - 12}" text-anchor="middle" fill="#666666">{number}</text>')
    parts.append(f'<text x="8" y="{TOP - 12}" fill="#666666">cycle</text>')
    for number, row in enumerate(rows):
        y = TOP + number * ROW
        parts.append(f'<text x="8" y="{y + HEIGHT - 5}">{escape(row.name)}</text>')
        draw = {"clock": _clock, "bit": _bit, "bus": _bus}[row.kind]
        parts.append(draw(y, row.values or [None] * cycles, cycle))
    return "\n".join([*parts, "</svg>", ""])


def _line(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="#1f4e8c" stroke-width="1.4"/>'


def _unknown(x: float, y: int, width: int) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" fill="#eeeeee" stroke="#cccccc"/>'


def _clock(y: int, values: list[str | None], cycle: int) -> str:
    half = cycle / 2
    return _line(f"M{LEFT} {y + HEIGHT} " + f"v-{HEIGHT} h{half} v{HEIGHT} h{half} " * len(values))


def _runs(values: list[str | None]) -> list[tuple[int, int, str | None]]:
    """First cycle, number of cycles and value of each stretch without a change."""
    runs, at = [], 0
    for value, group in groupby(values):
        length = len(list(group))
        runs.append((at, length, value))
        at += length
    return runs


def _bit(y: int, values: list[str | None], cycle: int) -> str:
    path, unknown, joined = "", "", False
    for first, cycles, value in _runs(values):
        x = LEFT + first * cycle
        if value is None:
            unknown, joined = unknown + _unknown(x, y, cycles * cycle), False
            continue
        level = y if value == "1" else y + HEIGHT
        path += f" L{x + SLOPE} {level}" if joined else f" M{x} {level}"
        path += f" H{x + cycles * cycle}"
        joined = True
    return unknown + _line(path)


def _bus(y: int, values: list[str | None], cycle: int) -> str:
    parts = []
    for first, cycles, value in _runs(values):
        x, end, middle = LEFT + first * cycle, LEFT + (first + cycles) * cycle, y + HEIGHT / 2
        if value is None:
            parts.append(_unknown(x, y, cycles * cycle))
            continue
        shape = (
            f"M{x} {middle} L{x + SLOPE} {y} H{end - SLOPE} L{end} {middle} L{end - SLOPE} {y + HEIGHT} H{x + SLOPE} Z"
        )
        parts.append(f'<path d="{shape}" fill="#dcecff" stroke="#1f4e8c" stroke-width="1.2"/>')
        parts.append(f'<text x="{(x + end) / 2}" y="{y + HEIGHT - 5}" text-anchor="middle">{escape(value)}</text>')
    return "".join(parts)
