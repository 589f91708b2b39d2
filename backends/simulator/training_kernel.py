"""A training module as numba kernels: a loop over samples whose body is the module, op by op.

Lanes lie in flat arrays of the narrowest type that holds their range, so that LLVM packs sums of products. Updates come last, since
they change registers in place. `training_loops` says what becomes of each kind of cell. A network of many ops is not one kernel
but one for each kind of loop, called from Python (`training_kinds`): compiling one that holds everything takes minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.training_kinds import run_steps, steps_of
from sccc.backends.simulator.training_loops import Loops
from sccc.backends.simulator.training_types import storage
from sccc.cells import Memory
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.training_cells import FreeRunning, Register, Update
from sccc.types import Count, Stream

PIECE = 6
"""Ops in a function."""

MOST_OPS = 256
"""Of a module that becomes one kernel; with more, calls from Python (a few microseconds an op) weigh little in a sample's time."""


@dataclass
class Kernel:
    """`train(order, x, y)` takes samples x [samples, lanes] with classes y in this order; `infer(x, out)` writes the outputs
    [samples, lanes]. `states` names the arrays that outlive a sample, by the value's name; `halvings` is the array, of one number,
    that says how often the step has been halved, if it can be.
    """

    train: Callable[[np.ndarray, np.ndarray, np.ndarray], None]
    infer: Callable[[np.ndarray, np.ndarray], None]
    arrays: dict[str, np.ndarray]
    states: dict[str, str]
    halvings: np.ndarray | None


def build_kernel(module: Module, most_ops: int = MOST_OPS) -> Kernel:
    """Generate and load what computes a module that `check_learning` accepts: one kernel when it has at most so many ops."""
    writer = _Writer(module)
    if len(module.ops) > most_ops:
        learning, inference = (steps_of(bodies, writer.arrays) for bodies in writer.bodies())
        return Kernel(
            lambda order, x, y: run_steps(learning, order, x=x, y=y),
            lambda x, results: run_steps(inference, range(len(x)), x=x, results=results),
            writer.arrays,
            writer.states,
            writer.halvings(),
        )
    loaded, arrays = load(writer.source()), tuple(writer.arrays.values())
    return Kernel(
        lambda order, x, y: loaded.train(order, x, y, *arrays),
        lambda x, results: loaded.infer(x, results, *arrays),
        writer.arrays,
        writer.states,
        writer.halvings(),
    )


class _Writer:
    """Allocates what a module holds, and writes both functions."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.output = module.ops_named("train.output")[0]
        self.names = {value: f"v{number}" for number, value in enumerate(module.values())}
        self.arrays: dict[str, np.ndarray] = {}
        self.states: dict[str, str] = {}
        for op in module:
            self._allocate(op)
        self.code = Code()
        self.loops = Loops(module, self.code, self.names, self.arrays)

    def orders(self) -> tuple[list[Operation], list[Operation]]:
        """The ops in the order of learning, with all updates last, and those that the scores depend on."""
        ops = list(self.module)
        updates = [op for op in ops if isinstance(REGISTRY[op.name].cell, Update)]
        needed: set[Value] = set(self.output.operands)
        forward = []
        for op in reversed(ops):
            if op.result in needed:
                needed.update(op.operands)
                forward.append(op)
        return [*(op for op in ops if op not in updates), *updates], forward[::-1]

    def source(self) -> str:
        """Both functions, `train(order, x, y, *arrays)` and `infer(x, results, *arrays)`."""
        learning, inference = (
            self._pieces(stem, ops) for stem, ops in zip(("learn", "infer"), self.orders(), strict=True)
        )
        arguments = ", ".join(self.arrays)
        self._function(f"def train(order, x, y, {arguments}):", "for s in order:", learning)
        self._function(
            f"def infer(x, results, {arguments}):", "for s in range(len(x)):", [*inference, *self._results()]
        )
        return str(self.code)

    def bodies(self) -> tuple[list[str], list[str]]:
        """What each op's loops are, in both orders."""
        learning, inference = ([self._body([op]) for op in ops] for ops in self.orders())
        results = Code()
        results.add(1, *self._results())
        return learning, [*inference, str(results)]

    def halvings(self) -> np.ndarray | None:
        """The array of the input that nothing in the kernel writes."""
        results = (op.result for op in self.module.ops_named("train.halvings"))
        return next((self.arrays[self.names[value]] for value in results if value is not None), None)

    def _results(self) -> list[str]:
        scores = self.output.operands[0]
        return [f"for i in range({scores.type.lanes}):", f"    results[s, i] = {self.loops.at(scores)}"]

    def _body(self, ops: list[Operation]) -> str:
        body = self.loops.code = Code()
        for op in ops:
            self.loops.write(op)
        return str(body)

    def _pieces(self, stem: str, ops: list[Operation]) -> list[str]:
        """Functions of PIECE ops each, and the calls of them: numba's work on a function grows faster than the function."""
        calls = []
        for start in range(0, len(ops), PIECE):
            body = self._body(ops[start : start + PIECE])
            words = set(re.findall(r"\w+", body))
            arguments = [name for name in ("s", "x", "y", *self.arrays) if name in words]
            call = f"{stem}_{start // PIECE}({', '.join(arguments)})"
            if body.strip():
                self.code.add(0, KERNEL, f"def {call}:", body, "")
                calls.append(call)
        return calls

    def _function(self, head: str, loop: str, body: list[str]) -> None:
        self.code.add(0, KERNEL, head)
        self.code.add(1, loop)
        self.code.add(2, *body)
        self.code.add(0, "", "")

    def _allocate(self, op: Operation) -> None:
        """Flat arrays for what an op's result holds between ops, or between samples; of one lane for a scalar."""
        cell = REGISTRY[op.name].cell
        if op.result is None or isinstance(op.result.type, Stream | Count) or op.name == "sc.source":
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
        # A lane behind the last one holds the zeros of padding, and swallows what is added to it.
        self.arrays.setdefault(name, np.zeros(kind.lanes + 1, dtype=storage(kind)))


__all__ = ["MOST_OPS", "Kernel", "build_kernel"]
