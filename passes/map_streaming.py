"""Streaming style: a count drives a state machine whose output bit is the next layer's stream.

The number of states follows from the gain that the activation needs and the variance of the count per cycle
(`sccc.ops.activation.btanh_states`), which is predicted from the lanes' moments. With calibration data the states are then
refined by simulation, with the random sources that share-sngs chose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.evaluate import evaluate
from sccc.ir import Module, Operation, Value
from sccc.moments import lane_moments
from sccc.ops.activation import btanh_states
from sccc.ops.arithmetic import PRODUCT_SUMS, constant_levels, product_of
from sccc.ops.geometry import Geometry, geometry_of
from sccc.passes.manager import PassContext
from sccc.types import Count, Encoding, Level, Stream

CALIBRATION_SAMPLES = 100
"""Samples that state machines are simulated on."""

TYPICAL_MAGNITUDE = 0.5
"""Mean magnitude of an input stream that predictions assume when there are no data."""


def map_streaming(module: Module, op: Operation, context: PassContext) -> Value:
    """Insert, before an `sc.activate`, the state machine that computes it; the stream that replaces it."""
    a: dict[str, Any] = op.attributes
    count = _with_bias(module, op)
    if a["function"] == "relu":
        return _relu(module, op, count)
    kind = {"tanh": "sc.btanh", "sigmoid": "sc.sigmoid"}[a["function"]]
    variance = predicted_variance(module, op, context)
    gain = float(np.mean(a["in_scale"])) * (1.0 if a["function"] == "tanh" else 0.5)
    _warn_if_too_steep(op, gain, variance, context)
    states = int(btanh_states(gain, variance))
    stream = _append(module, op, kind, [count], "stream", states=states, variance=variance, scale=a["out_scale"])
    if context.calibration is not None and context.simulate is not None:
        _refine_states(module, op, stream, context)
    return stream


def _warn_if_too_steep(op: Operation, gain: float, variance: float, context: PassContext) -> None:
    """Two states are a sign detector of gain 0.8 / sigma; nothing is flatter than that."""
    least = 0.8 / np.sqrt(max(variance, 1e-9))
    if gain < 0.8 * least:
        context.warnings.append(
            f"layer '{op.origin or op.attributes['layer']}': its activation needs a gain of {gain:.3g}, and two states already "
            f"have {least:.3g}; the stream will saturate early (accumulate style, or a larger weight scale, would not)"
        )


def _refine_states(module: Module, op: Operation, stream: Value, context: PassContext) -> None:
    """Take the number of states near the derived one whose mean output is closest to the float layer's on calibration data.

    The formula takes successive counts for independent; low-discrepancy sources make them negatively correlated.
    """
    assert context.calibration is not None and context.simulate is not None and stream.op is not None
    samples = context.calibration[:CALIBRATION_SAMPLES]
    wanted = _float_output(module, op, samples) / float(op.attributes["out_scale"])
    derived = int(stream.op.attributes["states"])
    candidates = sorted({max(2, 2 * round(derived * factor / 2)) for factor in (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)})
    errors = []
    for states in candidates:
        stream.op.attributes["states"] = states
        bits = context.simulate(_until(module, op, stream), samples, [stream.name])[stream.name]
        assert isinstance(stream.type, Stream)
        errors.append(float(np.mean((stream.type.encoding.decode(bits.mean(axis=-1), 0) - wanted) ** 2)))
    stream.op.attributes["states"] = candidates[int(np.argmin(errors))]


def _float_output(module: Module, op: Operation, samples: np.ndarray) -> np.ndarray:
    """What the float network's layer gives for the samples."""
    seen: list[np.ndarray] = []

    def watch(each: Operation, value: np.ndarray) -> None:
        if each.result is not None and each.result.name == op.attributes["layer"]:
            seen.append(value)

    assert module.reference is not None
    evaluate(module.reference, samples, watch)
    return seen[0]


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
    bits = int(op.attributes["bits"])
    per_cycle = np.broadcast_to(op.attributes["bias"] / np.asarray(op.attributes["in_scale"]), count.type.shape)
    if not np.any(per_cycle):
        return count
    whole = np.floor(per_cycle).astype(np.int64)
    levels = Encoding.UNIPOLAR.encode(per_cycle - whole, bits)
    fraction = _append(module, op, "sc.constant", [], "bias", levels=levels, encoding="unipolar", bits=bits)
    random = _append(module, op, "sc.source", [], "rb", kind="sobol", index=0, bits=bits)
    stream = _append(module, op, "sc.sng", [fraction, random], "b", length=count.type.length)
    return _append(module, op, "sc.offset", [count, stream], "sum", whole=whole)


