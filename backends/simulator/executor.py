"""Runs a module on data: prepares its steps once, then takes batches through them, several at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sccc.backends.simulator.faults import check_faults
from sccc.backends.simulator.flip_sites import FlipSite, resolve_sites
from sccc.backends.simulator.flips import KINDS, FlipSource
from sccc.backends.simulator.fused import count_step, find_patterns, flips_inside, fused_step, takes_count_step
from sccc.backends.simulator.layouts import LARGE_BLOCK, Scratch
from sccc.backends.simulator.steps import Batch, Builder, Step, check_runnable
from sccc.backends.simulator.streams import StreamValue
from sccc.diagnostics import SccError, nearest
from sccc.early_exit import final_sum, prefix_totals
from sccc.ir import Module, Operation, Value
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.ops.geometry import geometry_of
from sccc.types import Count, Level, Random, Stream

ENGINES = ("numba", "numpy")

PREFIXES, CYCLES = "#prefixes", "#cycles"
"""What is recorded of a batch beside values, which have other names."""

BATCH_MEMORY = 400e6
"""Bytes that all batches in progress may hold together."""

CACHED_MEMORY = 3e6
"""Bytes of the widest value of a batch that a core's cache holds: larger batches are not faster."""

MAX_BATCH = 512
"""Samples in a batch beyond which Python's own time per batch no longer matters. Large batches are whole blocks: powers of 2."""


@dataclass
class Simulation:
    """What came out. `output` is in real units; `raw` are the integers that the hardware shows.

    raw is the level, or the total; of a stream the number of ones (negative where its sign is), of a count the sum over
    the window. bit_products counts all products of two bits in streams, those with zero weights too, and is 0 in fixed
    point; seconds is the whole run, from real inputs on.

    prefixes: int64 [samples, prefixes, lanes], the totals before the class is decided, after each of the prefixes that were asked
    for (see `sccc.early_exit.prefix_totals`). cycles: int64 [samples], of the last layer's window where sc.race may end it early.
    """

    output: np.ndarray
    raw: np.ndarray
    trace: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    bit_products: int = 0
    prefixes: np.ndarray | None = None
    cycles: np.ndarray | None = None

    @property
    def bit_products_per_second(self) -> float:
        return self.bit_products / self.seconds if self.seconds > 0 else 0.0


