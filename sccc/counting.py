"""How the dot products of a layer are counted: its distinct products, the subtotals that outputs share, and what each output adds.

A plan, and nothing else: the Verilog backend emits it, the cost estimate counts its gates. No saving changes any count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sccc.cells import Comb, Product
from sccc.expr import Expr, fold_bits
from sccc.neurons import ConstantStreams, Form, distinct, forms
from sccc.ops import REGISTRY
from sccc.subtotals import Subtotal, shared_subtotals
from sccc.types import Random

ONE, ZERO = -1, -2
"""In place of a stream's number: the weight's bit is always 1, always 0."""

TABLE_BITS = 8
"""A table of offsets has at most 2**8 rows."""


@dataclass(frozen=True)
class Savings:
    """What makes a netlist cheaper and changes no bit of it. All are on, unless a test wants to see the difference.

    products: a product of a lane and a weight's stream exists once per layer, not once per output
    signs: a product whose sign is not known at compile time is counted once, not once up and once down
    subtotals: bits that two outputs both count are counted once
    order: bits that change together are added first, so that other parts of a tree rest (fewer transitions, not fewer gates)
    isolation: what follows a sum over the window sees 0 until the sum is complete (fewer transitions, a gate for each bit)
    """

    products: bool = True
    signs: bool = True
    subtotals: bool = True
    order: bool = True
    isolation: bool = True


ALL_SAVINGS = Savings()
NO_SAVINGS = Savings(products=False, signs=False, subtotals=False, order=False, isolation=False)


class Bit(NamedTuple):
    """A bit to be added: a product's, or, when `place` is not negative, bit `place` of a subtotal."""

    number: int
    place: int = -1
    inverted: bool = False


Columns = list[list[Bit]]
"""A sum of bits: the k-th list holds those of weight 2**k."""


@dataclass(frozen=True)
class Products:
    """The products of a layer: product i is the expression exprs[kind[i]] of lane[i] and weight stream[i] (or ONE, ZERO).

    `owner[i]` is the one output that has it, or -1. They are sorted by owner, expression, stream, lane.
    """

    exprs: list[Expr]
    owner: np.ndarray
    kind: np.ndarray
    stream: np.ndarray
    lane: np.ndarray


@dataclass
class Counting:
    """A plan of counts: that of output j is scale * (up[j] - down[j]) + constants[j] - offset.

    The offset is, by `offset`: "" nothing; "xs" the sum's own value when all weights are 0, which it has before the window starts;
    "w" table[j][r] for the random number r of the weights' source; "x" the number of ones among x.
    `streams` are the weights'; where the offset is "xs", stream number `len(streams.levels)` is 1 in the window and 0 before.
    """

    streams: ConstantStreams
    products: Products
    scale: int
    offset: str
    constants: np.ndarray
    table: np.ndarray | None
    up: list[Columns]
    down: list[Columns]
    subtotals: list[list[Bit]]


def heights(columns: Columns) -> tuple[int, ...]:
    """How many bits of each weight a sum has."""
    return tuple(len(column) for column in columns)


def counted_bits(plan: Counting) -> Iterator[Bit]:
    """All bits of all sums and subtotals."""
    for columns in (*plan.up, *plan.down, plan.subtotals):
        for column in columns:
            yield from column


def plans(
    product: Product, streams: ConstantStreams, random: Random, savings: Savings = ALL_SAVINGS
) -> Iterator[Counting]:
    """The ways to count outputs that see the same lanes; which one is cheapest says `sccc.counting_gates`.

    streams: of the weights, [outputs, lanes]; random: the type of the source behind them.
    """
    silent = fold_bits(product.bit, {"w": 0}).is_const(0)
    for form in forms(product) if savings.signs else forms(product)[-1:]:
        tabled = random.lanes == 1 and random.bits <= TABLE_BITS
        if (form.of == "w" and not tabled) or (form.of == "x" and streams.signs.any()):
            continue
        yield _plan(form, streams, random.bits, silent, savings)


def _plan(form: Form, streams: ConstantStreams, bits: int, silent: bool, savings: Savings) -> Counting:
    """`silent`: a weight's bit 0 makes the lane add nothing."""
    codes = np.where(streams.index >= 0, streams.index, np.where(streams.constant_bits == 1, ONE, ZERO))
    counted = (codes != ZERO) if silent else np.ones(codes.shape, dtype=bool)
    if form.of == "xs":
        codes = np.where(codes == ONE, len(streams.levels), codes)
    sign = 1 - 2 * streams.signs
    products, symbols, constants = _products(form, codes, counted, sign, owned=not savings.products)
    merged = bool(form.of)
    if not merged:
        constants = constants - form.offset.args[0] * (sign * counted).sum(axis=1)
    elif form.of != "xs":  # where it is, the sum before the window holds them too
        constants = constants - form.scale * (symbols < 0).sum(axis=1)
    shared, left = shared_subtotals(symbols, mixed=merged) if savings.subtotals and savings.products else ([], symbols)
    up, down, subtotals = _sums(shared, symbols, left, merged=merged)
    table = _offset_table(streams, bits) if form.of == "w" else None
    return Counting(streams, products, form.scale, form.of, constants, table, up, down, subtotals)


