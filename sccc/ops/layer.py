"""Layers with their activations, on which the quantising passes write down their decisions: what becomes hardware."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sccc.ir import Operation
from sccc.ops.activation import activation
from sccc.ops.geometry import WINDOW_ATTRIBUTES
from sccc.ops.nn import infer_dense
from sccc.ops.registry import REGISTRY, Attr, Op
from sccc.ops.spatial import infer_conv

PRODUCT_LAYERS = ("nn.layer", "nn.conv_layer")
"""Layers that multiply."""

LAYERS = (*PRODUCT_LAYERS, "nn.add_layer")


def products(op: Operation, x: np.ndarray) -> np.ndarray:
    """weight x of a product layer, without the bias: [batch, *result shape]."""
    linear = REGISTRY["nn.conv" if op.name == "nn.conv_layer" else "nn.dense"]
    assert linear.value is not None
    attributes = {k: v for k, v in op.attributes.items() if k in linear.attributes}
    return linear.value(Operation(linear.name, op.operands, {**attributes, "bias": np.zeros(())}), x)


def bias_of(op: Operation) -> np.ndarray:
    """The bias of a product layer as its result's lanes take it: [outputs], of images [outputs, 1, 1]."""
    assert op.result is not None
    bias = np.asarray(op.attributes["bias"], dtype=np.float64)
    return bias.reshape(-1, *(1,) * (len(op.result.type.shape) - 1)) if bias.ndim else bias


def _value(op: Operation, x: np.ndarray) -> np.ndarray:
    return activation(op, products(op, x) + bias_of(op))


def one_in_totals(layer: Mapping[str, Any]) -> int:
    """The total that a product of encoded 1.0 and 1.0 makes in the hardware of a layer, by its attributes.

    In streams that is a one in each of `length` cycles; in fixed point, 2**bits times 2**weight_bits.
    """
    return 1 << (layer["bits"] + layer["weight_bits"]) if layer["style"] == "fixed" else layer["length"]


_FUNCTION = {
    "function": Attr("str", "activation: an nn op's name without nn., or identity", "identity"),
    "alpha": Attr("float", "as in the activation's nn op", 0.0),
    "beta": Attr("float", "as in the activation's nn op", 0.0),
    "lo": Attr("float", "as in the activation's nn op", -math.inf),
    "hi": Attr("float", "as in the activation's nn op", math.inf),
    "activation_origin": Attr("str", "ONNX node of the activation", ""),
}

_OUTPUT = {
    "out_scale": Attr("float", "like in_scale, for what leaves the layer (quantize)", 0.0),
    "out_signed": Attr("bool", "whether outputs may be negative (quantize)", False),
}

_DECISIONS = {
    "in_scale": Attr("tensor", "real number that an encoded input of 1.0 stands for (quantize)", 0.0),
    "in_signed": Attr("bool", "whether inputs may be negative (quantize)", False),
    "weight_scale": Attr("tensor", "real number that an encoded weight of 1.0 stands for (quantize)", 0.0),
    **_OUTPUT,
    "x_encoding": Attr("str", "encoding of the input streams (choose-encoding)", ""),
    "w_encoding": Attr("str", "encoding of the weight streams (choose-encoding)", ""),
    "style": Attr("str", "accumulate, streaming or fixed (choose-encoding)", ""),
    "length": Attr("int", "cycles per window (choose-encoding)", 0),
    "bits": Attr("int", "fractional bits of the input levels (choose-encoding)", 0),
    "weight_bits": Attr("int", "fractional bits of the weights (choose-encoding)", 0),
    "sng": Attr("str", "the op that makes the input's streams (choose-encoding)", "sc.sng"),
    "adder": Attr("str", "apc, or, mux (choose-encoding)", "apc"),
    "adder_inputs": Attr("int", "lines that an OR or MUX adder joins (choose-encoding)", 0),
}

REGISTRY.add(
    Op(
        "nn.layer",
        "function(weight x + bias): what becomes one layer of hardware. The attributes after hi are decisions of passes; "
        "0 or '' means not decided yet.",
        ("x",),
        _value,
        infer_dense,
        {
            "weight": Attr("tensor", "[outputs, inputs]"),
            "bias": Attr("tensor", "[outputs]"),
            **_FUNCTION,
            **_DECISIONS,
        },
    ),
    Op(
        "nn.conv_layer",
        "function(weight * x + bias): nn.layer with a convolution in place of the matrix.",
        ("x",),
        _value,
        infer_conv,
        {
            "weight": Attr("tensor", "[outputs, channels / groups, rows, columns]"),
            "bias": Attr("tensor", "[outputs]"),
            **WINDOW_ATTRIBUTES,
            "groups": Attr("int", "parts of the channels that are convolved each for themselves", 1),
            **_FUNCTION,
            **_DECISIONS,
        },
    ),
    Op(
        "nn.add_layer",
        "function(x + y), or function(x) where y is x and `alone`: where branches meet, in binary.",
        ("x", "y"),
        lambda op, x, y: activation(op, x if op.attributes["alone"] else x + y),
        REGISTRY["nn.add"].infer,
        {
            "alone": Attr("bool", "an activation by itself: y is x and is not added", False),
            **_FUNCTION,
            **_OUTPUT,
            "style": Attr("str", "accumulate or fixed (choose-encoding)", ""),
            "bits": Attr("int", "fractional bits of the output levels that nobody multiplies (choose-encoding)", 0),
        },
    ),
)
