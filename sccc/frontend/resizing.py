"""Upsample and Resize, where they repeat rows and columns -> nn.upsample."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sccc.frontend.bindings import BATCH, Dim, Known, Tensor
from sccc.frontend.handlers import LARGEST_VALUE, Step, handles
from sccc.frontend.images import Image
from sccc.frontend.layout import show

Coordinate = Callable[[np.ndarray, int, int], np.ndarray]
"""Positions in the result, its size, the size of the original -> positions in the original (ONNX, Resize)."""


def _half_pixel(i: np.ndarray, new: int, old: int) -> np.ndarray:
    return (i + 0.5) * old / new - 0.5


COORDINATES: dict[str, Coordinate] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel,  # the same where the new size is the old one times the scale
    "pytorch_half_pixel": lambda i, new, old: _half_pixel(i, new, old) if new > 1 else 0.0 * i,
    "align_corners": lambda i, new, old: i * (old - 1) / (new - 1) if new > 1 else 0.0 * i,
    "asymmetric": lambda i, new, old: i * old / new,
    "tf_half_pixel_for_nn": lambda i, new, old: (i + 0.5) * old / new,
}
ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@handles("Upsample", attributes={"mode": "nearest"}, any_type=True)
def upsample(step: Step) -> Tensor:
    x = step.tensor(0)
    return _repeat(step, x, _scaled(step, x, 1, list(range(x.rank))), "asymmetric", "floor")


@handles(
    "Resize",
    attributes={
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "round_prefer_floor",
        "axes": None,
        "keep_aspect_ratio_policy": "stretch",
        # What follows has a meaning in other modes only, which are refused.
        "antialias": 0,
        "cubic_coeff_a": -0.75,
        "exclude_outside": 0,
        "extrapolation_value": 0.0,
    },
    any_type=True,
)
def resize(step: Step) -> Tensor:
    """Opset 10 has scales alone and rounds down, later ones have a region, scales or sizes, and modes."""
    x = step.tensor(0)
    if step.opset < 11:
        return _repeat(step, x, _scaled(step, x, 1, list(range(x.rank))), "asymmetric", "floor")
    given = step.attributes["axes"]
    axes = [step.axis(axis, x.rank) for axis in (range(x.rank) if given is None else given)]
    coordinate, rounding = step.attributes["coordinate_transformation_mode"], step.attributes["nearest_mode"]
    if coordinate not in COORDINATES:
        raise step.refuse(f"the coordinate_transformation_mode '{coordinate}' is not supported", "use asymmetric")
    if rounding not in ROUNDINGS:
        raise step.refuse(f"the nearest_mode '{rounding}' is unknown")
    sized = _given(step, 3)
    if sized == _given(step, 2):
        raise step.refuse("needs either scales or sizes")
    sizes = _resized(step, x, axes) if sized else _scaled(step, x, 2, axes)
    return _repeat(step, x, sizes, coordinate, rounding)


def _given(step: Step, index: int) -> bool:
    """Whether an input is there; exporters leave one out by an empty tensor, too."""
    binding = step.input(index)
    return binding is not None and not (isinstance(binding, Known) and binding.array.size == 0)


def _scaled(step: Step, x: Tensor, index: int, axes: list[int]) -> list[Dim]:
    """The dimensions that the scales in an input give."""
    scales = step.constant(index, "scales").ravel()
    if len(scales) != len(axes):
        raise step.refuse(f"{len(scales)} scales do not fit {show(x.dims)}")
    dims = list(x.dims)
    for axis, scale in zip(axes, scales.tolist(), strict=True):
        size = dims[axis]
        if scale != round(scale) or scale < 1 or (size is BATCH and scale != 1):
            raise step.refuse(
                f"scales axis {axis} of {show(x.dims)} by {scale:g}", "only rows and columns, by whole numbers"
            )
        dims[axis] = size * round(scale) if isinstance(size, int) else size
    return dims


def _resized(step: Step, x: Tensor, axes: list[int]) -> list[Dim]:
    """The dimensions that input 3 names."""
    binding = step.input(3)
    sizes = binding.dims() if isinstance(binding, Known) and binding.array.dtype.kind in "iu" else None
    if sizes is None:
        raise step.refuse(f"the sizes '{step.input_name(3)}' are neither constant nor the batch size with constants")
    if len(sizes) != len(axes):
        raise step.refuse(f"{len(sizes)} sizes do not fit {show(x.dims)}")
    if step.attributes["keep_aspect_ratio_policy"] != "stretch":
        raise step.refuse("keep_aspect_ratio_policy is not honoured", "give the sizes that result")
    dims = list(x.dims)
    for axis, size in zip(axes, sizes, strict=True):
        keeps_batch = dims[axis] is BATCH and (size is BATCH or size == step.context.batch_size)
        dims[axis] = BATCH if keeps_batch else size
    return dims


def _repeat(step: Step, x: Tensor, dims: list[Dim], coordinate: str, rounding: str) -> Tensor:
    """The tensor resized to `dims`, where every element is repeated alike. Raises SccError for anything else."""
    if tuple(dims) == x.dims:
        return x
    if step.attributes["mode"] != "nearest":
        raise step.refuse(f"the mode '{step.attributes['mode']}' is not supported", "use nearest")
    image = Image.of(step, x)
    if tuple(dims[:2]) != x.dims[:2]:
        raise step.refuse(f"resizes {show(x.dims)} to {show(dims)}", "only rows and columns can be repeated")
    factors = [_factor(step, x, axis, dims[axis], coordinate, rounding) for axis in range(2, x.rank)]
    return image.apply(step, "nn.upsample", factors=image.sizes(step, "scales", factors))


def _factor(step: Step, x: Tensor, axis: int, new: Dim, coordinate: str, rounding: str) -> int:
    """How often each element along an axis is repeated, checked against where ONNX takes each element from."""
    old = x.dims[axis]
    assert isinstance(old, int) and isinstance(new, int)
    if new < 1 or new % old or math.prod(x.value.type.shape) // old * new > LARGEST_VALUE:
        raise step.refuse(f"resizes axis {axis} of {show(x.dims)} to {new}", "only whole multiples are supported")
    source = ROUNDINGS[rounding](COORDINATES[coordinate](np.arange(new, dtype=np.float64), new, old))
    if not np.array_equal(np.clip(source, 0, old - 1), np.arange(new) // (new // old)):
        raise step.refuse(
            f"the modes '{coordinate}' and '{rounding}' do not repeat axis {axis} of {show(x.dims)} evenly",
            "use asymmetric and floor",
        )
    return new // old
