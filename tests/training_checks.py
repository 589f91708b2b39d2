"""What the tests of learning on chip ask of every network: kernel and reference agree, and Icarus finds a fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sccc.backends.simulator.training import Trainer
from sccc.backends.verilog.training import emit_training
from sccc.ir import Module
from sccc.training_check import check_training

State = dict[str, np.ndarray]


def assert_kernel_equals_reference(
    module: Module,
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray | None = None,
    forms: tuple[str, ...] = ("numba", "kinds"),
) -> tuple[State, State]:
    """Trained on the same samples, these forms of the generated kernel and the numpy reference end with the same state and scores.

    Returns the reference's state before and after, for what else a test asks of it.
    """
    plain = Trainer(module, "numpy")
    numbers, before = plain.numbers(x), plain.state
    plain.train(numbers, y, order)
    expected, scores = plain.state, plain.scores(numbers)
    for kernels in forms:
        fast = Trainer(module, kernels)
        fast.train(numbers, y, order)
        after = fast.state
        assert all(np.array_equal(after[name], expected[name]) for name in expected)
        assert np.array_equal(fast.scores(numbers), scores)
    return before, expected


def assert_fault_is_found(module: Module, x: np.ndarray, y: np.ndarray, right: str, wrong: str) -> None:
    """The netlist with `wrong` in place of `right`, which it must hold, differs from the simulator."""
    netlist = emit_training(module)
    assert right in netlist.text
    broken = replace(netlist, text=netlist.text.replace(right, wrong))
    assert check_training(module, x, y, broken).mismatches > 0
