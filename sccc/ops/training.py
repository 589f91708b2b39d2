"""train: networks that learn on chip. One sample goes forward, its loss backward, and every weight's counter moves by at most
one step.

Everything but the weight update is fixed point (`Fixed`), as published: a gradient element delta_j * x_i is quantised to -1, 0
or +1 by comparing the magnitudes of delta_j and of x_i with random numbers of two independent sources, and counted (gradient
counters, SC-GDC: S. Liu, H. Jiang, L. Liu, J. Han, IEEE TCAD 2018; S. Liu, W. J. Gross, J. Han, IEEE Circuits & Systems
Magazine 20(3), 2020). The expected update is the gradient times the counter's step.

`value` is an op's meaning in real numbers; random choices stand for their expectation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sccc.cells import Comb, Memory, Wire
from sccc.expr import ZERO, Var, clamp, select
from sccc.intervals import interval
from sccc.ir import Operation, Value
from sccc.ops.registry import REGISTRY, Attr, Op, expect, refuse
from sccc.training_cells import FreeRunning, MatrixProduct, Reduce, Register, Update
from sccc.types import Fixed, Random, Type

LARGEST = 1 << 62
"""Numbers beyond it would not fit the simulator's integers."""

STATE_BITS = 32
"""Register bits of a free-running source."""

_STATE_MASK = (1 << STATE_BITS) - 1


def _fixed(op: Operation, shape: tuple[int, ...], lo: int, hi: int, bits: int) -> Fixed:
    if lo > hi:
        raise refuse(op, f"lo = {lo} is greater than hi = {hi}")
    if max(-lo, hi) >= LARGEST:
        raise refuse(op, f"numbers within {lo} .. {hi} may reach 2**62", "use fewer bits")
    return Fixed(shape, int(lo), int(hi), int(bits))


def _integers(op: Operation, name: str) -> np.ndarray:
    values = np.asarray(op.attributes[name])
    if values.dtype.kind not in "iu" or values.size == 0:
        raise refuse(op, f"{name} must hold integers, and is {values.dtype} of shape {values.shape}")
    return values


def _same_bits(op: Operation, a: Fixed, b: Fixed) -> int:
    if a.bits != b.bits:
        raise refuse(op, f"{a} and {b} have different fractional bits", "round one of them first")
    return a.bits


def _joint_shape(op: Operation, a: Type, b: Type) -> tuple[int, ...]:
    """Lanes of two operands: equal, or one of them is a scalar."""
    if a.shape != b.shape and a.shape and b.shape:
        raise refuse(op, f"{a} and {b} have different shapes", "want the same shape, or a scalar")
    return a.shape or b.shape


def ranges_of(op: Operation) -> dict[str, tuple[int, int]]:
    """The ranges of all that an op's expressions read: operands, integer attributes, the lane's number and the state."""
    definition = REGISTRY[op.name]
    ranges = {}
    for name, operand in zip(definition.operands, op.operands, strict=True):
        kind = operand.type
        ranges[name] = (kind.lo, kind.hi) if isinstance(kind, Fixed) else (0, (1 << getattr(kind, "bits", 1)) - 1)
    for name, attr in definition.attributes.items():
        if attr.kind == "int" and name in op.attributes:
            ranges[name] = (int(op.attributes[name]),) * 2
    lanes = max([1, *(operand.type.lanes for operand in op.operands)])
    return {**ranges, "lane": (0, lanes - 1), "state": (0, _STATE_MASK)}


def _comb_range(op: Operation) -> tuple[int, int]:
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, Comb)
    return interval(cell.result, ranges_of(op))


# -- type inference ------------------------------------------------------------------------------------------------------


def _infer_input(op: Operation) -> Type:
    a = op.attributes
    if not a["shape"] or min(a["shape"]) < 1:
        raise refuse(op, f"shape {a['shape']} must be a list of positive sizes")
    if not np.isfinite(np.asarray(a["offset"])).all() or not np.all(np.asarray(a["scale"])):
        raise refuse(op, "scale must not be 0, and offset must be finite")
    return _fixed(op, tuple(a["shape"]), a["lo"], a["hi"], a["bits"])


