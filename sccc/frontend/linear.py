"""Gemm and MatMul -> nn.dense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sccc.frontend.bindings import BATCH, Known, Tensor
from sccc.frontend.handlers import Step, handles
from sccc.frontend.layout import as_lanes, reshape_lanes, show, transpose


@handles("Gemm", attributes={"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0})
def gemm(step: Step) -> Tensor:
    """alpha A' B' + beta C, with one of A and B constant."""
    alpha, beta = (float(step.finite(step.attributes[k], k)) for k in ("alpha", "beta"))
    matrices = [_matrix(step, index, bool(step.attributes[t])) for index, t in enumerate(("transA", "transB"))]
    a, b = matrices
    shift = beta * step.constant(2, "bias C", 0.0)
    if isinstance(a, Tensor) and isinstance(b, np.ndarray):
        return dense(step, a, alpha * b.T, shift)
    if isinstance(a, np.ndarray) and isinstance(b, Tensor):
        flipped = shift.reshape((1,) * (2 - shift.ndim) + shift.shape).T
        return transpose(step, dense(step, transpose(step, b, (1, 0)), alpha * a, flipped), (1, 0))
    raise _two_runtime(step)


def _matrix(step: Step, index: int, transposed: bool) -> Tensor | np.ndarray:
    """A or B of a Gemm, transposed when it asks for it."""
    binding = step.input(index)
    if isinstance(binding, Known):
        array = step.constant(index, "weight")
        if array.ndim != 2:
            raise step.refuse(f"the weight '{step.input_name(index)}' has {array.ndim} axes, a matrix has 2")
        return array.T if transposed else array
    tensor = step.tensor(index)
    if tensor.rank != 2:
        raise step.refuse(f"input '{step.input_name(index)}' of shape {show(tensor.dims)} is not a matrix")
    return transpose(step, tensor, (1, 0)) if transposed else tensor


@handles("MatMul")
def matmul(step: Step) -> Tensor:
    """x W along the last axis of x, or W x along the last but one."""
    left, right = step.input(0), step.input(1)
    if isinstance(left, Tensor) and isinstance(right, Known):
        return _matmul_right(step, left, step.constant(1, "weight"))
    if isinstance(left, Known) and isinstance(right, Tensor):
        return _matmul_left(step, step.constant(0, "weight"), right)
    raise _two_runtime(step)


def _matmul_right(step: Step, x: Tensor, weight: np.ndarray) -> Tensor:
    if weight.ndim == 1:
        column = dense(step, x, weight.reshape(1, -1), np.zeros(()))
        return reshape_lanes(step, column, column.value.type.shape[:-1])
    return dense(step, x, _plain_matrix(step, weight, x).T, np.zeros(()))


def _matmul_left(step: Step, weight: np.ndarray, x: Tensor) -> Tensor:
    if x.rank == 1:
        row = weight.ndim == 1
        result = dense(step, x, weight.reshape(1, -1) if row else _plain_matrix(step, weight, None), np.zeros(()))
        return reshape_lanes(step, result, ()) if row else result
    if weight.ndim == 1:
        raise step.refuse(
            f"a vector on the left of a tensor of shape {show(x.dims)} is not supported",
            "write it as x W with the weight on the right",
        )
    swap = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    turned = transpose(step, x, swap)
    return transpose(step, dense(step, turned, _plain_matrix(step, weight, x), np.zeros(())), swap)


def _plain_matrix(step: Step, weight: np.ndarray, x: Tensor | None) -> np.ndarray:
    """The weight as a matrix: leading axes of size 1 change nothing while the input has as many axes."""
    stacked = weight.ndim > 2 and (x is None or weight.ndim > x.rank or max(weight.shape[:-2]) != 1)
    if weight.ndim < 2 or stacked:
        raise step.refuse(
            f"a weight of shape {list(weight.shape)} is not one matrix",
            "stacks of matrices are not supported: use one MatMul for each",
        )
    return weight.reshape(weight.shape[-2:])


def dense(step: Step, x: Tensor, weight: np.ndarray, shift: np.ndarray) -> Tensor:
    """weight [outputs, inputs] x along the last axis of x, plus a constant that ONNX broadcasts to the result."""
    if not x.dims or x.dims[-1] is BATCH:
        raise step.refuse(
            f"sums over the batch axis of {show(x.dims)}",
            "the batch must not be the axis that is multiplied: transpose first, or set transA/transB",
        )
    if x.dims[-1] != weight.shape[1]:
        raise step.refuse(f"a weight of {weight.shape[1]} inputs does not fit {show(x.dims)}")
    if 0 in weight.shape:
        raise step.refuse(f"the weight is empty: {list(weight.shape)}")
    lanes = as_lanes(step, shift, (*x.dims[:-1], weight.shape[0]), "a bias")
    one_row = lanes.size == 1 or lanes.size == lanes.shape[-1]
    bias = np.broadcast_to(lanes.reshape(-1), (weight.shape[0],)).copy() if one_row else np.zeros(weight.shape[0])
    made = step.emit("nn.dense", [x.value], weight=np.ascontiguousarray(weight), bias=bias)
    result = replace(x, value=made, complement=None)
    return result if one_row else step.apply("nn.affine", result, scale=1.0, shift=lanes)


def _two_runtime(step: Step) -> Exception:
    return step.refuse(
        "multiplies two tensors that are computed at run time",
        "one of them must be a trained constant; attention and bilinear layers are not supported",
    )
