"""MaxPool, AveragePool, their global forms, and ReduceMean over an image -> nn.max_pool, nn.avg_pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sccc.frontend.bindings import BATCH, Tensor
from sccc.frontend.handlers import Step, handles
from sccc.frontend.images import WINDOW_ATTRIBUTES, Image
from sccc.frontend.layout import reshape_lanes, show
from sccc.windows import Window


@handles("MaxPool", attributes={**WINDOW_ATTRIBUTES, "ceil_mode": 0, "storage_order": 0}, any_type=True)
def max_pool(step: Step) -> Tensor:
    if any(name in step.context.used for name in step.node.output[1:] if name) or step.attributes["storage_order"]:
        raise step.refuse("gives the indices of the largest elements", "only their values are computed")
    image, window, extra = _pool_window(step)
    return _pool(step, "nn.max_pool", image, _with_end_pads(window, extra))


@handles("AveragePool", attributes={**WINDOW_ATTRIBUTES, "ceil_mode": 0, "count_include_pad": 0})
def average_pool(step: Step) -> Tensor:
    image, window, extra = _pool_window(step)
    include = bool(step.attributes["count_include_pad"]) and any(window.pads)
    if include and any(extra):
        # The pads count, but not what ceil_mode adds to them: make the pads part of the image first.
        top, left, bottom, right = window.pads
        padded = step.apply("nn.pad", image.tensor, pads=[0, top, left, 0, bottom, right])
        image, window, include = replace(image, tensor=padded), replace(window, pads=(0, 0, 0, 0)), False
    return _pool(step, "nn.avg_pool", image, _with_end_pads(window, extra), include_pad=include)


@handles("GlobalMaxPool", any_type=True)
def global_max_pool(step: Step) -> Tensor:
    return _global_pool(step, "nn.max_pool")


@handles("GlobalAveragePool")
def global_average_pool(step: Step) -> Tensor:
    return _global_pool(step, "nn.avg_pool")


def _global_pool(step: Step, op: str) -> Tensor:
    image = Image.of(step, step.tensor(0))
    return _pool(step, op, image, Window(image.size))


@handles("ReduceMean", attributes={"axes": None, "keepdims": 1, "noop_with_empty_axes": 0})
def reduce_mean(step: Step) -> Tensor:
    """Axes are an attribute before opset 18, an input since; those of an image, rows or columns or both, are averaged."""
    x = step.tensor(0)
    given = step.attributes["axes"] if step.opset < 18 else step.integers(1, "axes")
    if not given and step.attributes["noop_with_empty_axes"]:
        return x
    axes = {step.axis(axis, x.rank) for axis in given or range(x.rank)}
    if x.batch in axes or 1 in axes or x.rank not in (3, 4):
        raise step.refuse(
            f"averages the axes {sorted(axes)} of {show(x.dims)}",
            "only rows and columns of images [N, channels, rows, columns] are averaged",
        )
    image = Image.of(step, x)
    rows, columns = image.sizes(
        step, "axes", [d if axis in axes else 1 for axis, d in enumerate(x.value.type.shape, 1)][1:]
    )
    result = _pool(step, "nn.avg_pool", image, Window((rows, columns)))
    if step.attributes["keepdims"]:
        return result
    return reshape_lanes(step, result, [d for i, d in enumerate(result.dims) if i not in axes and d is not BATCH])


def _pool_window(step: Step) -> tuple[Image, Window, Sequence[int]]:
    """The image, the window as declared, and the rows and columns that ceil_mode adds at the end."""
    image = Image.of(step, step.tensor(0))
    if step.attributes["kernel_shape"] is None:
        raise step.refuse("kernel_shape is missing")
    window = image.window(step, step.attributes["kernel_shape"])
    if not step.attributes["ceil_mode"]:
        return image, window, (0, 0)
    extra = [_missing(window, axis, size) for axis, size in enumerate(image.size)]
    if any(extra) and step.attributes["auto_pad"] == "VALID":
        raise step.refuse(
            "ceil_mode with auto_pad 'VALID' is defined in two ways", "export with pads instead of auto_pad"
        )
    return image, window, extra


def _missing(window: Window, axis: int, size: int) -> int:
    """Elements missing behind the padded image for a last window that would begin within it, but not in the end pads."""
    begin, padded = window.pads[axis], size + window.pads[axis] + window.pads[axis + 2]
    last = -(-(padded - window.span[axis]) // window.strides[axis]) * window.strides[axis]
    return max(last + window.span[axis] - padded, 0) if last < size + begin else 0


def _with_end_pads(window: Window, extra: Sequence[int]) -> Window:
    top, left, bottom, right = window.pads
    return replace(window, pads=(top, left, bottom + extra[0], right + extra[1]))


def _pool(step: Step, op: str, image: Image, window: Window, **attributes: bool) -> Tensor:
    return image.apply(
        step,
        op,
        kernel=list(window.kernel),
        strides=list(window.strides),
        pads=list(window.pads),
        dilations=list(window.dilations),
        **attributes,
    )
