"""nn.layer: a dense layer with its activation, on which the quantising passes write down their decisions."""

from __future__ import annotations

import math

import numpy as np

from sccc.ir import Operation
from sccc.ops.activation import activation
from sccc.ops.nn import infer_dense
from sccc.ops.registry import REGISTRY, Attr, Op


def _value(op: Operation, x: np.ndarray) -> np.ndarray:
    z = x @ np.asarray(op.attributes["weight"]).T + op.attributes["bias"]
    return activation(op, z)


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
            "function": Attr("str", "activation: an nn op's name without nn., or identity", "identity"),
            "alpha": Attr("float", "as in the activation's nn op", 0.0),
            "beta": Attr("float", "as in the activation's nn op", 0.0),
            "lo": Attr("float", "as in the activation's nn op", -math.inf),
            "hi": Attr("float", "as in the activation's nn op", math.inf),
            "activation_origin": Attr("str", "ONNX node of the activation", ""),
            "in_scale": Attr("tensor", "real number that an encoded input of 1.0 stands for (quantize)", 0.0),
            "in_signed": Attr("bool", "whether inputs may be negative (quantize)", False),
            "weight_scale": Attr("tensor", "real number that an encoded weight of 1.0 stands for (quantize)", 0.0),
            "out_scale": Attr("float", "like in_scale, for what leaves the layer (quantize)", 0.0),
            "out_signed": Attr("bool", "whether outputs may be negative (quantize)", False),
            "x_encoding": Attr("str", "encoding of the input streams (choose-encoding)", ""),
            "w_encoding": Attr("str", "encoding of the weight streams (choose-encoding)", ""),
            "style": Attr("str", "accumulate or streaming (choose-encoding)", ""),
            "length": Attr("int", "cycles per window (choose-encoding)", 0),
            "bits": Attr("int", "fractional bits of the input levels and weights (choose-encoding)", 0),
        },
    )
)
