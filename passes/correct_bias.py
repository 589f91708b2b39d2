"""correct-bias: what the streams get wrong on average is known before synthesis, and costs nothing to put right.

Quantised weights, saturated activations and shared sources (whose count of two levels is a fixed number, not quite their product)
all shift the mean of a layer's totals. The shift is measured on calibration data and taken off the accumulators' start values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sccc.diagnostics import InternalError
from sccc.evaluate import evaluate
from sccc.ir import Attribute, Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.ops.fixed import FIXED_SUMS
from sccc.ops.geometry import geometry_of
from sccc.ops.layer import PRODUCT_LAYERS
from sccc.ops.layer import products as layer_products
from sccc.passes.manager import Pass, PassContext, register
from sccc.types import Level, Stream, Total

PRODUCTS = 1e11
"""Products of two bits that may be simulated for all corrections; large networks are corrected on fewer samples."""

LEAST_SAMPLES = 8


@register
@dataclass(frozen=True)
class CorrectBias(Pass):
    """Fold the mean error of each layer's totals on calibration data into their start values; does nothing without data."""

    name: ClassVar[str] = "correct-bias"
    samples: int = 500

    def run(self, module: Module, context: PassContext) -> Module:
        if context.calibration is None or context.simulate is None or module.reference is None:
            return module
        work = sum(_products(op) for op in module.ops_named(*PRODUCT_SUMS, *FIXED_SUMS))
        x = context.calibration[: max(LEAST_SAMPLES, min(self.samples, int(PRODUCTS / max(work, 1.0))))]
        wanted = _float_products(module.reference, x)
        numbers: dict[Value, np.ndarray] = {}
        for op in module:
            if op.name in SUMS and op.result is not None:
                totals = _totals(op, numbers, context.simulate)
                if str(op.attributes["layer"]) in wanted:
                    totals = totals + _correct(op, wanted[str(op.attributes["layer"])], totals)
                numbers[op.result] = totals
            elif op.result is not None and isinstance(op.result.type, Level | Total):
                value = REGISTRY[op.name].value
                assert value is not None
                shaped = x.reshape(len(x), *op.result.type.shape) if op.name == "sc.input" else None
                # Between levels and totals the meaning in reals is what the hardware computes, exactly.
                numbers[op.result] = value(op, *([shaped] if shaped is not None else [numbers[v] for v in op.operands]))
        return module


SUMS = ("sc.accumulate", *FIXED_SUMS)


def _products(op: Operation) -> float:
    kind = op.operands[0].type
    return geometry_of(op).products * float(kind.length if isinstance(kind, Stream) else 1)


Simulate = Callable[[Module, np.ndarray, list[str]], dict[str, np.ndarray]]


def _totals(op: Operation, numbers: dict[Value, np.ndarray], simulate: Simulate) -> np.ndarray:
    """The totals that an op's hardware gives for the numbers of the levels that it depends on: [samples, *lanes]."""
    assert op.result is not None
    leaf, cone = _cone(op, numbers)
    kind = leaf.type
    assert isinstance(kind, Level)
    part = Module("part")
    shape: list[Any] = list(kind.shape)
    attributes: dict[str, Attribute] = {"shape": shape, "name": "x", "encoding": kind.encoding.value, "bits": kind.bits}
    source = part.append("sc.input", [], attributes, result=leaf.name).result
    assert source is not None
    made = {leaf: source}
    for each in cone:
        operands = [made[v] for v in each.operands]
        copy = part.append(each.name, operands, each.attributes, result=each.result.name if each.result else None)
        if each.result is not None and copy.result is not None:
            made[each.result] = copy.result
    part.append("sc.output", [made[op.result]], {"name": "y"})
    return simulate(part, numbers[leaf], [made[op.result].name])[made[op.result].name]


def _cone(op: Operation, numbers: dict[Value, np.ndarray]) -> tuple[Value, list[Operation]]:
    """The levels that an op's streams are made from, and all ops from there to it, in order."""
    leaves: set[Value] = set()
    inside: set[Operation] = set()
    cone: list[Operation] = []

    def visit(each: Operation) -> None:
        if each in inside:
            return
        inside.add(each)
        for operand in each.operands:
            constant = operand.op is not None and operand.op.name == "sc.constant"
            if operand in numbers and not constant:
                leaves.add(operand)
            elif operand.op is not None:
                visit(operand.op)
        cone.append(each)

    visit(op)
    if len(leaves) != 1:
        raise InternalError(f"{op!r} depends on {len(leaves)} levels")
    return leaves.pop(), cone


def _correct(op: Operation, wanted: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Change the start values so that the mean total of each output is right; by how much they change, for the lanes.

    wanted: [outputs], the mean that products should sum up to, in real units.
    """
    assert op.result is not None
    mean = _mean_of_outputs(totals)
    shape = (len(mean), *(1,) * (totals.ndim - 2))
    scale, initial, exact = (
        np.broadcast_to(np.asarray(op.attributes.get(name, np.nan)), shape).reshape(-1)
        for name in ("scale", "initial", "exact")
    )
    error = wanted / scale - (mean - initial)
    corrected = np.rint(np.where(np.isfinite(exact), exact, initial) + error).astype(np.int64)
    op.attributes["initial"] = corrected.reshape(shape)
    op.result.type = REGISTRY[op.name].infer(op)
    change: np.ndarray = (corrected - initial).reshape(shape)
    return change


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
                inputs = values[op.operands[0]].mean(axis=0, keepdims=True)  # products are linear in them
                means[op.result.name] = _mean_of_outputs(layer_products(op, inputs))

    evaluate(reference, x, watch)
    return means
