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
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.ops.geometry import geometry_of
from sccc.ops.layer import PRODUCT_LAYERS
from sccc.ops.layer import products as layer_products
from sccc.passes.manager import Pass, PassContext, register
from sccc.types import Stream

PRODUCTS = 1e11
"""Products of two bits that may be simulated for all corrections; large networks are corrected on fewer samples."""

LEAST_SAMPLES = 16


@register
@dataclass(frozen=True)
class CorrectBias(Pass):
    """Fold the mean error of each layer's totals on calibration data into their start values; does nothing without data."""

    name: ClassVar[str] = "correct-bias"
    samples: int = 500

    def run(self, module: Module, context: PassContext) -> Module:
        if context.calibration is None or context.simulate is None or module.reference is None:
            return module
        sums = module.ops_named("sc.accumulate", "fx.dot", "fx.conv")
        # Layer k is simulated with all layers before it: half of the network's products for each of its layers.
        work = sum(_products(op) for op in module.ops_named(*PRODUCT_SUMS, "fx.dot", "fx.conv")) * (len(sums) + 1) / 2
        x = context.calibration[: max(LEAST_SAMPLES, min(self.samples, int(PRODUCTS / work)))]
        wanted = _float_products(module.reference, x)
        for op in sums:
            if str(op.attributes["layer"]) in wanted:
                _correct(module, op, wanted[str(op.attributes["layer"])], x, context)
        return module


def _products(op: Operation) -> float:
    kind = op.operands[0].type
    return geometry_of(op).products * float(kind.length if isinstance(kind, Stream) else 1)


def _correct(module: Module, op: Operation, wanted: np.ndarray, x: np.ndarray, context: PassContext) -> None:
    """Layer by layer, so that each correction sees what the layers before it still get wrong. wanted: [outputs], the mean."""
    assert op.result is not None and context.simulate is not None
    totals = context.simulate(module, x, [op.result.name])[op.result.name]
    mean = _mean_of_outputs(totals)
    shape = (-1, *(1,) * (totals.ndim - 2))
    scale = np.broadcast_to(np.asarray(op.attributes["scale"]), (len(mean), *shape[1:])).reshape(-1)
    initial = np.broadcast_to(np.asarray(op.attributes["initial"]), (len(mean), *shape[1:])).reshape(-1)
    error = wanted / scale - (mean - initial)
    exact = np.broadcast_to(np.asarray(op.attributes.get("exact", np.nan)), (len(mean), *shape[1:])).reshape(-1)
    corrected = np.rint(np.where(np.isfinite(exact), exact, initial) + error).astype(np.int64)
    op.attributes["initial"] = corrected.reshape(shape)
    op.result.type = REGISTRY[op.name].infer(op)


def _mean_of_outputs(values: np.ndarray) -> np.ndarray:
    """Mean over samples and, of images, positions: [samples, outputs, ...] -> [outputs]."""
    mean: np.ndarray = values.mean(axis=(0, *range(2, values.ndim)))
    return mean


def _float_products(reference: Module, x: np.ndarray) -> dict[str, np.ndarray]:
    """The mean of weight x of each float layer on the samples, without the bias: [outputs]."""
    values: dict[Value, np.ndarray] = {}
    means: dict[str, np.ndarray] = {}

    def watch(op: Operation, value: np.ndarray) -> None:
        if op.result is not None:
            values[op.result] = value
            if op.name in PRODUCT_LAYERS:
                means[op.result.name] = _mean_of_outputs(layer_products(op, values[op.operands[0]]))

    evaluate(reference, x, watch)
    return means
