"""SCC measured by simulation: how correlated the streams that meet in a multiplication are, on data (`sccc simulate --scc`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.backends.simulator import simulate
from sccc.correlation import generator_of, lanes_of
from sccc.ir import Module, Operation, Value
from sccc.joint import joint_counts, scc_norm
from sccc.ops.arithmetic import constant_levels
from sccc.types import Level, Stream

MEASURED_SAMPLES = 50
"""Samples that SCC is pooled over."""

TRACE_BYTES = 2 << 30
"""Traces of a layer's weight streams beyond which a layer is left out: one byte per bit."""

WORST = 5
"""Pairs of lanes that are reported for each op."""


def measured_scc(module: Module, x: np.ndarray, worst: int = WORST, kernels: str = "numba") -> list[dict[str, Any]]:
    """SCC (Alaghi & Hayes, ICCD 2013) of every pair of lanes that an sc.dot multiplies, pooled over samples x [samples, ...].

    A pair's pooled SCC is the sum over samples of p11 - pa pb over the sum of the largest that it could be, in -1 .. 1; samples in
    which a stream is constant, where SCC is not defined, do not count. One dictionary per sc.dot: layer (ONNX name), operands,
    length, pairs (their number), rms (SCC over all pairs), worst: [{x (lane), output, deviation, measured, predicted}]. Worst are
    those whose product is furthest off: deviation is the mean of p11 - pa pb. (By SCC itself the worst would be pairs of which one
    stream has a single one, where SCC is +1 or -1.) predicted is exact from sources and levels, None where a state machine makes x.
    """
    x = x[:MEASURED_SAMPLES]
    rows = []
    for dot in module.ops_named("sc.dot"):
        w = dot.operands[1].type
        assert isinstance(w, Stream)
        if w.lanes * w.length <= TRACE_BYTES:
            rows.append(_layer(module, dot, x, worst, kernels))
    return rows


def _layer(module: Module, dot: Operation, x: np.ndarray, worst: int, kernels: str) -> dict[str, Any]:
    sides = dot.operands
    maker = generator_of(sides[0])
    names = [v.name for v in sides] + ([maker.operands[0].name] if maker is not None else [])
    trace = simulate(module, x, trace=names, kernels=kernels).trace
    x_bits, w_bits = (trace[v.name] for v in sides)
    top, largest = _pooled(x_bits, w_bits)
    pooled = np.where(largest > 1e-12, top / np.maximum(largest, 1e-12), 0.0)
    pairs = int((largest > 1e-12).sum())
    order = np.argsort(-np.abs(top), axis=None, kind="stable")[:worst]
    shown = []
    for j, i in zip(*np.unravel_index(order, pooled.shape), strict=True):
        predicted = None
        if maker is not None:
            predicted = _predicted(sides, trace[maker.operands[0].name], int(j), int(i))
        shown.append(
            {
                "x": int(i),
                "output": int(j),
                "deviation": float(top[j, i]) / len(x),
                "measured": float(pooled[j, i]),
                "predicted": predicted,
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


def _pooled(x_bits: np.ndarray, w_bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over samples of d = p11 - pa pb and of the largest |d|, [m, n], of bits [samples, n, N] and [1 or samples, m, n, N]."""
    length = x_bits.shape[-1]
    m, n = w_bits.shape[1:3]
    top, largest = np.zeros((m, n)), np.zeros((m, n))
    for i in range(n):
        a, b = x_bits[:, i].astype(np.float32), w_bits[:, :, i].astype(np.float32)
        both = (a @ b[0].T if len(b) == 1 else np.einsum("st,sjt->sj", a, b)).astype(np.float64) / length
        pa, pb = a.mean(axis=-1, dtype=np.float64)[:, None], b.mean(axis=-1, dtype=np.float64)
        d = both - pa * pb
        top[:, i], largest[:, i] = d.sum(axis=0), scc_norm(d, pa, np.broadcast_to(pb, d.shape)).sum(axis=0)
    return top, largest


def _predicted(sides: list[Value], x_levels: np.ndarray, j: int, i: int) -> float | None:
    """The same pooled SCC from sources and levels, without simulation of the streams."""
    x_maker, w_maker, levels = generator_of(sides[0]), generator_of(sides[1]), constant_levels(sides[1])
    if x_maker is None or w_maker is None or levels is None:
        return None
    level, kind = w_maker.operands[0].type, sides[0].type
    assert isinstance(level, Level) and isinstance(kind, Stream)
    lanes = [
        _lane(maker.operands[1], at, stream.type.shape)
        for maker, at, stream in ((x_maker, (i,), sides[0]), (w_maker, (j, i), sides[1]))
    ]
    lw = abs(int(levels[j, i]))
    lx = np.abs(x_levels.reshape(len(x_levels), -1)[:, i])
    return _pool_predicted(lanes, lx, lw, level.bits, kind.length)


def _pool_predicted(lanes: list[Any], lx: np.ndarray, lw: int, bits: int, length: int) -> float:
    counts = joint_counts(*lanes, bits, length, bits) / length
    pa, pb = counts[lx, -1], counts[-1, lw]
    d = counts[lx, lw] - pa * pb
    largest = float(scc_norm(d, pa, pb).sum())
    return float(d.sum()) / largest if largest > 1e-12 else 0.0


def _lane(random: Value, at: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    lanes = np.empty(random.type.lanes, dtype=object)
    lanes[:] = lanes_of(random)
    return np.broadcast_to(lanes.reshape(random.type.shape), shape)[at]
