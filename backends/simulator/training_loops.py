"""What becomes of each kind of cell in the training kernel: a loop nest around the cell's own expression.

No op is known here by name but for ports. A gradient counter's loop visits only the rows and columns whose bits are set; products
with a zero are passed over; sums over a window of cycles come from a table of what a pair of levels adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sccc.backends.simulator.codegen import Code
from sccc.backends.simulator.render import to_python
from sccc.backends.simulator.training_reference import integer_attributes
from sccc.backends.simulator.training_types import narrowest, storage
from sccc.cells import Arbiter, Comb, Fsm, Gather, Memory, Wire
from sccc.expr import Expr, Var, wrap
from sccc.intervals import widest
from sccc.ir import Module, Operation, Value
from sccc.learning import StreamProduct
from sccc.ops import REGISTRY
from sccc.ops.training_types import axis_sizes, ranges_of
from sccc.training_cells import FreeRunning, MatrixProduct, Reduce, Register, Scatter, Update
from sccc.types import Count, Fixed, Level, Stream

FIRST_DEPTH = 1
"""The body's indentation: in a function."""

PORTS = {"train.input": "x[s, i]", "train.label": "y[s]"}


class Loops:
    """Writes ops into `code`. names: of the values' arrays; what else ops need is added to `arrays`."""

    def __init__(self, module: Module, code: Code, names: dict[Value, str], arrays: dict[str, np.ndarray]) -> None:
        self.code, self.names, self.arrays = code, names, arrays
        self._numbers = {op: number for number, op in enumerate(module)}

    def write(self, op: Operation) -> None:
        """Write what computes an op's result, or updates its register. Streams and counts exist in totals only."""
        if op.name == "sc.source" or (op.result is not None and isinstance(op.result.type, Stream | Count)):
            return
        cell = REGISTRY[op.name].cell
        _WRITERS[type(cell)](self, op, cell)

    # -- parts ------------------------------------------------------------------------------------------------------------

    def at(self, value: Value, index: str = "i") -> str:
        """A lane of a value; the only one of a scalar."""
        return f"{self.names[value]}[{index if value.type.shape else 0}]"

    def name(self, op: Operation, part: str) -> str:
        """The name of something that an op has for itself."""
        return f"{part}_{self._numbers[op]}"

    def array(self, op: Operation, part: str, numbers: np.ndarray) -> str:
        """An array of an op's own."""
        name = self.name(op, part)
        self.arrays.setdefault(name, numbers)
        return name

    def lane(self, op: Operation, expr: Expr, places: dict[str, str]) -> tuple[list[str], str]:
        """An expression of an op for one lane: statements that load what it reads from `places`, and its text.

        Attributes are numbers. Everything is computed in the narrowest type that holds every intermediate result, so that LLVM
        packs as many lanes into a register as it can; what is loaded has a variable of its own, as types are per variable.
        """
        word = f"np.{narrowest(1 << (widest(expr, ranges_of(op)) - 1)).__name__}"
        bound: dict[str, Expr] = {name: wrap(number) for name, number in integer_attributes(op).items()}
        lines = []
        for name in sorted(expr.variables() & places.keys()):
            own = self.name(op, name)
            lines.append(f"{own} = {word}({places[name]})")
            bound[name] = Var(own)
        return lines, to_python(expr.substitute(bound), word)

    def loop(self, value: Value, body: str, loads: Sequence[str] = (), result: str = "") -> None:
        """`body`, after what it loads, for each lane of the result (or once for a scalar)."""
        lines, depth = [*loads, f"{result or self.at(value)} = {body}"], FIRST_DEPTH
        if value.type.shape:
            self.code.add(depth, f"for i in range({value.type.lanes}):")
            depth += 1
        self.code.add(depth, *lines)

    def gather_set(self, op: Operation, lanes: int, condition: str) -> str:
        """Where a condition over i holds; the name of the indices, of which there are `places`."""
        indices = self.array(op, "set", np.zeros(lanes, dtype=np.int64))
        self.code.add(
            FIRST_DEPTH,
            "places = 0",
            f"for i in range({lanes}):",
            f"    if {condition}:",
            f"        {indices}[places] = i",
            "        places += 1",
        )
        return indices


def _wire(w: Loops, op: Operation, cell: Wire) -> None:
    if op.result is not None and (op.operands or op.name in PORTS):
        w.loop(op.result, PORTS.get(op.name) or w.at(op.operands[0]))


def _comb(w: Loops, op: Operation, cell: Comb) -> None:
    """An operand with fewer lanes than the result has one for each run of lanes."""
    assert op.result is not None
    lanes, shape = op.result.type.lanes, op.result.type.shape
    places = {"lane": f"i % {shape[-1]}" if len(shape) > 1 else "i"}
    for name, value in zip(REGISTRY[op.name].operands, op.operands, strict=True):
        run = lanes // value.type.lanes
        places[name] = w.at(value, "i" if run == 1 else f"i // {run}")
    loads, text = w.lane(op, cell.result, places)
    w.loop(op.result, text, loads)


