"""Networks that learn, op by op in plain numpy, one sample at a time: the readable reference of the generated kernel.

Values are int64 arrays of the op's shape. A sample is: evaluate everything with the registers as they are, then update them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sccc.backends.simulator.reference import count, generate, run_fsm
from sccc.cells import Arbiter, Comb, Fsm, Gather, Memory, Wire
from sccc.correlation import sequences
from sccc.diagnostics import InternalError
from sccc.ir import Module, Operation, Value
from sccc.learning import StreamProduct, check_learning
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import product_of
from sccc.ops.geometry import geometry_of
from sccc.training_cells import FreeRunning, MatrixProduct, Reduce, Register, Scatter, Update
from sccc.types import Count, Fixed, Level, Stream

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


def integer_attributes(op: Operation) -> dict[str, int]:
    """The attributes that an op's expressions read."""
    kinds = REGISTRY[op.name].attributes
    return {name: int(op.attributes[name]) for name, attr in kinds.items() if attr.kind == "int"}


class Reference:
    """A training module's interpreter. `state` and `halvings`, how often the step has been halved, may be read and replaced between
    samples."""

    def __init__(self, module: Module) -> None:
        check_learning(module)
        self.module = module
        self.state = initial_state(module)
        self.halvings = 0
        self.updates = [op for op in module if isinstance(REGISTRY[op.name].cell, Update)]

    def forward(self, x: np.ndarray, label: int) -> dict[Value, np.ndarray]:
        """Every value for a sample x (integers, the input's shape), with the registers as they are.

        Of a forward pass on streams the levels and totals; streams and counts, which change in every cycle, are left out.
        """
        values: dict[Value, np.ndarray] = {}
        for op in self.module:
            if op.result is None or isinstance(op.result.type, Stream | Count) or op.name == "sc.source":
                continue
            if op.name == "sc.accumulate":
                values[op.result] = self._window(op, values)
            elif op.name == "train.input":
                values[op.result] = np.asarray(x, dtype=np.int64)
            elif op.name == "train.label":
                values[op.result] = np.asarray(label, dtype=np.int64)
            elif op.name == "train.halvings":
                values[op.result] = np.asarray(self.halvings, dtype=np.int64)
            else:
                values[op.result] = self._value(op, [values[v] for v in op.operands])
        return values

    def _window(self, op: Operation, values: Mapping[Value, np.ndarray]) -> np.ndarray:
        """Bit by bit: the streams of both SNGs, their products counted in each cycle, the counts added up."""
        product, accumulate = StreamProduct.behind(op), REGISTRY[op.name].cell
        assert isinstance(accumulate, Fsm)
        streams = []
        for level, source, stream in zip((product.x, product.w), product.sources, product.dot.operands, strict=True):
            maker, kind = stream.op, level.type
            assert maker is not None and isinstance(kind, Level)
            cell = REGISTRY[maker.name].cell
            assert isinstance(cell, Comb)
            random = sequences(source, product.length)
            streams.append(generate(cell.result, values[level][None], random, kind.encoding))
        counts = count(product_of(product.dot), geometry_of(product.dot), *streams)
        return run_fsm(accumulate, counts, REGISTRY[op.name].parameters(op))[1][0]

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
    return operands[0] if operands else np.asarray(op.attributes["value"])


def _comb(self: Reference, op: Operation, cell: Comb, operands: list[np.ndarray]) -> Any:
    """An operand with fewer lanes than the result has one for each run of lanes: a scalar for all, a vector for each row."""
    assert op.result is not None
    shape, lanes = op.result.type.shape, op.result.type.lanes
    env: dict[str, Any] = dict(integer_attributes(op))
    for name, operand in zip(REGISTRY[op.name].operands, operands, strict=True):
        env[name] = np.repeat(operand.reshape(-1), lanes // operand.size).reshape(shape)
    env["lane"] = np.arange(shape[-1] if shape else 1)
    return np.broadcast_to(cell.result.evaluate(env), shape)


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
    made = cell.product(op, *operands[:2])
    if not cell.bias:
        return made
    kind = op.operands[0].type
    assert isinstance(kind, Fixed)
    bias = operands[2] << kind.bits
    return np.asarray(made + bias.reshape(bias.shape + (1,) * (made.ndim - 1)))


def _reduce(self: Reference, op: Operation, cell: Reduce, operands: list[np.ndarray]) -> Any:
    lanes = np.moveaxis(operands[0], -1, 0)
    combined = lanes[0]
    for lane in lanes[1:]:
        combined = cell.result.evaluate({"a": combined, "b": lane})
    return combined


def _gather(self: Reference, op: Operation, cell: Gather, operands: list[np.ndarray]) -> np.ndarray:
    index = cell.index(op)
    return np.where(index < 0, op.attributes.get("padding", 0), operands[0].reshape(-1)[index])


def _scatter(self: Reference, op: Operation, cell: Scatter, operands: list[np.ndarray]) -> np.ndarray:
    assert op.result is not None
    index, kind = cell.index(op), op.result.type
    made = np.zeros(kind.lanes, dtype=np.int64)
    np.add.at(made, index[index >= 0], operands[0][index >= 0])
    return made.reshape(kind.shape)


def _arbiter(self: Reference, op: Operation, cell: Arbiter, operands: list[np.ndarray]) -> np.ndarray:
    return np.argmax(operands[0], axis=-1)


_EVALUATORS: dict[type, Callable[[Reference, Operation, Any, list[np.ndarray]], Any]] = {
    Wire: _wire,
    Comb: _comb,
    Memory: _memory,
    Register: _register,
    FreeRunning: _free_running,
    MatrixProduct: _matrix_product,
    Reduce: _reduce,
    Gather: _gather,
    Scatter: _scatter,
    Arbiter: _arbiter,
}
