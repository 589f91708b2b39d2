"""The forward sums of a network that learns, on streams: the ops of inference between numbers and numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sccc.diagnostics import SccError
from sccc.ir import Operation, Value
from sccc.ops.geometry import WINDOW_ATTRIBUTES
from sccc.passes.training_builder import Builder, fixed_type


def stream_sums(b: Builder, op: Operation, x: Value, w: Value, bias: Value) -> Value:
    """The sums of a layer by streams, as inference forms them: SNGs, signed products, exact counts, totals over the window.

    Inputs and counters are rounded to the levels that a window resolves: with the counters' upper bits alone, sums would be too
    small by a fifth at 32 cycles (784-128-128-10 after an epoch). All inputs compare with Sobol dimension 0, all weights with
    dimension 1. Each lane of `x`, a vector or an image [channels, positions], has one stream. Returns [outputs], or of a
    convolution [outputs, positions]. Raises SccError where x or w has fewer bits than the window's levels.
    """
    assert op.result is not None
    name, bits, convolves = op.result.name, b.options.length.bit_length() - 1, op.name == "nn.conv_layer"
    kind, register = fixed_type(x), fixed_type(w)
    spare = (max(-kind.lo, kind.hi) - 1).bit_length() - bits, (-register.lo - 1).bit_length() - bits
    if min(spare) < 0:
        raise SccError(
            f"a window of {b.options.length} cycles resolves more levels than %{(x, w)[spare[0] >= 0].name} has",
            advice="use a shorter length, or raise value_bits or step_bits",
        )
    seen = b.add("round", [x], f"{name}_near", shift=spare[0], lo=-(1 << bits), hi=1 << bits)
    held = b.add("nearest", [w], f"{name}_w_near", shift=spare[1])
    attributes: dict[str, Any] = {"layer": name}
    if convolves:
        attributes |= {key: op.attributes[key] for key in (*WINDOW_ATTRIBUTES, "groups")}
    shapes = op.operands[0].type.shape, np.shape(op.attributes["weight"])
    streams = [_streams(b, name, seen, shapes[0], 0), _streams(b, name, held, shapes[1], 1)]
    count = b.add("sc.conv" if convolves else "sc.dot", streams, f"{name}_count", **attributes)
    accumulated = b.add("sc.accumulate", [count], f"{name}_total", layer=name)
    worth = fixed_type(seen).bits + fixed_type(held).bits - bits
    total = b.add("total", [accumulated], f"{name}_products", bits=worth)
    if convolves:
        outputs, *positions = total.type.shape
        total = b.add("reshape", [total], f"{name}_flat", shape=[outputs, math.prod(positions)])
    behind = fixed_type(bias).bits - worth
    return b.add("add", [total, bias], f"{name}_sum", a_unit=1 << max(behind, 0), b_unit=1 << max(-behind, 0))


def _streams(b: Builder, name: str, numbers: Value, shape: tuple[int, ...], dimension: int) -> Value:
    """Numbers under the shape that the product wants, as levels, and SNGs that compare them with a Sobol dimension."""
    bits, stem = b.options.length.bit_length() - 1, numbers.name
    if numbers.type.shape != shape:
        numbers = b.add("reshape", [numbers], f"{stem}_shaped", shape=list(shape))
    level = b.add("level", [numbers], f"{stem}_level", encoding="signed", bits=bits)
    operands = [level, _shared_source(b, dimension, bits)]
    return b.add("sc.sng", operands, f"{level.name}_stream", length=b.options.length, layer=name)


def _shared_source(b: Builder, dimension: int, bits: int) -> Value:
    """The Sobol source that all layers use; its window begins anew with each."""
    for op in b.module.ops_named("sc.source"):
        if op.attributes["index"] == dimension and op.result is not None:
            return op.result
    return b.add("sc.source", [], f"{'xw'[dimension]}_random", kind="sobol", index=dimension, bits=bits)
