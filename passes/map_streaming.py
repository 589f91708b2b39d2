"""Streaming style: a count drives a state machine whose output bit is the next layer's stream.

The number of states follows from the gain that the activation needs and the variance of the count per cycle
(`sccc.ops.activation.btanh_states`). The variance is predicted from the lanes' moments; with calibration data the counts are
simulated, with the random sources that share-sngs chose, so that covariances between lanes are in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sccc.passes.manager import PassContext

from sccc.ir import Module, Operation, Value
from sccc.moments import lane_moments
from sccc.ops.activation import btanh_states
from sccc.ops.arithmetic import constant_levels, product_of
from sccc.types import Count, Encoding, Level, Stream

CALIBRATION_SAMPLES = 100
"""Samples that counts are simulated on to measure their variance."""

TYPICAL_MAGNITUDE = 0.5
"""Mean magnitude of an input stream that predictions assume when there are no data."""


def map_streaming(module: Module, op: Operation, context: PassContext) -> Value:
    """Insert, before an `sc.activate`, the state machine that computes it; the stream that replaces it."""
    a: dict[str, Any] = op.attributes
    count = _with_bias(module, op)
    variance = _variance(module, op, count, context)
    if a["function"] == "relu":
        return _relu(module, op, count, variance)
    gain = np.mean(a["in_scale"]) * (1.0 if a["function"] == "tanh" else 0.5)
    states = int(btanh_states(gain, variance))
    kind = {"tanh": "sc.btanh", "sigmoid": "sc.sigmoid"}[a["function"]]
    return _append(module, op, kind, [count], "stream", states=states, variance=variance, scale=a["out_scale"])


def _append(module: Module, op: Operation, name: str, operands: list[Value], suffix: str, **attributes: Any) -> Value:
    layer = str(op.attributes["layer"])
    new = module.append(
        name,
        operands,
        {**attributes, "layer": layer},
        result=f"{layer}_{suffix}",
        origin=op.origin,
        location=op.location,
        before=op,
    )
    assert new.result is not None
    return new.result


def _with_bias(module: Module, op: Operation) -> Value:
    """The count plus the bias: an integer per cycle and a stream for the fraction."""
    count = op.operands[0]
    assert isinstance(count.type, Count)
    bits = int(op.attributes["bits"])  # type: ignore[call-overload]
    per_cycle = np.broadcast_to(op.attributes["bias"] / np.asarray(op.attributes["in_scale"]), count.type.shape)
    if not np.any(per_cycle):
        return count
    whole = np.floor(per_cycle).astype(np.int64)
    levels = Encoding.UNIPOLAR.encode(per_cycle - whole, bits)
    fraction = _append(module, op, "sc.constant", [], "bias", levels=levels, encoding="unipolar", bits=bits)
    random = _append(module, op, "sc.source", [], "rb", kind="sobol", index=0, bits=bits)
    stream = _append(module, op, "sc.sng", [fraction, random], "b", length=count.type.length)
    return _append(module, op, "sc.offset", [count, stream], "sum", whole=whole)


def _variance(module: Module, op: Operation, count: Value, context: PassContext) -> float:
    """Variance of the count per cycle, mean over the layer's outputs."""
    if context.calibration is None or context.simulate is None:
        return predicted_variance(op)
    probe = _until(module, op, count)
    samples = context.calibration[:CALIBRATION_SAMPLES]
    counts = context.simulate(probe, samples, [count.name])[count.name].astype(np.float64)
    return float(counts.var(axis=-1).mean())


def predicted_variance(op: Operation) -> float:
    """Variance of an activation's count per cycle if all its lanes were independent, for inputs of typical magnitude."""
    dot = op.operands[0].op
    assert dot is not None and dot.name == "sc.dot"
    x, w = dot.operands
    levels = constant_levels(w)
    assert isinstance(x.type, Stream) and isinstance(w.type, Stream) and levels is not None and w.op is not None
    level = w.op.operands[0].type
    assert isinstance(level, Level)
    weights = w.type.encoding.decode(levels, level.bits)
    _, variance = lane_moments(product_of(dot), TYPICAL_MAGNITUDE, weights, x.type.encoding, w.type.encoding)
    return float(variance.sum(axis=1).mean())


def _until(module: Module, op: Operation, count: Value) -> Module:
    """A copy of the module that ends with `count`."""
    copy = Module(module.name, module.ops[: module.ops.index(op)])
    probe = copy.clone()
    probe.append("sc.output", [probe.value(count.name)], {"name": "probe"})
    probe.erase_dead()
    return probe


def _relu(module: Module, op: Operation, count: Value, variance: float) -> Value:
    """Threshold: the count that an output of 1 stands for. Depth: so deep that noise alone emits less than half a level.

    A walk without drift between -D and K emits a one every K (K + 2 D) / variance cycles (mean exit time), so the output at 0 is
    variance / (K (K + 2 D)), which shall be 2**-(bits+1).
    """
    a: dict[str, Any] = op.attributes
    threshold = np.maximum(np.rint(a["out_scale"] / np.asarray(a["in_scale"])), 1).astype(np.int64)
    smallest = float(threshold.min())
    depth = max(0, round((variance * 2.0 ** (a["bits"] + 1) / smallest - smallest) / 2))
    kept: Any = int(threshold) if threshold.ndim == 0 else threshold
    return _append(module, op, "sc.relu", [count], "stream", threshold=kept, depth=depth, scale=a["out_scale"])