def simulate(
    module: Module,
    x: np.ndarray,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Simulation:
    """Simulate an sc module, bit for bit, on data x [samples, ...] in real units. See `Simulator` for the options."""
    return Simulator(module, **options).run(x, progress)


class Simulator:
    """A module prepared for simulation; `run` may be called again and again.

    trace: names of values to record, or "all" for every value that depends on the input. prefixes: numbers of cycles after
    which the last layer's totals are recorded. flip_rate: probability with which each bit of the kinds `flips` (operand,
    product, state; see `sccc.backends.simulator.flips`) flips, in 0 .. 0.5, drawn from `seed`; flip_sites: bits that flip
    besides. kernels: "numba", or "numpy" for the readable reference; both give the same results. batch: samples at a time,
    0 to choose. threads: batches at a time, 0 for all cores. Raises SccError when an option or the module cannot be honoured.
    """

    def __init__(
        self,
        module: Module,
        *,
        trace: Iterable[str] | str = (),
        prefixes: Iterable[int] = (),
        flip_rate: float = 0.0,
        flips: Iterable[str] = ("operand",),
        flip_sites: Iterable[FlipSite] = (),
        seed: int = 1,
        kernels: str = "numba",
        batch: int = 0,
        threads: int = 0,
    ) -> None:
        kinds = tuple(flips)
        _check_options(kernels, flip_rate, kinds, batch)
        self.input, self.output = check_runnable(module)
        sites = resolve_sites(module, flip_sites)
        source = FlipSource(flip_rate, seed, kinds, sites) if (flip_rate > 0 and kinds) or sites else None
        if source is not None:
            check_faults(module, source)
        self.module, self.batch = module, batch
        self.threads = threads or len(os.sched_getaffinity(0))
        self.builder = Builder(module, kernels == "numba", source)
        self.prefixes = _checked_prefixes(module, prefixes)
        self.counted = final_sum(module).operands[0] if self.prefixes else None
        self.traced = _traced_values(module, trace, self._static_values())
        self.scratch = Scratch()
        self.steps = self._prepare(kernels)
        self.last_use = _last_uses(self.steps)

    def run(self, x: np.ndarray, progress: Callable[[int, int], None] | None = None, first: int = 0) -> Simulation:
        """Simulate samples x [samples, ...] (real units), which are samples `first` .. of the data (for the flips)."""
        start = time.perf_counter()
        x = self._shaped(x)
        size = self._batch_size(len(x))
        pieces = [(first + i, x[i : i + size]) for i in range(0, len(x), size)]
        results: list[dict[str, np.ndarray]] = []
        done = 0
        for piece, result in zip(pieces, self._results(pieces), strict=True):
            results.append(result)
            done += len(piece[1])
            if progress is not None:
                progress(done, len(x))
        columns = {key: _join([result[key] for result in results]) for key in results[0]}
        raw, prefixes, cycles = columns.pop(""), columns.pop(PREFIXES, None), columns.pop(CYCLES, None)
        trace = {**columns, **self._static_trace()}
        output, products = self._real(raw), len(x) * self.products_per_sample()
        return Simulation(output, raw, trace, time.perf_counter() - start, products, prefixes, cycles)

    def products_per_sample(self) -> int:
        """Products of two bits in a window, summed over the dot products and convolutions of streams; fixed point adds none."""
        total = 0
        for op in self.module.ops_named(*PRODUCT_SUMS):
            w = op.operands[1].type
            assert isinstance(w, Stream)
            total += geometry_of(op).products * w.length
        return total

    # -- preparing ----------------------------------------------------------------------------------------------

    def _static_values(self) -> set[Value]:
        static: set[Value] = set()
        for op in self.module:
            if op.result is not None and op is not self.input and all(v in static for v in op.operands):
                static.add(op.result)
        return static

    def _prepare(self, kernels: str) -> list[Step]:
        nothing = Batch(0, np.zeros((1, 0)), self.scratch)
        steps = []
        kept = self.traced if self.counted is None else {*self.traced, self.counted}
        patterns = find_patterns(self.module, self._static_values(), kept) if kernels == "numba" else []
        if self.builder.flips is not None:
            patterns = [p for p in patterns if not flips_inside(p, self.builder.flips, self.builder.number)]
        fused = {pattern.machine: pattern for pattern in patterns}
        absorbed = {op for pattern in patterns for op in pattern.absorbed}
        for op in self.module:
            if op in absorbed:
                continue
            if op in fused:
                step = fused_step(self.builder, fused[op])
            elif kernels == "numba" and takes_count_step(op, self.builder.static):
                step = count_step(self.builder, op)
            else:
                step = self.builder.step(op)
            if self.builder.is_static(op) and op.result is not None:
                self.builder.static[op.result] = step.run(nothing)
            else:
                steps.append(step)
        return steps

    # -- running ------------------------------------------------------------------------------------------------

    def _shaped(self, x: np.ndarray) -> np.ndarray:
        assert self.input.result is not None
        x, shape = np.asarray(x), self.input.result.type.shape
        if x.ndim < 1 or len(x) == 0 or x.size != len(x) * self.input.result.type.lanes:
            wanted = ", ".join(["samples", *map(str, shape)])
            raise SccError(f"data of shape {x.shape} does not fit the input: want [{wanted}]", self.input.place())
        if x.dtype.kind not in "biuf":
            raise SccError(f"data must be real numbers, and are of type {x.dtype}", self.input.place())
        return x.reshape(len(x), *shape)

    def _batch_size(self, samples: int) -> int:
        if self.batch:
            return self.batch
        fits = int(BATCH_MEMORY / self.threads / sum(step.memory for step in self.steps))
        widest = max((_bytes(value) for step in self.steps for value in step.reads), default=1.0)
        size = min(max(int(CACHED_MEMORY / widest), 2 * LARGE_BLOCK), MAX_BATCH, -(-samples // self.threads))
        size = min(size, fits)
        return max(1, 1 << size.bit_length() - 1 if size >= LARGE_BLOCK else size)

    def _results(self, pieces: list[tuple[int, np.ndarray]]) -> Iterable[dict[str, np.ndarray]]:
        if len(pieces) == 1 or self.threads == 1:
            yield from map(self._run_batch, pieces)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(self._run_batch, pieces)

    def _run_batch(self, piece: tuple[int, np.ndarray]) -> dict[str, np.ndarray]:
        """The traced values, by name, and the output's raw integers, by ''."""
        batch = Batch(piece[0], piece[1], self.scratch)
        recorded: dict[str, np.ndarray] = {}
        for number, step in enumerate(self.steps):
            result = step.run(batch)
            value = step.op.result
            if value is None:
                recorded[""] = _raw(self.output, result, batch.samples)
                continue
            batch.values[value] = result
            if value in self.traced:
                recorded[value.name] = recorded_array(value, result)
            if value is self.counted:
                initial = final_sum(self.module).attributes["initial"]
                totals = prefix_totals(result, initial, self.prefixes)
                recorded[PREFIXES] = np.broadcast_to(totals, (batch.samples, *totals.shape[1:]))
            for operand in step.reads:
                if self.last_use[operand] == number:
                    batch.values.pop(operand, None)
        if batch.cycles is not None:
            recorded[CYCLES] = np.broadcast_to(batch.cycles, batch.samples)
        if "" not in recorded:
            operand = self.output.operands[0]
            recorded[""] = _raw(self.output, self.builder.static[operand], batch.samples)
        return recorded

    def _static_trace(self) -> dict[str, np.ndarray]:
        static = self.builder.static
        length = max((v.type.length for v in self.module.values() if isinstance(v.type, Stream)), default=1)
        return {v.name: recorded_array(v, static[v], length) for v in self.traced if v in static}

    def _real(self, raw: np.ndarray) -> np.ndarray:
        """Real units of the output: what the raw integers encode, times the output's scale."""
        kind = self.output.operands[0].type
        value = raw.astype(np.float64)
        if isinstance(kind, Level):
            value = kind.encoding.decode(raw, kind.bits)
        elif isinstance(kind, Stream):
            value = kind.encoding.decode(raw / kind.length, 0)
        elif isinstance(kind, Count):
            value = value / kind.length
        scale: Any = self.output.attributes["scale"]
        return value * float(scale)


def _checked_prefixes(module: Module, prefixes: Iterable[int]) -> list[int]:
    """The prefixes, each within the last layer's window. Raises SccError."""
    wanted = [int(t) for t in prefixes]
    if wanted:
        kind = final_sum(module).operands[0].type
        assert isinstance(kind, Count)
        for t in wanted:
            if not 1 <= t <= kind.length:
                raise SccError(
                    f"a prefix of {t} cycles is outside 1 .. {kind.length}", advice="the last layer's window"
                )
    return wanted


def recorded_array(value: Value, made: Any, length: int = 1) -> np.ndarray:
    """A value as it stands in a trace."""
    if isinstance(made, StreamValue):
        return made.bits()
    if isinstance(value.type, Random):
        shape = value.type.shape
        return made.take(np.arange(value.type.lanes), length).T.reshape(length, *shape)
    if isinstance(value.type, Count):
        narrow = value.type.lo >= -(1 << 31) and value.type.hi < 1 << 31
        return made.astype(np.int32 if narrow else np.int64)
    return np.array(made, dtype=np.int64)


def _raw(output: Operation, made: Any, samples: int) -> np.ndarray:
    """The integers that the output shows, int64 [samples, *shape]."""
    if isinstance(made, StreamValue):
        ones = made.bits().sum(axis=-1, dtype=np.int64)
        made = ones if made.signs is None else np.where(made.signs == 1, -ones, ones)
    elif isinstance(output.operands[0].type, Count):
        made = made.sum(axis=-1)
    made = np.asarray(made, dtype=np.int64)
    return np.broadcast_to(made, (samples, *made.shape[1:])).copy()


def _bytes(value: Value) -> float:
    """Of one sample: streams are packed, levels and totals are mostly of 16 bits."""
    kind = value.type
    return kind.lanes * (kind.length / 8 if isinstance(kind, Stream) else 2.0)


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _last_uses(steps: list[Step]) -> dict[Value, int]:
    return {value: number for number, step in enumerate(steps) for value in step.reads}


def _check_options(kernels: str, flip_rate: float, flips: tuple[str, ...], batch: int) -> None:
    if kernels not in ENGINES:
        raise SccError(f"unknown kernels '{kernels}'", advice=nearest(kernels, ENGINES))
    if not 0.0 <= flip_rate <= 0.5:
        raise SccError(f"flip_rate = {flip_rate} is outside 0 .. 0.5", advice="0.5 makes every stream random")
    for kind in flips:
        if kind not in KINDS:
            raise SccError(f"unknown kind of flips '{kind}'", advice=nearest(kind, KINDS))
    if batch < 0:
        raise SccError(f"batch = {batch} is negative", advice="0 chooses the batch size")


def _traced_values(module: Module, trace: Iterable[str] | str, static: set[Value]) -> set[Value]:
    """The values to record. Raises SccError for names that the module does not have."""
    values = {v.name: v for v in module.values()}
    if trace == "all":
        return {v for v in values.values() if v not in static}
    names = [trace] if isinstance(trace, str) else list(trace)
    unknown = [name for name in names if name not in values]
    if unknown:
        raise SccError(f"the module has no value '{unknown[0]}' to trace", advice=nearest(unknown[0], values))
    return {values[name] for name in names}
