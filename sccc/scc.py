"""SCC measured by simulation: how correlated the streams that meet in a multiplication are, on data (`sccc simulate --scc`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.backends.simulator import simulate
from sccc.correlation import generator_of, randomness_of
from sccc.ir import Module, Operation
from sccc.joint import joint_counts, scc_norm
from sccc.judged_layer import judged_lanes
from sccc.ops.arithmetic import PRODUCT_SUMS, constant_levels
from sccc.ops.geometry import NOTHING, geometry_of
from sccc.types import Level, Stream

MEASURED_SAMPLES = 50
"""Samples that SCC is pooled over."""

TRACE_BYTES = 2 << 30
"""Traces of a layer's streams beyond which a layer is left out: one byte per bit."""

WORST = 5
"""Pairs of lanes that are reported for each op."""


def measured_scc(module: Module, x: np.ndarray, worst: int = WORST, kernels: str = "numba") -> list[dict[str, Any]]:
    """SCC (Alaghi & Hayes, ICCD 2013) of every weight with what it multiplies, pooled over samples x [samples, ...].

    In a convolution pooled over positions too (some of them, `sccc.judged_layer`). A pair's pooled SCC is the sum of p11 - pa pb
    over the sum of the largest that it could be, in -1 .. 1; where a stream is constant SCC is not defined and does not count. One
    dictionary per sc.dot and sc.conv: layer (ONNX name), operands, length, pairs (their number), rms (SCC over all pairs), worst:
    [{x (lane, of a convolution the tap in its group), output, weight (its index), deviation, measured, predicted}]. Worst are
    those whose product is furthest off: deviation is the mean of p11 - pa pb. (By SCC itself the worst would be pairs of which one
    stream has a single one, where SCC is +1 or -1.) predicted is exact from sources and levels, None where a state machine makes x.
    """
    x = x[:MEASURED_SAMPLES]
    rows = []
    for dot in module.ops_named(*PRODUCT_SUMS):
        lanes = sum(v.type.lanes * samples for v, samples in zip(dot.operands[:2], (len(x), 1), strict=True))
        kind = dot.operands[1].type
        assert isinstance(kind, Stream)
        if lanes * kind.length <= TRACE_BYTES:
            rows.append(_layer(module, dot, x, worst, kernels))
    return rows


def _layer(module: Module, dot: Operation, x: np.ndarray, worst: int, kernels: str) -> dict[str, Any]:
    sides = dot.operands[:2]
    trace = simulate(module, x, trace=[v.name for v in sides], kernels=kernels).trace
    x_bits, w_bits = (trace[v.name] for v in sides)
    lanes, geometry = judged_lanes(dot), geometry_of(dot)
    x_bits = x_bits.reshape(len(x), -1, x_bits.shape[-1])
    w_bits = w_bits.reshape(len(w_bits), geometry.groups, geometry.outputs, geometry.taps, -1)
    top, largest = _pooled(x_bits, w_bits, lanes)
    pooled = np.where(largest > 1e-12, top / np.maximum(largest, 1e-12), 0.0)
    pairs = int((largest > 1e-12).sum())
    shown = []
    for at in np.argsort(-np.abs(top), axis=None, kind="stable")[:worst].tolist():
        g, j, t = (int(k) for k in np.unravel_index(at, top.shape))
        met = lanes[:, g, t][lanes[:, g, t] != NOTHING]
        shown.append(
            {
                "x": t,
                "output": g * geometry.outputs + j,
                "weight": [int(k) for k in np.unravel_index(at, sides[1].type.shape)],
                "deviation": float(top[g, j, t]) / (len(x) * max(len(met), 1)),
                "measured": float(pooled[g, j, t]),
                "predicted": _predicted(dot, x_bits[:, met], met, at),
            }
        )
    return {
        "layer": dot.origin or str(dot.attributes["layer"]),
        "operands": [f"%{v.name}" for v in sides],
        "length": x_bits.shape[-1],
        "pairs": pairs,
        "rms": float(np.sqrt(np.square(pooled).sum() / max(pairs, 1))),
        "worst": shown,
    }


def _pooled(x_bits: np.ndarray, w_bits: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over samples and positions of d = p11 - pa pb and of the largest |d|: both [groups, outputs, taps].

    x_bits: [samples, lanes, N]; w_bits: [1 or samples, groups, outputs, taps, N]; lanes: [positions, groups, taps].
    """
    length = x_bits.shape[-1]
    top, largest = np.zeros(w_bits.shape[1:4]), np.zeros(w_bits.shape[1:4])
    for g, t in np.ndindex(lanes.shape[1:]):
        met = lanes[:, g, t][lanes[:, g, t] != NOTHING]
        a, b = x_bits[:, met].astype(np.float32), w_bits[:, g, :, t].astype(np.float32)
        both = (a @ b[0].T if len(b) == 1 else np.einsum("spt,sjt->spj", a, b)).astype(np.float64) / length
        pa, pb = a.mean(axis=-1, dtype=np.float64)[..., None], b.mean(axis=-1, dtype=np.float64)[:, None]
        d = both - pa * pb
        top[g, :, t] = d.sum(axis=(0, 1))
        largest[g, :, t] = scc_norm(d, pa, np.broadcast_to(pb, d.shape)).sum(axis=(0, 1))
    return top, largest


def _predicted(dot: Operation, x_bits: np.ndarray, met: np.ndarray, at: int) -> float | None:
    """The same from sources and levels. x_bits: of the lanes `met` that weight number `at` multiplies, which tell the levels."""
    x, w = dot.operands[:2]
    w_maker, levels, kind = generator_of(w), constant_levels(w), x.type
    if generator_of(x) is None or w_maker is None or levels is None:
        return None
    level = w_maker.operands[0].type
    assert isinstance(level, Level) and isinstance(kind, Stream)
    xs = np.broadcast_to(randomness_of(x), x.type.shape).ravel()[met]
    b = np.broadcast_to(randomness_of(w), w.type.shape).ravel()[at]
    lw = abs(int(levels.ravel()[at]))
    top = largest = 0.0
    for position, a in enumerate(xs):
        counts = joint_counts(a, b, level.bits, kind.length, level.bits) / kind.length
        # A stream's own count of ones tells its level, or one with the very same stream.
        lx = np.searchsorted(counts[:, -1], x_bits[:, position].mean(axis=-1) - 1e-9)
        pa, pb = counts[lx, -1], counts[-1, lw]
        d = counts[lx, lw] - pa * pb
        top, largest = top + float(d.sum()), largest + float(scc_norm(d, pa, pb).sum())
    return top / largest if largest > 1e-12 else 0.0
