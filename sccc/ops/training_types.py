"""What the ops of networks that learn take and make: type inference and legality. `sccc.ops.training` says what they do."""

from __future__ import annotations

import numpy as np

from sccc.cells import Comb
from sccc.expr import Var
from sccc.intervals import interval
from sccc.ir import Operation
from sccc.learning_options import MOST_HALVINGS
from sccc.ops.registry import REGISTRY, Attr, expect, refuse
from sccc.training_cells import MatrixProduct
from sccc.types import Fixed, Random, Type

LARGEST = 1 << 62
"""Numbers beyond it would not fit the simulator's integers."""

STATE_BITS = 32
"""Register bits of a free-running source."""

STATE_MASK = (1 << STATE_BITS) - 1

LO_ATTR = Attr("int", "smallest integer, where numbers saturate")
HI_ATTR = Attr("int", "largest integer, where numbers saturate")


def fixed(op: Operation, shape: tuple[int, ...], lo: int, hi: int, bits: int) -> Fixed:
    """The type of a result. Raises SccError where it would not fit the simulator's integers."""
    if lo > hi:
        raise refuse(op, f"lo = {lo} is greater than hi = {hi}")
    if max(-lo, hi) >= LARGEST:
        raise refuse(op, f"numbers within {lo} .. {hi} may reach 2**62", "use fewer bits")
    return Fixed(shape, int(lo), int(hi), int(bits))


def integers(op: Operation, name: str) -> np.ndarray:
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