def predicted_variance(module: Module, op: Operation, context: PassContext) -> float:
    """Variance of an activation's count per cycle if all its lanes were independent, mean over samples and outputs.

    Inputs are the ideal ones on the calibration data, or of a typical magnitude when there are none. (Variances measured on
    simulated counts predict the counter's gain worse: the counts are correlated in time.)
    """
    dot = op.operands[0].op
    assert dot is not None and dot.name in PRODUCT_SUMS
    x, w = dot.operands
    levels, geometry = constant_levels(w), geometry_of(dot)
    assert isinstance(x.type, Stream) and isinstance(w.type, Stream) and levels is not None and w.op is not None
    level = w.op.operands[0].type
    assert isinstance(level, Level)
    weights = geometry.weights(w.type.encoding.decode(levels, level.bits))
    inputs = np.full((1, x.type.lanes), TYPICAL_MAGNITUDE)
    if context.calibration is not None:
        ideal = _until(module, op, x)
        shape = ideal.inputs[0].result.type.shape  # type: ignore[union-attr]
        samples = context.calibration[:CALIBRATION_SAMPLES]
        inputs = evaluate(ideal, samples.reshape(len(samples), *shape)).reshape(len(samples), -1)
    # A lane's mean square P(bit) is linear in x (in |x| when x is signed), so that its mean over samples takes one evaluation.
    typical = _under_window(geometry, np.abs(inputs) if x.type.encoding is Encoding.SIGNED else inputs)
    squares = _under_window(geometry, np.square(inputs))
    means = []
    for group in range(geometry.groups):
        own = weights[group]
        mean, variance = lane_moments(product_of(dot), typical[group], own, x.type.encoding, w.type.encoding)
        means.append((variance + mean**2 - own**2 * squares[group]).sum(axis=1).mean())
    return float(np.mean(means))


def _under_window(geometry: Geometry, inputs: np.ndarray) -> np.ndarray:
    """The mean over samples [samples, lanes] and positions of what each tap sees, 0 in the padding: [groups, taps]."""
    mean = np.append(inputs.mean(axis=0), 0.0)
    taps: np.ndarray = mean[geometry.lanes()].mean(axis=0)
    return taps


def _until(module: Module, op: Operation, count: Value) -> Module:
    """A copy of the module that ends with `count`."""
    copy = Module(module.name, module.ops[: module.ops.index(op)])
    probe = copy.clone()
    probe.append("sc.output", [probe.value(count.name)], {"name": "probe"})
    probe.erase_dead()
    return probe


def _relu(module: Module, op: Operation, count: Value) -> Value:
    """Threshold: the count that an output of 1 stands for. Depth: one threshold.

    Deeper states hardly lower what noise emits at 0 (a walk without drift emits variance / 3 K**2, against variance / K**2
    at depth 0) and make the machine slow; MNIST accuracy is flat from K / 2 on (measured).
    """
    a: dict[str, Any] = op.attributes
    threshold = np.maximum(np.rint(a["out_scale"] / np.asarray(a["in_scale"])), 1).astype(np.int64)
    kept: Any = int(threshold) if threshold.ndim == 0 else threshold
    return _append(module, op, "sc.relu", [count], "stream", threshold=kept, depth=kept, scale=a["out_scale"])
