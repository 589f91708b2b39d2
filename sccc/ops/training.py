"""train: networks that learn on chip. One sample goes forward, its loss backward, and every weight's counter moves by at most
one step.

Everything but the weight update is fixed point (`Fixed`), as published: a gradient element delta_j * x_i is quantised to -1, 0
or +1 by comparing the magnitudes of delta_j and of x_i with random numbers of two independent sources, and counted (gradient
counters, SC-GDC: S. Liu, H. Jiang, L. Liu, J. Han, IEEE TCAD 2018; S. Liu, W. J. Gross, J. Han, IEEE Circuits & Systems
Magazine 20(3), 2020). The expected update is the gradient times the counter's step.

`value` is an op's meaning in real numbers; random choices stand for their expectation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.cells import Comb, Memory, Wire
from sccc.expr import ZERO, Var, clamp, select
from sccc.ir import Operation
from sccc.ops.registry import REGISTRY, Attr, Op
from sccc.ops.training_types import (
    HI_ATTR,
    LO_ATTR,
    STATE_MASK,
    infer_backward,
    infer_between,
    infer_constant,
    infer_dense,
    infer_error,
    infer_gradient,
    infer_halvings,
    infer_input,
    infer_label,
    infer_lookup,
    infer_maximum,
    infer_multiply,
    infer_output,
    infer_quantize,
    infer_residual,
    infer_round,
    infer_scramble,
    infer_source,
    infer_subtract,
    infer_sum,
    infer_weights,
    input_numbers,
)
from sccc.training_cells import FreeRunning, MatrixProduct, Reduce, Register
from sccc.types import Fixed, Random

# -- behaviour -----------------------------------------------------------------------------------------------------------

X, A, B, LANE, LABEL = Var("x"), Var("a"), Var("b"), Var("lane"), Var("label")
STATE, RANDOM = Var("state"), Var("random")
LO, HI, SHIFT = Var("lo"), Var("hi"), Var("shift")

ROUNDED = (((X * 2) >> SHIFT) + 1) >> 1

_XORSHIFT_A = STATE ^ ((STATE * (1 << 13)) & STATE_MASK)
_XORSHIFT_B = _XORSHIFT_A ^ (_XORSHIFT_A >> 17)
XORSHIFT = _XORSHIFT_B ^ ((_XORSHIFT_B * (1 << 5)) & STATE_MASK)
"""xorshift32 (Marsaglia 2003): all 32 bits are mixed in each step, where an LFSR would only shift by one."""


def _bits_of(op: Operation, index: int) -> int:
    kind = op.operands[index].type
    assert isinstance(kind, Fixed)
    return kind.bits


def _real(op: Operation, name: str) -> Any:
    return np.asarray(op.attributes[name]) / 2.0 ** op.attributes["bits"]


def _round_value(op: Operation, x: np.ndarray) -> np.ndarray:
    bits, a = _bits_of(op, 0) - op.attributes["shift"], op.attributes
    return np.clip(np.floor(x * 2.0**bits + 0.5), a["lo"], a["hi"]) / 2.0**bits


def _lookup_value(op: Operation, x: np.ndarray) -> np.ndarray:
    kind = op.operands[0].type
    assert isinstance(kind, Fixed)
    return _real(op, "table")[np.rint(x * 2.0**kind.bits).astype(np.int64) - kind.lo]


def _per_class(op: Operation, x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Where the lane is the sample's class."""
    return np.arange(x.shape[-1]) == np.asarray(label).reshape(-1, 1)


