"""A training module as one numba kernel: a loop over samples whose body is the module, op by op.

Each op becomes a loop nest by the kind of its cell, around the cell's own expression; no op is known here by name. Lanes
lie in flat arrays of the narrowest type that holds their range, so that LLVM packs sums of products. Updates come last, since
they change registers in place; a gradient counter's loop visits only the rows and columns whose bits are set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.render import to_python
from sccc.backends.simulator.training_reference import integer_attributes
from sccc.cells import Comb, Memory, Wire
from sccc.expr import Expr, Var, wrap
from sccc.intervals import widest
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.training_types import ranges_of
from sccc.training_cells import FreeRunning, MatrixProduct, Reduce, Register, Update
from sccc.types import Fixed, Type

FIRST_DEPTH = 2
"""The body's indentation: in a function, in the loop over samples."""


def storage(kind: Type) -> Any:
    """The narrowest numpy integer that holds a value's lanes."""
    return narrowest(max(-kind.lo, kind.hi + 1) if isinstance(kind, Fixed) else 1 << 24)


def narrowest(limit: int) -> Any:
    """The narrowest numpy integer that holds -limit .. limit - 1."""
    return next(t for t in (np.int8, np.int16, np.int32, np.int64) if limit <= -int(np.iinfo(t).min))


@dataclass
class Kernel:
    """The compiled functions and the arrays they are called with, in order: `arrays[name]`.

    `train(order, x, y, *arrays)` takes samples x [samples, lanes] with classes y in this order; `infer(x, out, *arrays)` writes
    the outputs [samples, lanes]. `states` names the arrays that outlive a sample, by the value's name.
    """

    train: Callable[..., None]
    infer: Callable[..., None]
    arrays: dict[str, np.ndarray]
    states: dict[str, str]
    input_type: Any
    source: str = field(repr=False)


def build_kernel(module: Module) -> Kernel:
    """Generate and load the kernel of a module that `check_trainable` accepts."""
    writer = _Writer(module)
    source = writer.source()
    loaded = load(source)
    kind = module.ops_named("train.input")[0].result
    assert kind is not None
    return Kernel(loaded.train, loaded.infer, writer.arrays, writer.states, storage(kind.type), source)