def input_numbers(op: Operation, x: np.ndarray) -> np.ndarray:
    """The integers (int64) that the hardware is given for real inputs x [samples, ...]: nearest, saturated."""
    a = op.attributes
    encoded = (np.asarray(x, dtype=np.float64) - np.asarray(a["offset"])) / np.asarray(a["scale"])
    return np.clip(np.rint(encoded * 2.0 ** a["bits"]), a["lo"], a["hi"]).astype(np.int64)


def _infer_label(op: Operation) -> Type:
    if op.attributes["classes"] < 2:
        raise refuse(op, f"classes = {op.attributes['classes']} must be at least 2")
    return _fixed(op, (), 0, op.attributes["classes"] - 1, 0)


def _infer_constant(op: Operation) -> Type:
    value = _integers(op, "value")
    return _fixed(op, value.shape, int(value.min()), int(value.max()), op.attributes["bits"])


def _infer_weights(op: Operation) -> Type:
    initial, a = _integers(op, "initial"), op.attributes
    if initial.ndim not in (1, 2):
        raise refuse(op, f"initial must be a vector or a matrix, and has the shape {initial.shape}")
    if initial.min() < a["lo"] or initial.max() > a["hi"]:
        raise refuse(op, f"initial must lie in {a['lo']} .. {a['hi']}")
    return _fixed(op, initial.shape, a["lo"], a["hi"], a["bits"])


def _infer_source(op: Operation) -> Type:
    seeds, bits = _integers(op, "seeds"), op.attributes["bits"]
    if seeds.min() < 1 or seeds.max() > _STATE_MASK:
        raise refuse(op, f"seeds must lie in 1 .. {_STATE_MASK}: the state 0 never changes")
    if not 1 <= bits <= STATE_BITS - 8:
        raise refuse(op, f"bits = {bits} is outside 1 .. {STATE_BITS - 8}")
    if op.attributes["drop"] != STATE_BITS - bits:
        raise refuse(op, f"drop = {op.attributes['drop']} must be {STATE_BITS} - bits = {STATE_BITS - bits}")
    return Random(seeds.shape, bits)


def _infer_dense(op: Operation) -> Type:
    x, w, b = (expect(op, i, Fixed) for i in range(3))
    if len(w.shape) != 2 or x.shape != w.shape[1:] or b.shape != w.shape[:1]:
        raise refuse(op, f"{w}, {b} do not fit the input {x}; want [m, n], [m] and [n]")
    if b.bits != w.bits or x.bits < 0:
        raise refuse(op, f"{b} must have the {w.bits} fractional bits of the weights, and {x} at least 0")
    lo, hi = interval(Var("w") * Var("x"), {"w": (w.lo, w.hi), "x": (x.lo, x.hi)})
    n = x.shape[0]
    return _fixed(op, b.shape, n * lo + (b.lo << x.bits), n * hi + (b.hi << x.bits), w.bits + x.bits)


def _infer_backward(op: Operation) -> Type:
    delta, w = expect(op, 0, Fixed), expect(op, 1, Fixed)
    if len(w.shape) != 2 or delta.shape != w.shape[:1]:
        raise refuse(op, f"{w} does not fit {delta}; want [m, n] and [m]")
    lo, hi = interval(Var("w") * Var("x"), {"w": (w.lo, w.hi), "x": (delta.lo, delta.hi)})
    m = delta.shape[0]
    return _fixed(op, w.shape[1:], m * lo, m * hi, w.bits + delta.bits)


def _infer_round(op: Operation) -> Type:
    x, a = expect(op, 0, Fixed), op.attributes
    if not 0 <= a["shift"] <= 60:
        raise refuse(op, f"shift = {a['shift']} is outside 0 .. 60")
    return _fixed(op, x.shape, a["lo"], a["hi"], x.bits - a["shift"])


def _infer_lookup(op: Operation) -> Type:
    x, table = expect(op, 0, Fixed), _integers(op, "table")
    if table.shape != (x.hi - x.lo + 1,):
        raise refuse(op, f"the table must hold {x.hi - x.lo + 1} integers, one for each of {x.lo}..{x.hi}")
    return _fixed(op, x.shape, int(table.min()), int(table.max()), op.attributes["bits"])


