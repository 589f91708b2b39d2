"""The batch axis through reshaping, transposing and broadcasting.

An nn value has no batch axis; an ONNX tensor has one, at any position. Whatever would mix samples is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sccc.frontend.bindings import BATCH, Dim, Dims, Tensor
from sccc.frontend.handlers import Step
from sccc.ir import Attribute, Value


def show(dims: Sequence[Dim]) -> str:
    return "[" + ", ".join(str(d) if d is not BATCH else "N" for d in dims) + "]"


def size_of(dims: Sequence[Dim]) -> int:
    """The number of elements per sample."""
    return math.prod(d for d in dims if isinstance(d, int))


def as_lanes(step: Step, array: np.ndarray, dims: Dims, what: str) -> np.ndarray:
    """A constant that ONNX broadcasts to `dims`, without its batch axis: broadcastable to the nn value's shape."""
    if array.size == 1 and array.ndim <= len(dims):
        return array.reshape(())
    aligned = array.reshape((1,) * (len(dims) - array.ndim) + array.shape)
    fits = aligned.ndim == len(dims) and all(
        a == 1 or a == d or d is BATCH for a, d in zip(aligned.shape, dims, strict=True)
    )
    if not fits:
        raise step.refuse(
            f"{what} of shape {list(array.shape)} does not fit {show(dims)}",
            "it may be broadcast to the tensor's shape, but may not enlarge it",
        )
    if BATCH not in dims:
        return aligned
    batch = dims.index(BATCH)
    if aligned.shape[batch] != 1:
        raise step.refuse(
            f"{what} of shape {list(array.shape)} differs from sample to sample of the batch (axis {batch})",
            "use the same constants for every sample",
        )
    return aligned.squeeze(batch)


def along_axis(array: np.ndarray, tensor: Tensor, axis: int) -> np.ndarray:
    """A vector along one axis of the ONNX shape, broadcastable to the nn value's shape."""
    shape = [1] * len(tensor.value.type.shape)
    shape[tensor.lane_axis(axis)] = array.size
    return array.reshape(shape)


def transpose(step: Step, tensor: Tensor, perm: Sequence[int]) -> Tensor:
    """Axes permuted, the batch axis among them; emits an op only when axes within a sample change places."""
    batch = None if tensor.batch is None else list(perm).index(tensor.batch)
    lanes = [tensor.lane_axis(p) for p in perm if p != tensor.batch]
    shape = tensor.value.type.shape
    moved = [axis for axis in lanes if shape[axis] != 1]
    if moved == sorted(moved):
        return reshape_lanes(step, replace(tensor, batch=batch), [shape[axis] for axis in lanes])
    return replace(tensor, batch=batch, value=step.emit("nn.transpose", [tensor.value], perm=lanes), complement=None)


def reshape_lanes(step: Step, tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Another shape of the nn value, row-major; emits an op only when the shape changes, and one for several in a row."""
    if tuple(shape) == tensor.value.type.shape:
        return tensor
    source = _reshaped(tensor.value) or tensor.value
    if source.type.shape == tuple(shape):
        return replace(tensor, value=source, complement=None)
    return replace(tensor, value=step.emit("nn.reshape", [source], shape=list(shape)), complement=None)


def _reshaped(value: Value) -> Value | None:
    """What a value is a reshape of."""
    return value.op.operands[0] if value.op is not None and value.op.name == "nn.reshape" else None


def underlying(value: Value) -> Value:
    """The image [C, 1, L] that vectors [C, L] are a reshape of; any other value as it is."""
    image = _reshaped(value)
    channels, *length = value.type.shape or (0,)
    return image if image is not None and len(length) == 1 and image.type.shape == (channels, 1, *length) else value


def elementwise(step: Step, op: str, x: Tensor, *others: Tensor, **attributes: Attribute) -> Tensor:
    """An elementwise op. Vectors that are images of height 1 underneath stay images under it.

    So an activation stands directly behind its convolution also where that has one dimension.
    """
    values = [x.value, *(other.value for other in others)]
    images = [underlying(value) for value in values]
    if any(image is value for image, value in zip(images, values, strict=True)):
        return step.apply(op, x, *values[1:], **attributes)
    expanded = {k: v[:, None] if isinstance(v, np.ndarray) and v.ndim == 2 else v for k, v in attributes.items()}
    result = step.apply(op, replace(x, value=images[0]), *images[1:], **expanded)
    return reshape_lanes(step, result, x.value.type.shape)


def reshape(step: Step, tensor: Tensor, target: Sequence[Dim]) -> Tensor:
    """ONNX's Reshape to a shape that may hold one -1 and the batch size."""
    dims = solve_reshape(tensor.dims, target, step.context.batch_size)
    if dims is None:
        raise step.refuse(
            f"cannot turn {show(tensor.dims)} into {show(target)} sample by sample",
            "the sizes must fit and the batch axis (N) must stay whole: flatten from axis 1 on, export a dynamic batch",
        )
    batch = dims.index(BATCH) if BATCH in dims else None
    return reshape_lanes(step, replace(tensor, batch=batch), [d for d in dims if isinstance(d, int)])


def solve_reshape(dims: Dims, target: Sequence[Dim], batch_size: int | None) -> Dims | None:
    """The shape that a Reshape of `dims` to `target` gives, with the batch axis found in it; None when it is mixed.

    Row-major order keeps the batch axis whole only where as many elements stand before it, and behind it, as did.
    """
    if list(target).count(-1) > 1:
        return None
    if BATCH not in dims:
        return _solve_whole(size_of(dims), target)
    old = dims.index(BATCH)
    before, behind = size_of(dims[:old]), size_of(dims[old + 1 :])
    for new in sorted(range(len(target)), key=lambda axis: (axis != old, axis)):
        if target[new] is BATCH or target[new] == -1 or target[new] == batch_size:
            left, right = _fill(target[:new], before), _fill(target[new + 1 :], behind)
            if left is not None and right is not None:
                return (*left, BATCH, *right)
    return _fill(target, size_of(dims)) if batch_size == 1 else None


def _solve_whole(size: int, target: Sequence[Dim]) -> Dims | None:
    """Without a batch axis: a leading 1 becomes one (of one sample), as layers expect it."""
    if target and target[0] == 1:
        rest = _fill(target[1:], size)
        return None if rest is None else (BATCH, *rest)
    return _fill(target, size)


def _fill(target: Sequence[Dim], size: int) -> Dims | None:
    """The target with its -1 replaced so that it has `size` elements; None when that is impossible."""
    if BATCH in target or any(isinstance(d, int) and d < 1 and d != -1 for d in target):
        return None
    known = math.prod(d for d in target if isinstance(d, int) and d != -1)
    if -1 in target:
        return tuple(size // known if d == -1 else d for d in target) if size % known == 0 else None
    return tuple(target) if known == size else None
