"""Accuracy and layer-by-layer error: float model, ideal quantised model, bit streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.backends.simulator import Simulator
from sccc.data import Data
from sccc.evaluate import evaluate
from sccc.ir import Module, Operation, Value
from sccc.ops.layer import PRODUCT_LAYERS, one_in_totals
from sccc.schedule import feeding_values, layer_ops
from sccc.types import Count, Level, Stream, Total

BATCH = 1000
"""Samples whose inner values are held at a time, if not too many."""

HELD_VALUES = 1 << 26
"""Numbers that may be held at a time."""

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
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """What `sccc simulate` reports, as plain data. options: of `Simulator` (flips, seed, kernels).

    Keys: samples, length (1 without streams), accuracy {float, quantized, stream} (None without a float model), layers (see
    `layer_errors`), worst_layer, seconds and bit_products_per_second (0 in fixed point) of the bit-exact simulation.
    """
    assert data.y is not None
    (source,) = module.inputs
    shape = source.result.type.shape  # type: ignore[union-attr]
    simulator = Simulator(module, **options)
    run = simulator.run(data.x, progress=progress)
    right = {"float": 0, "quantized": 0}
    size = held_samples(module)
    for begin in range(0, len(data.x), size):
        x, y = data.x[begin : begin + size], data.y[begin : begin + size]
        if module.reference is not None:
            right["float"] += int((predictions(evaluate(module.reference, x)) == y).sum())
        right["quantized"] += int((predictions(evaluate(module, x.reshape(len(x), *shape))) == y).sum())
    samples = len(data.x)
    seconds = max(run.seconds, 1e-9)
    layers = layer_errors(module, data.x[:TRACED_SAMPLES], **options)
    return {
        "samples": samples,
        "length": max((v.type.length for v in module.values() if isinstance(v.type, Stream)), default=1),
        "accuracy": {
            "float": right["float"] / samples if module.reference is not None else None,
            "quantized": right["quantized"] / samples,
            "stream": float((predictions(run.output) == data.y).mean()),
        },
        "layers": layers,
        "worst_layer": worst_layer(layers),
        "seconds": run.seconds,
        "bit_products_per_second": run.bit_products / seconds,
    }


def held_samples(module: Module) -> int:
    """Samples whose values fit the memory that measuring may take."""
    modules = [module, *([module.reference] if module.reference is not None else [])]
    lanes = max(sum(value.type.lanes for value in each.values()) for each in modules)
    return max(1, min(BATCH, HELD_VALUES // lanes))


def worst_layer(layers: list[dict[str, Any]]) -> str | None:
    """The layer that adds the largest error of its own; None when none is known."""
    known = [layer for layer in layers if layer["added"] is not None]
    return max(known, key=lambda layer: layer["added"])["name"] if known else None


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


@dataclass(frozen=True)
class LayerValues:
    """A layer's result [samples, *shape] in its real units, as three models have it.

    exact: of the float model, None where it has no such layer; quantised: with numbers rounded as in hardware; stream: of the bit
    streams. The last two are None where the real units of the result are not known. key: the layer in the IR; name: its ONNX node.
    """

    key: str
    name: str
    exact: np.ndarray | None
    quantised: np.ndarray | None
    stream: np.ndarray | None


def layer_values(module: Module, x: np.ndarray, **options: Any) -> list[LayerValues]:
    """What leaves each layer, for as many samples of x as memory allows. options: of `Simulator`."""
    x = x[: held_samples(module)]
    (source,) = module.inputs
    results = layer_results(module)
    floats = _float_layers(module, x)
    ideal: dict[Value, np.ndarray] = {}

    def watch(op: Operation, value: np.ndarray) -> None:
        if op.result is not None:
            ideal[op.result] = value

    evaluate(module, x.reshape(len(x), *source.result.type.shape), watch)  # type: ignore[union-attr]
    simulator = Simulator(module, trace=[v.name for v in results.values()], **options)
    trace = simulator.run(x).trace
    found = []
    for key, value in results.items():
        scale, exact = _real_scale(module, key, value), floats.get(key)
        name = value.op.origin or key if value.op else key
        if scale is None:
            found.append(LayerValues(key, name, None, None, None))
            continue
        quantised, stream = ideal[value] * scale, decoded(value, trace[value.name]) * scale
        found.append(
            LayerValues(key, name, exact if exact is None else exact.reshape(quantised.shape), quantised, stream)
        )
    return found


def layer_errors(module: Module, x: np.ndarray, **options: Any) -> list[dict[str, Any]]:
    """Errors of each layer's result: [{name, rmse_quantized, rmse_stream, relative, added}].

    rmse_*: root mean squares in the layer's real units, quantised against float and streams against quantised. relative: streams
    against float, in standard deviations of the float result; added: the part of it that the layers before do not account for,
    as if errors were independent. None where there is no float layer to compare with, or the result's real units are not known.
    """
    return errors_of(module, layer_values(module, x, **options))


def errors_of(module: Module, values: list[LayerValues]) -> list[dict[str, Any]]:
    """`layer_errors` of values that are there already."""
    layers, relative = [], dict[str, float]()
    for each in values:
        errors: dict[str, float | None] = dict.fromkeys(("rmse_quantized", "rmse_stream", "relative", "added"))
        if each.quantised is not None and each.stream is not None:
            errors["rmse_stream"] = _rms(each.stream - each.quantised)
            if each.exact is not None:
                errors["rmse_quantized"] = _rms(each.quantised - each.exact)
                relative[each.key] = _rms(each.stream - each.exact) / (float(each.exact.std()) or 1.0)
                before = max((relative.get(other, 0.0) for other in feeding_layers(module, each.key)), default=0.0)
                errors["relative"] = relative[each.key]
                errors["added"] = float(np.sqrt(max(relative[each.key] ** 2 - before**2, 0.0)))
        layers.append({"name": each.name, **errors})
    return layers


def feeding_layers(module: Module, name: str) -> set[str]:
    """The layers whose results a layer reads."""
    values = feeding_values(layer_ops(module)[name])
    return {
        str(value.op.attributes["layer"]) for value in values if value.op is not None and "layer" in value.op.attributes
    }


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
            if op.result is not None:
                seen[op.result.name] = value

        evaluate(module.reference, x, watch)
    return seen


def _real_scale(module: Module, layer: str, value: Value) -> float | None:
    """Real units of the value's encoded 1.0; None for the totals before sc.argmax when there is no float model to tell them."""
    if value.op is not None and value.op.name == "sc.race":
        return None  # its totals are of windows of different lengths
    output = module.outputs[0]
    if isinstance(value.type, Total) and value in output.operands:
        return float(output.attributes["scale"])
    if isinstance(value.type, Total):
        layers = module.reference.ops_named(*PRODUCT_LAYERS) if module.reference is not None else []
        a: dict[str, Any] = next((op.attributes for op in layers if op.result and op.result.name == layer), {})
        return float(np.mean(a["in_scale"]) * np.mean(a["weight_scale"])) / one_in_totals(a) if a else None
    op = value.op
    while op is not None and "scale" not in op.attributes and op.operands:
        op = op.operands[0].op  # a rewiring, or the largest of levels
    return float(np.mean(op.attributes.get("scale", 1.0))) if op is not None else 1.0


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error))))
