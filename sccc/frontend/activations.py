"""Activation functions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from sccc.frontend.bindings import Known, Tensor
from sccc.frontend.handlers import Step, handles, is_number
from sccc.frontend.layout import as_lanes, elementwise, reshape_lanes, underlying
from sccc.ir import Value

UNLIMITED = 3.4e38
"""Exporters write 'no bound' as the largest float."""
ROUNDING = 1e-6
"""Relative error of a constant such as 1/6 that was stored in float32, and computed with."""


@handles("Relu")
def relu(step: Step) -> Tensor:
    return elementwise(step, "nn.relu", step.tensor(0))


@handles("Tanh")
def tanh(step: Step) -> Tensor:
    return elementwise(step, "nn.tanh", step.tensor(0))


@handles("Sigmoid")
def sigmoid(step: Step) -> Tensor:
    return elementwise(step, "nn.sigmoid", step.tensor(0))


@handles("LeakyRelu", attributes={"alpha": 0.01})
def leaky_relu(step: Step) -> Tensor:
    alpha = float(step.finite(step.attributes["alpha"], "alpha"))
    return elementwise(step, "nn.leaky_relu", step.tensor(0), alpha=alpha)


@handles("HardSigmoid", attributes={"alpha": 0.2, "beta": 0.5})
def hard_sigmoid(step: Step) -> Tensor:
    alpha, beta = (float(step.finite(step.attributes[k], k)) for k in ("alpha", "beta"))
    return elementwise(step, "nn.hard_sigmoid", step.tensor(0), alpha=alpha, beta=beta)


@handles("HardSwish")
def hard_swish(step: Step) -> Tensor:
    return elementwise(step, "nn.hard_swish", step.tensor(0))


def gated_by_itself(step: Step, x: Tensor, gate: Tensor) -> Tensor | None:
    """x times a gate that is computed from x, where that is HardSwish: as exporters write it.

    Written as x HardSigmoid(x), or with Clip(x + 3, 0, 6) in place of 6 HardSigmoid(x), with the division by 6 before or
    behind the product. None when the product is anything else.
    """
    found = _hard_sigmoid(underlying(gate.value))
    if found is None or found[1] is not underlying(x.value) or x.dims != gate.dims:
        return None
    result = elementwise(step, "nn.hard_swish", x)
    return (
        result if abs(found[0] - 1.0) < ROUNDING else elementwise(step, "nn.affine", result, scale=found[0], shift=0.0)
    )


def _hard_sigmoid(value: Value) -> tuple[float, Value] | None:
    """Factor f and source x of a value f HardSigmoid(x), with the slope 1/6 and the offset 1/2 of HardSwish; None for any other."""
    factor = 1.0
    while (line := _line(value)) is not None and line[1] == 0.0:
        factor, value = factor * line[0], line[2]
    op = value.op
    if op is not None and op.name == "nn.hard_sigmoid":
        slope, offset, source = op.attributes["alpha"], op.attributes["beta"], op.operands[0]
    elif op is not None and op.name == "nn.clip" and (line := _line(op.operands[0])) is not None:
        height = op.attributes["hi"]
        if op.attributes["lo"] != 0.0 or not 0.0 < height < math.inf:
            return None
        factor, slope, offset, source = factor * height, line[0] / height, line[1] / height, line[2]
    else:
        return None
    return (factor, source) if np.allclose((slope, offset), (1 / 6, 1 / 2), rtol=ROUNDING) else None


def _line(value: Value) -> tuple[float, float, Value] | None:
    """Scale, shift and operand of an nn.affine that treats all elements alike; None for any other value."""
    op = value.op
    if op is None or op.name != "nn.affine" or any(np.size(op.attributes[k]) != 1 for k in ("scale", "shift")):
        return None
    scale, shift = (float(np.reshape(op.attributes[k], ())) for k in ("scale", "shift"))
    return scale, shift, op.operands[0]


@handles("Clip", attributes={"min": None, "max": None})
def clip(step: Step) -> Tensor:
    """Bounds are attributes before opset 11, inputs since; a bound that is missing does not limit."""
    if step.opset < 11:
        bounds = [step.attributes["min"], step.attributes["max"]]
    else:
        for name in ("min", "max"):
            if step.attributes[name] is not None:
                raise step.refuse(f"the attribute '{name}' is not honoured since opset 11: it is an input there")
        bounds = [_bound(step, 1, "min"), _bound(step, 2, "max")]
    if any(bound is not None and math.isnan(bound) for bound in bounds):
        raise step.refuse("a bound is NaN")
    lo = -math.inf if bounds[0] is None or bounds[0] <= -UNLIMITED else float(bounds[0])
    hi = math.inf if bounds[1] is None or bounds[1] >= UNLIMITED else float(bounds[1])
    if lo > hi:
        raise step.refuse(f"the lower bound {lo:g} is above the upper bound {hi:g}")
    return _limited(step, step.tensor(0), lo, hi)


def _limited(step: Step, x: Tensor, lo: float, hi: float) -> Tensor:
    """x within lo .. hi; behind another limit, such as the Relu that Keras has in its Relu6, one op for both."""
    value = underlying(x.value)
    if value.op is not None and value.op.name in ("nn.relu", "nn.clip"):
        a = value.op.attributes
        lo, hi = (min(max(bound, lo), hi) for bound in (a.get("lo", 0.0), a.get("hi", math.inf)))
        value = value.op.operands[0]
    return reshape_lanes(step, step.apply("nn.clip", replace(x, value=value), lo=lo, hi=hi), x.value.type.shape)


@handles("Max", "Min")
def limit(step: Step) -> Tensor:
    """A tensor and constant numbers: a Clip with one bound."""
    constants = [i for i, binding in enumerate(step.inputs) if isinstance(binding, Known)]
    others = [i for i in range(len(step.inputs)) if i not in constants]
    if len(others) != 1:
        raise step.refuse(
            "compares tensors that are computed at run time", "compare with constant numbers (Clip, Relu)"
        )
    x = step.tensor(others[0])
    bounds = [as_lanes(step, step.constant(i, "bound"), x.dims, "a bound") for i in constants]
    if any(bound.size != 1 for bound in bounds):
        raise step.refuse("its bound is not one constant number")
    if step.node.op_type == "Max":
        return _limited(step, x, max(map(float, bounds), default=-math.inf), math.inf)
    return _limited(step, x, -math.inf, min(map(float, bounds), default=math.inf))


def _bound(step: Step, index: int, what: str) -> Any:
    """A bound: infinity is welcome here, so that `Step.constant` does not serve."""
    binding = step.input(index)
    if binding is None:
        return None
    if isinstance(binding, Known) and binding.fixed and binding.array.size == 1 and is_number(binding.array):
        return float(np.asarray(binding.array, dtype=np.float64).reshape(()))
    raise step.refuse(f"the bound {what} '{step.input_name(index)}' is not one constant number")