def _infer_multiply(op: Operation) -> Type:
    a, b = expect(op, 0, Fixed), expect(op, 1, Fixed)
    return _fixed(op, _joint_shape(op, a, b), *_comb_range(op), a.bits + b.bits)


def _infer_subtract(op: Operation) -> Type:
    a, b = expect(op, 0, Fixed), expect(op, 1, Fixed)
    return _fixed(op, _joint_shape(op, a, b), *_comb_range(op), _same_bits(op, a, b))


def _infer_positive(op: Operation) -> Type:
    return _fixed(op, expect(op, 0, Fixed).shape, 0, 1, 0)


def _infer_sum(op: Operation) -> Type:
    x = expect(op, 0, Fixed)
    return _fixed(op, (), x.lanes * x.lo, x.lanes * x.hi, x.bits)


def _infer_maximum(op: Operation) -> Type:
    x = expect(op, 0, Fixed)
    return _fixed(op, (), x.lo, x.hi, x.bits)


def _label_of(op: Operation, index: int, x: Fixed) -> None:
    label = expect(op, index, Fixed)
    if label.shape or label.bits or label.hi != x.lanes - 1:
        raise refuse(op, f"{label} is no class of {x.lanes}", f"want train.label {{classes = {x.lanes}}}")


def _infer_residual(op: Operation) -> Type:
    p, total = expect(op, 0, Fixed), expect(op, 1, Fixed)
    _same_bits(op, p, total)
    _label_of(op, 2, p)
    if total.shape:
        raise refuse(op, f"{total} must be a scalar", "want the train.sum of p")
    return _fixed(op, p.shape, *_comb_range(op), p.bits)


def _infer_error(op: Operation) -> Type:
    y = expect(op, 0, Fixed)
    _label_of(op, 1, y)
    return _fixed(op, y.shape, *_comb_range(op), y.bits)


def _infer_quantize(op: Operation) -> Type:
    x, random = expect(op, 0, Fixed), expect(op, 1, Random)
    if random.shape not in ((), x.shape):
        raise refuse(op, f"random numbers of shape {random.shape} do not fit {x}")
    return _fixed(op, x.shape, -1 if x.lo < 0 else 0, 1, x.bits - random.bits)


def _infer_output(op: Operation) -> Type:
    return expect(op, 0, Fixed)


# -- legality ------------------------------------------------------------------------------------------------------------


def _ternary(op: Operation, index: int) -> Fixed:
    kind: Fixed = expect(op, index, Fixed)
    if kind.lo < -1 or kind.hi > 1:
        raise refuse(op, f"%{op.operands[index].name} must be -1, 0 or 1, and is {kind}", "use train.quantize")
    return kind


def sources_of(value: Value) -> list[Operation]:
    """The free-running sources that a quantised value compares with; none for a constant."""
    op = value.op
    if op is None or op.name != "train.quantize":
        return []
    source = op.operands[1].op
    return [source] if source is not None else []


def _require_independent(op: Operation, *indices: int) -> None:
    """The product of two quantised values has the product of their probabilities only if their sources are independent."""
    sources = [source for index in indices for source in sources_of(op.operands[index])]
    for number, a in enumerate(sources):
        for b in sources[number + 1 :]:
            shared = np.intersect1d(_integers(a, "seeds"), _integers(b, "seeds"))
            if a is b or shared.size:
                names = " and ".join(f"%{op.operands[i].name}" for i in indices)
                raise refuse(
                    op,
                    f"{names} compare with the same random numbers, so their product would be their minimum",
                    "give them sources with other seeds",
                )


def _require_register(op: Operation) -> Fixed:
    kind: Fixed = expect(op, 0, Fixed)
    maker = op.operands[0].op
    if maker is None or maker.name != "train.weights":
        raise refuse(op, f"%{op.operands[0].name} is no register", "want the result of train.weights")
    for name, wanted in (("lo", kind.lo), ("hi", kind.hi)):
        if op.attributes[name] != wanted:
            raise refuse(op, f"{name} = {op.attributes[name]} must be the register's, {wanted}")
    return kind


