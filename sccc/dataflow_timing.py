"""Exact times of folded hardware: when each transfer happens, when results are there, how soon samples may follow one another.

Times do not depend on data. They are those of the Verilog, cycle by cycle, when the user starts as soon as `ready` allows it and
always has the next levels at hand; `sccc check` holds the RTL to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from sccc.dataflow import Dataflow
from sccc.diagnostics import InternalError
from sccc.engines import AddEngine, Engine, LayoutEngine, Link, PoolEngine, ProductEngine

SAMPLES = 3
"""Samples after which the interval between results is taken as the steady one."""


@dataclass(frozen=True)
class Timing:
    """Cycles, counted from the first start, of `samples` samples back to back.

    done: when each result is shown. ends: for each link, the cycle of a sample's last transfer.
    """

    done: list[int]
    ends: dict[Link, list[int]]

    @property
    def latency(self) -> int:
        """Cycles from a start into idle hardware until `done`."""
        return self.done[0]

    @property
    def interval(self) -> int:
        """Cycles between the last two results."""
        return self.done[-1] - self.done[-2] if len(self.done) > 1 else self.done[0]


@dataclass
class _Network:
    """Nodes and channels as the kernel takes them."""

    samples: int
    nodes: list[list[int]] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    table: list[np.ndarray] = field(default_factory=list)
    entries: int = 0
    rows: int = 0

    def channel(self, beats: int) -> int:
        self.beats.append(beats)
        return len(self.beats) - 1

    def store(self, numbers: np.ndarray) -> int:
        """Where numbers begin in the table."""
        self.table.append(np.asarray(numbers, dtype=np.int64))
        self.entries += len(numbers)
        return self.entries - len(numbers)

    def constants(self) -> bytes:
        """The table, int64."""
        return np.concatenate([*self.table, np.zeros(1, dtype=np.int64)]).tobytes()

    def node(self, kind: int, a: int, b: int, out: int, *more: int) -> None:
        self.nodes.append([kind, a, b, out, *more])


def timing(flow: Dataflow, samples: int = SAMPLES) -> Timing:
    """Run `samples` samples. Raises InternalError when the engines block one another for good."""
    from sccc import dataflow_kernel as kernel

    network = _Network(samples)
    channels = {link: network.channel(link.beats) for link in flow.links}
    network.node(kernel.SOURCE, -1, -1, channels[flow.source], flow.source.beats)
    inputs = _branches(flow, network, channels, kernel)
    for engine in flow.engines:
        _node(network, engine, [inputs[engine, k] for k in range(len(engine.inputs))], channels[engine.output], kernel)
    network.node(kernel.SINK, inputs[None, 0], -1, -1)
    found = _ends(samples, tuple(map(tuple, network.nodes)), tuple(network.beats), network.constants(), network.rows)
    ends = {link: list(found[channel]) for link, channel in channels.items()}
    for link, last in ends.items():
        if -1 in last:
            raise InternalError(
                f"the engines block one another: %{link.value.name} stops after {last.index(-1)} samples"
            )
    return Timing([end + 1 for end in ends[flow.sink.link]], ends)


def _branches(
    flow: Dataflow, network: _Network, channels: dict[Link, int], kernel: Any
) -> dict[tuple[Engine | None, int], int]:
    """The channel from which each reader takes: a link's own, or the branch of a fork."""
    inputs: dict[tuple[Engine | None, int], int] = {}
    for link in flow.links:
        readers = flow.readers(link)
        rest = channels[link]
        for reader in readers[:-1]:
            mine, others = network.channel(link.beats), network.channel(link.beats)
            network.node(kernel.FORK, rest, others, mine)
            inputs[reader], rest = mine, others
        inputs[readers[-1]] = rest
    return inputs


def _node(network: _Network, engine: Engine, inputs: list[int], out: int, kernel: Any) -> None:
    if isinstance(engine, AddEngine):
        waited = [network.channel(link.beats) for link in engine.inputs]
        for before, depth, after in zip(inputs, engine.depths, waited, strict=True):
            network.node(kernel.FIFO, before, -1, after, depth)
        network.node(kernel.ADD, *waited, out)
    elif isinstance(engine, LayoutEngine):
        index = engine.blocks(engine.output.beat)
        assert index is not None
        b, b_beats = (inputs[1], engine.inputs[1].beats) if len(inputs) > 1 else (-1, 0)
        sizes = engine.inputs[0].beats, b_beats, len(index)
        network.node(kernel.LAYOUT, inputs[0], b, out, network.store(index), *sizes)
    elif isinstance(engine, PoolEngine):
        network.node(kernel.POOL, inputs[0], -1, out, *_reading(network, engine))
    else:
        assert isinstance(engine, ProductEngine)
        f = engine.folding
        groups = f.sending_blocks, f.results // f.sent, f.last_results // f.sent
        windows = f.length, f.uses, f.tap_blocks
        network.node(kernel.PRODUCT, inputs[0], -1, out, *_reading(network, engine), *windows, *groups)


def _reading(network: _Network, engine: PoolEngine | ProductEngine) -> list[int]:
    reader = engine.folding if isinstance(engine, ProductEngine) else engine
    buffer, walk = reader.buffer, reader.walk
    rows, columns = buffer.output
    needed = network.store(buffer.needed() * buffer.pixel_beats)
    lowest = network.store(buffer.lowest_rows())
    done = network.rows
    network.rows += rows * network.samples
    row_beats = buffer.width * buffer.pixel_beats
    image = [buffer.rows, row_beats, buffer.height, rows, buffer.positions, columns]
    return [needed, lowest, done, *image, walk.fetches, walk.step_words]


@lru_cache(maxsize=8)
def _ends(
    samples: int, nodes: tuple[tuple[int, ...], ...], beats: tuple[int, ...], constants: bytes, rows: int
) -> tuple[tuple[int, ...], ...]:
    """For each channel the cycle of each sample's last transfer, -1 where it never happens.

    The same network is asked for by the bill, by the netlist and by its testbench, and large ones take seconds.
    """
    from sccc import dataflow_kernel as kernel

    start = np.concatenate([[0], np.cumsum(np.array(beats, dtype=np.int64) * samples)])
    offer, taken = np.full(start[-1], -1, dtype=np.int64), np.full(start[-1], -1, dtype=np.int64)
    parameters = np.zeros((len(nodes), kernel.PARAMETERS), dtype=np.int64)
    for number, values in enumerate(nodes):
        parameters[number, : len(values)] = values
    rows_done = np.full(max(1, rows), -1, dtype=np.int64)
    table = np.frombuffer(constants, dtype=np.int64)
    kernel.run(parameters, table, offer, taken, start, rows_done, _neighbours(nodes))
    return tuple(
        tuple(taken[first + size - 1 : last : size].tolist())
        for first, last, size in zip(start[:-1], start[1:], beats, strict=True)
    )


def _neighbours(nodes: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """For each node those that it shares a channel with, then -1: int64 [nodes, most neighbours]."""
    users: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        for channel in node[1:4]:
            if channel >= 0:
                users.setdefault(channel, []).append(number)
    beside = [
        sorted({n for channel in node[1:4] if channel >= 0 for n in users[channel]} - {number})
        for number, node in enumerate(nodes)
    ]
    table = np.full((len(beside), max(map(len, beside), default=0) or 1), -1, dtype=np.int64)
    for number, others in enumerate(beside):
        table[number, : len(others)] = others
    return table