def _memory(w: Loops, op: Operation, cell: Memory) -> None:
    kind = op.operands[0].type
    assert op.result is not None and isinstance(kind, Fixed)
    w.loop(op.result, f"{w.names[op.result]}_table[{w.at(op.operands[0])} - {kind.lo}]")


def _free_running(w: Loops, op: Operation, cell: FreeRunning) -> None:
    assert op.result is not None
    state = f"{w.names[op.result]}_state"
    lane = f"{state}[i]" if op.result.type.shape else f"{state}[0]"
    for expr, result in ((cell.out, ""), (cell.next, lane)):
        loads, text = w.lane(op, expr, {"state": lane})
        w.loop(op.result, text, loads, result)


def _matrix_product(w: Loops, op: Operation, cell: MatrixProduct) -> None:
    """Dot products where both operands lie along the summed axis; else rows of the second, weighted, are added up.

    In the loops m counts the outputs of all groups, p the positions of one.
    """
    assert op.result is not None
    sizes, (left, right, made) = axis_sizes(op), cell.indices
    word = "np.int32" if storage(op.result.type) != np.int64 else "np.int64"
    a, b = w.names[op.operands[0]], w.names[op.operands[1]]
    result = w.names[op.result]

    groups, depth, ranges = op.attributes["groups"], FIRST_DEPTH, {k: f"{n}" for k, n in sizes.items()}
    by_group = []
    if groups > 1:
        by_group, depth = [f"for g in range({groups}):"], FIRST_DEPTH + 1
        ranges["m"] = f"g * {sizes['m']}, (g + 1) * {sizes['m']}"

    def place(axes: str) -> str:
        first = f"(g * {sizes['p']} + p)" if axes[0] == "p" and groups > 1 else axes[0]
        return f"{first} * {sizes[axes[1]]} + {axes[1]}"

    if cell.summed == left[1] == right[1]:
        row, column, inner = made[0], made[1], cell.summed
        bias, kind = "", op.operands[0].type
        if cell.bias:
            assert isinstance(kind, Fixed)
            bias = f" + (np.int64({w.names[op.operands[2]]}[{made[0]}]) << {kind.bits})"
        w.code.add(FIRST_DEPTH, *by_group)
        w.code.add(
            depth,
            f"for {row} in range({ranges[row]}):",
            f"    for {column} in range({ranges[column]}):",
            f"        total = {word}(0)",
            f"        for {inner} in range({ranges[inner]}):",
            f"            total = {word}(total + {word}({a}[{place(left)}]) * {word}({b}[{place(right)}]))",
            f"        {result}[{place(made)}] = total{bias}",
        )
        return
    w.code.add(FIRST_DEPTH, f"{result}[:] = 0", *by_group)
    w.code.add(
        depth,
        f"for {made[0]} in range({ranges[made[0]]}):",
        f"    for {cell.summed} in range({ranges[cell.summed]}):",
        f"        factor = {word}({a}[{place(left)}])",
        "        if factor != 0:",
        f"            for {made[1]} in range({sizes[made[1]]}):",
        f"                {result}[{place(made)}] = {word}({result}[{place(made)}] + {word}({b}[{place(right)}]) * factor)",
    )


def _reduce(w: Loops, op: Operation, cell: Reduce) -> None:
    """Row by row of the last axis."""
    assert op.result is not None
    x, taps = op.operands[0], op.operands[0].type.shape[-1]
    text = to_python(cell.result.substitute({"a": Var("combined"), "b": Var(w.at(x, f"i * {taps} + k"))}))
    lines = [f"combined = np.int64({w.at(x, f'i * {taps}')})", f"for k in range(1, {taps}):", f"    combined = {text}"]
    if not op.result.type.shape:
        lines = ["i = 0", *lines]
    w.loop(op.result, "combined", lines)


def _gather(w: Loops, op: Operation, cell: Gather) -> None:
    """Padding with 0 reads the lane behind the last one, which is 0."""
    assert op.result is not None
    x, index, padding = op.operands[0], cell.index(op).reshape(-1), op.attributes.get("padding", 0)
    if np.array_equal(index, np.arange(x.type.lanes)):
        w.loop(op.result, w.at(x))
        return
    indices = w.array(op, "lanes", np.where(index < 0, x.type.lanes, index).astype(np.int32))
    lane = w.at(x, f"{indices}[i]")
    w.loop(op.result, f"{lane} if {indices}[i] < {x.type.lanes} else {padding}" if padding else lane)


