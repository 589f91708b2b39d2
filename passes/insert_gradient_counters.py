"""insert-gradient-counters: a network that infers becomes one that learns, on the same chip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sccc.config import option
from sccc.ir import Module, Operation, Value
from sccc.learning import seen_through
from sccc.learning_options import RELU_RANGE, VALUE_BITS, CounterOptions
from sccc.passes.manager import Pass, PassContext, register
from sccc.passes.trainable import JOINT, WEIGHTED, Trainable, read_trainable
from sccc.passes.training_activations import step_name, through
from sccc.passes.training_builder import Builder
from sccc.passes.training_loss import loss
from sccc.passes.training_steps import Joint, Pooling, Products, Step


@register
@dataclass(frozen=True)
class InsertGradientCounters(CounterOptions, Pass):
    """Add loss, backward graph, ternary quantisers and gradient counters: the network learns on chip (after fuse-layers)."""

    name: ClassVar[str] = "insert-gradient-counters"

    random_seed: int = option(1, "seed of the random sources", lo=0)

    def run(self, module: Module, context: PassContext) -> Module:
        network = read_trainable(module)
        return _learning(Builder(self._resolved(network), module), network, self._range(network, context))

    def _resolved(self, network: Trainable) -> InsertGradientCounters:
        """With the values that 0 and auto stand for."""
        convolves = any(op.name == "nn.conv_layer" for op in network.steps)
        bits, limit = self.value_bits or VALUE_BITS[convolves], self.relu_range or RELU_RANGE[convolves]
        sources = self.sources if self.sources != "auto" else ("per-layer", "scrambled")[convolves]
        return replace(self, value_bits=bits, relu_range=limit, sources=sources)

    def _range(self, network: Trainable, context: PassContext) -> float:
        """The power of two that the input stays below."""
        most = self.input_range
        if not most and context.calibration is not None:
            x = context.calibration.reshape(len(context.calibration), -1)
            most = float(np.abs((x - network.offset) / network.scale).max())
        return max(1.0, 2.0 ** np.ceil(np.log2(most))) if most else 1.0


def _learning(b: Builder, network: Trainable, input_range: float) -> Module:
    """The module: forward in order, the loss, then backward, with each layer's update behind its error."""
    source, last = network.source, network.steps[-1]
    assert source.result is not None and last.result is not None
    b.origin(source)
    top, affine = 1 << b.options.value_bits, {}
    if network.scale.ndim:
        affine = {"scale": network.scale, "offset": network.offset}
    x = b.add(
        "input", [], source.result.name, shape=[source.result.type.lanes], name=source.attributes["name"],
        bits=b.options.value_bits - round(np.log2(input_range)), lo=-top, hi=top, **affine,
    )  # fmt: skip
    label = b.add("label", [], "label", classes=last.result.type.lanes)
    if b.options.halvings:
        b.halvings = b.add("halvings", [], "halvings", most=b.options.halvings)
    steps: list[Step] = []
    made: dict[Value, Value] = {source.result: x}
    for op in network.steps:
        b.origin(op)
        operands = [made[seen_through(value)] for value in op.operands]
        steps.append(_step(b, op, operands, op is last))
        assert op.result is not None
        made[op.result] = steps[-1].out
    assert isinstance(steps[-1], Products)
    _backward(b, steps, loss(b, steps[-1], label), network.learned())
    b.origin(network.output)
    b.add("output", [steps[-1].out], name=network.output.attributes["name"])
    return b.module


def _step(b: Builder, op: Operation, operands: list[Value], last: bool) -> Step:
    if op.name in WEIGHTED:
        return Products.forward(b, op, operands[0], last)
    if op.name == JOINT:
        return Joint.forward(b, op, *operands)
    return Pooling.forward(b, op, operands[0])


def _backward(b: Builder, steps: list[Step], delta: Value, learned: set[Value]) -> None:
    """`delta`: the error in front of the last layer's activation. Errors are handed back to the results in `learned` alone; those
    of a result that several steps read are added up."""
    errors: dict[Value, Value] = {}
    for step in reversed(steps):
        b.origin(step.op)
        assert step.op.result is not None
        if step is not steps[-1]:
            if step.op.result not in errors or step.op.result not in learned:
                continue
            delta = errors[step.op.result]
            if not isinstance(step, Pooling):
                delta = through(b, step.op, step.out, delta)
        read = [seen_through(value) for value in step.op.operands]
        handed = step.back(b, delta, read[0] in learned) if isinstance(step, Products) else step.back(b, delta)
        for value, error in zip(read, handed, strict=False):  # no error where none is needed
            if value in errors:
                error = b.added(errors[value], error, f"{step_name(step.op)}_errors")
            if value in learned:
                errors[value] = error


__all__ = ["InsertGradientCounters"]
