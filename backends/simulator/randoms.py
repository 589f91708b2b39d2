"""Random numbers of many lanes at once: `sccc.sources`, vectorised over lanes."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sccc.cells import Comb
from sccc.ir import Operation
from sccc.ops import REGISTRY
from sccc.ops.source import source_lanes
from sccc.sources import CounterSource, LfsrSource

RING_WIDTH = 20
"""LFSRs up to this width are read off one period of states; wider ones are stepped lane by lane."""


class Numbers(Protocol):
    """The value of a `Random`: integers of any of its lanes (flat, row-major), for any number of cycles."""

    shape: tuple[int, ...]

    def take(self, lanes: np.ndarray, length: int) -> np.ndarray:
        """int32 [len(lanes), length]."""


class SourceNumbers:
    """The numbers of an `sc.source`."""

    def __init__(self, op: Operation) -> None:
        assert op.result is not None
        self.shape = op.result.type.shape
        self.sources = source_lanes(op)

    def take(self, lanes: np.ndarray, length: int) -> np.ndarray:
        distinct, where = np.unique(lanes, return_inverse=True)
        chosen = [self.sources[i] for i in distinct.tolist()]
        counters = [s for s in chosen if isinstance(s, CounterSource)]
        registers = [s for s in chosen if isinstance(s, LfsrSource)]
        numbers = counter_numbers(counters, length) if counters else lfsr_numbers(registers, length)
        return numbers if len(distinct) == len(lanes) and np.array_equal(distinct, lanes) else numbers[where]


class CombNumbers:
    """Numbers computed from another value's numbers and constants (`sc.mask`)."""

    def __init__(self, op: Operation, cell: Comb, parent: Numbers) -> None:
        assert op.result is not None
        definition = REGISTRY[op.name]
        self.shape = op.result.type.shape
        self.cell, self.parent, self.operand = cell, parent, definition.operands[0]
        self.parent_lane = spread_lanes(parent.shape, self.shape)
        self.parameters = {
            name: np.broadcast_to(value, self.shape).ravel().astype(np.int32)
            for name, value in definition.parameters(op).items()
            if name in cell.result.variables()
        }

    def take(self, lanes: np.ndarray, length: int) -> np.ndarray:
        env = {name: value[lanes][:, None] for name, value in self.parameters.items()}
        above = self.parent_lane[lanes]
        shared = bool(len(above)) and bool(np.all(above == above[0]))
        env[self.operand] = self.parent.take(above[:1] if shared else above, length)
        return np.asarray(self.cell.result.evaluate(env))


def spread_lanes(shape: tuple[int, ...], onto: tuple[int, ...]) -> np.ndarray:
    """For each lane (flat) of shape `onto` the lane (flat) of `shape` that broadcasting gives it."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.broadcast_to(np.arange(size).reshape(shape), onto).ravel()


def counter_numbers(sources: list[CounterSource], length: int) -> np.ndarray:
    """int32 [sources, length]: r(t) is linear over GF(2), so each half of a period is the other one XOR a column."""
    bits = sources[0].bits
    columns = np.array([s.columns for s in sources], dtype=np.int32)
    numbers = np.zeros((len(sources), min(length, 1 << bits)), dtype=np.int32)
    for k in range(bits):
        done = 1 << k
        if done >= numbers.shape[1]:
            break
        half = numbers[:, done : 2 * done]
        half[:] = numbers[:, : half.shape[1]] ^ columns[:, k, None]
    if length > numbers.shape[1]:
        numbers = np.take(numbers, np.arange(length) & ((1 << bits) - 1), axis=1)
    return numbers


def lfsr_numbers(sources: list[LfsrSource], length: int) -> np.ndarray:
    """int32 [sources, length]. Registers of one polynomial walk one ring of all states, each from its own seed."""
    first = sources[0]
    if first.width > RING_WIDTH or len(sources) * length < 2 << first.width:
        return np.stack([s.sequence(length) for s in sources]).astype(np.int32)
    period = 1 << first.width
    ring = LfsrSource(first.width, first.width, first.taps, 1).sequence(period).astype(np.int32)
    position = np.zeros(period, dtype=np.int64)
    position[ring] = np.arange(period)
    start = position[[s.seed for s in sources]]
    return ring[(start[:, None] + np.arange(length)) % period] >> (first.width - first.bits)