class _Writer:
    def __init__(self, module: Module) -> None:
        self.module = module
        self.names = {value: f"v{number}" for number, value in enumerate(module.values())}
        self.arrays: dict[str, np.ndarray] = {}
        self.states: dict[str, str] = {}
        for op in module:
            self._allocate(op)
        self.code = Code()

    def source(self) -> str:
        output = self.module.ops_named("train.output")[0]
        ops = list(self.module)
        updates = [op for op in ops if isinstance(REGISTRY[op.name].cell, Update)]
        needed: set[Value] = set(output.operands)
        forward = []
        for op in reversed(ops):
            if op.result in needed:
                needed.update(op.operands)
                forward.append(op)
        arguments = ", ".join(self.arrays)
        self._function(f"def train(order, x, y, {arguments}):", "for s in order:")
        for op in (*(op for op in ops if op not in updates), *updates):
            self._op(op)
        self.code.add(0, "", "")
        self._function(f"def infer(x, results, {arguments}):", "for s in range(len(x)):")
        for op in reversed(forward):
            self._op(op)
        scores = output.operands[0]
        self.code.add(FIRST_DEPTH, f"for i in range({scores.type.lanes}):", f"    results[s, i] = {self._at(scores)}")
        return str(self.code)

    def _function(self, head: str, loop: str) -> None:
        self.code.add(0, KERNEL, head)
        self.code.add(1, loop)

    # -- arrays -----------------------------------------------------------------------------------------------------------

    def _allocate(self, op: Operation) -> None:
        """Flat arrays for what an op holds: its lanes, its table, its indices."""
        cell = REGISTRY[op.name].cell
        if isinstance(cell, Update):
            if cell.columns in cell.still:
                self.arrays[self._indices(op)] = np.zeros(op.operands[0].type.lanes, dtype=np.int64)
            return
        if op.result is None:
            return
        name, kind = self.names[op.result], op.result.type
        if isinstance(cell, Register):
            self.arrays[name] = np.asarray(op.attributes["initial"]).reshape(-1).astype(storage(kind))
            self.states[op.result.name] = name
        elif isinstance(cell, FreeRunning):
            self.arrays[f"{name}_state"] = np.asarray(op.attributes["seeds"]).reshape(-1).astype(np.int64)
            self.states[op.result.name] = f"{name}_state"
        elif isinstance(cell, Memory):
            self.arrays[f"{name}_table"] = np.asarray(op.attributes["table"]).astype(storage(kind))
        elif op.name == "train.constant":
            self.arrays[name] = np.asarray(op.attributes["value"]).reshape(-1).astype(storage(kind))
        if kind.shape and name not in self.arrays:
            self.arrays[name] = np.zeros(kind.lanes, dtype=storage(kind))

    def _indices(self, op: Operation) -> str:
        return f"set_{self._number(op)}"

    def _number(self, op: Operation) -> int:
        return self.module.ops.index(op)

    def _at(self, value: Value, index: str = "i") -> str:
        """A lane of a value. A scalar is a local variable, unless it is held."""
        name = self.names[value]
        if value.type.shape:
            return f"{name}[{index}]"
        return f"{name}[0]" if name in self.arrays else name

    def _lane(self, op: Operation, expr: Expr, places: dict[str, str]) -> tuple[list[str], str]:
        """An expression of an op for one lane: statements that load what it reads from `places`, and its text.

        Attributes are numbers. Everything is computed in the narrowest type that holds every intermediate result, so that LLVM
        packs as many lanes into a register as it can; what is loaded has a variable of its own, as types are per variable.
        """
        word = f"np.{narrowest(1 << (widest(expr, ranges_of(op)) - 1)).__name__}"
        bound: dict[str, Expr] = {name: wrap(number) for name, number in integer_attributes(op).items()}
        lines = []
        for name in sorted(expr.variables() & places.keys()):
            own = f"{name}_{self._number(op)}"
            lines.append(f"{own} = {word}({places[name]})")
            bound[name] = Var(own)
        return lines, to_python(expr.substitute(bound), word)

    # -- ops by cell kind -------------------------------------------------------------------------------------------------

    def _op(self, op: Operation) -> None:
        writers: dict[type, Callable[[Operation, Any], None]] = {
            Wire: self._wire, Comb: self._comb, Memory: self._memory, Register: self._nothing,
            FreeRunning: self._free_running, MatrixProduct: self._matrix_product, Reduce: self._reduce,
            Update: self._update,
        }  # fmt: skip
        cell = REGISTRY[op.name].cell
        writers[type(cell)](op, cell)

    def _nothing(self, op: Operation, cell: Any) -> None:
        """A register is there already."""

    def _loop(self, value: Value, body: str, loads: Sequence[str] = (), result: str = "") -> None:
        """`body`, after what it loads, for each lane of the result (or once for a scalar)."""
        lines, depth = [*loads, f"{result or self._at(value)} = {body}"], FIRST_DEPTH
        if value.type.shape:
            self.code.add(depth, f"for i in range({value.type.lanes}):")
            depth += 1
        self.code.add(depth, *lines)

    def _wire(self, op: Operation, cell: Wire) -> None:
        if op.name == "train.input":
            assert op.result is not None
            self._loop(op.result, "x[s, i]")
        elif op.name == "train.label":
            assert op.result is not None
            self._loop(op.result, "y[s]")

    def _comb(self, op: Operation, cell: Comb) -> None:
        assert op.result is not None
        places = {n: self._at(v) for n, v in zip(REGISTRY[op.name].operands, op.operands, strict=True)}
        loads, text = self._lane(op, cell.result, {**places, "lane": "i"})
        self._loop(op.result, text, loads)

    def _memory(self, op: Operation, cell: Memory) -> None:
        kind = op.operands[0].type
        assert op.result is not None and isinstance(kind, Fixed)
        self._loop(op.result, f"{self.names[op.result]}_table[{self._at(op.operands[0])} - {kind.lo}]")

    def _free_running(self, op: Operation, cell: FreeRunning) -> None:
        assert op.result is not None
        state = f"{self.names[op.result]}_state"
        lane = f"{state}[i]" if op.result.type.shape else f"{state}[0]"
        for expr, result in ((cell.out, ""), (cell.next, lane)):
            loads, text = self._lane(op, expr, {"state": lane})
            self._loop(op.result, text, loads, result)

    def _matrix_product(self, op: Operation, cell: MatrixProduct) -> None:
        assert op.result is not None
        kind = op.result.type
        word = "np.int32" if storage(kind) != np.int64 else "np.int64"
        if cell.transposed:
            self._transposed(op, self.names[op.operands[1]], op.operands[0], word)
            return
        x, w, b = op.operands
        assert isinstance(x.type, Fixed)
        n = x.type.lanes
        self.code.add(
            FIRST_DEPTH,
            f"for j in range({kind.lanes}):",
            f"    total = {word}(0)",
            f"    for i in range({n}):",
            f"        total = {word}(total + {word}({self.names[w]}[j * {n} + i]) * {word}({self.names[x]}[i]))",
            f"    {self.names[op.result]}[j] = total + (np.int64({self.names[b]}[j]) << {x.type.bits})",
        )

    def _transposed(self, op: Operation, w: str, delta: Value, word: str) -> None:
        assert op.result is not None
        result, n = self.names[op.result], op.result.type.lanes
        self.code.add(
            FIRST_DEPTH,
            f"{result}[:] = 0",
            f"for j in range({delta.type.lanes}):",
            f"    factor = {word}({self.names[delta]}[j])",
            "    if factor != 0:",
            f"        for i in range({n}):",
            f"            {result}[i] = {word}({result}[i] + {word}({w}[j * {n} + i]) * factor)",
        )

    def _reduce(self, op: Operation, cell: Reduce) -> None:
        assert op.result is not None
        result, x = self._at(op.result), op.operands[0]
        bound = {"a": Var(result), "b": Var(self._at(x))}
        self.code.add(FIRST_DEPTH, f"{result} = np.int64({self._at(x, '0')})")
        self.code.add(
            FIRST_DEPTH,
            f"for i in range(1, {x.type.lanes}):",
            f"    {result} = {to_python(cell.result.substitute(bound))}",
        )

    def _update(self, op: Operation, cell: Update) -> None:
        """The register in place, row by row; rows and columns that cannot change anything are passed over."""
        register = op.operands[0].type
        columns = register.shape[1] if len(register.shape) == 2 else 1
        operands = dict(zip(REGISTRY[op.name].operands, op.operands, strict=True))
        places = {name: self._at(value, f"j * {columns} + i") for name, value in operands.items()}
        inner, depth = f"for i in range({columns}):", FIRST_DEPTH
        if cell.columns:
            places[cell.columns] = self._at(operands[cell.columns])
        if cell.columns in cell.still and columns > 1:
            inner = self._gather(op, operands[cell.columns], columns)
        row = ""
        if cell.rows:
            row = places[cell.rows] = f"row_{self._number(op)}"
        self.code.add(depth, f"for j in range({register.shape[0]}):")
        if row:
            self.code.add(depth + 1, f"{row} = {self._at(operands[cell.rows], 'j')}")
        if cell.rows in cell.still:
            self.code.add(depth + 1, f"if {row} == 0:", "    continue")
        self.code.add(depth + 1, inner)
        if inner.startswith("for k"):
            self.code.add(depth + 2, f"i = {self._indices(op)}[k]")
        lines, text = self._lane(op, cell.next, places)
        self.code.add(depth + 2, *lines, f"{places[REGISTRY[op.name].operands[0]]} = {text}")

    def _gather(self, op: Operation, value: Value, columns: int) -> str:
        """Where a column operand is not zero; the head of a loop over these places."""
        self.code.add(
            FIRST_DEPTH,
            "places = 0",
            f"for i in range({columns}):",
            f"    if {self._at(value)} != 0:",
            f"        {self._indices(op)}[places] = i",
            "        places += 1",
        )
        return "for k in range(places):"


__all__ = ["Kernel", "build_kernel", "storage"]
