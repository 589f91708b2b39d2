"""correct-bias: what the streams get wrong on average is known before synthesis, and costs nothing to put right.

Quantised weights, saturated activations and shared sources (whose count of two levels is a fixed number, not quite their product)
all shift the mean of a layer's totals. The shift is measured on calibration data and taken off the accumulators' start values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sccc.evaluate import evaluate
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.passes.manager import Pass, PassContext, register


@register
@dataclass(frozen=True)
class CorrectBias(Pass):
    """Fold the mean error of each layer's totals on calibration data into their start values; does nothing without data."""

    name: ClassVar[str] = "correct-bias"
    samples: int = 500

    def run(self, module: Module, context: PassContext) -> Module:
        if context.calibration is None or context.simulate is None or module.reference is None:
            return module
        x = context.calibration[: self.samples]
        wanted = _float_products(module.reference, x)
        for op in module.ops_named("sc.accumulate", "fx.dot"):
            if str(op.attributes["layer"]) in wanted:
                _correct(module, op, wanted[str(op.attributes["layer"])], x, context)
        return module


def _correct(module: Module, op: Operation, wanted: np.ndarray, x: np.ndarray, context: PassContext) -> None:
    """Layer by layer, so that each correction sees what the layers before it still get wrong. wanted: [samples, outputs]."""
    assert op.result is not None and context.simulate is not None
    totals = context.simulate(module, x, [op.result.name])[op.result.name]
    initial = np.broadcast_to(np.asarray(op.attributes["initial"]), totals.shape[1:])
    error = (wanted / np.asarray(op.attributes["scale"]) - (totals - initial)).mean(axis=0)
    exact = np.asarray(op.attributes.get("exact", np.nan))
    op.attributes["initial"] = np.rint(np.where(np.isfinite(exact), exact, initial) + error).astype(np.int64)
    op.result.type = REGISTRY[op.name].infer(op)


def _float_products(reference: Module, x: np.ndarray) -> dict[str, np.ndarray]:
    """weight x of each float layer on the samples, without the bias: [samples, outputs]."""
    values: dict[Value, np.ndarray] = {}
    products: dict[str, np.ndarray] = {}

    def watch(op: Operation, value: np.ndarray) -> None:
        if op.result is not None:
            values[op.result] = value
            if op.name == "nn.layer":
                products[op.result.name] = values[op.operands[0]] @ np.asarray(op.attributes["weight"]).T

    evaluate(reference, x, watch)
    return products
