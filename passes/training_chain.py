"""What insert-gradient-counters takes: a chain of layers, convolutions and pooling, from one input to one output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc.diagnostics import Collector
from sccc.ir import Module, Operation

FUNCTIONS = ("identity", "tanh", "sigmoid", "relu")
"""Activations that have a backward form."""

WEIGHTED, POOLS = ("nn.layer", "nn.conv_layer"), ("nn.max_pool", "nn.avg_pool")
PASSED = ("nn.input", "nn.output", "nn.softmax", "nn.argmax", "nn.reshape")


@dataclass(frozen=True)
class Chain:
    """The input, (x - offset) / scale of it, layers and poolings in order, the output's op."""

    source: Operation
    offset: np.ndarray
    scale: np.ndarray
    steps: list[Operation]
    output: Operation

    @property
    def layers(self) -> list[Operation]:
        """The steps that have weights."""
        return [op for op in self.steps if op.name in WEIGHTED]


def read_chain(module: Module) -> Chain:
    """The chain that a module after fuse-layers is. Raises SccError with everything that cannot be trained."""
    problems = Collector()
    steps: list[Operation] = []
    offset, scale = np.zeros(()), np.ones(())
    for op in module:
        if op.name in WEIGHTED or op.name in POOLS:
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
            advice = "a chain of dense layers, convolutions and pooling is trained: run fuse-layers first"
            problems.add(f"{op.name} cannot be trained on chip", op.place(), advice)
    _check_ends(module, steps, problems)
    problems.raise_if_any()
    return Chain(module.inputs[0], offset, scale, steps, module.outputs[0])


def _check_step(op: Operation, problems: Collector) -> None:
    a = op.attributes
    if op.name in WEIGHTED and a["function"] not in FUNCTIONS:
        advice = "trained on chip: " + ", ".join(FUNCTIONS)
        problems.add(f"{a['function']} has no backward form here", op.place(), advice)
    if op.name == "nn.conv_layer" and a["groups"] != 1:
        problems.add("a convolution in groups cannot be trained on chip", op.place(), "use one group")
    if op.name in POOLS and any(a["pads"]):
        problems.add("pooling with padding cannot be trained on chip", op.place(), "leave the padding out")


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
