"""What the ops of networks that learn take and make: type inference and legality. `sccc.ops.training` says what they do."""

from __future__ import annotations

import numpy as np

from sccc.cells import Comb
from sccc.expr import Var
from sccc.intervals import interval
from sccc.ir import Operation, Value
from sccc.ops.registry import REGISTRY, expect, refuse
from sccc.types import Fixed, Random, Type

LARGEST = 1 << 62
"""Numbers beyond it would not fit the simulator's integers."""

STATE_BITS = 32
"""Register bits of a free-running source."""

STATE_MASK = (1 << STATE_BITS) - 1


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
    return {**ranges, "lane": (0, lanes - 1), "state": (0, STATE_MASK)}


def _comb_range(op: Operation) -> tuple[int, int]:
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, Comb)
    return interval(cell.result, ranges_of(op))


# -- type inference ------------------------------------------------------------------------------------------------------


def infer_input(op: Operation) -> Type:
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


def infer_label(op: Operation) -> Type:
    if op.attributes["classes"] < 2:
        raise refuse(op, f"classes = {op.attributes['classes']} must be at least 2")
    return _fixed(op, (), 0, op.attributes["classes"] - 1, 0)


def infer_constant(op: Operation) -> Type:
    value = _integers(op, "value")
    return _fixed(op, value.shape, int(value.min()), int(value.max()), op.attributes["bits"])


def infer_weights(op: Operation) -> Type:
    initial, a = _integers(op, "initial"), op.attributes
    if initial.ndim not in (1, 2):
        raise refuse(op, f"initial must be a vector or a matrix, and has the shape {initial.shape}")
    if initial.min() < a["lo"] or initial.max() > a["hi"]:
        raise refuse(op, f"initial must lie in {a['lo']} .. {a['hi']}")
    return _fixed(op, initial.shape, a["lo"], a["hi"], a["bits"])


def infer_source(op: Operation) -> Type:
    seeds, bits = _integers(op, "seeds"), op.attributes["bits"]
    if seeds.min() < 1 or seeds.max() > STATE_MASK:
        raise refuse(op, f"seeds must lie in 1 .. {STATE_MASK}: the state 0 never changes")
    if not 1 <= bits <= STATE_BITS - 8:
        raise refuse(op, f"bits = {bits} is outside 1 .. {STATE_BITS - 8}")
    if op.attributes["drop"] != STATE_BITS - bits:
        raise refuse(op, f"drop = {op.attributes['drop']} must be {STATE_BITS} - bits = {STATE_BITS - bits}")
    return Random(seeds.shape, bits)


def infer_dense(op: Operation) -> Type:
    x, w, b = (expect(op, i, Fixed) for i in range(3))
    if len(w.shape) != 2 or x.shape != w.shape[1:] or b.shape != w.shape[:1]:
        raise refuse(op, f"{w}, {b} do not fit the input {x}; want [m, n], [m] and [n]")
    if b.bits != w.bits or x.bits < 0:
        raise refuse(op, f"{b} must have the {w.bits} fractional bits of the weights, and {x} at least 0")
    lo, hi = interval(Var("w") * Var("x"), {"w": (w.lo, w.hi), "x": (x.lo, x.hi)})
    n = x.shape[0]
    return _fixed(op, b.shape, n * lo + (b.lo << x.bits), n * hi + (b.hi << x.bits), w.bits + x.bits)


def infer_backward(op: Operation) -> Type:
    delta, w = expect(op, 0, Fixed), expect(op, 1, Fixed)
    if len(w.shape) != 2 or delta.shape != w.shape[:1]:
        raise refuse(op, f"{w} does not fit {delta}; want [m, n] and [m]")
    lo, hi = interval(Var("w") * Var("x"), {"w": (w.lo, w.hi), "x": (delta.lo, delta.hi)})
    m = delta.shape[0]
    return _fixed(op, w.shape[1:], m * lo, m * hi, w.bits + delta.bits)


def infer_round(op: Operation) -> Type:
    x, a = expect(op, 0, Fixed), op.attributes
    if not 0 <= a["shift"] <= 60:
        raise refuse(op, f"shift = {a['shift']} is outside 0 .. 60")
    return _fixed(op, x.shape, a["lo"], a["hi"], x.bits - a["shift"])


def infer_lookup(op: Operation) -> Type:
    x, table = expect(op, 0, Fixed), _integers(op, "table")
    if table.shape != (x.hi - x.lo + 1,):
        raise refuse(op, f"the table must hold {x.hi - x.lo + 1} integers, one for each of {x.lo}..{x.hi}")
    return _fixed(op, x.shape, int(table.min()), int(table.max()), op.attributes["bits"])


def infer_multiply(op: Operation) -> Type:
    a, b = expect(op, 0, Fixed), expect(op, 1, Fixed)
    return _fixed(op, _joint_shape(op, a, b), *_comb_range(op), a.bits + b.bits)


def infer_subtract(op: Operation) -> Type:
    a, b = expect(op, 0, Fixed), expect(op, 1, Fixed)
    return _fixed(op, _joint_shape(op, a, b), *_comb_range(op), _same_bits(op, a, b))


def infer_positive(op: Operation) -> Type:
    return _fixed(op, expect(op, 0, Fixed).shape, 0, 1, 0)


def infer_sum(op: Operation) -> Type:
    x = expect(op, 0, Fixed)
    return _fixed(op, (), x.lanes * x.lo, x.lanes * x.hi, x.bits)


def infer_maximum(op: Operation) -> Type:
    x = expect(op, 0, Fixed)
    return _fixed(op, (), x.lo, x.hi, x.bits)


def _label_of(op: Operation, index: int, x: Fixed) -> None:
    label = expect(op, index, Fixed)
    if label.shape or label.bits or label.hi != x.lanes - 1:
        raise refuse(op, f"{label} is no class of {x.lanes}", f"want train.label {{classes = {x.lanes}}}")


def infer_residual(op: Operation) -> Type:
    p, total = expect(op, 0, Fixed), expect(op, 1, Fixed)
    _same_bits(op, p, total)
    _label_of(op, 2, p)
    if total.shape:
        raise refuse(op, f"{total} must be a scalar", "want the train.sum of p")
    return _fixed(op, p.shape, *_comb_range(op), p.bits)


def infer_error(op: Operation) -> Type:
    y = expect(op, 0, Fixed)
    _label_of(op, 1, y)
    return _fixed(op, y.shape, *_comb_range(op), y.bits)


def infer_quantize(op: Operation) -> Type:
    x, random = expect(op, 0, Fixed), expect(op, 1, Random)
    if random.shape not in ((), x.shape):
        raise refuse(op, f"random numbers of shape {random.shape} do not fit {x}")
    return _fixed(op, x.shape, -1 if x.lo < 0 else 0, 1, x.bits - random.bits)


def infer_output(op: Operation) -> Type:
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
    if not 0 <= op.attributes["shift"] <= 60:
        raise refuse(op, f"shift = {op.attributes['shift']} is outside 0 .. 60")
    return register