def _require_outer(op: Operation, register: Fixed, delta: Fixed, x: Fixed) -> None:
    if register.shape != (*delta.shape, *x.shape):
        raise refuse(op, f"{delta} and {x} do not fit the register {register}; want [m], [n] and [m, n]")


def _require_move(op: Operation, bits: int) -> None:
    """A move must be worth what its operands say: 2**-bits of a gradient of 1.0 are so many steps."""
    if bits > 0 or op.attributes["move"] != 1 << -bits:
        raise refuse(op, f"move = {op.attributes['move']} must be 2**{-bits}, what the quantised operands are worth")


def _infer_count(op: Operation) -> Type:
    register = _require_register(op)
    delta, x = _ternary(op, 1), _ternary(op, 2)
    _require_outer(op, register, delta, x)
    _require_move(op, delta.bits + x.bits)
    _require_independent(op, 1, 2)
    return register


def _infer_average(op: Operation) -> Type:
    register = _require_register(op)
    delta, x, out = _ternary(op, 1), _ternary(op, 2), _ternary(op, 3)
    _require_outer(op, register, delta, x)
    if out.shape != register.shape:
        raise refuse(op, f"{out} must have the shape of the register {register}")
    if out.bits != delta.bits + x.bits:
        raise refuse(op, f"{out} must be worth as much as {delta} times {x}", "quantise the register with its own bits")
    _require_independent(op, 1, 2, 3)
    return register


def _infer_count_by(op: Operation) -> Type:
    register, out = _require_register(op), _ternary(op, 1)
    if out.shape != register.shape:
        raise refuse(op, f"{out} must have the shape of the register {register}")
    _require_move(op, out.bits)
    return register


def _infer_descend(op: Operation) -> Type:
    register, delta, x = _require_register(op), expect(op, 1, Fixed), expect(op, 2, Fixed)
    _require_outer(op, register, delta, x)
    if not 0 <= op.attributes["shift"] <= 60:
        raise refuse(op, f"shift = {op.attributes['shift']} is outside 0 .. 60")
    return register


# -- behaviour -----------------------------------------------------------------------------------------------------------

X, A, B, LANE, LABEL = Var("x"), Var("a"), Var("b"), Var("lane"), Var("label")
STATE, RANDOM, DELTA, W, OUT, MOVE = (Var(n) for n in ("state", "random", "delta", "w", "out", "move"))
LO, HI, SHIFT = Var("lo"), Var("hi"), Var("shift")

ROUNDED = (((X * 2) >> SHIFT) + 1) >> 1

_XORSHIFT_A = STATE ^ ((STATE * (1 << 13)) & _STATE_MASK)
_XORSHIFT_B = _XORSHIFT_A ^ (_XORSHIFT_A >> 17)
XORSHIFT = _XORSHIFT_B ^ ((_XORSHIFT_B * (1 << 5)) & _STATE_MASK)
"""xorshift32 (Marsaglia 2003): all 32 bits are mixed in each step, where an LFSR would only shift by one."""

ELEMENT_MOVES = DELTA & X & 1
ELEMENT_NEGATIVE = ((DELTA ^ X) >> 1) & 1
"""The quantised gradient element delta * x: an AND of the magnitudes, an XOR of the signs (two's complement of two bits)."""


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


