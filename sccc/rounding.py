"""Rounding error of a layer: what its levels make of its total, before any stream is drawn from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.correlation import generator_of
from sccc.evaluate import evaluate
from sccc.ir import Module, Operation, Value
from sccc.judged_layer import evaluated_samples, ideal_totals, output_variance
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.ops.layer import PRODUCT_LAYERS, products
from sccc.types import Level


def float_layers(module: Module) -> dict[str, Operation]:
    """The layers that multiply of the float network that a module was lowered from, by name; none without one."""
    layers = module.reference.ops_named(*PRODUCT_LAYERS) if module.reference is not None else []
    return {op.result.name: op for op in layers if op.result is not None}


def rounding_errors(module: Module, x: np.ndarray) -> dict[Operation, float]:
    """RMS rounding error of each sc.dot and sc.conv that a float layer became, on inputs x [samples, ...] in real units.

    The layer's total with its input and weights rounded, and saturated, to its levels, against the total in float; the input is the
    float network's, so that each layer answers for its own levels only. In standard deviations of the float total, without the
    mean error of each output (correct-bias folds that). 0 where a state machine makes the input's streams.
    """
    layers, seen = float_layers(module), dict[Value, np.ndarray]()
    wanted = {op.operands[0] for op in layers.values()}
    if module.reference is None:
        return {}

    def watch(op: Operation, value: np.ndarray) -> None:
        if op.result in wanted:
            seen[op.result] = value

    evaluate(module.reference, x[: evaluated_samples(module)], watch)
    dots = module.ops_named(*PRODUCT_SUMS)
    named = [(dot, layers[str(dot.attributes["layer"])]) for dot in dots if str(dot.attributes["layer"]) in layers]
    return {dot: _rounding_error(dot, layer, seen[layer.operands[0]]) for dot, layer in named}


def _rounding_error(dot: Operation, layer: Operation, x: np.ndarray) -> float:
    maker = generator_of(dot.operands[0])
    if maker is None:
        return 0.0
    kind, a = maker.operands[0].type, layer.attributes
    assert isinstance(kind, Level) and dot.result is not None
    numbers = x.reshape(len(x), *dot.operands[0].type.shape) / float(np.max(a["in_scale"]))
    rounded = ideal_totals(dot, kind.encoding.encode(numbers, kind.bits))
    exact = products(layer, x).reshape(rounded.shape)
    error = rounded * count_units(dot, layer).reshape(-1, *(1,) * (rounded.ndim - 2)) - exact
    return relative(error, exact)


def count_units(dot: Operation, layer: Operation) -> np.ndarray:
    """The real number that a count of a product sum's total stands for, [outputs] or [1]."""
    a: dict[str, Any] = layer.attributes
    unit = np.asarray(a["weight_scale"], dtype=np.float64).ravel() * float(np.max(a["in_scale"]))
    return unit / dot.operands[0].type.length  # type: ignore[attr-defined]


def relative(error: np.ndarray, signal: np.ndarray) -> float:
    """RMS of errors [samples, outputs, ...] without each output's mean, in standard deviations of the signal."""
    off, unit = (float(np.sqrt(output_variance(values).mean())) for values in (error, signal))
    return off / unit if unit > 0.0 else (np.inf if off > 0.0 else 0.0)
