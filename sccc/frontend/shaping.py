"""Flatten, Reshape, Transpose, Squeeze, Unsqueeze, and Shape, whose result is known without data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sccc.frontend.bindings import BATCH, PROBES, Dim, Ending, Known, Tensor
from sccc.frontend.handlers import Step, handles
from sccc.frontend.layout import reshape, reshape_lanes, show, size_of, transpose


def _ended(tensor: Tensor) -> bool:
    """Whether shapes matter no more: behind ArgMax there is one number per sample."""
    return tensor.ending in (Ending.ARGMAX, Ending.BINARY)


@handles("Flatten", attributes={"axis": 1}, any_type=True, after_ending=True)
def flatten(step: Step) -> Tensor:
    x = step.tensor(0)
    if _ended(x):
        return x
    axis = step.attributes["axis"]
    if axis != x.rank:
        axis = step.axis(axis, x.rank)
    return reshape(step, x, [_merged(step, x, x.dims[:axis]), _merged(step, x, x.dims[axis:])])


def _merged(step: Step, x: Tensor, dims: Sequence[Dim]) -> Dim:
    if BATCH not in dims:
        return size_of(dims)
    if size_of(dims) == 1:
        return BATCH
    if step.context.batch_size == 1:
        return size_of(dims)
    raise step.refuse(
        f"merges the batch axis of {show(x.dims)} with others", "flatten from the axis behind the batch on (axis=1)"
    )


@handles("Reshape", attributes={"allowzero": 0}, any_type=True, after_ending=True)
def reshape_node(step: Step) -> Tensor:
    x, shape = step.tensor(0), step.input(1)
    if _ended(x):
        return x
    if not isinstance(shape, Known):
        raise step.refuse("the shape is computed from the data", "reshape to constant dimensions")
    target = shape.dims() if shape.array.dtype.kind in "iu" else None
    if target is None:
        raise step.refuse(f"the shape '{step.input_name(1)}' is neither constant nor the batch size with constants")
    return reshape(step, x, [_copied(step, x, i) if d == 0 else d for i, d in enumerate(target)])


def _copied(step: Step, x: Tensor, axis: int) -> Dim:
    """The dimension that a 0 in the target shape stands for."""
    if step.attributes["allowzero"]:
        raise step.refuse("asks for an empty tensor (a dimension of 0 with allowzero)")
    if axis >= x.rank:
        raise step.refuse(f"dimension {axis} of the shape is 0, but {show(x.dims)} has no such axis to copy")
    return x.dims[axis]


@handles("Transpose", attributes={"perm": None}, any_type=True, after_ending=True)
def transpose_node(step: Step) -> Tensor:
    x = step.tensor(0)
    if _ended(x):
        return x
    perm = step.attributes["perm"]
    perm = list(range(x.rank))[::-1] if perm is None else list(perm)
    if sorted(perm) != list(range(x.rank)):
        raise step.refuse(f"perm {perm} is not a permutation of the {x.rank} axes of {show(x.dims)}")
    result = transpose(step, x, perm)
    if x.ending and len([d for d in result.value.type.shape if d != 1]) > 1:
        raise step.refuse(f"moves axes behind {x.ending.value}", "the network must end there")
    return result


def _axes(step: Step, rank: int) -> list[int] | None:
    """Axes are an attribute before opset 13, an input since; None when there are none."""
    given = step.attributes["axes"] if step.opset < 13 else step.integers(1, "axes")
    if step.opset >= 13 and step.attributes["axes"] is not None:
        raise step.refuse("the attribute 'axes' is not honoured since opset 13: it is an input there")
    if given is None:
        return None
    axes = sorted(step.axis(axis, rank) for axis in given)
    if len(set(axes)) != len(axes):
        raise step.refuse(f"an axis is named twice: {list(given)}")
    return axes


@handles("Squeeze", attributes={"axes": None}, any_type=True, after_ending=True)
def squeeze(step: Step) -> Tensor:
    x = step.tensor(0)
    if _ended(x):
        return x
    axes = _axes(step, x.rank)
    single = step.context.batch_size == 1
    if axes is None:
        axes = [i for i, d in enumerate(x.dims) if d == 1 or (d is BATCH and single)]
    for axis in axes:
        if x.dims[axis] is BATCH and not single:
            raise step.refuse(f"removes the batch axis of {show(x.dims)}", "name the axes to remove")
        if x.dims[axis] is not BATCH and x.dims[axis] != 1:
            raise step.refuse(f"axis {axis} of {show(x.dims)} does not have size 1")
    kept = [d for i, d in enumerate(x.dims) if i not in axes]
    batch = kept.index(BATCH) if BATCH in kept else None
    return reshape_lanes(step, replace(x, batch=batch), [d for d in kept if isinstance(d, int)])


@handles("Unsqueeze", attributes={"axes": None}, any_type=True, after_ending=True)
def unsqueeze(step: Step) -> Tensor:
    x = step.tensor(0)
    if _ended(x):
        return x
    given = step.attributes["axes"] if step.opset < 13 else step.integers(1, "axes")
    if given is None:
        raise step.refuse("the axes are missing")
    axes = _axes(step, x.rank + len(given)) or []
    rest = iter(x.dims)
    dims: list[Dim] = [1 if i in axes else next(rest) for i in range(x.rank + len(axes))]
    if x.batch is None and axes[:1] == [0]:
        dims[0] = BATCH
    batch = dims.index(BATCH) if BATCH in dims else None
    return reshape_lanes(step, replace(x, batch=batch), [d for d in dims if isinstance(d, int)])


@handles("Shape", attributes={"start": 0, "end": None}, any_type=True)
def shape(step: Step) -> Known:
    return _probed(step, lambda dims: np.array(dims[step.attributes["start"] : step.attributes["end"]], np.int64))


@handles("Size", any_type=True)
def size(step: Step) -> Known:
    return _probed(step, lambda dims: np.array(np.prod(dims, dtype=np.int64)))


def _probed(step: Step, measure: Callable[[list[int]], np.ndarray]) -> Known:
    """A measure of the input's shape: with a dynamic batch, at both probe sizes."""
    dims, batch = step.tensor(0).dims, step.context.batch_size
    first, second = (measure([s if d is BATCH else d for d in dims]) for s in ((batch, batch) if batch else PROBES))
    return Known.of(first) if batch else Known(first, second)