def _products(
    form: Form, codes: np.ndarray, counted: np.ndarray, sign: np.ndarray, *, owned: bool
) -> tuple[Products, np.ndarray, np.ndarray]:
    """The products, who counts them, and what is constant in each output.

    The second result is integers [outputs, lanes * terms]: the number of a product, from 1, negative where it is counted down, 0
    where there is none.
    """
    outputs, lanes = codes.shape
    exprs: list[Expr] = []
    constants = np.zeros(outputs, dtype=np.int64)
    kind = np.full((len(form.terms), outputs, lanes), -1)
    for term, (weight, expr) in enumerate(form.terms):
        for where, known in ((codes >= 0, {}), (codes == ONE, {"w": 1}), (codes == ZERO, {"w": 0})):
            where, folded = where & counted, fold_bits(expr, known)
            if folded.kind == "const":
                constants += weight * folded.args[0] * (sign * where).sum(axis=1)
            elif where.any():
                kind[term][where] = len(exprs)
                exprs.append(folded)
    owner = np.arange(outputs)[:, None] if owned else np.full((outputs, 1), -1)
    keys = np.broadcast_arrays(owner, kind, codes, np.arange(lanes))
    columns, number = distinct(*(key[kind >= 0] for key in keys))
    symbols = np.zeros(kind.shape, dtype=np.int64)
    symbols[kind >= 0] = number + 1
    symbols *= sign * np.sign([weight for weight, _ in form.terms])[:, None, None]
    return Products(exprs, *columns), symbols.transpose(1, 2, 0).reshape(outputs, -1), constants


def _offset_table(streams: ConstantStreams, bits: int) -> np.ndarray:
    """The sum over an output's lanes of the weights' signed bits, at every random number: [outputs, 2**bits]."""
    sign = 1 - 2 * streams.signs
    always = (sign * streams.constant_bits * (streams.index < 0)).sum(axis=1)
    total = np.zeros((len(sign), len(streams.levels)), dtype=np.int64)
    varying = streams.index >= 0
    rows = np.broadcast_to(np.arange(len(sign))[:, None], sign.shape)
    np.add.at(total, (rows[varying], streams.index[varying]), sign[varying])
    sng = REGISTRY["sc.sng"].cell
    assert isinstance(sng, Comb)
    numbers = np.arange(1 << bits) ^ np.asarray(streams.masks, dtype=np.int64)[:, None]
    ones = sng.result.evaluate({"level": np.asarray(streams.levels, dtype=np.int64)[:, None], "random": numbers})
    return np.asarray(always[:, None] + total @ ones.astype(np.int64))


def _sums(
    shared: Sequence[Subtotal], symbols: np.ndarray, left: np.ndarray, *, merged: bool
) -> tuple[list[Columns], list[Columns], list[list[Bit]]]:
    """What each output counts up and down, and the bits of the subtotals.

    `left`: the symbols without those in subtotals. `merged`: what is counted down is complemented and counted up.
    """
    up: list[Columns] = []
    down: list[Columns] = []
    plain = [Bit(number) for number in range(np.abs(symbols).max(initial=0))]
    inverted = [Bit(number, inverted=True) for number in range(len(plain) if merged else 0)]
    for row in left:
        numbers = row[np.argsort(np.abs(row), kind="stable")].tolist()
        if merged:
            up.append([[plain[n - 1] if n > 0 else inverted[-n - 1] for n in numbers if n]])
            down.append([[]])
        else:
            up.append([[plain[n - 1] for n in numbers if n > 0]])
            down.append([[plain[-n - 1] for n in numbers if n < 0]])
    subtotals = []
    for number, each in enumerate(shared):
        values = sorted(symbols[each.first, each.columns].tolist(), key=abs)
        subtotals.append([inverted[-v - 1] if merged and v < 0 else plain[abs(v) - 1] for v in values])
        for row, opposite in ((each.first, False), (each.second, each.opposite)):
            columns = up[row] if merged or symbols[row, each.columns[0]] > 0 else down[row]
            for place in range(len(values).bit_length()):
                if place == len(columns):
                    columns.append([])
                columns[place].append(Bit(number, place, merged and opposite))
    return up, down, subtotals
