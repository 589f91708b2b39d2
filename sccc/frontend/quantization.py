"""QuantizeLinear and DequantizeLinear around what the network computes -> nn.quantize, with their own scales.

Around constants they are folded like everything else.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto

from sccc.frontend.bindings import BATCH, INTEGERS, Binding, Known, Quantized, Tensor
from sccc.frontend.handlers import Step, handles
from sccc.frontend.layout import along_axis
from sccc.frontend.passing import type_name


@handles("QuantizeLinear", attributes={"axis": 1, "saturate": 1, "block_size": 0, "output_dtype": 0, "precision": 0})
def quantize_linear(step: Step) -> Quantized:
    x = step.tensor(0)
    lo, hi = integer_range(step, 2, step.attributes["output_dtype"] or TensorProto.UINT8)
    scale, zero_point, axis = _parameters(step, x)
    return Quantized(x, scale, zero_point, axis, lo, hi, step.origin)


def integer_range(step: Step, index: int, target: int = TensorProto.UINT8) -> tuple[int, int]:
    """Smallest and largest number of the type of a zero point (input `index`), or of `target` when it was left out."""
    zero = step.input(index)
    if isinstance(zero, Known):
        target = onnx.helper.np_dtype_to_tensor_dtype(zero.array.dtype)
    if target not in INTEGERS:
        raise step.refuse(f"to {type_name(target)} is not supported", "quantize to integers of 2 to 16 bits")
    return INTEGERS[target]


@handles("DequantizeLinear", attributes={"axis": 1, "block_size": 0, "output_dtype": 0}, any_type=True, quantized=True)
def dequantize_linear(step: Step) -> Tensor:
    """What its QuantizeLinear, or an integer input of the network, stands for."""
    source = step.input(0)
    scale, zero_point, axis = _parameters(step, source.tensor if isinstance(source, Quantized) else step.tensor(0))
    return dequantize(step, source, scale, zero_point, axis)


def dequantize(step: Step, source: Binding | None, scale: np.ndarray, zero_point: np.ndarray, axis: int) -> Tensor:
    """Together with its QuantizeLinear one op; of an integer input of the network an affine one."""
    if not isinstance(source, Quantized):
        return _dequantize_input(step, step.tensor(0), scale, zero_point, axis)
    x = source.tensor
    same = np.array_equal(scale, source.scale) and np.array_equal(zero_point, source.zero_point)
    if not same or (scale.size > 1 and axis != source.axis):
        raise step.refuse(
            f"its scale, zero point or axis differ from those of QuantizeLinear '{source.origin}'",
            "give both nodes the same parameters",
        )
    return step.apply(
        "nn.quantize",
        x,
        scale=_spread(scale, x, axis),
        zero_point=_spread(zero_point, x, axis),
        lo=source.lo,
        hi=source.hi,
    )


def _dequantize_input(step: Step, x: Tensor, scale: np.ndarray, zero_point: np.ndarray, axis: int) -> Tensor:
    if x.type not in INTEGERS:
        raise step.refuse("reads no integers: there is no QuantizeLinear before it")
    scale, zero_point = _spread(scale, x, axis), _spread(zero_point, x, axis)
    return replace(step.apply("nn.affine", x, scale=scale, shift=-zero_point * scale), type=TensorProto.FLOAT)


def _parameters(step: Step, x: Tensor) -> tuple[np.ndarray, np.ndarray, int]:
    """Scale and zero point, both flat and of one size, and the axis that they run along."""
    if step.attributes["block_size"]:
        raise step.refuse("block_size is not honoured", "quantize per tensor or per axis")
    scale = step.constant(1, "scale")
    zero_point = step.constant(2, "zero point", np.zeros(scale.shape))
    if scale.size == 0 or scale.size != zero_point.size or scale.ndim > 1 or zero_point.ndim > 1:
        raise step.refuse(f"scale {list(scale.shape)} and zero point {list(zero_point.shape)} do not fit")
    if np.any(scale <= 0):
        raise step.refuse("a scale is not positive")
    axis = 0
    if scale.size > 1:
        axis = step.axis(step.attributes["axis"], x.rank)
        if x.dims[axis] is BATCH or x.dims[axis] != scale.size:
            raise step.refuse(f"{scale.size} scales do not fit axis {axis}")
    return scale.ravel(), zero_point.ravel(), axis


def _spread(vector: np.ndarray, x: Tensor, axis: int) -> np.ndarray:
    return vector.reshape(()) if vector.size == 1 else along_axis(vector, x, axis)
