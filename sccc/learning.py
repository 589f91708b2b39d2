"""Networks that learn: what a module must be to be trained, simulated or emitted as one, and in which order it computes.

A module learns by ops of the dialect train. Where its forward pass runs on streams, each layer's sums of products take a window of
cycles, one layer after the other, as a layer needs the totals of the one before; everything else is done in the cycle behind the
last window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc.correlation import lanes_of
from sccc.diagnostics import Collector
from sccc.expr import fold_bits
from sccc.ir import Module, Operation, Value
from sccc.joint import joint_counts, summed_product
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import product_of
from sccc.ops.geometry import NOTHING, Geometry, geometry_of
from sccc.ops.registry import refuse
from sccc.ops.source import source_lanes
from sccc.sources import CounterSource
from sccc.training_cells import Update
from sccc.types import Level, Stream

COUNTS = ("sc.dot", "sc.conv")
"""Ops that count products of streams, all of them in each cycle."""

STREAM_OPS = ("sc.source", "sc.sng", *COUNTS, "sc.accumulate")
"""Ops of inference that a network that learns may hold."""


SEEN_THROUGH = ("nn.reshape", "nn.affine")
"""What a step's operand may come through: the same numbers in the same order, or those of the input, scaled."""


def seen_through(value: Value) -> Value:
    """The step's result, or the input, that a value is another form of."""
    while value.op is not None and value.op.name in SEEN_THROUGH:
        value = value.op.operands[0]
    return value


def check_learning(module: Module) -> None:
    """One input, label and output, at most one train.halvings; ops of the dialect train and STREAM_OPS; at most one update for each
    register.

    Raises SccError with every problem.
    """
    problems = Collector()
    for name in ("train.input", "train.label", "train.output"):
        if (found := len(module.ops_named(name))) != 1:
            problems.add(
                f"module '{module.name}' has {found} {name} ops; training wants exactly one",
                advice="run insert-gradient-counters first",
            )
    if len(module.ops_named("train.halvings")) > 1:
        problems.add(f"module '{module.name}' has several train.halvings ops", advice="one halves all steps")
    updated: set[Value] = set()
    for op in module:
        cell = REGISTRY[op.name].cell
        if (op.dialect != "train" and op.name not in STREAM_OPS) or cell is None:
            problems.add(f"{op.name} is no op of a network that learns", op.place())
        elif isinstance(cell, Update):
            if op.operands[0] in updated:
                problems.add(f"register %{op.operands[0].name} is updated twice", op.place())
            updated.add(op.operands[0])
        elif op.name == "sc.source" and [type(source) for source in source_lanes(op)] != [CounterSource]:
            problems.add("a network that learns has counter sources only, shared by all lanes", op.place())
    with problems.catching():
        stream_windows(module)
    problems.raise_if_any()


@dataclass(frozen=True)
class StreamProduct:
    """The products over a window that an sc.accumulate sums up: of levels x and w, which an sc.dot or an sc.conv counts."""

    dot: Operation
    x: Value
    w: Value
    sources: tuple[Value, Value]

    @staticmethod
    def behind(accumulate: Operation) -> StreamProduct:
        """Raises SccError where an sc.accumulate sums anything else than an sc.dot or sc.conv of two SNGs' streams, from 0."""
        dot = accumulate.operands[0].op
        makers = [operand.op for operand in dot.operands] if dot is not None and dot.name in COUNTS else []
        x, w = makers if makers else (None, None)
        if dot is None or x is None or w is None or {x.name, w.name} != {"sc.sng"}:
            raise refuse(accumulate, "sums something else than the sc.dot or sc.conv of two SNGs' streams")
        if np.any(accumulate.attributes["initial"]):
            raise refuse(accumulate, "starts from a constant", "a bias that learns is added by train.add")
        if np.any(geometry_of(dot).lanes() == NOTHING) and not fold_bits(product_of(dot).bit, {"x": 0}).is_const(0):
            raise refuse(dot, "sums padding of streams whose bit 0 is not 0", "use unipolar or signed streams")
        return StreamProduct(dot, x.operands[0], w.operands[0], (x.operands[1], w.operands[1]))

    @property
    def geometry(self) -> Geometry:
        """Which lanes of x and w meet in which total."""
        return geometry_of(self.dot)

    @property
    def length(self) -> int:
        """Cycles of the window."""
        kind = self.dot.operands[0].type
        assert isinstance(kind, Stream)
        return kind.length

    def table(self) -> np.ndarray:
        """What a pair of lanes adds to the total, int32 [levels of x, levels of w], from the smallest level on."""
        kinds = [value.type for value in (self.x, self.w)]
        assert isinstance(kinds[0], Level) and isinstance(kinds[1], Level)
        a, b = (lanes_of(source)[0] for source in self.sources)
        both = joint_counts(a, b, kinds[0].bits, self.length, kinds[0].bits)
        return summed_product(both, self.length, kinds[0].encoding, kinds[1].encoding).astype(np.int32)


def stream_windows(module: Module) -> list[Operation]:
    """The sc.accumulate ops, in the order in which their windows follow each other; all have one length. Raises SccError."""
    found = module.ops_named("sc.accumulate")
    lengths = {StreamProduct.behind(op).length for op in found}
    if len(lengths) > 1:
        raise refuse(found[0], f"windows of {sorted(lengths)} cycles in one network that learns", "give all one length")
    return found
