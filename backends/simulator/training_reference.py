"""Networks that learn, op by op in plain numpy, one sample at a time: the readable reference of the generated kernel.

Values are int64 arrays of the op's shape. A sample is: evaluate everything with the registers as they are, then update them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sccc.cells import Comb, Memory, Wire
from sccc.diagnostics import InternalError, SccError
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.training_cells import FreeRunning, MatrixProduct, Reduce, Register, Update
from sccc.types import Fixed

State = dict[str, np.ndarray]
"""What outlives a sample: registers and sources' states, int64, by the name of the value."""


def initial_state(module: Module) -> State:
    """The state after reset."""
    state = {}
    for op in module:
        cell = REGISTRY[op.name].cell
        if op.result is not None and isinstance(cell, Register | FreeRunning):
            key = "initial" if isinstance(cell, Register) else "seeds"
            state[op.result.name] = np.asarray(op.attributes[key], dtype=np.int64).copy()
    return state


def check_trainable(module: Module) -> None:
    """One input, label and output, hardware only, and one update for each register at most. Raises SccError."""
    for name in ("train.input", "train.label", "train.output"):
        if len(module.ops_named(name)) != 1:
            raise SccError(
                f"module '{module.name}' has {len(module.ops_named(name))} {name} ops; training wants exactly one",
                advice="run insert-gradient-counters first",
            )
    updated: set[Value] = set()
    for op in module:
        cell = REGISTRY[op.name].cell
        if op.dialect != "train" or cell is None:
            raise SccError(f"{op.name} is no op of a network that learns", op.place())
        if isinstance(cell, Update):
            if op.operands[0] in updated:
                raise SccError(f"register %{op.operands[0].name} is updated twice", op.place())
            updated.add(op.operands[0])


def integer_attributes(op: Operation) -> dict[str, int]:
    """The attributes that an op's expressions read."""
    kinds = REGISTRY[op.name].attributes
    return {name: int(op.attributes[name]) for name, attr in kinds.items() if attr.kind == "int"}


class Reference:
    """A training module's interpreter. `state` may be read and replaced between samples."""

    def __init__(self, module: Module) -> None:
        check_trainable(module)
        self.module = module
        self.state = initial_state(module)
        self.updates = [op for op in module if isinstance(REGISTRY[op.name].cell, Update)]

    def forward(self, x: np.ndarray, label: int) -> dict[Value, np.ndarray]:
        """Every value for a sample x (integers, the input's shape), with the registers as they are."""
        values: dict[Value, np.ndarray] = {}
        for op in self.module:
            if op.result is None:
                continue
            if op.name == "train.input":
                values[op.result] = np.asarray(x, dtype=np.int64)
            elif op.name == "train.label":
                values[op.result] = np.asarray(label, dtype=np.int64)
            else:
                values[op.result] = self._value(op, [values[v] for v in op.operands])
        return values

    def step(self, x: np.ndarray, label: int) -> dict[Value, np.ndarray]:
        """Process one sample and learn from it; every value it had."""
        values = self.forward(x, label)
        changed = {op.operands[0].name: self._updated(op, values) for op in self.updates}
        for op in self.module:
            cell = REGISTRY[op.name].cell
            if isinstance(cell, FreeRunning):
                assert op.result is not None
                env = {**integer_attributes(op), "state": self.state[op.result.name]}
                changed[op.result.name] = np.asarray(cell.next.evaluate(env), dtype=np.int64)
        self.state.update(changed)
        return values

    def _value(self, op: Operation, operands: list[np.ndarray]) -> np.ndarray:
        cell = REGISTRY[op.name].cell
        made = _EVALUATORS[type(cell)](self, op, cell, operands)
        result = np.asarray(made, dtype=np.int64)
        assert op.result is not None
        if result.shape != op.result.type.shape:
            raise InternalError(f"{op!r} made {result.shape}")
        return result

    def _updated(self, op: Operation, values: Mapping[Value, np.ndarray]) -> np.ndarray:
        definition, cell = REGISTRY[op.name], REGISTRY[op.name].cell
        assert isinstance(cell, Update)
        env: dict[str, Any] = integer_attributes(op)
        register = values[op.operands[0]]
        for name, value in zip(definition.operands, op.operands, strict=True):
            array = values[value]
            env[name] = array[:, None] if name == cell.rows and register.ndim == 2 else array
        return np.asarray(np.broadcast_to(cell.next.evaluate(env), register.shape), dtype=np.int64)


def _wire(self: Reference, op: Operation, cell: Wire, operands: list[np.ndarray]) -> np.ndarray:
    return np.asarray(op.attributes["value"])


def _comb(self: Reference, op: Operation, cell: Comb, operands: list[np.ndarray]) -> Any:
    env: dict[str, Any] = {**integer_attributes(op), **dict(zip(REGISTRY[op.name].operands, operands, strict=True))}
    assert op.result is not None
    return cell.result.evaluate({**env, "lane": np.arange(op.result.type.lanes)})


def _memory(self: Reference, op: Operation, cell: Memory, operands: list[np.ndarray]) -> np.ndarray:
    kind = op.operands[0].type
    assert isinstance(kind, Fixed)
    return np.asarray(op.attributes["table"])[operands[0] - kind.lo]


def _register(self: Reference, op: Operation, cell: Register, operands: list[np.ndarray]) -> np.ndarray:
    assert op.result is not None
    return self.state[op.result.name]


def _free_running(self: Reference, op: Operation, cell: FreeRunning, operands: list[np.ndarray]) -> Any:
    assert op.result is not None
    return cell.out.evaluate({**integer_attributes(op), "state": self.state[op.result.name]})


def _matrix_product(self: Reference, op: Operation, cell: MatrixProduct, operands: list[np.ndarray]) -> np.ndarray:
    if cell.transposed:
        return operands[0] @ operands[1]
    x, w, b = operands
    kind = op.operands[0].type
    assert isinstance(kind, Fixed)
    return w @ x + (b << kind.bits)


def _reduce(self: Reference, op: Operation, cell: Reduce, operands: list[np.ndarray]) -> Any:
    combined = operands[0][0]
    for lane in operands[0][1:]:
        combined = cell.result.evaluate({"a": combined, "b": lane})
    return combined


_EVALUATORS: dict[type, Callable[[Reference, Operation, Any, list[np.ndarray]], Any]] = {
    Wire: _wire,
    Comb: _comb,
    Memory: _memory,
    Register: _register,
    FreeRunning: _free_running,
    MatrixProduct: _matrix_product,
    Reduce: _reduce,
}
