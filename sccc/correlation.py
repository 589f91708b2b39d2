"""Which streams draw from which random sources, and whether two of them are independent enough to be multiplied.

The verifier and the sharing pass both ask here, so legality and optimisation cannot drift apart.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sccc.cells import Comb, Fold, Gather
from sccc.ir import Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.conversion import SNGS
from sccc.ops.geometry import geometry_of
from sccc.ops.source import source_lanes
from sccc.sources import Source
from sccc.types import Level, Random

DEPENDENCE_LIMIT = 2.0
"""How far the joint deviation of the pairs that meet in an op, RMS, may exceed that of independent random ones. An identical
pair exceeds it from 11 cycles on (0.105 against 2 / (6 sqrt N)), and shorter windows are caught by comparing the sources
themselves. One pair among many may exceed it, as one in a hundred independent ones does: all LFSRs of a width are one sequence
in different phases, and neighbouring phases deviate up to 7 times as much."""

PAIRS_MEASURED = 256
"""Distinct source pairs whose joint deviation is measured for one op; all pairs are compared for being identical."""


@dataclass(frozen=True)
class Randomness:
    """Where a lane's random numbers come from: a source and the mask XORed to it."""

    source: Source
    mask: int = 0
    generator: str = "sc.sng"
    """The op that makes the stream."""

    def sequence(self, length: int) -> np.ndarray:
        return self.source.sequence(length) ^ self.mask

    def bits(self, levels: np.ndarray, length: int) -> np.ndarray:
        """The streams of levels, bool [length, *levels' shape]."""
        return self.compare(levels, self.sequence(length).reshape(-1, *(1,) * np.ndim(levels)))

    def compare(self, levels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """What the generator makes of levels and random numbers, bool of their common shape."""
        cell = REGISTRY[self.generator].cell
        assert isinstance(cell, Comb)
        made: np.ndarray = np.asarray(
            cell.result.evaluate({"level": levels, "random": numbers, "bits": self.source.bits})
        )
        return made.astype(bool)


def lanes_of(random: Value) -> list[Randomness]:
    """The randomness of each lane of a `Random` value, in row-major order; one when its shape is ()."""
    op = random.op
    assert op is not None and isinstance(random.type, Random)
    if op.name == "sc.source":
        return [Randomness(source) for source in source_lanes(op)]
    base = np.empty(op.operands[0].type.lanes, dtype=object)
    base[:] = lanes_of(op.operands[0])
    base = base.reshape(op.operands[0].type.shape)
    masks = np.asarray(op.attributes["masks"])
    spread, masks = np.broadcast_arrays(base, masks)
    return [Randomness(b.source, b.mask ^ int(m)) for b, m in zip(spread.ravel(), masks.ravel(), strict=True)]


def generator_of(stream: Value) -> Operation | None:
    """The SNG that a stream comes from, perhaps in other lanes or pooled, or None when a state machine made it."""
    op = stream.op
    while op is not None and isinstance(REGISTRY[op.name].cell, Gather | Fold):
        op = op.operands[0].op
    return op if op is not None and op.name in SNGS else None


def sequences(random: Value, length: int) -> np.ndarray:
    """The numbers of every lane, int64 of shape [length, *lanes' shape]."""
    lanes = [lane.sequence(length) for lane in lanes_of(random)]
    return np.stack(lanes, axis=1).reshape(length, *random.type.shape)


def randomness_of(stream: Value) -> np.ndarray:
    """The randomness of each lane of a stream that an SNG made, perhaps in other lanes or pooled.

    An object array of the stream's shape, of shape () where all lanes share one, or of any that broadcasts to the stream's. Pooled
    lanes share their source (`Shared`).
    """
    op = stream.op
    assert op is not None
    if op.name in SNGS:
        random = op.operands[1]
        lanes = np.empty(random.type.lanes, dtype=object)
        lanes[:] = [dataclasses.replace(lane, generator=op.name) for lane in lanes_of(random)]
        return lanes.reshape(random.type.shape)
    cell = REGISTRY[op.name].cell
    parts = [np.broadcast_to(part := randomness_of(v), v.type.shape if part.size > 1 else ()) for v in op.operands]
    if len(set().union(*(set(part.ravel()) for part in parts))) == 1 or not isinstance(cell, Gather):
        return parts[0].ravel()[:1].reshape(())
    shaped = [np.broadcast_to(part, v.type.shape).ravel() for part, v in zip(parts, op.operands, strict=True)]
    joined: np.ndarray = np.concatenate(shaped)[cell.index(op)]
    return joined


def meeting_pairs(x: Value, w: Value, op: Operation | None = None) -> Iterator[tuple[Randomness, Randomness]]:
    """The distinct pairs of randomness that meet where streams x and w are multiplied.

    In a sum of products `op` those that its geometry brings together; without it lane by lane, x [n] and w [m, n]. Empty when
    either is not made by an SNG: a state machine's output is decorrelated by its own walk.
    """
    if generator_of(x) is None or generator_of(w) is None:
        return
    sides = [randomness_of(x), randomness_of(w)]
    number: dict[Randomness, int] = {}
    a, b = (np.array([number.setdefault(each, len(number)) for each in s.ravel()]).reshape(s.shape) for s in sides)
    known, seen = list(number), set[int]()
    for first, second in [(a, b)] if op is None or op.name != "sc.conv" else _under_windows(op, a, b):
        codes, index = np.unique(first * len(known) + second, return_index=True)
        for code in codes[np.argsort(index)].tolist():
            if code >= 0 and code not in seen:
                seen.add(code)
                yield known[code // len(known)], known[code % len(known)]


def _under_windows(op: Operation, x: np.ndarray, w: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of sources that broadcast to the lanes' shapes, position by position of a convolution, [groups, outputs, taps]."""
    geometry, shapes = geometry_of(op), [v.type.shape for v in op.operands]
    lanes = geometry.lanes()
    if x.size == 1:  # where does not matter: every tap that sees anything but padding
        lanes = lanes.max(axis=0, keepdims=True)
    spread = np.broadcast_to(x, shapes[0]).ravel()
    shared = w.ndim < len(shapes[1])  # by all outputs
    weights = geometry.weights(np.broadcast_to(w, shapes[1]))[:, : 1 if shared else None]
    for at in lanes:
        yield np.where(at >= 0, spread[at], -1)[:, None], weights


@lru_cache(maxsize=4096)
def joint_deviation(a: Randomness, b: Randomness, bits: int, length: int) -> float:
    """RMS over all pairs of levels of P(a=1, b=1) - P(a=1) P(b=1), in units of independent random streams' (1 / (6 sqrt N)).

    0 would be perfect; about 1 is as good as independent. N is the length, but at most the 2**bits cycles after which numbers
    of so few bits repeat themselves. Levels are taken at a resolution of at most 6 bits.
    """
    shift = max(0, bits - 6)
    size = 1 << min(bits, 6)
    levels = np.arange(1, size + 1) << shift
    both = a.bits(levels, length).T.astype(np.float64) @ b.bits(levels, length) / length
    return float(np.sqrt(_from_product(both)) * 6.0 * np.sqrt(min(length, 1 << bits)))


def _from_product(both: np.ndarray) -> float:
    """Mean square of P(a=1, b=1) - P(a=1) P(b=1) over the levels of a and b; the last level's stream is 1 throughout."""
    return float(np.mean((both - both[:, -1:] * both[-1:, :]) ** 2))


def dependent_pair(
    x: Value, w: Value, length: int, limit: float = DEPENDENCE_LIMIT, op: Operation | None = None
) -> tuple[Randomness, Randomness, float] | None:
    """The worst pair of sources, with its joint deviation (inf: the same source), if multiplying x by w is wrong; else None.

    `op`: as for `meeting_pairs`.
    """
    measured: list[tuple[float, Randomness, Randomness]] = []
    for number, (a, b) in enumerate(meeting_pairs(x, w, op)):
        if a == b:
            return a, b, float("inf")
        if number < PAIRS_MEASURED:
            measured.append((joint_deviation(a, b, a.source.bits, length), a, b))
    if not measured:
        return None
    deviation, a, b = max(measured, key=lambda each: each[0])
    overall = np.sqrt(np.mean([each[0] ** 2 for each in measured]))
    return (a, b, deviation) if overall > limit else None


def dependent_select(select: Value, stream: Value, length: int, places: int) -> Randomness | None:
    """The source of `stream`, made by an SNG, on which the choice of a place by `select` depends most, if it does; else None.

    As in `dependent_pair`, with the numbers of both at the resolution of `places`, a power of two: how far their joint
    distribution over the window is from the product of the two, in units of independent numbers', RMS over the lanes' sources.
    """
    maker = generator_of(stream)
    if maker is None:
        return None
    (chooser,) = lanes_of(select)
    bits, level = places.bit_length() - 1, maker.operands[0].type
    assert isinstance(level, Level)
    shift, named = max(0, level.bits - bits), chooser.sequence(length) >> (chooser.source.bits - bits)
    measured: list[tuple[float, Randomness]] = []
    for lane in itertools.islice(dict.fromkeys(lanes_of(maker.operands[1])), PAIRS_MEASURED):
        joint = np.zeros((places, places))
        np.add.at(joint, (named, lane.sequence(length) >> shift), 1.0 / length)
        measured.append((_from_product(joint.cumsum(0).cumsum(1)) * 36.0 * length, lane))
    squares = [square for square, _ in measured]
    return max(measured, key=lambda each: each[0])[1] if np.mean(squares) > DEPENDENCE_LIMIT**2 else None
