"""nn.layer: a dense layer with its activation, on which the quantising passes write down their decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sccc.ir import Operation
from sccc.ops.activation import activation
from sccc.ops.nn import infer_dense
from sccc.ops.registry import REGISTRY, Attr, Op


def _value(op: Operation, x: np.ndarray) -> np.ndarray:
    z = x @ np.asarray(op.attributes["weight"]).T + op.attributes["bias"]
    return activation(op, z)


def one_in_totals(layer: Mapping[str, Any]) -> int:
    """The total that a product of encoded 1.0 and 1.0 makes in the hardware of a layer, by its attributes.

    In streams that is a one in each of `length` cycles; in fixed point, 2**bits times 2**weight_bits.
    """
    return 1 << (layer["bits"] + layer["weight_bits"]) if layer["style"] == "fixed" else layer["length"]


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
            "style": Attr("str", "accumulate, streaming or fixed (choose-encoding)", ""),
            "length": Attr("int", "cycles per window (choose-encoding)", 0),
            "bits": Attr("int", "fractional bits of the input levels (choose-encoding)", 0),
            "weight_bits": Attr("int", "fractional bits of the weights (choose-encoding)", 0),
        },
    )
)
