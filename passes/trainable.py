"""What insert-gradient-counters takes: layers, convolutions, pooling and additions, from one input to one output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc.diagnostics import Collector
from sccc.ir import Module, Operation, Value
from sccc.learning import SEEN_THROUGH, seen_through

FUNCTIONS = ("identity", "tanh", "sigmoid", "relu", "clip")
"""Activations that have a backward form."""

WEIGHTED, POOLS, JOINT = ("nn.layer", "nn.conv_layer"), ("nn.max_pool", "nn.avg_pool"), "nn.add_layer"
PASSED = ("nn.input", "nn.output", "nn.softmax", "nn.argmax", "nn.reshape")

MOST_NUMBERS = 1 << 28
"""Numbers of a sample and weights, beyond which some gigabytes would be needed."""


@dataclass(frozen=True)
class Trainable:
    """The input, (x - offset) / scale of it, the steps in order (each behind those that it reads), the output's op."""

    source: Operation
    offset: np.ndarray
    scale: np.ndarray
    steps: list[Operation]
    output: Operation

    @property
    def layers(self) -> list[Operation]:
        """The steps that have weights."""
        return [op for op in self.steps if op.name in WEIGHTED]

    def learned(self) -> set[Value]:
        """The results that depend on weights: errors are handed back to these."""
        found: set[Value] = set()
        for op in self.steps:
            if op.result is not None and (op.name in WEIGHTED or any(seen_through(x) in found for x in op.operands)):
                found.add(op.result)
        return found


def read_trainable(module: Module) -> Trainable:
    """The trainable network that a module after fuse-layers is. Raises SccError with everything that cannot be trained."""
    problems = Collector()
    steps: list[Operation] = []
    offset, scale = np.zeros(()), np.ones(())
    for op in module:
        if op.name in (*WEIGHTED, *POOLS, JOINT):
            steps.append(op)
            _check_step(op, problems)
        elif op.name == "nn.affine" and not steps:
            factor, shift = (
                np.broadcast_to(np.asarray(op.attributes[k], dtype=np.float64), op.operands[0].type.shape).reshape(-1)
                for k in ("scale", "shift")
            )
            if np.all(factor):
                offset, scale = offset * np.ones(factor.shape) - shift / factor * scale, scale / factor
            else:
                problems.add("a scale of 0 hides an input", op.place())
        elif op.name not in PASSED:
            advice = "dense layers, convolutions, pooling and additions are trained: run fuse-layers first"
            problems.add(f"{op.name} cannot be trained on chip", op.place(), advice)
    _check_ends(module, steps, problems)
    _check_input(module, steps, problems)
    _check_size(module, steps, problems)
    problems.raise_if_any()
    return Trainable(module.inputs[0], offset, scale, steps, module.outputs[0])


def _check_step(op: Operation, problems: Collector) -> None:
    a = op.attributes
    if op.name not in POOLS and a["function"] not in FUNCTIONS:
        advice = "trained on chip: " + ", ".join(FUNCTIONS)
        problems.add(f"{a['function']} has no backward form here", op.place(), advice)


def _check_ends(module: Module, steps: list[Operation], problems: Collector) -> None:
    layers = [op for op in steps if op.name in WEIGHTED]
    if len(module.inputs) != 1 or len(module.outputs) != 1:
        problems.add(f"module '{module.name}' needs one input and one output to be trained")
    elif not layers:
        problems.add(f"module '{module.name}' has no layer to train", advice="run fuse-layers first")
    elif layers[-1] is not steps[-1] or layers[-1].name != "nn.layer":
        problems.add("a classifier ends with a dense layer", steps[-1].place())
    elif layers[-1].result is not None and layers[-1].result.type.lanes < 2:
        problems.add("one output tells no classes apart", layers[-1].place(), "a classifier with at least 2 is wanted")


def _check_input(module: Module, steps: list[Operation], problems: Collector) -> None:
    """All that read the input read it behind the same scales and shifts."""
    scales = len(module.ops_named("nn.affine"))
    for op in steps:
        for x in op.operands:
            passed = 0
            while x.op is not None and x.op.name in SEEN_THROUGH:
                passed, x = passed + (x.op.name == "nn.affine"), x.op.operands[0]
            if x.op is not None and x.op.name == "nn.input" and passed != scales:
                problems.add("the input is read in front of a scale and behind it", op.place())


def _check_size(module: Module, steps: list[Operation], problems: Collector) -> None:
    """Before memory is taken: patches hold an image's lane for each tap that sees it."""
    numbers = 0
    for op in steps:
        assert op.result is not None
        shape, weight = op.result.type.shape, np.asarray(op.attributes.get("weight", 0.0))
        taps = np.prod(weight.shape[2:]) if weight.ndim == 4 else np.prod(op.attributes.get("kernel", [1]))
        positions = int(np.prod(shape[1:]))
        numbers += op.result.type.lanes + weight.size + int(op.operands[0].type.shape[0] * taps) * positions
    if numbers > MOST_NUMBERS:
        problems.add(
            f"module '{module.name}' needs {numbers} numbers for a sample, and {MOST_NUMBERS} are too many",
            advice="train a narrower network, or smaller images",
        )
