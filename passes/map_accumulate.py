"""Accumulate style: a count is summed over the window, scaled, and looked up in a table or limited, in binary.

Fixed style is the same but for the sum: the dot product is a total already, and takes the start value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.activation import activation
from sccc.ops.fixed import FIXED_SUMS
from sccc.ops.registry import refuse
from sccc.ops.source import encode_level, encoding_of
from sccc.passes.layer_ops import add_before
from sccc.types import Count, Encoding, Total

MULTIPLIER_BITS = 8
"""Width of rescaling multipliers: a relative error of 2**-9 is below half a level for up to 8 bits of level."""

TABLE_ENTRIES_PER_LEVEL = 4
"""How finely a table resolves totals: an output level spans at least this many entries where the function is steepest."""

FIXED_TABLE_BITS = 8
"""Fractional bits up to which a table of fixed-point numbers resolves a function. Those of wider numbers would outgrow Icarus: they
err by up to 2**-11 of full scale where the function is steepest."""

LINEAR = {"relu": (0.0, np.inf), "identity": (-np.inf, np.inf), "clip": None, "hard_sigmoid": (0.0, 1.0)}
"""Piecewise linear functions with the limits of their values; clip's limits are attributes."""


def map_accumulate(module: Module, op: Operation) -> Value:
    """Insert, before an `sc.activate`, the ops that compute it in accumulate style; the value that replaces it."""
    # A sum of levels takes no start value, which hard_sigmoid and bipolar levels would need.
    offset = op.attributes["function"] == "hard_sigmoid" or encoding_of(op) is Encoding.BIPOLAR
    if op.attributes["function"] in LINEAR and not (_of_levels(op) and offset):
        return _linear(module, op)
    return _table(module, op)


def _kept(scale: np.ndarray) -> Any:
    """A scale as an attribute: a number where all lanes share it."""
    return float(scale) if scale.ndim == 0 else scale


def _cycles(op: Operation) -> int:
    """Over how many cycles an activation's operand adds up: 1 when it is a total."""
    kind = op.operands[0].type
    return kind.length if isinstance(kind, Count) else 1


def _total(module: Module, op: Operation, exact: np.ndarray, scale: np.ndarray) -> Value:
    """The sum of an activation's operand over the window, from a start value; a dot product of numbers takes it itself."""
    operand = op.operands[0]
    if _of_levels(op) and not np.any(exact):
        return operand
    start = {"initial": np.rint(exact).astype(np.int64), "exact": exact, "scale": _kept(scale)}
    if isinstance(operand.type, Count):
        return add_before(module, op)("sc.accumulate", [operand], "total", **start)
    maker = operand.op
    assert maker is not None
    if maker.name not in FIXED_SUMS or np.any(maker.attributes["initial"]) or len(module.uses()[operand]) > 1:
        raise refuse(
            op, f"%{operand.name} takes no bias", "want an fx.dot or fx.conv that has none and no other reader"
        )
    maker.attributes.update(start)
    operand.type = REGISTRY[maker.name].infer(maker)
    return operand


def _of_levels(op: Operation) -> bool:
    """Whether an activation's operand is a sum of levels, as of branches or of a pooling window."""
    maker = op.operands[0].op
    return maker is not None and maker.name in ("sc.add", "sc.sum_pool")


def _level_attributes(op: Operation) -> dict[str, Any]:
    a = op.attributes
    return {"encoding": a["encoding"], "bits": a["bits"], "scale": a["out_scale"]}


def _linear(module: Module, op: Operation) -> Value:
    """level = slope * z + offset, limited; as one multiplication, with the offset put into the accumulator's start value."""
    a: dict[str, Any] = op.attributes
    add, encoding, length = add_before(module, op), encoding_of(op), _cycles(op)
    function = a["function"]
    slope, shift_in = (a["alpha"], a["beta"] / a["alpha"]) if function == "hard_sigmoid" else (1.0, 0.0)
    lo, hi = LINEAR[function] or (a["lo"], a["hi"])
    half = 0.5 if encoding is Encoding.BIPOLAR else 1.0
    unit = slope * half / a["out_scale"] * (1 << a["bits"])
    origin = half * (1 << a["bits"]) if encoding is Encoding.BIPOLAR else 0.0
    in_scale = np.asarray(a["in_scale"], dtype=np.float64)
    ratio = in_scale / length * unit
    total = _total(module, op, (a["bias"] + shift_in + origin / unit) / in_scale * length, in_scale / length)
    limits = (int(encode_level(op, np.nan_to_num(v, posinf=1e9, neginf=-1e9) / a["out_scale"])) for v in (lo, hi))
    mult, shift = _multiplier(op, ratio)
    first, last = limits
    scaled = add("sc.rescale", [total], "scaled", mult=mult, shift=shift, lo=first, hi=last)
    return add("sc.level", [scaled], "level", **_level_attributes(op))


def _multiplier(op: Operation, ratio: np.ndarray) -> tuple[Any, int]:
    """Integers (mult, shift) with mult / 2**shift close to each ratio.

    The smallest mult has MULTIPLIER_BITS bits (or as many as a level), unless the largest would then have over twice as many.
    """
    width = max(MULTIPLIER_BITS, int(op.attributes["bits"]))
    exact = (2**width - 1) / ratio.min()
    affordable = (2 ** (2 * width) - 1) / ratio.max()
    shift = min(max(int(np.floor(np.log2(min(exact, affordable)))), 0), 40)
    mult = np.maximum(np.rint(ratio * 2.0**shift), 1).astype(np.int64)
    while shift > 0 and not np.any(mult & 1):
        mult, shift = mult >> 1, shift - 1
    return (int(mult) if mult.ndim == 0 else mult), shift


def _table(module: Module, op: Operation) -> Value:
    """The function's values at the totals, ends that no longer change cut off."""
    a: dict[str, Any] = op.attributes
    add, length = add_before(module, op), _cycles(op)
    in_scale = np.asarray(a["in_scale"], dtype=np.float64)
    total = _total(module, op, a["bias"] / in_scale * length, in_scale / length)
    # The step, in real units of z, below which entries would only repeat: a part of a level at slope 1.
    bits = min(a["bits"], FIXED_TABLE_BITS) if a["style"] == "fixed" else a["bits"]
    step = a["out_scale"] / (1 << bits) / TABLE_ENTRIES_PER_LEVEL
    if in_scale.ndim == 0:
        shift = max(0, int(np.floor(np.log2(step / (in_scale / length)))))
        mult: Any = 1
        step = float(in_scale) / length * 2.0**shift
    else:
        mult, shift = _multiplier(op, in_scale / length / step)
    assert isinstance(total.type, Total)
    reach = (np.array([total.type.lo, total.type.hi]) * (np.max(mult) / 2.0**shift)).astype(np.int64)
    limit = 64 << bits  # far beyond saturation for any function of slope 1 at the origin
    index = np.arange(max(reach[0] - 1, -limit), min(reach[1] + 1, limit) + 1)
    table = encode_level(op, activation(op, index * step) / a["out_scale"])
    changes = np.flatnonzero(np.diff(table))
    first, last = (changes[0], changes[-1] + 1) if changes.size else (0, 0)
    scaled = add("sc.rescale", [total], "scaled", mult=mult, shift=shift, lo=int(index[first]), hi=int(index[last]))
    return add("sc.lookup", [scaled], "level", table=table[first : last + 1], **_level_attributes(op))
