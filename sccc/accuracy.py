"""Accuracy and layer-by-layer error: float model, ideal quantised model, bit streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sccc.backends.simulator import Simulator
from sccc.data import Data
from sccc.evaluate import evaluate
from sccc.ir import Module, Operation, Value
from sccc.ops.layer import one_in_totals
from sccc.schedule import layer_ops
from sccc.types import Count, Level, Stream, Total

BATCH = 1000
"""Samples whose inner values are held at a time."""

TRACED_SAMPLES = 1000
"""Samples on which layers are compared; all samples count for the accuracy."""


def predictions(output: np.ndarray) -> np.ndarray:
    """Classes [samples] from a network's output: the largest of several scores, an index as it is, one score against 1/2."""
    flat = output.reshape(len(output), -1)
    if output.ndim == 1:
        return output.astype(np.int64)
    return (flat[:, 0] > 0.5).astype(np.int64) if flat.shape[1] == 1 else flat.argmax(axis=1)


def measure(
    module: Module,
    data: Data,
    *,
    flip_rate: float = 0.0,
    seed: int = 1,
    kernels: str = "numba",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """What `sccc simulate` reports, as plain data.

    Keys: samples, length (1 without streams), accuracy {float, quantized, stream} (None without a float model), layers [{name,
    rmse_quantized, rmse_stream}], seconds and bit_products_per_second (0 in fixed point) of the bit-exact simulation. Layer errors
    are root mean squares in the layer's real units: quantised against float, streams against quantised.
    """
    assert data.y is not None
    (source,) = module.inputs
    shape = source.result.type.shape  # type: ignore[union-attr]
    simulator = Simulator(module, flip_rate=flip_rate, seed=seed, kernels=kernels)
    run = simulator.run(data.x, progress=progress)
    right = {"float": 0, "quantized": 0}
    for begin in range(0, len(data.x), BATCH):
        x, y = data.x[begin : begin + BATCH], data.y[begin : begin + BATCH]
        if module.reference is not None:
            right["float"] += int((predictions(evaluate(module.reference, x)) == y).sum())
        right["quantized"] += int((predictions(evaluate(module, x.reshape(len(x), *shape))) == y).sum())
    samples = len(data.x)
    seconds = max(run.seconds, 1e-9)
    return {
        "samples": samples,
        "length": max((v.type.length for v in module.values() if isinstance(v.type, Stream)), default=1),
        "accuracy": {
            "float": right["float"] / samples if module.reference is not None else None,
            "quantized": right["quantized"] / samples,
            "stream": float((predictions(run.output) == data.y).mean()),
        },
        "layers": layer_errors(module, data.x[:TRACED_SAMPLES], flip_rate=flip_rate, seed=seed, kernels=kernels),
        "seconds": run.seconds,
        "bit_products_per_second": run.bit_products / seconds,
    }


def layer_results(module: Module) -> dict[str, Value]:
    """What leaves each layer: the value that other layers or the output read; before sc.argmax, the totals it compares."""
    uses = module.uses()
    results: dict[str, Value] = {}
    for name, ops in layer_ops(module).items():
        inside = set(ops)
        for op in ops:
            if op.result is not None and any(user not in inside for user in uses[op.result]):
                results[name] = op.operands[0] if op.name == "sc.argmax" else op.result
    return results


def layer_errors(
    module: Module, x: np.ndarray, *, flip_rate: float = 0.0, seed: int = 1, kernels: str = "numba"
) -> list[dict[str, Any]]:
    """Root-mean-square errors of each layer's result.

    rmse_quantized is None where there is no float layer to compare with, both where the result's real units are not known.
    """
    (source,) = module.inputs
    results = layer_results(module)
    floats = _float_layers(module, x)
    ideal: dict[Value, np.ndarray] = {}

    def watch(op: Operation, value: np.ndarray) -> None:
        if op.result is not None:
            ideal[op.result] = value

    evaluate(module, x.reshape(len(x), *source.result.type.shape), watch)  # type: ignore[union-attr]
    simulator = Simulator(
        module, trace=[v.name for v in results.values()], flip_rate=flip_rate, seed=seed, kernels=kernels
    )
    trace = simulator.run(x).trace
    layers = []
    for name, value in results.items():
        scale, exact = _real_scale(module, name, value), floats.get(name)
        errors: dict[str, float | None] = {"rmse_quantized": None, "rmse_stream": None}
        if scale is not None:
            quantised, stream = ideal[value] * scale, decoded(value, trace[value.name]) * scale
            errors["rmse_stream"] = _rms(stream - quantised)
            if exact is not None:
                errors["rmse_quantized"] = _rms(quantised - exact.reshape(quantised.shape))
        layers.append({"name": value.op.origin or name if value.op else name, **errors})
    return layers


def decoded(value: Value, raw: np.ndarray) -> np.ndarray:
    """The numbers that a traced value stands for: streams by their mean over the window."""
    kind = value.type
    if isinstance(kind, Level):
        return kind.encoding.decode(raw, kind.bits)
    if isinstance(kind, Stream):
        return kind.encoding.decode(raw.mean(axis=-1), 0)
    return raw.mean(axis=-1) if isinstance(kind, Count) else raw.astype(np.float64)


def _float_layers(module: Module, x: np.ndarray) -> dict[str, np.ndarray]:
    seen: dict[str, np.ndarray] = {}
    if module.reference is not None:

        def watch(op: Operation, value: np.ndarray) -> None:
            if op.name == "nn.layer" and op.result is not None:
                seen[op.result.name] = value

        evaluate(module.reference, x, watch)
    return seen


def _real_scale(module: Module, layer: str, value: Value) -> float | None:
    """Real units of the value's encoded 1.0; None for the totals before sc.argmax when there is no float model to tell them."""
    output = module.outputs[0]
    if isinstance(value.type, Total) and value in output.operands:
        return float(output.attributes["scale"])
    if isinstance(value.type, Total):
        layers = module.reference.ops_named("nn.layer") if module.reference is not None else []
        a: dict[str, Any] = next((op.attributes for op in layers if op.result and op.result.name == layer), {})
        return float(np.mean(a["in_scale"]) * np.mean(a["weight_scale"])) / one_in_totals(a) if a else None
    assert value.op is not None
    return float(value.op.attributes.get("scale", 1.0))


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error))))
