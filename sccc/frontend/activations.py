"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sccc.frontend.bindings import Known, Tensor
from sccc.frontend.handlers import Step, handles, is_number

UNLIMITED = 3.4e38
"""Exporters write 'no bound' as the largest float."""


@handles("Relu")
def relu(step: Step) -> Tensor:
    return step.apply("nn.relu", step.tensor(0))


@handles("Tanh")
def tanh(step: Step) -> Tensor:
    return step.apply("nn.tanh", step.tensor(0))


@handles("Sigmoid")
def sigmoid(step: Step) -> Tensor:
    return step.apply("nn.sigmoid", step.tensor(0))


@handles("LeakyRelu", attributes={"alpha": 0.01})
def leaky_relu(step: Step) -> Tensor:
    alpha = float(step.finite(step.attributes["alpha"], "alpha"))
    return step.apply("nn.leaky_relu", step.tensor(0), alpha=alpha)


@handles("HardSigmoid", attributes={"alpha": 0.2, "beta": 0.5})
def hard_sigmoid(step: Step) -> Tensor:
    alpha, beta = (float(step.finite(step.attributes[k], k)) for k in ("alpha", "beta"))
    return step.apply("nn.hard_sigmoid", step.tensor(0), alpha=alpha, beta=beta)


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
    return step.apply("nn.clip", step.tensor(0), lo=lo, hi=hi)


def _bound(step: Step, index: int, what: str) -> Any:
    """A bound: infinity is welcome here, so that `Step.constant` does not serve."""
    binding = step.input(index)
    if binding is None:
        return None
    if isinstance(binding, Known) and binding.fixed and binding.array.size == 1 and is_number(binding.array):
        return float(np.asarray(binding.array, dtype=np.float64).reshape(()))
    raise step.refuse(f"the bound {what} '{step.input_name(index)}' is not one constant number")
