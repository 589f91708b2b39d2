"""Concat, Split, Slice and Pad: tensors joined, cut and surrounded along any axis but the batch."""

from __future__ import annotations

from collections.abc import Sequence

from sccc.frontend.bindings import Binding, Tensor
from sccc.frontend.endings import binary_pair
from sccc.frontend.handlers import Step, handles
from sccc.frontend.layout import show

ENDLESS = (1 << 31) - 1
"""From here on an end means the end of the axis, as exporters write it."""


@handles("Concat", attributes={"axis": None}, any_type=True)
def concat(step: Step) -> Tensor:
    """A chain of nn.concat; (1 - p, p), as classifiers of two classes end, stands for p."""
    pair = binary_pair(step)
    if pair is not None:
        return pair
    if not all(isinstance(binding, Tensor) for binding in step.inputs):
        raise step.refuse("joins constants to what the network computes", "join computed tensors only, or pad")
    result, *others = (step.tensor(index) for index in range(len(step.inputs)))
    axis = step.axis(step.attributes["axis"], result.rank)
    for other in others:
        if other.batch != result.batch or axis == result.batch:
            raise step.refuse(
                f"joins {show(result.dims)} and {show(other.dims)} along axis {axis}", "samples must stay apart"
            )
        result = step.apply("nn.concat", result, other.value, axis=result.lane_axis(axis))
    return result


@handles("Split", attributes={"axis": 0, "split": None, "num_outputs": None}, any_type=True)
def split(step: Step) -> list[Binding]:
    """Sizes are an attribute before opset 13, an input since; without them the parts are equal, but for the last."""
    x, parts = step.tensor(0), len(step.node.output)
    axis = step.axis(step.attributes["axis"], x.rank)
    size = x.dims[axis]
    if not isinstance(size, int):
        raise step.refuse(f"splits the batch axis of {show(x.dims)}", "samples must stay together")
    given = step.attributes["split"] if step.opset < 13 else step.integers(1, "split")
    if step.attributes["num_outputs"] not in (None, parts):
        raise step.refuse(f"num_outputs is {step.attributes['num_outputs']}, but there are {parts}")
    if given is None:
        if size % parts and step.attributes["num_outputs"] is None:
            raise step.refuse(f"{size} elements cannot be split into {parts} equal parts")
        each = -(-size // parts)
        given = [min(each, size - part * each) for part in range(parts)]
    if len(given) != parts or sum(given) != size or min(given) < 1:
        raise step.refuse(f"parts of {list(given)} do not make up axis {axis} of {show(x.dims)}")
    stops = [sum(given[: part + 1]) for part in range(parts)]
    return [_cut(step, x, {axis: range(stop - length, stop)}) for stop, length in zip(stops, given, strict=True)]


@handles("Slice", attributes={"starts": None, "ends": None, "axes": None}, any_type=True)
def slice_node(step: Step) -> Tensor:
    """Everything is an attribute before opset 10, an input since."""
    x = step.tensor(0)
    if step.opset < 10:
        starts, ends, axes = (step.attributes[name] for name in ("starts", "ends", "axes"))
        steps = None
    else:
        starts, ends, axes, steps = (
            step.integers(i, what) for i, what in enumerate(("starts", "ends", "axes", "steps"), 1)
        )
    axes = list(range(len(starts or ()))) if axes is None else axes
    steps = [1] * len(axes) if steps is None else steps
    if not starts or not ends or not len(starts) == len(ends) == len(axes) == len(steps):
        raise step.refuse(f"starts {starts}, ends {ends}, axes {axes} and steps {steps} do not fit together")
    if min(steps) < 1:
        raise step.refuse(f"steps {list(steps)} are not positive", "axes cannot be turned round")
    taken: dict[int, range] = {}
    for axis, start, end, stride in zip((step.axis(axis, x.rank) for axis in axes), starts, ends, steps, strict=True):
        size = x.dims[axis]
        if axis in taken:
            raise step.refuse(f"an axis is named twice: {list(axes)}")
        if isinstance(size, int):
            taken[axis] = range(*slice(start, end, stride).indices(size))
        elif not _whole_batch(step, start, end, stride):
            raise step.refuse(f"cuts the batch axis of {show(x.dims)}", "samples must stay together")
    return _cut(step, x, taken)


def _whole_batch(step: Step, start: int, end: int, stride: int) -> bool:
    batch = step.context.batch_size
    if batch is None:
        return start == 0 and end >= ENDLESS and stride == 1
    return range(*slice(start, end, stride).indices(batch)) == range(batch)


def _cut(step: Step, x: Tensor, taken: dict[int, range]) -> Tensor:
    """The indices that are taken along some axes of the ONNX shape, none of them the batch axis."""
    if any(not indices for indices in taken.values()):
        raise step.refuse(f"leaves nothing of {show(x.dims)}")
    lanes = [range(size) for size in x.value.type.shape]
    whole = list(lanes)
    for axis, indices in taken.items():
        lanes[x.lane_axis(axis)] = indices
    if lanes == whole:
        return x
    bounds = {
        "starts": [indices.start for indices in lanes],
        "stops": [indices.stop for indices in lanes],
        "steps": [indices.step for indices in lanes],
    }
    return step.apply("nn.slice", x, **bounds)


@handles("Pad", attributes={"mode": "constant", "pads": None, "value": 0.0}, any_type=True)
def pad(step: Step) -> Tensor:
    """Pads and value are attributes before opset 11, inputs since; negative pads cut."""
    x = step.tensor(0)
    if step.attributes["mode"] != "constant":
        raise step.refuse(
            f"the mode '{step.attributes['mode']}' is not supported", "pad with a constant: train with zero padding"
        )
    if step.opset < 11:
        given, value = step.attributes["pads"], step.finite(step.attributes["value"], "the value")
    else:
        given, value = step.integers(1, "pads"), step.constant(2, "value", 0.0)
    axes = [step.axis(axis, x.rank) for axis in step.integers(3, "axes") or range(x.rank)]
    if given is None or len(given) != 2 * len(axes) or value.size != 1 or len(set(axes)) != len(axes):
        raise step.refuse(f"pads {given} do not fit the axes {axes} of {show(x.dims)}")
    begins, ends = _pads_of(given, axes, x.rank)
    if x.batch is not None and (begins[x.batch], ends[x.batch]) != (0, 0):
        raise step.refuse(f"pads the batch axis of {show(x.dims)}", "samples cannot be added")
    cuts = {
        axis: range(max(-begins[axis], 0), size + min(ends[axis], 0))
        for axis, size in enumerate(x.dims)
        if isinstance(size, int) and min(begins[axis], ends[axis]) < 0
    }
    inner = _cut(step, x, cuts)
    pads = [max(number, 0) for numbers in (begins, ends) for axis, number in enumerate(numbers) if axis != x.batch]
    return step.apply("nn.pad", inner, pads=pads, value=float(value.reshape(()))) if any(pads) else inner


def _pads_of(given: Sequence[int], axes: Sequence[int], rank: int) -> tuple[list[int], list[int]]:
    """Pads before and behind each of all axes."""
    begins, ends = [0] * rank, [0] * rank
    for axis, begin, end in zip(axes, given, given[len(axes) :], strict=False):
        begins[axis], ends[axis] = begin, end
    return begins, ends
