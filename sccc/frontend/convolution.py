"""Conv, and QLinearConv, its form on integers -> nn.conv."""

from __future__ import annotations

import numpy as np

from sccc.frontend.bindings import Quantized, Tensor
from sccc.frontend.handlers import Step, handles
from sccc.frontend.images import WINDOW_ATTRIBUTES, Image
from sccc.frontend.quantization import dequantize, integer_range

CONV_ATTRIBUTES = {**WINDOW_ATTRIBUTES, "group": 1}


@handles("Conv", attributes=CONV_ATTRIBUTES)
def conv(step: Step) -> Tensor:
    return _convolution(step, step.tensor(0), step.constant(1, "weight"), step.constant(2, "bias", 0.0))


@handles("QLinearConv", attributes=CONV_ATTRIBUTES, any_type=True, quantized=True)
def qlinear_conv(step: Step) -> Quantized:
    """Inputs: x, its scale and zero point, the weight, its own, those of the result, and a bias in units of both scales."""
    x_scale, x_zero = (_single(step, index, f"{what} of x") for index, what in ((1, "scale"), (2, "zero point")))
    y_scale, y_zero = (_single(step, index, f"{what} of y") for index, what in ((6, "scale"), (7, "zero point")))
    integers = step.constant(3, "weight")
    per_output = (-1, *[1] * (integers.ndim - 1))
    scale, zero = step.constant(4, "weight's scale"), step.constant(5, "weight's zero point")
    if not {scale.size, zero.size} <= {1, integers.shape[0] if integers.ndim else 1}:
        raise step.refuse("the weight's scale or zero point is neither one number nor one per output channel")
    weight = (integers - zero.reshape(per_output)) * scale.reshape(per_output)
    bias = step.constant(8, "bias", 0.0) * x_scale * scale.ravel()
    x = dequantize(step, step.input(0), x_scale, x_zero, 0)
    return Quantized(
        _convolution(step, x, weight, bias), y_scale, y_zero, 0, *integer_range(step, 7), origin=step.origin
    )


def _single(step: Step, index: int, what: str) -> np.ndarray:
    number = step.constant(index, what)
    if number.size != 1:
        raise step.refuse(f"the {what} has {number.size} elements", "quantize activations per tensor")
    return number.reshape(1)


def _convolution(step: Step, x: Tensor, weight: np.ndarray, bias: np.ndarray) -> Tensor:
    image = Image.of(step, x)
    if weight.ndim != image.axes + 2:
        raise step.refuse(f"a weight of shape {list(weight.shape)} does not fit {image.axes} spatial axes")
    kernel = weight.shape[2:]
    given = step.attributes["kernel_shape"]
    if given is not None and tuple(given) != kernel:
        raise step.refuse(f"kernel_shape {list(given)} differs from that of the weight, {list(kernel)}")
    window = image.window(step, kernel)
    bias = np.broadcast_to(bias, weight.shape[:1]).copy() if bias.size == 1 else bias
    return image.apply(
        step,
        "nn.conv",
        weight=weight if image.axes == 2 else weight[:, :, None, :],
        bias=bias,
        strides=list(window.strides),
        pads=list(window.pads),
        dilations=list(window.dilations),
        groups=step.attributes["group"],
    )
