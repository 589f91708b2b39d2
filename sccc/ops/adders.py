"""Sums of products by the approximate adders of stochastic computing: OR and MUX joins in front of the counter.

The accurate parallel counter (sc.dot) is the default. An OR of g lines stands for their sum as long as ones seldom meet; a MUX
lets one of g lines through, chosen at random, and stands for a g-th of their sum (Gaines 1969). Both leave a counter with a g-th
of the inputs.
"""

from __future__ import annotations

import numpy as np

from sccc.cells import GroupCell
from sccc.expr import ONE, Var
from sccc.ir import Operation
from sccc.ops.arithmetic import PRODUCTS, carries_sign, constant_levels, has_multiplier, product_of
from sccc.ops.geometry import NOTHING, geometry_of
from sccc.ops.registry import REGISTRY, Attr, Op, Selects, Uncorrelated, expect, refuse
from sccc.ops.source import LAYER_ATTR
from sccc.types import Count, Random, Stream, Type

MAX_INPUTS = 64

ADDERS = {"or": "sc.or_dot", "mux": "sc.mux_dot"}
"""The op of each approximate adder."""

INPUTS_ATTR = Attr("int", "lanes of a group, 2 .. 64")


def inputs_of(op: Operation) -> int:
    """The lanes of a group. Raises SccError."""
    inputs = int(op.attributes["inputs"])
    if not 2 <= inputs <= MAX_INPUTS:
        raise refuse(op, f"inputs = {inputs} is outside 2 .. {MAX_INPUTS}")
    return inputs


def chosen_place(op: Operation, select: np.ndarray) -> np.ndarray:
    """The place in a group that random numbers name: their most significant bits."""
    kind = expect(op, 2, Random)
    return select >> (kind.bits - inputs_of(op).bit_length() + 1)


def groups_of(op: Operation) -> np.ndarray:
    """The lanes of each group, NOTHING where a place is empty: int64 [outputs, groups, inputs], half of the groups for weights that
    are not negative. Raises SccError.

    A lane's place is its number modulo `inputs`, the same in all outputs, so that a MUX gates each lane once. The k-th lanes of all
    places, of those whose weights have one sign and are not zero, make a group.
    """
    inputs, levels = inputs_of(op), constant_levels(op.operands[1])
    if levels is None:
        raise refuse(op, "lanes are grouped by the sign of their weights, which must be constant", "take sc.dot")
    present, negative = has_multiplier(op), np.asarray(levels) < 0
    outputs, lanes = present.shape
    sides = np.zeros((outputs, 2, -(-lanes // inputs) * inputs), dtype=bool)
    sides[:, 0, :lanes], sides[:, 1, :lanes] = present & ~negative, present & negative
    by_place = sides.reshape(outputs, 2, -1, inputs)
    group = by_place.cumsum(axis=2) - 1
    found = np.full((outputs, 2, max(1, int(group.max()) + 1), inputs), NOTHING)
    output, side, turn, place = np.nonzero(by_place)
    found[output, side, group[output, side, turn, place], place] = turn * inputs + place
    return found.reshape(outputs, -1, inputs)


def _infer_groups(op: Operation) -> Type:
    x, w = expect(op, 0, Stream), expect(op, 1, Stream)
    product, geometry, groups = product_of(op), geometry_of(op), groups_of(op)
    if x.length != w.length:
        raise refuse(op, f"streams of {x.length} and of {w.length} cycles meet", "give both the same length")
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, GroupCell)
    weight = inputs_of(op) if cell.scaled else 1
    if carries_sign(product) or "xs" in product.neg.variables():
        most = int((groups.max(axis=2) != NOTHING).sum(axis=1).max()) * weight
        return Count(geometry.shape, -most, most, x.length)
    levels, any_lane = np.asarray(constant_levels(op.operands[1])), groups.max(axis=2)
    signs = np.take_along_axis(levels, np.maximum(any_lane, 0), axis=1) * (any_lane != NOTHING)
    down, up = (int(side.sum(axis=1).max()) * weight for side in (signs < 0, signs > 0))
    return Count(geometry.shape, -down, up, x.length)


def _infer_or(op: Operation) -> Type:
    if "w" not in product_of(op).bit.variables():
        raise refuse(op, "bipolar weights have no OR adder: their lines are never at rest", "encode them as signed")
    return _infer_groups(op)


def _infer_mux(op: Operation) -> Type:
    select, inputs = expect(op, 2, Random), inputs_of(op)
    if inputs & (inputs - 1) or select.shape != () or 1 << select.bits < inputs:
        raise refuse(op, f"{select} does not choose among {inputs}", "want a power of two, and one number of its bits")
    return _infer_groups(op)


REGISTRY.add(
    Op(
        "sc.or_dot",
        "Dot products by OR adders: in each cycle, of each group of lanes whose weights have one sign, the OR of the products; the "
        "signed count of these. Stands for the sum, and falls short of it where ones meet. Weights must be constant.",
        ("x", "w"),
        lambda op, x, w: x @ w[0].T,
        _infer_or,
        {"inputs": INPUTS_ATTR, "layer": LAYER_ATTR},
        cell=GroupCell(PRODUCTS, gate=ONE, scaled=False),
        needs=(Uncorrelated("x", "w"),),
    ),
    Op(
        "sc.mux_dot",
        "Dot products by MUX adders: in each cycle, of each group of lanes whose weights have one sign, the product that select's "
        "most significant bits name, times the lanes of a group; the signed count of these. Right on average, with the noise of "
        "what is left out. Weights must be constant.",
        ("x", "w", "select"),
        lambda op, x, w, *select: x @ w[0].T,
        _infer_mux,
        {"inputs": INPUTS_ATTR, "layer": LAYER_ATTR},
        cell=GroupCell(PRODUCTS, gate=Var("chosen"), scaled=True),
        needs=(Uncorrelated("x", "w"), Selects("select", "x", "w")),
    ),
)
