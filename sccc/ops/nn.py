"""nn: the float network, as the frontend reads it. These ops have a meaning in reals and no hardware.

Shapes leave out the batch axis, which is always axis 0 of the arrays handed to `value`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sccc.ir import Operation
from sccc.ops.registry import REGISTRY, Attr, Op, expect, refuse
from sccc.types import Real, Type


def _same_type(op: Operation) -> Type:
    return expect(op, 0, Real)


def _infer_input(op: Operation) -> Type:
    return Real(tuple(op.attributes["shape"]))


def _infer_constant(op: Operation) -> Type:
    return Real(np.asarray(op.attributes["value"]).shape)


def infer_dense(op: Operation) -> Type:
    x = expect(op, 0, Real)
    weight, bias = (np.asarray(op.attributes[k]) for k in ("weight", "bias"))
    if weight.ndim != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise refuse(op, f"a weight of shape {weight.shape} does not fit an input of shape {x.shape}")
    if bias.shape not in ((), (weight.shape[0],)):
        raise refuse(op, f"a bias of shape {bias.shape} does not fit {weight.shape[0]} outputs")
    return Real((*x.shape[:-1], weight.shape[0]))


def _infer_affine(op: Operation) -> Type:
    x = expect(op, 0, Real)
    for name in ("scale", "shift"):
        shape = np.asarray(op.attributes[name]).shape
        try:
            fits = np.broadcast_shapes(shape, x.shape) == x.shape
        except ValueError:
            fits = False
        if not fits:
            raise refuse(op, f"a {name} of shape {shape} does not fit an input of shape {x.shape}")
    return x


def _infer_reshape(op: Operation) -> Type:
    x = expect(op, 0, Real)
    shape = tuple(op.attributes["shape"])
    if math.prod(shape) != x.lanes:
        raise refuse(op, f"cannot reshape {x.shape} to {shape}")
    return Real(shape)


def _infer_transpose(op: Operation) -> Type:
    x = expect(op, 0, Real)
    perm = list(op.attributes["perm"])
    if sorted(perm) != list(range(len(x.shape))):
        raise refuse(op, f"perm {perm} is not a permutation of the {len(x.shape)} axes")
    return Real(tuple(x.shape[p] for p in perm))


def _infer_argmax(op: Operation) -> Type:
    expect(op, 0, Real)
    return Real(())


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def _softmax(op: Operation, x: np.ndarray) -> np.ndarray:
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _fake_quantize(op: Operation, x: np.ndarray) -> np.ndarray:
    a: dict[str, Any] = op.attributes
    zero = np.asarray(a["zero_point"])
    return (np.clip(np.rint(x / a["scale"]) + zero, a["lo"], a["hi"]) - zero) * a["scale"]


def _elementwise(name: str, doc: str, value: Any, **attributes: Attr) -> Op:
    return Op(name, doc, ("x",), lambda op, x: value(op.attributes, x), _same_type, attributes)


REGISTRY.add(
    Op(
        "nn.input",
        "The network's input, one sample.",
        (),
        None,
        _infer_input,
        {
            "shape": Attr("ints", "shape without the batch axis"),
            "name": Attr("str", "the ONNX input's name"),
            "out_scale": Attr("float", "real number that an encoded 1.0 of it stands for (quantize)", 0.0),
            "out_signed": Attr("bool", "whether it may be negative (quantize)", False),
        },
    ),
    Op(
        "nn.output",
        "The network's output.",
        ("x",),
        lambda op, x: x,
        _same_type,
        {"name": Attr("str", "the ONNX output's name")},
        has_result=False,
    ),
    Op(
        "nn.constant",
        "A constant tensor, the same for every sample.",
        (),
        lambda op: np.asarray(op.attributes["value"])[None],
        _infer_constant,
        {"value": Attr("tensor", "its value")},
    ),
    Op(
        "nn.dense",
        "y = weight x + bias, along the last axis.",
        ("x",),
        lambda op, x: x @ np.asarray(op.attributes["weight"]).T + op.attributes["bias"],
        infer_dense,
        {
            "weight": Attr("tensor", "[outputs, inputs]"),
            "bias": Attr("tensor", "[outputs]", 0.0),
            "range": Attr("float", "real number that an encoded input of 1.0 shall stand for; 0: to be chosen", 0.0),
        },
    ),
    Op(
        "nn.affine",
        "y = scale x + shift, element by element (BatchNormalization, input normalisation, a lone bias).",
        ("x",),
        lambda op, x: x * op.attributes["scale"] + op.attributes["shift"],
        _infer_affine,
        {
            "scale": Attr("tensor", "broadcastable to x's shape", 1.0),
            "shift": Attr("tensor", "broadcastable to x's shape", 0.0),
        },
    ),
    _elementwise("nn.tanh", "Hyperbolic tangent.", lambda a, x: np.tanh(x)),
    _elementwise("nn.sigmoid", "1 / (1 + exp(-x)).", lambda a, x: 0.5 * (1.0 + np.tanh(0.5 * x))),
    _elementwise("nn.relu", "max(x, 0).", lambda a, x: np.maximum(x, 0.0)),
    _elementwise(
        "nn.leaky_relu",
        "x where x >= 0, else alpha x.",
        lambda a, x: np.where(x >= 0, x, a["alpha"] * x),
        alpha=Attr("float", "slope below zero", 0.01),
    ),
    _elementwise(
        "nn.clip",
        "x limited to lo .. hi.",
        lambda a, x: np.clip(x, a["lo"], a["hi"]),
        lo=Attr("float", "lower bound", -math.inf),
        hi=Attr("float", "upper bound", math.inf),
    ),
    _elementwise(
        "nn.hard_sigmoid",
        "min(max(alpha x + beta, 0), 1).",
        lambda a, x: np.clip(a["alpha"] * x + a["beta"], 0.0, 1.0),
        alpha=Attr("float", "slope", 0.2),
        beta=Attr("float", "value at zero", 0.5),
    ),
    _elementwise(
        "nn.hard_swish",
        "x min(max(x / 6 + 1/2, 0), 1) (Howard et al., Searching for MobileNetV3, ICCV 2019).",
        lambda a, x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    ),
    Op(
        "nn.quantize",
        "QuantizeLinear then DequantizeLinear: (clip(round(x / scale) + zero_point, lo, hi) - zero_point) scale.",
        ("x",),
        _fake_quantize,
        _same_type,
        {
            "scale": Attr("tensor", "step, broadcastable to x's shape"),
            "zero_point": Attr("tensor", "the integer that stands for 0", 0),
            "lo": Attr("int", "smallest integer"),
            "hi": Attr("int", "largest integer"),
        },
    ),
    Op("nn.softmax", "exp(x) / sum(exp(x)) along the last axis; at the output only.", ("x",), _softmax, _same_type),
    Op(
        "nn.argmax",
        "The index of the largest element (the first one of equals); at the output only.",
        ("x",),
        lambda op, x: np.argmax(_flat(x), axis=1),
        _infer_argmax,
    ),
    Op(
        "nn.reshape",
        "The same numbers in row-major order under another shape.",
        ("x",),
        lambda op, x: x.reshape(len(x), *op.attributes["shape"]),
        _infer_reshape,
        {
            "shape": Attr("ints", "new shape without the batch axis"),
            "range": Attr("float", "as in nn.dense, for the layer behind", 0.0),
        },
    ),
    Op(
        "nn.transpose",
        "Axes permuted.",
        ("x",),
        lambda op, x: x.transpose(0, *(p + 1 for p in op.attributes["perm"])),
        _infer_transpose,
        {"perm": Attr("ints", "permutation of the axes, without the batch axis")},
    ),
)