def _outer(delta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return delta[:, :, None] * x[:, None, :] if x.ndim == 2 else delta * x.reshape(-1, 1)


def _after(op: Operation, w: np.ndarray, change: np.ndarray) -> np.ndarray:
    bits = _bits_of(op, 0)
    return np.clip(w + change, op.attributes["lo"] / 2.0**bits, op.attributes["hi"] / 2.0**bits)


def _step(op: Operation) -> float:
    return 2.0 ** -_bits_of(op, 0)


BITS_ATTR = Attr("int", "fractional bits")
LO_ATTR = Attr("int", "smallest integer, where numbers saturate")
HI_ATTR = Attr("int", "largest integer, where numbers saturate")
MOVE_ATTR = Attr("int", "steps by which a quantised gradient of 1 moves the counter: what its operands are worth", 1)

REGISTRY.add(
    Op(
        "train.input",
        "A sample: integers round((x - offset) / scale * 2**bits), saturated.",
        (),
        lambda op, x: input_numbers(op, x) / 2.0 ** op.attributes["bits"],
        _infer_input,
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
        _infer_label,
        {"classes": Attr("int", "number of classes"), "name": Attr("str", "the port's name", "label")},
        cell=Wire(),
    ),
    Op(
        "train.constant",
        "Constant numbers.",
        (),
        lambda op: _real(op, "value")[None],
        _infer_constant,
        {"value": Attr("tensor", "integers"), "bits": BITS_ATTR},
        cell=Wire(),
    ),
    Op(
        "train.weights",
        "Registers that outlive the sample: counters of weights, or of momentum. The result is what they hold while a sample is "
        "processed; the op that reads them as its register says what they become.",
        (),
        lambda op: _real(op, "initial")[None],
        _infer_weights,
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
        _infer_source,
        {
            "seeds": Attr("tensor", "state after reset, 1 .. 2**32 - 1; a scalar is shared by all lanes"),
            "bits": Attr("int", "bits of the random number"),
            "drop": Attr("int", "bits of the state below the number: 32 - bits"),
        },
        cell=FreeRunning(next=XORSHIFT, out=STATE >> Var("drop")),
    ),
    Op(
        "train.dense",
        "w x + b, exact.",
        ("x", "w", "b"),
        lambda op, x, w, b: x @ w[0].T + b,
        _infer_dense,
        cell=MatrixProduct(transposed=False),
    ),
    Op(
        "train.backward",
        "The error that a layer hands back: delta w, exact.",
        ("delta", "w"),
        lambda op, delta, w: delta @ w[0],
        _infer_backward,
        cell=MatrixProduct(transposed=True),
    ),
    Op(
        "train.round",
        "x with `shift` fractional bits fewer, rounded to the nearest integer (halves up), limited to lo .. hi.",
        ("x",),
        _round_value,
        _infer_round,
        {"shift": Attr("int", "fractional bits that are rounded away", 0), "lo": LO_ATTR, "hi": HI_ATTR},
        cell=Comb(clamp(ROUNDED, LO, HI)),
    ),
    Op(
        "train.lookup",
        "A table.",
        ("x",),
        _lookup_value,
        _infer_lookup,
        {"table": Attr("tensor", "integers, one for each value of x from its lo to its hi"), "bits": BITS_ATTR},
        cell=Memory(),
    ),
    Op(
        "train.multiply",
        "a b, lane by lane, exact; a scalar meets every lane.",
        ("a", "b"),
        lambda op, a, b: _column(a, b) * _column(b, a),
        _infer_multiply,
        cell=Comb(A * B),
    ),
    Op(
        "train.subtract",
        "a - b, lane by lane; a scalar meets every lane.",
        ("a", "b"),
        lambda op, a, b: _column(a, b) - _column(b, a),
        _infer_subtract,
        cell=Comb(A - B),
    ),
    Op(
        "train.positive",
        "1 where x > 0, else 0: the slope of ReLU.",
        ("x",),
        lambda op, x: (x > 0).astype(np.float64),
        _infer_positive,
        cell=Comb(X > 0),
    ),
    Op(
        "train.sum",
        "The sum of all lanes.",
        ("x",),
        lambda op, x: x.sum(axis=1),
        _infer_sum,
        cell=Reduce(A + B),
    ),
    Op(
        "train.maximum",
        "The largest lane.",
        ("x",),
        lambda op, x: x.max(axis=1),
        _infer_maximum,
        cell=Reduce(select(A < B, B, A)),
    ),
    Op(
        "train.residual",
        "The error of softmax and cross-entropy, p - onehot(label). The label's own lane is minus the sum of the others, so that "
        "errors sum to zero however coarse p is.",
        ("p", "total", "label"),
        lambda op, p, total, label: np.where(_per_class(op, p, label), p - total.reshape(-1, 1), p),
        _infer_residual,
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
        _infer_error,
        {"on": Attr("int", "target of the label's lane"), "off": Attr("int", "target of the others", 0)},
        cell=Comb(Var("y") - select(LANE.equals(LABEL), Var("on"), Var("off"))),
    ),
    Op(
        "train.quantize",
        "The stochastic ternary quantiser: sign(x) where |x| is greater than the random number, else 0. P(nonzero) = |x| / "
        "2**random.bits, so the expectation is x, in units of the result.",
        ("x", "random"),
        lambda op, x, random: np.clip(x, -(2.0 ** _unit(op)), 2.0 ** _unit(op)),
        _infer_quantize,
        cell=Comb(select(X > RANDOM, 1, select((ZERO - X) > RANDOM, ZERO - 1, 0))),
    ),
    Op(
        "train.count",
        "A gradient counter (SC-GDC) per weight: where the quantised delta and x are both nonzero the counter moves against the "
        "sign of their product. It saturates.",
        ("w", "delta", "x"),
        lambda op, w, delta, x: _after(op, w, -_step(op) * _outer(delta, x)),
        _infer_count,
        {"move": MOVE_ATTR, "lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(
            clamp(select(ELEMENT_MOVES > 0, select(ELEMENT_NEGATIVE > 0, W + MOVE, W - MOVE), W), LO, HI),
            rows="delta",
            columns="x",
            still=("delta", "x"),
        ),
    ),
    Op(
        "train.average",
        "A momentum counter (SC-GDM) per weight: up and down with the quantised gradient, and against its own stream `out`, the "
        "quantised counter. With w.bits = s its mean follows the exponential moving average of beta = 1 - 2**-s, whatever the "
        "counter's width (ADDIE: Gaines 1969; decoupled: Liu & Gross).",
        ("w", "delta", "x", "out"),
        lambda op, w, delta, x, out: _after(op, w, _step(op) * 2.0 ** _bits_of(op, 3) * (_outer(delta, x) - out)),
        _infer_average,
        {"lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(
            clamp(select(ELEMENT_MOVES > 0, select(ELEMENT_NEGATIVE > 0, W - 1, W + 1), W) - OUT, LO, HI),
            rows="delta",
            columns="x",
        ),
    ),
    Op(
        "train.count_by",
        "A weight's counter that moves against a ternary stream of its own (SC-GDM: that of its momentum).",
        ("w", "out"),
        lambda op, w, out: _after(op, w, -_step(op) * out),
        _infer_count_by,
        {"move": MOVE_ATTR, "lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(clamp(W - OUT * MOVE, LO, HI), still=("out",)),
    ),
    Op(
        "train.descend",
        "The fixed-point rival: the weight less delta x / 2**shift, rounded. A multiplier, an adder and a register per weight.",
        ("w", "delta", "x"),
        lambda op, w, delta, x: _after(op, w, -_outer(delta, x) * _rate(op)),
        _infer_descend,
        {"shift": Attr("int", "bits of the product below the weight's step"), "lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(
            clamp(W - (((((DELTA * X) * 2) >> SHIFT) + 1) >> 1), LO, HI),
            rows="delta",
            columns="x",
            still=("delta", "x"),
        ),
    ),
    Op(
        "train.output",
        "The network's output, in real units.",
        ("x",),
        lambda op, x: x,
        _infer_output,
        {"name": Attr("str", "the ONNX output's name")},
        cell=Wire(),
        has_result=False,
    ),
)  # fmt: skip


def _unit(op: Operation) -> int:
    """log2 of what a quantised 1 is worth."""
    random, kind = op.operands[1].type, op.operands[0].type
    assert isinstance(random, Random) and isinstance(kind, Fixed)
    return random.bits - kind.bits


def _rate(op: Operation) -> float:
    """The learning rate: what a gradient of 1 changes."""
    return math.ldexp(1.0, _bits_of(op, 1) + _bits_of(op, 2) - op.attributes["shift"] - _bits_of(op, 0))
