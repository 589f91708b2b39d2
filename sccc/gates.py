"""Gates of the structures that hardware is made of: adders, population counts, tables, integer expressions.

A gate is a cell of Yosys' default gate-level netlist, as `synth` ends with (`techmap`, `abc -fast`): a two-input gate, an
inverter or a multiplexer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sccc.expr import Expr
from sccc.types import signed_width

FULL_ADDER = 5
"""Gates of a full adder: two XOR, two AND, one OR."""

HALF_ADDER = 2
"""Gates per bit of adding a carry, or a constant."""

LOOKAHEAD_BITS, LOOKAHEAD_ADDER = 8, 6
"""Yosys builds adders and comparators with a Brent-Kung carry tree: wider than 8 bits they take about 6 gates per bit, not 5."""

CONSTANT_COMPARE = 0.8
"""Gates per bit of comparing a random number with each of many constants: they share."""

CONSTANT_BOUND = 2
"""Gates per bit of comparing a signed number with one constant."""

COMPARE = 4
"""Gates per bit of comparing two unsigned numbers."""


def adder_gates(bits: int) -> int:
    """Adding or comparing two signed numbers of this width."""
    return bits * (FULL_ADDER if bits <= LOOKAHEAD_BITS else LOOKAHEAD_ADDER)


def sum_gates(heights: Sequence[int]) -> int:
    """The carry-save tree of `sccc.backends.verilog.popcount`, for heights[k] bits of weight 2**k."""
    gates = carries = weight = 0
    while weight < len(heights) or carries:
        bits = carries + (heights[weight] if weight < len(heights) else 0)
        carries = 0
        while bits > 1:
            third = bits // 3
            gates += FULL_ADDER * third if third else HALF_ADDER
            carries += third or 1
            bits = bits - 2 * third if third else 1
        weight += 1
    return gates


def sum_bits(heights: Sequence[int]) -> int:
    """Bits that hold the sum of heights[k] bits of weight 2**k; at least 1."""
    return max(1, sum(height << weight for weight, height in enumerate(heights)).bit_length())


def table_gates(entries: np.ndarray, bits: int, address: int) -> int:
    """A table of 2**address entries as the multiplexers of a shared decision diagram, most significant bit first (Bryant 1986).

    entries: integers [..., 2**address]; each one's lowest `bits` bits are looked up.
    """
    nodes = (entries[..., None, :] >> np.arange(bits)[:, None] & 1).reshape(-1, 1 << address)
    gates, number = 0, 2
    for _ in range(address):  # nodes 0 and 1 are constants; each step joins neighbours that differ in one address bit
        low, high = nodes[:, 0::2], nodes[:, 1::2]
        differ = low != high
        pairs, inverse = np.unique(np.stack([low[differ], high[differ]]), axis=1, return_inverse=True)
        gates += pairs.shape[1] - int(np.any((pairs[0] == 0) & (pairs[1] == 1)))  # that one is the address bit itself
        nodes = low.copy()
        nodes[differ] = number + inverse.reshape(-1)
        number += pairs.shape[1]
    return gates


class Logic:
    """Gates of signed integer expressions, each part in as many bits as its range takes; parts that recur are counted once."""

    def __init__(self, ranges: Mapping[str, tuple[int, int]], result_bits: int) -> None:
        self.known: dict[str, tuple[int, int]] = dict(ranges)
        self.result_bits = result_bits
        self.adders: set[str] = set()
        self.spent = 0.0

    def gates(self, expr: Expr) -> float:
        self.spent = 0.0
        self._range(expr)
        return self.spent

    def _range(self, expr: Expr) -> tuple[int, int]:
        """The range of an expression; what it costs is added to `spent`."""
        if expr.kind == "const":
            return expr.args[0], expr.args[0]
        key = expr.args[0] if expr.kind == "var" else repr(expr)
        if key not in self.known:
            self.known[key] = self._operator(expr)
        return self.known[key]

    def _operator(self, expr: Expr) -> tuple[int, int]:
        if expr.kind == "?:":
            return self._select(expr)
        a, b = (self._range(arg) for arg in expr.args)
        if expr.kind in ("<", "<=", ">", ">=", "=="):
            return self._comparison(expr.kind, a, b)
        if expr.kind == ">>":
            return a[0] >> b[0], a[1] >> b[0]
        if expr.kind == "*":
            return self._product(a, b)
        before = self.spent
        low, high = (a[0] + b[0], a[1] + b[1]) if expr.kind == "+" else (a[0] - b[1], a[1] - b[0])
        width = signed_width(low, high)
        if _fixed(a) or _fixed(b):
            constant, other = (a[0], expr.args[1]) if _fixed(a) else (b[0], expr.args[0])
            free = 0 <= constant < 1 << self._zeros(other) or (_fixed(a) and _fixed(b))  # it only fills bits that are 0
            self.spent += 0 if free else HALF_ADDER * width
        elif b == (0, 1):
            # It enters the adder before it as a carry, where there is one.
            self.spent += 0 if repr(expr.args[0]) in self.adders else HALF_ADDER * width
        else:
            self.spent += adder_gates(width)
        if self.spent > before:
            self.adders.add(repr(expr))
        return low, high

    def _comparison(self, kind: str, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        least = {"<": a[1] < b[0], "<=": a[1] <= b[0], ">": a[0] > b[1], ">=": a[0] >= b[1]}.get(kind, False)
        most = {"<": a[0] < b[1], "<=": a[0] <= b[1], ">": a[1] > b[0], ">=": a[1] >= b[0]}.get(kind, True)
        if least == most:
            return int(least), int(least)
        if _fixed(a) or _fixed(b):
            varying, constant = (b, a[0]) if _fixed(a) else (a, b[0])
            self.spent += (
                CONSTANT_BOUND * signed_width(*varying) if constant else 0
            )  # the sign tells whether it is below 0
        else:
            self.spent += adder_gates(max(signed_width(*a), signed_width(*b)))
        return 0, 1

    def _product(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        """One factor is constant: it adds the other once for each one in it, and a power of two costs nothing."""
        varying, constant = (b, a[0]) if _fixed(a) else (a, b[0])
        width = signed_width(*varying)
        self.spent += max(0, abs(constant).bit_count() - 1) * adder_gates(width)
        ends = [varying[0] * constant, varying[1] * constant]
        return min(ends), max(ends)

    def _zeros(self, expr: Expr) -> int:
        """How many low bits of an expression are surely 0."""
        if expr.kind not in ("*", ">>"):
            return 0
        a, b = (self._range(arg) for arg in expr.args)
        if expr.kind == ">>":
            return max(0, self._zeros(expr.args[0]) - b[0])
        constant, other = (a[0], expr.args[1]) if _fixed(a) else (b[0], expr.args[0])
        return (constant & -constant).bit_length() - 1 + self._zeros(other) if constant else 0

    def _select(self, expr: Expr) -> tuple[int, int]:
        condition = self._range(expr.args[0])
        if _fixed(condition):
            return self._range(expr.args[1] if condition[0] else expr.args[2])
        then, other = self._range(expr.args[1]), self._range(expr.args[2])
        low, high = min(then[0], other[0]), max(then[1], other[1])
        bound = expr.args[0].args[-1] if expr.args[0].kind in "<>" else None
        if repr(bound) == repr(expr.args[1]):  # one end of a clamp
            low, high = (max(low, then[0]), high) if expr.args[0].kind == "<" else (low, min(high, then[1]))
        self.spent += min(signed_width(low, high), self.result_bits)
        return low, high


def _fixed(values: tuple[int, int]) -> bool:
    return values[0] == values[1]