def _scatter(w: Loops, op: Operation, cell: Scatter) -> None:
    """Padding goes to the lane behind the last one."""
    assert op.result is not None
    x, index, result = op.operands[0], cell.index(op).reshape(-1), w.names[op.result]
    indices = w.array(op, "lanes", np.where(index < 0, op.result.type.lanes, index).astype(np.int32))
    w.code.add(FIRST_DEPTH, f"{result}[:] = 0")
    w.code.add(FIRST_DEPTH, f"for i in range({x.type.lanes}):", f"    {result}[{indices}[i]] += {w.at(x)}")
    w.code.add(FIRST_DEPTH, f"{result}[{op.result.type.lanes}] = 0")


def _arbiter(w: Loops, op: Operation, cell: Arbiter) -> None:
    assert op.result is not None
    x, taps = op.operands[0], op.operands[0].type.shape[-1]
    lines = [
        "first = 0",
        f"for k in range(1, {taps}):",
        f"    if {w.at(x, f'i * {taps} + k')} > {w.at(x, f'i * {taps} + first')}:",
        "        first = k",
    ]
    w.loop(op.result, "first", lines if op.result.type.shape else ["i = 0", *lines])


def _window(w: Loops, op: Operation, cell: Fsm) -> None:
    """Totals by table, position by position, for the taps whose level adds anything. Padding reads the level 0 behind the last.

    Places in the table are unsigned numbers: of signed ones numba asks each time whether they count from the end.
    """
    assert op.result is not None
    product = StreamProduct.behind(op)
    table, x, weights, geometry = product.table(), product.x, product.w, product.geometry
    assert isinstance(x.type, Level) and isinstance(weights.type, Level)
    least = [kind.encoding.minimum_level(kind.bits) for kind in (x.type, weights.type)]
    lanes = geometry.lanes().reshape(-1)
    places = w.array(op, "lanes", np.where(lanes < 0, x.type.lanes, lanes).astype(np.int32))
    held = w.array(op, "table", table.reshape(-1).astype(narrowest(int(np.abs(table).max()) + 1)))
    adds = w.array(op, "adds", np.asarray(table.any(axis=1)))
    taps, rows = (w.array(op, part, np.zeros(geometry.taps, dtype=np.int64)) for part in ("taps", "rows"))
    groups, n, positions = geometry.groups, geometry.taps, geometry.positions
    w.code.add(
        FIRST_DEPTH,
        f"for block in range({positions * groups}):",
        f"    p, g, count = block // {groups}, block % {groups}, 0",
        f"    for i in range({n}):",
        f"        level = np.int64({w.names[x]}[{places}[block * {n} + i]]) - {least[0]}",
        f"        if {adds}[level]:",
        f"            {taps}[count] = i",
        f"            {rows}[count] = level * {table.shape[1]} - {least[1]}",
        "            count += 1",
        f"    for j in range(g * {geometry.outputs}, (g + 1) * {geometry.outputs}):",
        f"        row = {w.names[weights]}[j * {n}:(j + 1) * {n}]",
        "        total = np.int32(0)",
        "        for k in range(count):",
        f"            total += np.int32({held}[np.uint64({rows}[k] + row[np.uint64({taps}[k])])])",
        f"        {w.names[op.result]}[j * {positions} + p] = total",
    )


def _update(w: Loops, op: Operation, cell: Update) -> None:
    """The register in place, row by row; rows and columns that cannot change anything are passed over."""
    register = op.operands[0].type
    columns = register.shape[1] if len(register.shape) == 2 else 1
    operands = dict(zip(REGISTRY[op.name].operands, op.operands, strict=True))
    places = {name: w.at(value, f"j * {columns} + i") for name, value in operands.items()}
    inner, lines, depth = f"for i in range({columns}):", [], FIRST_DEPTH
    if cell.columns:
        places[cell.columns] = w.at(operands[cell.columns])
    if cell.columns in cell.still and columns > 1:
        indices = w.gather_set(op, columns, f"{places[cell.columns]} != 0")
        inner, lines = "for k in range(places):", [f"i = {indices}[k]"]
    w.code.add(depth, f"for j in range({register.shape[0]}):")
    if cell.rows:
        row = w.name(op, "row")
        w.code.add(depth + 1, f"{row} = {w.at(operands[cell.rows], 'j')}")
        if cell.rows in cell.still:
            w.code.add(depth + 1, f"if {row} == 0:", "    continue")
        places[cell.rows] = row
    loads, text = w.lane(op, cell.next, places)
    w.code.add(depth + 1, inner)
    w.code.add(depth + 2, *lines, *loads, f"{places[REGISTRY[op.name].operands[0]]} = {text}")


_WRITERS: dict[type, Callable[[Loops, Operation, Any], None]] = {
    Wire: _wire,
    Comb: _comb,
    Memory: _memory,
    Register: lambda w, op, cell: None,  # it is there already
    FreeRunning: _free_running,
    MatrixProduct: _matrix_product,
    Reduce: _reduce,
    Gather: _gather,
    Scatter: _scatter,
    Arbiter: _arbiter,
    Fsm: _window,
    Update: _update,
}
