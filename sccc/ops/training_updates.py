"""train: what registers become when a sample ends. Gradient counters, momentum counters, and their rival in fixed point.

A gradient element of a dense layer is the product of an error and an input, each quantised for itself. That of a convolution's
weight is a sum of such products over the positions of the window: the sum is quantised, once per sample (the ops with `_by`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sccc.expr import Expr, Var, clamp, select
from sccc.ir import Operation, Value
from sccc.ops.registry import REGISTRY, Attr, Op, expect, refuse
from sccc.ops.training_types import HI_ATTR, LO_ATTR, integers
from sccc.training_cells import Update
from sccc.types import Fixed, Type

X, DELTA, W, OUT, MOVE = (Var(n) for n in ("x", "delta", "w", "out", "move"))
G, LO, HI, SHIFT, HALVINGS = Var("g"), Var("lo"), Var("hi"), Var("shift"), Var("halvings")

ELEMENT_MOVES = DELTA & X & 1
ELEMENT_NEGATIVE = ((DELTA ^ X) >> 1) & 1
"""The quantised gradient element delta * x: an AND of the magnitudes, an XOR of the signs (two's complement of two bits)."""

MOVE_ATTR = Attr("int", "steps by which a quantised gradient of 1 moves the counter: what its operands are worth", 1)
SHIFT_ATTR = Attr("int", "bits of the gradient below the weight's step")


def _descended(w: Expr, gradient: Expr) -> Expr:
    return clamp(w - ((((gradient * 2) >> SHIFT) + 1) >> 1), LO, HI)


# -- meaning in reals ----------------------------------------------------------------------------------------------------


def _bits_of(op: Operation, index: int) -> int:
    kind = op.operands[index].type
    assert isinstance(kind, Fixed)
    return kind.bits


def _outer(delta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return delta[:, :, None] * x[:, None, :] if x.ndim == 2 else delta * x.reshape(-1, 1)


def _after(op: Operation, w: np.ndarray, change: np.ndarray) -> np.ndarray:
    bits = _bits_of(op, 0)
    return np.clip(w + change, op.attributes["lo"] / 2.0**bits, op.attributes["hi"] / 2.0**bits)


def _step(op: Operation) -> float:
    return 2.0 ** -_bits_of(op, 0)


def _averaged(op: Operation, w: np.ndarray, gradient: np.ndarray, out: np.ndarray) -> np.ndarray:
    return _after(op, w, _step(op) * 2.0 ** _bits_of(op, len(op.operands) - 1) * (gradient - out))


def _rate(op: Operation, *factors: int) -> float:
    """The learning rate before the first halving: what a gradient of 1, the product of these operands, changes."""
    bits = sum(_bits_of(op, index) for index in factors)
    attributes = op.attributes
    steps = float(attributes["move"]) if "move" in attributes else math.ldexp(1.0, -attributes["shift"])
    return math.ldexp(steps, bits - _bits_of(op, 0))


def _descent(op: Operation, delta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return -_rate(op, 1, 2) * _outer(delta, x)


def _descent_by(op: Operation, g: np.ndarray) -> np.ndarray:
    return -_rate(op, 1) * g


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
    if source is not None and source.name == "train.scramble":
        source = source.operands[0].op
    return [source] if source is not None else []


def _require_independent(op: Operation, *indices: int) -> None:
    """The product of two quantised values has the product of their probabilities only if their sources are independent."""
    sources = [source for index in indices for source in sources_of(op.operands[index])]
    for number, a in enumerate(sources):
        for b in sources[number + 1 :]:
            shared = np.intersect1d(integers(a, "seeds"), integers(b, "seeds"))
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


def _halvings(op: Operation) -> int:
    """How often the step of an update can halve."""
    if REGISTRY[op.name].operands[-1] != "halvings":
        return 0
    kind: Fixed = expect(op, len(op.operands) - 1, Fixed)
    if kind.shape or kind.bits or kind.lo:
        raise refuse(op, f"{kind} is no number of halvings", "use train.halvings")
    return kind.hi


def _require_move(op: Operation, bits: int) -> None:
    """A move must be worth what its operands say: 2**-bits of a gradient of 1.0 are so many steps, of the smallest size."""
    wanted = _halvings(op) - bits
    if bits > 0 or op.attributes["move"] != 1 << wanted:
        raise refuse(op, f"move = {op.attributes['move']} must be 2**{wanted}, what the quantised operands are worth")


def _require_shift(op: Operation) -> None:
    if not 0 <= op.attributes["shift"] <= 60 - _halvings(op):
        raise refuse(op, f"shift = {op.attributes['shift']} is outside 0 .. {60 - _halvings(op)}")


def infer_count(op: Operation) -> Type:
    register = _require_register(op)
    delta, x = _ternary(op, 1), _ternary(op, 2)
    _require_outer(op, register, delta, x)
    _require_move(op, delta.bits + x.bits)
    _require_independent(op, 1, 2)
    return register


def infer_average(op: Operation) -> Type:
    register = _require_register(op)
    delta, x, out = _ternary(op, 1), _ternary(op, 2), _ternary(op, 3)
    _require_outer(op, register, delta, x)
    if out.shape != register.shape:
        raise refuse(op, f"{out} must have the shape of the register {register}")
    if out.bits != delta.bits + x.bits:
        raise refuse(op, f"{out} must be worth as much as {delta} times {x}", "quantise the register with its own bits")
    _require_independent(op, 1, 2, 3)
    return register


def infer_count_by(op: Operation) -> Type:
    register, out = _require_register(op), _ternary(op, 1)
    if out.shape != register.shape:
        raise refuse(op, f"{out} must have the shape of the register {register}")
    _require_move(op, out.bits)
    return register


def infer_descend(op: Operation) -> Type:
    register, delta, x = _require_register(op), expect(op, 1, Fixed), expect(op, 2, Fixed)
    _require_outer(op, register, delta, x)
    _require_shift(op)
    return register


def infer_average_by(op: Operation) -> Type:
    register, g, out = _require_register(op), _ternary(op, 1), _ternary(op, 2)
    for kind in (g, out):
        if kind.shape != register.shape:
            raise refuse(op, f"{kind} must have the shape of the register {register}")
    if out.bits != g.bits:
        raise refuse(op, f"{out} must be worth as much as {g}", "quantise the register with its own bits")
    _require_independent(op, 1, 2)
    return register


def infer_descend_by(op: Operation) -> Type:
    register, g = _require_register(op), expect(op, 1, Fixed)
    if g.shape != register.shape:
        raise refuse(op, f"{g} must have the shape of the register {register}")
    _require_shift(op)
    return register


def _descending(op: Op, change: Callable[..., np.ndarray]) -> tuple[Op, Op]:
    """An update of weights, which changes them by `change`, and the same where the step can halve while the network learns."""

    def halved(op: Operation, w: np.ndarray, *operands: np.ndarray) -> np.ndarray:
        *others, halvings = operands
        factor = 2.0 ** -halvings.reshape(-1, *(1,) * (w.ndim - 1))
        return _after(op, w, factor * change(op, *others))

    cell = op.cell
    assert isinstance(cell, Update)
    smaller = cell.next.substitute({"move": Var("move") >> HALVINGS, "shift": SHIFT + HALVINGS})
    return (
        replace(op, value=lambda op, w, *operands: _after(op, w, change(op, *operands))),
        replace(
            op,
            name=f"{op.name}_annealed",
            doc=f"{op.doc} Its step halves with every one of `halvings`; the register is as fine as the smallest step.",
            operands=(*op.operands, "halvings"),
            value=halved,
            cell=replace(cell, next=smaller, common="halvings"),
        ),
    )


REGISTRY.add(
    *_descending(Op(
        "train.count",
        "A gradient counter (SC-GDC) per weight: where the quantised delta and x are both nonzero the counter moves against the "
        "sign of their product. It saturates.",
        ("w", "delta", "x"),
        None,
        infer_count,
        {"move": MOVE_ATTR, "lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(
            clamp(select(ELEMENT_MOVES > 0, select(ELEMENT_NEGATIVE > 0, W + MOVE, W - MOVE), W), LO, HI),
            rows="delta",
            columns="x",
            still=("delta", "x"),
        ),
    ), _descent),
    Op(
        "train.average",
        "A momentum counter (SC-GDM) per weight: up and down with the quantised gradient, and against its own stream `out`, the "
        "quantised counter. With w.bits = s its mean follows the exponential moving average of beta = 1 - 2**-s, whatever the "
        "counter's width (ADDIE: Gaines 1969; decoupled: Liu & Gross).",
        ("w", "delta", "x", "out"),
        lambda op, w, delta, x, out: _averaged(op, w, _outer(delta, x), out),
        infer_average,
        {"lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(
            clamp(select(ELEMENT_MOVES > 0, select(ELEMENT_NEGATIVE > 0, W - 1, W + 1), W) - OUT, LO, HI),
            rows="delta",
            columns="x",
        ),
    ),
    *_descending(Op(
        "train.count_by",
        "A weight's counter that moves against a ternary stream of its own: its momentum's (SC-GDM), or a convolution's quantised "
        "gradient.",
        ("w", "out"),
        None,
        infer_count_by,
        {"move": MOVE_ATTR, "lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(clamp(W - OUT * MOVE, LO, HI)),
    ), _descent_by),
    *_descending(Op(
        "train.descend",
        "The fixed-point rival: the weight less delta x / 2**shift, rounded. A multiplier, an adder and a register per weight.",
        ("w", "delta", "x"),
        None,
        infer_descend,
        {"shift": SHIFT_ATTR, "lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(
            _descended(W, DELTA * X),
            rows="delta",
            columns="x",
            still=("delta", "x"),
        ),
    ), _descent),
    Op(
        "train.average_by",
        "train.average for gradients that are quantised as a whole: those of a convolution's weights.",
        ("w", "g", "out"),
        _averaged,
        infer_average_by,
        {"lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(clamp(W + G - OUT, LO, HI)),
    ),
    *_descending(Op(
        "train.descend_by",
        "train.descend for gradients that are sums: the weight less g / 2**shift, rounded.",
        ("w", "g"),
        None,
        infer_descend_by,
        {"shift": SHIFT_ATTR, "lo": LO_ATTR, "hi": HI_ATTR},
        has_result=False,
        cell=Update(_descended(W, G)),
    ), _descent_by),
)  # fmt: skip
