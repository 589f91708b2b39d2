"""early-exit: the last layer ends its window as soon as the leading class is safe.

Before that its bias is spread over the window, an integer and a fraction of a count in every cycle, so that the sums after any
cycle are the network's answer at that time, and not one in which the whole bias has been added to few products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sccc.diagnostics import SccError
from sccc.early_exit import ExitRule, choose_rule, final_sum
from sccc.ir import Module, Operation, Value
from sccc.ops.conversion import SNGS
from sccc.ops.source import source_lanes
from sccc.passes.layer_ops import add_before
from sccc.passes.manager import Pass, PassContext, register
from sccc.types import Count, Stream

BIAS_DIMENSION = 2
"""Sobol dimension of the bias's fraction: 0 and 1 make the layer's data and weights."""

FEW_SAMPLES = 2000
"""Calibration samples below which margins did not hold on test images (MNIST: 500 lost 0.2 points, 5,000 none)."""


@register
@dataclass(frozen=True)
class EarlyExit(Pass):
    """End the last layer's window when its largest total leads by `margin` counts (0: chosen on calibration data)."""

    name: ClassVar[str] = "early-exit"
    margin: int = 0
    first: int = 0
    every: int = 1
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin < 0 or self.first < 0:
            raise SccError(f"margin = {self.margin} and first = {self.first} must not be negative", advice="0: chosen")
        if self.every < 1 or self.every & (self.every - 1):
            raise SccError(
                f"every = {self.every} is no power of two", advice="the lead is looked at when low bits are 0"
            )
        if not 0.0 <= self.tolerance <= 1.0:
            raise SccError(f"tolerance = {self.tolerance} is outside 0 .. 1", advice="a share of the samples")

    def run(self, module: Module, context: PassContext) -> Module:
        op = final_sum(module)
        if op.name == "sc.race":
            raise SccError("the last layer exits early already", op.place(), "run early-exit once")
        initial = spread_bias(module, op)
        rule = ExitRule(self.margin, max(self.first, 1), self.every)
        if self.margin == 0:
            rule = self._calibrated(module, op, initial, context)
        a = op.attributes
        kept = {name: a[name] for name in ("exact", "scale", "layer")}
        attributes = {"margin": rule.margin, "first": rule.first, "every": rule.every, "initial": initial, **kept}
        assert op.result is not None
        name, op.result.name = op.result.name, ""
        race = module.append(
            "sc.race", op.operands, attributes, result=name, origin=op.origin, location=op.location, before=op
        )
        assert race.result is not None
        module.replace_uses(op.result, race.result)
        module.erase(op)
        return module

    def _calibrated(self, module: Module, op: Operation, initial: np.ndarray, context: PassContext) -> ExitRule:
        if context.calibration is None or context.simulate is None:
            raise SccError(
                "no margin is given, and there are no samples to choose it on",
                op.place(),
                "give --calibrate, or margin=...",
            )
        if len(context.calibration) < FEW_SAMPLES:
            context.warnings.append(
                f"the margin of the early exit is chosen on {len(context.calibration)} samples; below {FEW_SAMPLES} it may be too "
                "small for new ones"
            )
        name = op.operands[0].name
        counts = context.simulate(module, context.calibration, [name])[name]
        counts = counts.reshape(len(counts), -1, counts.shape[-1])
        totals = np.cumsum(counts, axis=2, dtype=np.int64).transpose(0, 2, 1) + initial.reshape(-1)
        return choose_rule(totals, first=self.first, every=self.every, tolerance=self.tolerance)


def spread_bias(module: Module, op: Operation) -> np.ndarray:
    """Add a sum's start values cycle by cycle, before it; what is left of them, int64 per lane, is to be its start.

    The total after the whole window does not change: what the fraction's stream does not hold exactly stays in the start.
    """
    count = op.operands[0]
    assert isinstance(count.type, Count)
    length = count.type.length
    initial = np.broadcast_to(np.asarray(op.attributes["initial"], dtype=np.int64), count.type.shape)
    if not np.any(initial):
        return initial.copy()
    whole, bits = initial // length, _level_bits(count)
    levels = np.rint((initial - whole * length) / length * (1 << bits)).astype(np.int64)
    add = add_before(module, op)
    constant = add("sc.constant", [], "exit_bias", levels=levels, encoding="unipolar", bits=bits)
    random = add("sc.source", [], "exit_rb", kind="sobol", index=BIAS_DIMENSION, bits=bits)
    stream = add("sc.sng", [constant, random], "exit_b", length=length)
    op.operands[0] = add("sc.offset", [count, stream], "exit_sum", whole=whole)
    assert random.op is not None
    numbers = source_lanes(random.op)[0].sequence(length)
    ones = (levels[..., None] > numbers).sum(axis=-1)
    return np.asarray(initial - whole * length - ones, dtype=np.int64)


def _level_bits(count: Value) -> int:
    """Bits of the random numbers that the layer's streams are made with, by the streams behind its count."""
    found: list[int] = []
    pending = [count]
    while pending:
        op = pending.pop().op
        if op is not None and op.name in SNGS:
            found.append(op.operands[1].type.bits)  # type: ignore[attr-defined]
        elif op is not None:
            pending += [v for v in op.operands if isinstance(v.type, Stream | Count)]
    return max(found)