def axis_sizes(op: Operation) -> dict[str, int]:
    """The sizes of the axes m, n and p in each group of a MatrixProduct; p is 1 where operands have none. Raises SccError."""
    cell, groups = REGISTRY[op.name].cell, op.attributes["groups"]
    assert isinstance(cell, MatrixProduct)
    sizes: dict[str, int] = {}
    for number, letters in enumerate(cell.indices[:2]):
        kind: Fixed = expect(op, number, Fixed)
        if groups < 1 or (groups > 1 and (len(kind.shape) < 2 or kind.shape[0] % groups)):
            raise refuse(op, f"{kind} has no {groups} groups along its first axis")
        shape = tuple(size // groups if axis == 0 else size for axis, size in enumerate(kind.shape))
        letters = letters if len(shape) == len(letters) else letters.replace("p", "")
        if len(shape) != len(letters) or any(sizes.setdefault(k, n) != n for k, n in zip(letters, shape, strict=True)):
            a, b = (operand.type for operand in op.operands[:2])
            raise refuse(op, f"{b} does not fit {a}", f"want axes {', '.join(cell.indices[:2])}; p may be left out")
    return {"p": 1, **sizes}


def _product_type(op: Operation, least: int = 0, most: int = 0) -> Type:
    """Of a MatrixProduct, to which numbers within least .. most are added."""
    sizes, cell = axis_sizes(op), REGISTRY[op.name].cell
    assert isinstance(cell, MatrixProduct)
    a, b = expect(op, 0, Fixed), expect(op, 1, Fixed)
    lo, hi = interval(Var("a") * Var("b"), {"a": (a.lo, a.hi), "b": (b.lo, b.hi)})
    terms = sizes[cell.summed]
    positions = any(
        "p" in letters and len(letters) == len(o.type.shape)
        for letters, o in zip(cell.indices, op.operands, strict=False)
    )
    first, *others = (sizes[k] for k in cell.indices[2] if k != "p" or positions)
    shape = (op.attributes["groups"] * first, *others)
    return fixed(op, shape, terms * lo + least, terms * hi + most, a.bits + b.bits)


def ranges_of(op: Operation) -> dict[str, tuple[int, int]]:
    """The ranges of all that an op's expressions read: operands, integer attributes, the lane's number along the last axis, and
    the state."""
    definition = REGISTRY[op.name]
    ranges = {}
    for name, operand in zip(definition.operands, op.operands, strict=True):
        kind = operand.type
        ranges[name] = (kind.lo, kind.hi) if isinstance(kind, Fixed) else (0, (1 << getattr(kind, "bits", 1)) - 1)
    for name, attr in definition.attributes.items():
        if attr.kind == "int" and name in op.attributes:
            ranges[name] = (int(op.attributes[name]),) * 2
    last = max([1, int(op.attributes.get("taps", 1)), *(operand.type.lanes for operand in op.operands)])
    return {**ranges, "lane": (0, last - 1), "state": (0, STATE_MASK)}


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
    return fixed(op, tuple(a["shape"]), a["lo"], a["hi"], a["bits"])


def input_numbers(op: Operation, x: np.ndarray) -> np.ndarray:
    """The integers (int64) that the hardware is given for real inputs x [samples, ...]: nearest, saturated."""
    a = op.attributes
    encoded = (np.asarray(x, dtype=np.float64) - np.asarray(a["offset"])) / np.asarray(a["scale"])
    return np.clip(np.rint(encoded * 2.0 ** a["bits"]), a["lo"], a["hi"]).astype(np.int64)


def infer_label(op: Operation) -> Type:
    if op.attributes["classes"] < 2:
        raise refuse(op, f"classes = {op.attributes['classes']} must be at least 2")
    return fixed(op, (), 0, op.attributes["classes"] - 1, 0)


def infer_halvings(op: Operation) -> Type:
    if not 1 <= op.attributes["most"] <= MOST_HALVINGS:
        raise refuse(op, f"most = {op.attributes['most']} is outside 1 .. {MOST_HALVINGS}")
    return fixed(op, (), 0, op.attributes["most"], 0)


def infer_constant(op: Operation) -> Type:
    value = integers(op, "value")
    return fixed(op, value.shape, int(value.min()), int(value.max()), op.attributes["bits"])


def infer_weights(op: Operation) -> Type:
    initial, a = integers(op, "initial"), op.attributes
    if initial.ndim not in (1, 2):
        raise refuse(op, f"initial must be a vector or a matrix, and has the shape {initial.shape}")
    if initial.min() < a["lo"] or initial.max() > a["hi"]:
        raise refuse(op, f"initial must lie in {a['lo']} .. {a['hi']}")
    return fixed(op, initial.shape, a["lo"], a["hi"], a["bits"])


def infer_source(op: Operation) -> Type:
    seeds, bits = integers(op, "seeds"), op.attributes["bits"]
    if seeds.min() < 1 or seeds.max() > STATE_MASK:
        raise refuse(op, f"seeds must lie in 1 .. {STATE_MASK}: the state 0 never changes")
    if not 1 <= bits <= STATE_BITS - 8:
        raise refuse(op, f"bits = {bits} is outside 1 .. {STATE_BITS - 8}")
    if op.attributes["drop"] != STATE_BITS - bits:
        raise refuse(op, f"drop = {op.attributes['drop']} must be {STATE_BITS} - bits = {STATE_BITS - bits}")
    return Random(seeds.shape, bits)


def infer_dense(op: Operation) -> Type:
    x, w, b = (expect(op, i, Fixed) for i in range(3))
    if b.shape != w.shape[:1] or b.bits != w.bits or x.bits < 0:
        raise refuse(
            op, f"{b} must have a number for each row of {w}, with as many fractional bits, and {x} at least 0"
        )
    return _product_type(op, b.lo << x.bits, b.hi << x.bits)


def infer_backward(op: Operation) -> Type:
    return _product_type(op)


def infer_gradient(op: Operation) -> Type:
    return _product_type(op)


def infer_round(op: Operation) -> Type:
    x, a = expect(op, 0, Fixed), op.attributes
    if not 0 <= a["shift"] <= 60:
        raise refuse(op, f"shift = {a['shift']} is outside 0 .. 60")
    return fixed(op, x.shape, a["lo"], a["hi"], x.bits - a["shift"])


def infer_lookup(op: Operation) -> Type:
    x, table = expect(op, 0, Fixed), integers(op, "table")
    if table.shape != (x.hi - x.lo + 1,):
        raise refuse(op, f"the table must hold {x.hi - x.lo + 1} integers, one for each of {x.lo}..{x.hi}")
    return fixed(op, x.shape, int(table.min()), int(table.max()), op.attributes["bits"])


def infer_multiply(op: Operation) -> Type:
    a, b = expect(op, 0, Fixed), expect(op, 1, Fixed)
    return fixed(op, _joint_shape(op, a, b), *_comb_range(op), a.bits + b.bits)


def infer_subtract(op: Operation) -> Type:
    a, b = expect(op, 0, Fixed), expect(op, 1, Fixed)
    return fixed(op, _joint_shape(op, a, b), *_comb_range(op), _same_bits(op, a, b))


def infer_between(op: Operation) -> Type:
    return fixed(op, expect(op, 0, Fixed).shape, 0, 1, 0)


def _reduced(op: Operation) -> tuple[Fixed, int]:
    """The operand's type, and the size of its last axis, along which it is combined."""
    x: Fixed = expect(op, 0, Fixed)
    if not x.shape:
        raise refuse(op, f"{x} has no axis to combine")
    return x, x.shape[-1]


def infer_sum(op: Operation) -> Type:
    x, terms = _reduced(op)
    return fixed(op, x.shape[:-1], terms * x.lo, terms * x.hi, x.bits)


def infer_maximum(op: Operation) -> Type:
    x, _ = _reduced(op)
    return fixed(op, x.shape[:-1], x.lo, x.hi, x.bits)


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
    return fixed(op, p.shape, *_comb_range(op), p.bits)


def infer_error(op: Operation) -> Type:
    y = expect(op, 0, Fixed)
    _label_of(op, 1, y)
    return fixed(op, y.shape, *_comb_range(op), y.bits)


def infer_scramble(op: Operation) -> Type:
    random, masks = expect(op, 0, Random), expect(op, 1, Fixed)
    if random.shape or masks.bits or masks.lo < 0 or masks.hi >> random.bits:
        raise refuse(
            op, f"{masks} must be integers of at most {random.bits} bits, and {random} one number for all lanes"
        )
    return Random(masks.shape, random.bits)


def infer_quantize(op: Operation) -> Type:
    x, random = expect(op, 0, Fixed), expect(op, 1, Random)
    if random.shape not in ((), x.shape, x.shape[:1]):
        raise refuse(op, f"random numbers of shape {random.shape} do not fit {x}")
    return fixed(op, x.shape, -1 if x.lo < 0 else 0, 1, x.bits - random.bits)


def infer_output(op: Operation) -> Type:
    return expect(op, 0, Fixed)
