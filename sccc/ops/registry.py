"""The op registry: an op is data, and everything that handles ops reads it from here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sccc.cells import Cell, Comb, Fold, Fsm, Race
from sccc.diagnostics import SccError, nearest
from sccc.ir import Operation
from sccc.types import Total, Type


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


_ACCEPTED: dict[str, tuple[type, ...]] = {
    "int": (int, np.integer),
    "float": (int, float, np.floating),
    "str": (str,),
    "bool": (bool,),
    "ints": (list, tuple),
    "tensor": (np.ndarray, int, float, np.number),
}


@dataclass(frozen=True)
class Attr:
    """An attribute: `kind` is int, float, str, bool, ints (list), or tensor (numpy array, or a number for all lanes)."""

    kind: str
    doc: str
    default: Any = REQUIRED

    def accepts(self, value: Any) -> bool:
        if isinstance(value, bool) and self.kind != "bool":
            return False
        return isinstance(value, _ACCEPTED[self.kind])


@dataclass(frozen=True)
class Uncorrelated:
    """A legality condition: the streams of these two operands must be statistically independent (SCC = 0)."""

    a: str
    b: str

    @property
    def operands(self) -> tuple[str, ...]:
        return self.a, self.b


@dataclass(frozen=True)
class Correlated:
    """A legality condition: the streams of these two operands must compare with the same random numbers (SCC = +1)."""

    a: str
    b: str

    @property
    def operands(self) -> tuple[str, ...]:
        return self.a, self.b


@dataclass(frozen=True)
class Shared:
    """A legality condition: all lanes of this operand must compare with the same random numbers."""

    x: str

    @property
    def operands(self) -> tuple[str, ...]:
        return (self.x,)


@dataclass(frozen=True)
class Selects:
    """A legality condition: the random number `select` must be independent of the streams of operands a and b."""

    select: str
    a: str
    b: str

    @property
    def operands(self) -> tuple[str, ...]:
        return self.select, self.a, self.b


@dataclass(frozen=True)
class Op:
    """What an operation is. One of these per op, and nothing about the op is said anywhere else.

    `value(op, *operands)` is its meaning in reals: arrays with the batch as the first axis, streams by their encoded
    number in [-1, 1], counts by their mean per cycle, totals by their expectation.
    """

    name: str
    doc: str
    operands: tuple[str, ...]
    value: Callable[..., np.ndarray] | None
    infer: Callable[[Operation], Type]
    attributes: dict[str, Attr] = field(default_factory=dict)
    cell: Cell | None = None
    needs: tuple[Uncorrelated | Correlated | Shared | Selects, ...] = ()
    latency: int = 0
    has_result: bool = True
    check: Callable[[Operation], None] | None = None

    def operand(self, op: Operation, name: str) -> Any:
        return op.operands[self.operands.index(name)]

    def fill_defaults(self, op: Operation) -> None:
        """Add attributes that were left out and have a default."""
        for name, attr in self.attributes.items():
            if name not in op.attributes and attr.default is not REQUIRED:
                op.attributes[name] = attr.default

    def parameters(self, op: Operation) -> dict[str, np.ndarray]:
        """What the cell's expressions read beside operands, as arrays that broadcast to the result's lanes: attributes, and
        `lowest` and `highest`, the bounds of a total."""
        assert op.result is not None
        read = cell_variables(self.cell)
        values = {
            name: np.asarray(op.attributes[name]) for name in self.attributes if name in read & set(op.attributes)
        }
        if isinstance(op.result.type, Total):
            values["lowest"], values["highest"] = np.asarray(op.result.type.lo), np.asarray(op.result.type.hi)
        return values


def cell_variables(cell: Cell | None) -> frozenset[str]:
    """Names of all variables in a cell's expressions."""
    if isinstance(cell, Comb | Fold):
        return cell.result.variables()
    if isinstance(cell, Fsm):
        exprs = (cell.initial, cell.step, cell.next, cell.out, cell.lowest, cell.highest)
        return frozenset().union(*(expr.variables() for expr in exprs if expr is not None))
    if isinstance(cell, Race):
        return cell_variables(cell.sum) | cell.safe.variables()
    return frozenset()


class Registry:
    """Ops by name. Looking up an unknown one raises SccError that names the nearest."""

    def __init__(self) -> None:
        self._ops: dict[str, Op] = {}

    def add(self, *ops: Op) -> None:
        for op in ops:
            if op.name in self._ops:
                raise ValueError(f"op {op.name} is registered twice")
            self._ops[op.name] = op

    def __getitem__(self, name: str) -> Op:
        if name not in self._ops:
            raise SccError(f"unknown operation '{name}'", advice=nearest(name, self._ops))
        return self._ops[name]

    def __contains__(self, name: str) -> bool:
        return name in self._ops

    def __iter__(self) -> Iterator[Op]:
        return iter(self._ops.values())


REGISTRY = Registry()


def refuse(op: Operation, message: str, advice: str = "") -> SccError:
    """An SccError placed at an operation."""
    return SccError(message, op.place(), advice)


def per_lane(op: Operation, name: str, shape: tuple[int, ...], least: int | None = None) -> np.ndarray:
    """An attribute of integers for lanes of `shape`, none below `least`. Raises SccError.

    One for all lanes, one per lane, or, of an image, one per channel: [channels, 1, 1].
    """
    values = np.asarray(op.attributes[name])
    channels = (shape[:1] + (1,) * (len(shape) - 1)) if shape else ()
    if values.dtype.kind not in "iu" or values.shape not in ((), shape, channels) or values.size == 0:
        wanted = f"one integer, or {math.prod(shape)} of them, one per lane"
        raise refuse(op, f"{name} must hold {wanted}, and is {values.dtype} of shape {values.shape}")
    if least is not None and values.min() < least:
        raise refuse(op, f"{name} must be at least {least}, and is {values.min()}")
    return values


def expect(op: Operation, index: int, *kinds: type[Type]) -> Any:
    """The type of operand `index`, which must be of one of the kinds. Raises SccError."""
    actual = op.operands[index].type
    if not isinstance(actual, kinds):
        wanted = " or ".join(k.__name__.lower() for k in kinds)
        raise refuse(op, f"operand %{op.operands[index].name} must be a {wanted}, and is {actual}")
    return actual
