"""Training in the simulator: bit for bit what the hardware does, a sample after the other."""

from __future__ import annotations

import numpy as np

from sccc.backends.simulator.training_kernel import MOST_OPS, Kernel, build_kernel
from sccc.backends.simulator.training_reference import Reference, State, initial_state
from sccc.backends.simulator.training_types import storage
from sccc.diagnostics import SccError, nearest
from sccc.ir import Module
from sccc.learning import check_learning
from sccc.ops.training_types import input_numbers

ENGINES = ("numba", "kinds", "numpy")

PIECE = 4096
"""Samples whose real inputs are converted to integers at a time."""


class Trainer:
    """A training module (from insert-gradient-counters) with its state: counters and random sources.

    kernels: "numba": compiled, in the form that suits the module's size; "kinds": a kernel for each kind of loop, as for modules
    of many ops; "numpy": the op-by-op reference. All give the same state after every sample. Raises SccError when the module is
    not one that learns.
    """

    def __init__(self, module: Module, kernels: str = "numba") -> None:
        if kernels not in ENGINES:
            raise SccError(f"unknown kernels '{kernels}'", advice=nearest(kernels, ENGINES))
        check_learning(module)
        self.module = module
        self.source = module.ops_named("train.input")[0]
        self._kernel: Kernel | None = None
        if kernels != "numpy":
            self._kernel = build_kernel(module, MOST_OPS if kernels == "numba" else 0)
        self._reference = Reference(module)
        self.most_halvings = max((op.attributes["most"] for op in module.ops_named("train.halvings")), default=0)

    @property
    def halvings(self) -> int:
        """How often the step has been halved, 0 .. `most_halvings`; may be set between samples."""
        return self._reference.halvings

    @halvings.setter
    def halvings(self, number: int) -> None:
        if not 0 <= number <= self.most_halvings:
            raise SccError(
                f"{number} halvings are outside 0 .. {self.most_halvings}", advice="give the pass more halvings"
            )
        self._reference.halvings = number
        if self._kernel is not None and self._kernel.halvings is not None:
            self._kernel.halvings[0] = number

    def numbers(self, x: np.ndarray) -> np.ndarray:
        """Real inputs [samples, ...] as the integers that the hardware is given, [samples, lanes], in a narrow type."""
        assert self.source.result is not None
        kind = self.source.result.type
        flat = np.asarray(x).reshape(len(x), -1)
        if flat.shape[1] != kind.lanes:
            raise SccError(f"data of {flat.shape[1]} numbers per sample does not fit {kind}", self.source.place())
        made = np.empty((len(x), kind.lanes), dtype=storage(kind))
        for i in range(0, len(x), PIECE):
            made[i : i + PIECE] = input_numbers(self.source, flat[i : i + PIECE])
        return made

    def train(self, numbers: np.ndarray, labels: np.ndarray, order: np.ndarray | None = None) -> None:
        """Learn from samples `numbers` [samples, lanes] with classes `labels`, in this order (default: as they come)."""
        order = np.arange(len(numbers)) if order is None else order
        if self._kernel is None:
            for s in order:
                self._reference.step(numbers[s], int(labels[s]))
        elif len(order):
            self._kernel.train(order.astype(np.int64), numbers, np.asarray(labels, dtype=np.int64))

    def scores(self, numbers: np.ndarray) -> np.ndarray:
        """The network's outputs as integers [samples, classes], without learning."""
        output = self.module.ops_named("train.output")[0].operands[0]
        results = np.zeros((len(numbers), output.type.lanes), dtype=np.int64)
        if self._kernel is None:
            for s, x in enumerate(numbers):
                results[s] = self._reference.forward(x, 0)[output]
        else:
            self._kernel.infer(numbers, results)
        return results

    def accuracy(self, numbers: np.ndarray, labels: np.ndarray) -> float:
        """The share of samples whose first largest output is their class's."""
        return float(np.mean(np.argmax(self.scores(numbers), axis=1) == labels))

    @property
    def state(self) -> State:
        """A copy of what outlives a sample, by value name, int64."""
        if self._kernel is None:
            return {name: array.copy() for name, array in self._reference.state.items()}
        shapes = {name: array.shape for name, array in initial_state(self.module).items()}
        arrays = self._kernel.arrays
        return {n: arrays[held].astype(np.int64).reshape(shapes[n]) for n, held in self._kernel.states.items()}

    @state.setter
    def state(self, state: State) -> None:
        shapes = {name: array.shape for name, array in initial_state(self.module).items()}
        if {name: np.shape(array) for name, array in state.items()} != shapes:
            raise SccError("the state is one of another network")
        if self._kernel is None:
            self._reference.state = {name: np.array(array, dtype=np.int64) for name, array in state.items()}
            return
        for name, held in self._kernel.states.items():
            self._kernel.arrays[held][:] = state[name].reshape(-1)
