"""What a plan of `sccc.counting` costs, and so which of the plans is cheapest."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from sccc.cells import Product
from sccc.counting import ALL_SAVINGS, Counting, Products, Savings, counted_bits, heights, plans
from sccc.expr import Expr
from sccc.gates import FULL_ADDER, HALF_ADDER, adder_gates, sum_bits, sum_gates, table_gates
from sccc.neurons import ConstantStreams, distinct
from sccc.types import Random, signed_width

FLIPFLOP_GATES = 3.6
"""A flip-flop's area in gates, where one is weighed against the other: 96 um^2 against 27 (`sccc.energy`)."""


REMEMBERED = 8
"""Plans kept; one of 100,000 weights takes about 30 MB."""

_ANSWERS: dict[tuple[Hashable, ...], Counting] = {}


def cheapest(product: Product, streams: ConstantStreams, random: Random, savings: Savings = ALL_SAVINGS) -> Counting:
    """The plan that takes the least area; see `sccc.counting.plans`. The last ones are kept: estimate and netlist ask alike."""
    arrays = (streams.index, streams.constant_bits, streams.signs)
    numbers = (streams.levels, streams.masks, streams.sources)
    question = (product, random, savings, *map(tuple, numbers), streams.index.shape, *(a.tobytes() for a in arrays))
    if question not in _ANSWERS:
        found = min(plans(product, streams, random, savings), key=lambda p: gates(p) + FLIPFLOP_GATES * flipflops(p))
        _ANSWERS[question] = found
        if len(_ANSWERS) > REMEMBERED:
            del _ANSWERS[next(iter(_ANSWERS))]
    return _ANSWERS[question]


def gates(plan: Counting) -> float:
    """Products and their complements, counters of the subtotals, a sum or two per output, and what is taken off the counts."""
    total = _product_gates(plan.products) + len({bit[:2] for bit in counted_bits(plan) if bit.inverted})
    total += sum(FULL_ADDER * (len(bits) - len(bits).bit_length()) for bits in plan.subtotals)
    for up, down, constant in zip(plan.up, plan.down, plan.constants.tolist(), strict=True):
        sums = [heights(columns) for columns in (up, down) if any(columns)]
        if not sums:
            continue
        widths = [sum_bits(each) for each in sums]
        total += sum(map(sum_gates, sums)) + difference_gates(widths, negated=not any(up))
        total += HALF_ADDER * (max(widths) + 1) if constant else 0
        total += adder_gates(max(widths)) if plan.offset else 0
    if plan.offset == "x":
        total += sum_gates((plan.streams.index.shape[1],))
    if plan.table is not None:
        width = signed_width(int(plan.table.min()), int(plan.table.max()))
        total += table_gates(plan.table, width, plan.table.shape[1].bit_length() - 1)
    return total


def flipflops(plan: Counting) -> int:
    """Bits of the sums' values before the window."""
    if plan.offset != "xs":
        return 0
    return len(plan.up) * max(sum_bits(heights(columns)) for columns in plan.up)


def difference_gates(widths: list[int], *, negated: bool) -> int:
    """One sum less another: full adders where the two overlap, carries beyond, a half adder at the lowest bit."""
    terms = widths if negated else sorted(widths)[1:]
    return sum(adder_gates(bits - 1) + HALF_ADDER for bits in terms) + HALF_ADDER * (max(widths) - min(widths))


def _product_gates(products: Products) -> int:
    """Gates of the distinct products; a part that two of them have is there once, an inverter becomes part of another gate."""
    seen: dict[str, tuple[Expr, list[int]]] = {}
    for kind, expr in enumerate(products.exprs):
        for part in gate_parts(expr):
            seen.setdefault(repr(part), (part, []))[1].append(kind)
    total = 0
    for part, kinds in seen.values():
        where = np.isin(products.kind, kinds)
        stream = products.stream[where] * ("w" in part.variables())
        total += len(distinct(products.owner[where], stream, products.lane[where])[0][0])
    return total


def gate_parts(expr: Expr) -> list[Expr]:
    """The gates of an expression: its subexpressions but for inverters."""
    if expr.kind in ("var", "const"):
        return []
    inner = [part for arg in expr.args for part in gate_parts(arg)]
    return inner if expr.kind == "~" else [*inner, expr]