def _column(scalar: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A scalar per sample, to be combined with lanes."""
    return scalar.reshape(-1, *(1,) * (other.ndim - 1)) if scalar.ndim < other.ndim else scalar


def _product_value(op: Operation, a: np.ndarray, b: np.ndarray, bias: Any = None) -> np.ndarray:
    """The product of arrays whose first axis is the batch; of length 1 for weights."""
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, MatrixProduct)
    made = cell.product(op, a, b)
    return made if bias is None else made + bias.reshape(bias.shape + (1,) * (made.ndim - bias.ndim))


def _quantize_value(op: Operation, x: np.ndarray, random: np.ndarray) -> np.ndarray:
    """The expectation: x, limited to what a quantised 1 is worth."""
    kind = op.operands[1].type
    assert isinstance(kind, Random)
    unit = 2.0 ** (kind.bits - _bits_of(op, 0))
    return np.clip(x, -unit, unit)


BITS_ATTR = Attr("int", "fractional bits")

GROUPS_ATTR = {"groups": Attr("int", "parts of each first axis, multiplied each for itself (a grouped convolution)", 1)}

REGISTRY.add(
    Op(
        "train.input",
        "A sample: integers round((x - offset) / scale * 2**bits), saturated.",
        (),
        lambda op, x: input_numbers(op, x) / 2.0 ** op.attributes["bits"],
        infer_input,
        {
            "shape": Attr("ints", "shape without the batch axis"),
            "name": Attr("str", "the ONNX input's name"),
            "scale": Attr("tensor", "the real number that 1.0 stands for, for all inputs or for each", 1.0),
            "offset": Attr("tensor", "the real number that 0 stands for, for all inputs or for each", 0.0),
            "bits": BITS_ATTR,
            "lo": LO_ATTR,
            "hi": HI_ATTR,
        },
        cell=Wire(),
    ),
    Op(
        "train.label",
        "The sample's class.",
        (),
        None,
        infer_label,
        {"classes": Attr("int", "number of classes"), "name": Attr("str", "the port's name", "label")},
        cell=Wire(),
    ),
    Op(
        "train.halvings",
        "How often the step of the weights has been halved: an input, which may change between samples.",
        (),
        None,
        infer_halvings,
        {"most": Attr("int", "the largest number"), "name": Attr("str", "the port's name", "halvings")},
        cell=Wire(),
    ),
    Op(
        "train.constant",
        "Constant numbers.",
        (),
        lambda op: _real(op, "value")[None],
        infer_constant,
        {"value": Attr("tensor", "integers"), "bits": BITS_ATTR},
        cell=Wire(),
    ),
    Op(
        "train.weights",
        "Registers that outlive the sample: counters of weights, or of momentum. The result is what they hold while a sample is "
        "processed; the op that reads them as its register says what they become.",
        (),
        lambda op: _real(op, "initial")[None],
        infer_weights,
        {
            "initial": Attr("tensor", "integers after reset: [outputs, inputs], or [outputs]"),
            "bits": BITS_ATTR,
            "lo": LO_ATTR,
            "hi": HI_ATTR,
        },
        cell=Register(),
    ),
    Op(
        "train.source",
        "A random source that steps once per sample (xorshift32); its most significant bits are the random number. A tensor of "
        "seeds makes one source per lane.",
        (),
        lambda op: np.zeros((1, *np.shape(op.attributes["seeds"]))),
        infer_source,
        {
            "seeds": Attr("tensor", "state after reset, 1 .. 2**32 - 1; a scalar is shared by all lanes"),
            "bits": Attr("int", "bits of the random number"),
            "drop": Attr("int", "bits of the state below the number: 32 - bits"),
        },
        cell=FreeRunning(next=XORSHIFT, out=STATE >> Var("drop")),
    ),
    Op(
        "train.dense",
        "w x + b, exact, at each position of x.",
        ("x", "w", "b"),
        _product_value,
        infer_dense,
        GROUPS_ATTR,
        cell=MatrixProduct(("pn", "mn", "mp"), bias=True),
    ),
    Op(
        "train.backward",
        "The error that a layer hands back: delta w, exact, at each position.",
        ("delta", "w"),
        _product_value,
        infer_backward,
        GROUPS_ATTR,
        cell=MatrixProduct(("mp", "mn", "pn")),
    ),
    Op(
        "train.gradient",
        "The gradient of weights that serve at several positions: the sum of delta x over them, exact.",
        ("delta", "x"),
        _product_value,
        infer_gradient,
        GROUPS_ATTR,
        cell=MatrixProduct(("mp", "pn", "mn")),
    ),
    Op(
        "train.round",
        "x with `shift` fractional bits fewer, rounded to the nearest integer (halves up), limited to lo .. hi.",
        ("x",),
        _round_value,
        infer_round,
        {"shift": Attr("int", "fractional bits that are rounded away", 0), "lo": LO_ATTR, "hi": HI_ATTR},
        cell=Comb(clamp(ROUNDED, LO, HI)),
    ),
    Op(
        "train.lookup",
        "A table.",
        ("x",),
        _lookup_value,
        infer_lookup,
        {"table": Attr("tensor", "integers, one for each value of x from its lo to its hi"), "bits": BITS_ATTR},
        cell=Memory(),
    ),
    Op(
        "train.multiply",
        "a b, lane by lane, exact; a scalar meets every lane.",
        ("a", "b"),
        lambda op, a, b: _column(a, b) * _column(b, a),
        infer_multiply,
        cell=Comb(A * B),
    ),
    Op(
        "train.subtract",
        "a - b, lane by lane; a scalar meets every lane.",
        ("a", "b"),
        lambda op, a, b: _column(a, b) - _column(b, a),
        infer_subtract,
        cell=Comb(A - B),
    ),
    Op(
        "train.between",
        "1 where x lies between two integers, else 0: the slope of a ReLU that saturates.",
        ("x",),
        lambda op, x: (
            (x * 2.0 ** _bits_of(op, 0) > op.attributes["above"]) & (x * 2.0 ** _bits_of(op, 0) < op.attributes["below"])
        ).astype(np.float64),
        infer_between,
        {"above": Attr("int", "0 up to here"), "below": Attr("int", "0 from here on")},
        cell=Comb((Var("above") < X) & (Var("below") > X)),
    ),
    Op(
        "train.sum",
        "The sum along the last axis.",
        ("x",),
        lambda op, x: x.sum(axis=-1),
        infer_sum,
        cell=Reduce(A + B),
    ),
    Op(
        "train.maximum",
        "The largest lane along the last axis.",
        ("x",),
        lambda op, x: x.max(axis=-1),
        infer_maximum,
        cell=Reduce(select(A < B, B, A)),
    ),
    Op(
        "train.residual",
        "The error of softmax and cross-entropy, p - onehot(label). The label's own lane is minus the sum of the others, so that "
        "errors sum to zero however coarse p is.",
        ("p", "total", "label"),
        lambda op, p, total, label: np.where(_per_class(op, p, label), p - total.reshape(-1, 1), p),
        infer_residual,
        cell=Comb(select(LANE.equals(LABEL), Var("p") - Var("total"), Var("p"))),
    ),
    Op(
        "train.error",
        "The error of the squared-error loss, y - target: the target is `on` in the label's lane and `off` in the others.",
        ("y", "label"),
        lambda op, y, label: (
            y
            - np.where(_per_class(op, y, label), op.attributes["on"], op.attributes["off"]) / 2.0 ** _bits_of(op, 0)
        ),
        infer_error,
        {"on": Attr("int", "target of the label's lane"), "off": Attr("int", "target of the others", 0)},
        cell=Comb(Var("y") - select(LANE.equals(LABEL), Var("on"), Var("off"))),
    ),
    Op(
        "train.scramble",
        "One random number made into one for each lane, by inverting the bits that the lane's mask has: each is as uniform as the "
        "first, and lanes whose masks differ in the upper bits do not reach small numbers together (the digital shift of Sobol "
        "sequences: Owen 1995).",
        ("random", "masks"),
        lambda op, random, masks: random,
        infer_scramble,
        cell=Comb(RANDOM ^ Var("masks")),
    ),
    Op(
        "train.quantize",
        "The stochastic ternary quantiser: sign(x) where |x| is greater than the random number, else 0. P(nonzero) = |x| / "
        "2**random.bits, so the expectation is x, in units of the result.",
        ("x", "random"),
        _quantize_value,
        infer_quantize,
        cell=Comb(select(X > RANDOM, 1, select((ZERO - X) > RANDOM, ZERO - 1, 0))),
    ),
    Op(
        "train.output",
        "The network's output, in real units.",
        ("x",),
        lambda op, x: x,
        infer_output,
        {"name": Attr("str", "the ONNX output's name")},
        cell=Wire(),
        has_result=False,
    ),
)  # fmt: skip
