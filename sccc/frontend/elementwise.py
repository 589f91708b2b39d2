"""Arithmetic with constants, and normalisation -> nn.affine; the sum of two computed tensors -> nn.add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sccc.frontend.activations import gated_by_itself
from sccc.frontend.bindings import Known, Tensor
from sccc.frontend.handlers import ML, Step, handles
from sccc.frontend.layout import along_axis, as_lanes, elementwise, show


def affine(step: Step, x: Tensor, scale: np.ndarray | float, shift: np.ndarray | float) -> Tensor:
    return elementwise(step, "nn.affine", x, scale=np.asarray(scale, np.float64), shift=np.asarray(shift, np.float64))


def _with_constant(step: Step) -> tuple[Tensor, np.ndarray, bool]:
    """The runtime operand, the constant one as lanes, and whether the constant is on the left."""
    for index in (0, 1):
        if isinstance(step.input(index), Known):
            x = step.tensor(1 - index)
            return x, as_lanes(step, step.constant(index, "constant"), x.dims, "a constant"), index == 0
    raise step.refuse(
        "combines two tensors that are computed at run time",
        "two of them may be added (skip connections), but not multiplied (attention, squeeze-and-excitation, SiLU): "
        "train without gates, with Relu or HardSwish",
    )


@handles("Add", "Sum")
def add(step: Step) -> Tensor:
    """Constants become a shift; computed tensors are added one after the other."""
    tensors = [step.tensor(i) for i, binding in enumerate(step.inputs) if not isinstance(binding, Known)]
    if not tensors:
        raise step.refuse("none of its inputs is computed from the network's input")
    result = tensors[0]
    for other in tensors[1:]:
        if other.dims != result.dims:
            raise step.refuse(
                f"adds tensors of the shapes {show(result.dims)} and {show(other.dims)}",
                "computed tensors must have one shape: a smaller one is not repeated",
            )
        result = elementwise(step, "nn.add", result, other)
    for index, binding in enumerate(step.inputs):
        if isinstance(binding, Known):
            shift = as_lanes(step, step.constant(index, "constant"), result.dims, "a constant")
            result = affine(step, result, 1.0, shift)
    return result


@handles("Sub")
def sub(step: Step) -> Tensor:
    x, constant, left = _with_constant(step)
    if not left:
        return affine(step, x, 1.0, -constant)
    result = affine(step, x, -1.0, constant)
    return replace(result, complement=x.value) if constant.shape == () and constant == 1.0 else result


@handles("Neg")
def neg(step: Step) -> Tensor:
    return affine(step, step.tensor(0), -1.0, 0.0)


@handles("Mul")
def mul(step: Step) -> Tensor:
    x, y = step.input(0), step.input(1)
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        swish = gated_by_itself(step, x, y) or gated_by_itself(step, y, x)
        if swish is not None:
            return swish
    x, constant, _ = _with_constant(step)
    return affine(step, x, constant, 0.0)


@handles("Div")
def div(step: Step) -> Tensor:
    x, constant, left = _with_constant(step)
    if left:
        raise step.refuse("divides a constant by what the network computes", "only x / constant is supported")
    if np.any(constant == 0):
        raise step.refuse(f"divides by zero ({np.count_nonzero(constant == 0)} elements of '{step.input_name(1)}')")
    return affine(step, x, step.finite(1.0 / constant, "the reciprocal of the divisor"), 0.0)


@handles("BatchNormalization", attributes={"epsilon": 1e-5, "momentum": 0.9, "training_mode": 0})
def batch_normalization(step: Step) -> Tensor:
    """scale (x - mean) / sqrt(variance + epsilon) + bias, one of each per channel (axis 1)."""
    x = step.tensor(0)
    if step.attributes["training_mode"]:
        raise step.refuse("training_mode is set", "export the model in inference mode (model.eval())")
    if any(step.node.output[1:]):  # before opset 14 more outputs mean training
        raise step.refuse(
            "it gives running statistics, as in training", "export the model in inference mode (model.eval())"
        )
    if x.rank < 2 or x.batch == 1:
        raise step.refuse(f"a tensor of shape {show(x.dims)} has no channel axis 1")
    scale, bias, mean, variance = (
        step.constant(i, what) for i, what in enumerate(("scale", "bias", "mean", "variance"), 1)
    )
    if any(vector.shape != (x.dims[1],) for vector in (scale, bias, mean, variance)):
        raise step.refuse(f"its constants do not have one element for each of the {x.dims[1]} channels")
    spread = variance + step.finite(step.attributes["epsilon"], "epsilon")
    if np.any(spread <= 0):
        raise step.refuse(f"variance + epsilon is not positive in {np.count_nonzero(spread <= 0)} channels")
    factor = scale / np.sqrt(spread)
    return affine(step, x, along_axis(factor, x, 1), along_axis(bias - mean * factor, x, 1))


@handles("Scaler", domain=ML, attributes={"offset": None, "scale": None}, any_type=True)
def scaler(step: Step) -> Tensor:
    """scikit-learn's StandardScaler: (x - offset) scale, along the last axis."""
    x = step.tensor(0)
    vectors = []
    for name in ("scale", "offset"):
        vector = step.finite(step.attributes[name] or [], f"the attribute '{name}'")
        if vector.size not in (1, x.dims[-1] if x.dims else 1):
            raise step.refuse(f"{vector.size} elements of '{name}' do not fit {show(x.dims)}")
        vectors.append(as_lanes(step, vector, x.dims, f"the attribute '{name}'"))
    scale, offset = vectors
    return replace(affine(step, x, scale, -offset * scale), type=1)
