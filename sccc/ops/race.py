"""Sums that stop when the leading one is safe: early exit (progressive precision)."""

from __future__ import annotations

import math

import numpy as np

from sccc.cells import Fsm, Race
from sccc.expr import Var
from sccc.ir import Operation
from sccc.ops.registry import REGISTRY, Attr, Op, expect, per_lane, refuse
from sccc.ops.source import LAYER_ATTR
from sccc.types import Count, Total, Type

SAFE = (
    (Var("margin") <= Var("lead"))
    & (Var("first") <= Var("cycle"))
    & (Var("cycle") & (Var("every") - 1)).equals(0)
)  # fmt: skip
"""A constant bound on the difference of two sums is Wald's sequential test (1945): the fewest cycles on average for a given
probability of error, where a cycle's differences are independent. The bound is in counts, so that it takes no multiplier: a lead
of d per cycle reaches it after margin / d cycles."""


def _sum_cell() -> Fsm:
    cell = REGISTRY["sc.accumulate"].cell
    assert isinstance(cell, Fsm)
    return cell


def _infer(op: Operation) -> Type:
    count, a = expect(op, 0, Count), op.attributes
    if count.lanes < 2:
        raise refuse(op, f"a race of {count.lanes} lane has no second", "exit early from a classifier of two or more")
    for name in ("margin", "first", "every"):
        if a[name] < 1:
            raise refuse(op, f"{name} = {a[name]} must be at least 1")
    if a["every"] & (a["every"] - 1):
        raise refuse(op, f"every = {a['every']} is no power of two", "the lead is looked at when low bits are 0")
    initial = per_lane(op, "initial", count.shape)
    lo, hi = int(initial.min()), int(initial.max())
    return Total(count.shape, count.length * count.lo + min(lo, 0), count.length * count.hi + max(hi, 0))


REGISTRY.add(
    Op(
        "sc.race",
        "sc.accumulate that ends its window early: when `first` cycles or more have been summed, and a multiple of `every`, and "
        "the largest sum exceeds the second by `margin` or more, all sums stay as they are and the layer is done one cycle later. "
        "They then stand for the whole window's by a positive factor, so that the largest means what it meant.",
        ("count",),
        lambda op, count: count * op.operands[0].type.length + np.asarray(op.attributes["initial"]),
        _infer,
        {
            "margin": Attr("int", "the lead, in counts, that is safe"),
            "first": Attr("int", "cycles that are summed at least", 1),
            "every": Attr("int", "cycles between two looks at the lead, a power of two", 1),
            "initial": Attr("tensor", "integer start values, one per lane", 0),
            "exact": Attr("tensor", "as in sc.accumulate", math.nan),
            "scale": Attr("tensor", "the real number that a total of 1 stands for after the whole window", 1.0),
            "layer": LAYER_ATTR,
        },
        cell=Race(sum=_sum_cell(), safe=SAFE),
    ),
)
