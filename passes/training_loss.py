"""The loss that insert-gradient-counters adds: the error in front of the last layer's activation."""

from __future__ import annotations

import numpy as np

from sccc.diagnostics import SccError
from sccc.ir import Value
from sccc.passes.training_activations import SCORE_BITS, SUM_BITS, slope
from sccc.passes.training_builder import Builder, fixed_type
from sccc.passes.training_steps import Products


def loss(b: Builder, layer: Products, label: Value) -> Value:
    """The error, limited to -1 .. 1. Raises SccError where the loss does not fit the layer's activation."""
    if b.options.loss == "squared-error":
        return _squared_error(b, layer, label)
    if layer.op.attributes["function"] != "identity":
        raise SccError(
            "cross-entropy is taken of a last layer without activation", layer.op.place(), "choose loss=squared-error"
        )
    return b.limited(_cross_entropy(b, layer.out, label), "delta")


def _cross_entropy(b: Builder, scores: Value, label: Value) -> Value:
    """softmax(scores) - onehot(label): a table of exp, a sum, a table of reciprocals, a product."""
    bits = b.options.delta_bits
    below = b.add("subtract", [b.add("maximum", [scores], "largest"), scores], "below")
    furthest = int(np.ceil(np.log(2.0) * (bits + 1) * (1 << SCORE_BITS)))
    below = b.add("round", [below], "below_limited", shift=0, lo=0, hi=furthest)
    powers = np.rint(np.exp(-np.arange(furthest + 1) / 2.0**SCORE_BITS) * (1 << bits)).astype(np.int64)
    e = b.add("lookup", [below], "exponential", table=powers, bits=bits)
    total = b.add("sum", [e], "total")
    classes, one = e.type.lanes, 1 << min(SUM_BITS, bits)
    short = b.rounded(total, min(SUM_BITS, bits), "total_rounded", one, classes * one)
    inverses = np.rint((1 << bits) * one / np.arange(one, classes * one + 1)).astype(np.int64)
    inverse = b.add("lookup", [short], "inverse", table=inverses, bits=bits)
    p = b.rounded(b.add("multiply", [e, inverse], "share"), bits, "probability", 0, 1 << bits)
    return b.add("residual", [p, b.add("sum", [p], "probabilities"), label], "residual")


def _squared_error(b: Builder, layer: Products, label: Value) -> Value:
    y, function = layer.out, layer.op.attributes["function"]
    bits = fixed_type(y).bits
    error = b.add("error", [y, label], "error", on=1 << bits, off=-(1 << bits) if function == "tanh" else 0)
    if function != "identity":
        error = b.add("multiply", [error, slope(b, layer.op, y)], "error_sloped")
    return b.limited(error, "delta")
