"""`sccc bench-training`: the published comparison of gradient counters with fixed point, on an open library.

A tile of each update array is synthesised (sccc.backends.synthesis.training); a network's arrays are its parts times their numbers.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sccc import report
from sccc.backends.simulator.training import Trainer
from sccc.backends.simulator.training_reference import Reference
from sccc.cli import EXIT_OK
from sccc.commands import STANDARD_OUTPUT
from sccc.data import Data, load_data
from sccc.diagnostics import Collector, Location
from sccc.files import check_writable, write_files
from sccc.ir import Attribute, Module
from sccc.learning_options import TrainingOptions
from sccc.ops import REGISTRY
from sccc.training import new_weights, train, training_module, with_weights
from sccc.types import Fixed, Real

PUBLISHED = {"time": 4.7e6 / 1.6e6, "energy": 1.1e8 / 1.2e7, "throughput_per_area": 57 / 1.5}
"""Fixed point over SC-GDC (throughput per area: the other way), 784-128-128-10, 28 nm (Liu, Gross & Han 2020, Table II)."""

REASONS = (
    "Why they differ from the published ratios (2.9, 9.2, 38):",
    "  time: one cycle here runs through source, comparator and counter, and ABC maps for area, so that the carry chains and the "
    "multiplier are slow alike; with the ternary bits registered, the counters alone set the period (last row).",
    "  energy: fixed point multiplies 10 by 18 bits and keeps 8 bits below the step here, less than the published array seems to "
    "(1,440 um2 per weight in 28 nm).",
    "  throughput per area: the product of the ratios of time and area.",
    "  Reset loads any weight, which costs a multiplexer per bit in both arrays; no wires, ideal clock, zero-delay activity.",
)

CYCLES, RUNS = 12, 64
"""Updates in a simulation of the gates, and independent simulations at a time."""

UPDATES = 60_000
"""Updates in an epoch where there is no data: MNIST's."""


@dataclass
class Design:
    """One array for the whole network: area um^2, period ns, energy pJ per update, accuracy where it was trained."""

    name: str
    area: float
    period: float
    energy: float
    accuracy: float | None = None

    @property
    def throughput_per_area(self) -> float:
        """Updates per second and um^2."""
        return 1e9 / (self.period * self.area)

    def plain(self, updates: int) -> dict[str, Any]:
        return {
            "name": self.name,
            "area_um2": self.area,
            "period_ns": self.period,
            "minimum_time_ns": updates * self.period,
            "energy_pj_per_update": self.energy,
            "updates_per_second_per_um2": self.throughput_per_area,
            "accuracy": self.accuracy,
        }


def run_bench_training(args: argparse.Namespace) -> int:
    """Synthesise both arrays, train both networks when there is data, print the table."""
    sizes, liberty, data = _read(args)
    module = network(sizes)
    new_weights(module, args.seed)
    options = TrainingOptions(epochs=args.epochs, step_bits=args.step_bits, seed=args.seed)
    counters = training_module(module, options, data[0].x if data else np.ones((1, sizes[0])))
    activity = _recorded(module, options, data) if data else _synthetic(sizes)
    designs = _designs(args, sizes, counters, activity, liberty)
    if data:
        for design, rule in zip(designs, ("gdc", "fixed"), strict=False):
            design.accuracy = train(module, *data, replace(options, rule=rule)).accuracy
    _report(args, sizes, designs, args.epochs * (len(data[0].x) if data else UPDATES), bool(data))
    return EXIT_OK


def _read(args: argparse.Namespace) -> tuple[list[int], Path, tuple[Data, Data] | None]:
    from sccc.backends.synthesis.tools import find_liberty, require_tools

    problems = Collector()
    sizes: list[int] = []
    try:
        sizes = [int(part) for part in args.layers.split(",")]
    except ValueError:
        problems.add(f"'{args.layers}' is not a list of whole numbers", Location(option="--layers"), "write 784,128,10")
    if sizes and (len(sizes) < 2 or min(sizes) < 2):
        problems.add("want at least two sizes of at least 2", Location(option="--layers"), "write 784,128,10")
    liberty = Path()
    with problems.catching():
        require_tools("yosys", "sta")
    with problems.catching():
        liberty = find_liberty(args.liberty)
    with problems.catching():
        check_writable([Path(args.json)] if args.json and args.json != STANDARD_OUTPUT else [])
    problems.raise_if_any()
    if not args.data:
        return sizes, liberty, None
    module = network(sizes)
    both = [load_data(args.data, module, split=split, need_y=True) for split in ("train", "test")]
    return sizes, liberty, (both[0], both[1])


def network(sizes: Sequence[int]) -> Module:
    """A dense network of these sizes, tanh between the layers, weights zero."""
    module = Module("network")
    value = module.append("nn.input", [], {"shape": [sizes[0]], "name": "x"}, result="x", type=Real((sizes[0],))).result
    for number, (n, m) in enumerate(itertools.pairwise(sizes), start=1):
        function = "tanh" if number < len(sizes) - 1 else "identity"
        assert value is not None
        attributes: dict[str, Attribute] = {"weight": np.zeros((m, n)), "bias": np.zeros(m), "function": function}
        value = module.append("nn.layer", [value], attributes, result=f"fc{number}").result
    assert value is not None
    module.append("nn.output", [value], {"name": "y"})
    return module


# -- activity -------------------------------------------------------------------------------------------------------------

Activity = list[tuple[np.ndarray, np.ndarray]]
"""For each layer inputs [updates, n] and errors [updates, m], as integers."""


def _recorded(module: Module, options: TrainingOptions, data: tuple[Data, Data]) -> Activity:
    """Of samples met after the first epoch, when errors are larger than at the end."""
    once = train(module, *data, replace(options, epochs=1))
    counters = training_module(with_weights(module, once.layers), options, data[0].x)
    picked = np.random.default_rng(options.seed).permutation(len(data[0].x))[: CYCLES * RUNS]
    numbers, reference = Trainer(counters, "numpy").numbers(data[0].x[picked]), Reference(counters)
    assert data[0].y is not None
    seen = [reference.forward(x, int(y)) for x, y in zip(numbers, data[0].y[picked], strict=True)]
    updates = counters.ops_named("train.count")
    pairs = [(op.operands[2].op, op.operands[1].op) for op in updates if len(op.operands[0].type.shape) == 2]
    found = [tuple(np.stack([v[q.operands[0]] for v in seen]) for q in pair if q is not None) for pair in pairs]
    return [(np.resize(x, (CYCLES * RUNS, x.shape[1])), np.resize(d, (CYCLES * RUNS, d.shape[1]))) for x, d in found][
        ::-1
    ]


def _synthetic(sizes: Sequence[int]) -> Activity:
    """Without data: a fifth of the inputs is not zero (MNIST's share), hidden values are uniform, errors Laplacian of scale 1 %."""
    random = np.random.default_rng(1)
    found = []
    for number, (n, m) in enumerate(itertools.pairwise(sizes)):
        shape = (CYCLES * RUNS, n)
        x = (
            random.integers(-256, 257, shape)
            if number
            else random.integers(0, 257, shape) * (random.random(shape) < 0.2)
        )
        delta = np.rint(random.laplace(0.0, 0.01, (CYCLES * RUNS, m)) * 2**16).astype(np.int64)
        found.append((x, np.clip(delta, -(1 << 16), 1 << 16)))
    return found


# -- hardware -------------------------------------------------------------------------------------------------------------


def _designs(
    args: argparse.Namespace, sizes: Sequence[int], counters: Module, activity: Activity, liberty: Path
) -> list[Design]:
    """Gradient counters, fixed point, and the counters behind registered ternary bits (their period only)."""
    from sccc.backends.synthesis.training import MappedTile, Tile

    sc, fixed, bare = _tiles(args, counters, Tile)
    mapped = [MappedTile(tile, liberty) for tile in (sc, fixed)]
    found = []
    for name, tile in zip(("SC-GDC", "fixed point"), mapped, strict=True):
        area = energy = 0.0
        for (n, m), (x, delta) in zip(itertools.pairwise(sizes), activity, strict=True):
            share = _shares(args, n, m)
            area += sum(tile.figures.area[part] * share[part] for part in tile.figures.area)
            energy += sum(pj * share[part] for part, pj in _energy(args, tile, x, delta).items())
        found.append(Design(name, area, tile.figures.period, energy))
    alone = MappedTile(bare, liberty).figures.period
    return [*found, Design("SC-GDC, ternary bits registered", found[0].area, alone, found[0].energy)]


def _tiles(args: argparse.Namespace, counters: Module, tile: Any) -> tuple[Any, Any, Any]:
    """The tiles: counters with quantisers and sources, fixed point, and counters alone. Types and weights are the first layer's."""
    rows, columns, k = args.rows, args.columns, args.step_bits
    updates = [op for op in counters.ops_named("train.count") if len(op.operands[0].type.shape) == 2]
    op = updates[-1]
    register, qdelta, qx = (v.op for v in op.operands)
    assert register is not None and qdelta is not None and qx is not None
    kinds = []
    for quantizer, lanes in ((qx, columns), (qdelta, rows)):
        kind = quantizer.operands[0].type
        assert isinstance(kind, Fixed)
        kinds.append(Fixed((lanes,), kind.lo, kind.hi, kind.bits))
    weights = register.result.type if register.result is not None else None
    assert isinstance(weights, Fixed)
    initial = np.resize(np.asarray(register.attributes["initial"]), (rows, columns))
    seeds = [np.asarray(q.operands[1].op.attributes["seeds"]) for q in (qx, qdelta) if q.operands[1].op is not None]
    held = {name: int(op.attributes[name]) for name in REGISTRY[op.name].attributes}
    sc = tile(op.name, *kinds, _shaped(weights, rows, columns), held, initial, (seeds[0], seeds[1]))
    ternary = [Fixed(kind.shape, -1, 1, 0) for kind in kinds]
    bare = tile(op.name, *ternary, _shaped(weights, rows, columns), held, initial)
    more = 8
    wide = Fixed((rows, columns), weights.lo << more, ((weights.hi + 1) << more) - 1, weights.bits + more)
    shift = kinds[0].bits + kinds[1].bits + k - wide.bits
    fixed = tile("train.descend", *kinds, wide, {"shift": shift, "lo": wide.lo, "hi": wide.hi}, initial << more)
    return sc, fixed, bare


def _shaped(kind: Fixed, rows: int, columns: int) -> Fixed:
    return Fixed((rows, columns), kind.lo, kind.hi, kind.bits)


def _shares(args: argparse.Namespace, n: int, m: int) -> dict[str, float]:
    """How many of each part of the tile a layer of m x n weights and m biases has."""
    registers = m * (n + 1) / (args.rows * args.columns)
    lanes = {"quantise_x": n / args.columns, "quantise_delta": m / args.rows}
    return {"": registers, "registers": registers, **lanes, "source_x": 1.0, "source_delta": 1.0}


def _energy(args: argparse.Namespace, tile: Any, x: np.ndarray, delta: np.ndarray) -> dict[str, float]:
    """pJ of the tile's parts per update, on lanes picked evenly at random from a layer's."""
    random = np.random.default_rng(1)
    columns = np.resize(random.permutation(x.shape[1]), args.columns)
    rows = np.resize(random.permutation(delta.shape[1]), args.rows)
    parts = [v[:, lanes].reshape(CYCLES, RUNS, len(lanes)) for v, lanes in ((x, columns), (delta, rows))]
    found: dict[str, float] = tile.energy_per_update(parts[0], parts[1])
    return found


# -- the table ------------------------------------------------------------------------------------------------------------


def ratios(counters: Design, fixed: Design) -> dict[str, float]:
    """How many times better the counters are."""
    return {
        "time": fixed.period / counters.period,
        "energy": fixed.energy / counters.energy,
        "throughput_per_area": counters.throughput_per_area / fixed.throughput_per_area,
    }


def _report(args: argparse.Namespace, sizes: Sequence[int], designs: list[Design], updates: int, trained: bool) -> None:
    found = [ratios(designs[0], designs[1]), ratios(designs[2], designs[1])]
    result = {
        "layers": list(sizes),
        "weights": sum(m * (n + 1) for n, m in itertools.pairwise(sizes)),
        "tile": [args.rows, args.columns],
        "activity": "samples after the first epoch" if trained else "synthetic",
        "updates": updates,
        "designs": [d.plain(updates) for d in designs],
        "ratios": found[0],
        "ratios_registered": found[1],
        "published_ratios": PUBLISHED,
    }
    if args.json and args.json != STANDARD_OUTPUT:
        write_files({Path(args.json): report.json_text(result)})
    title = (
        f"{'-'.join(map(str, sizes))}, {updates:,} updates, scaled from tiles of {args.rows} x {args.columns} weights"
    )
    rows = [
        [
            d.name,
            f"{updates * d.period:.3g}",
            f"{d.period:.2f}",
            f"{1e3 * d.energy:.3g}",
            f"{d.area:.4g}",
            f"{d.throughput_per_area:.3g}",
            "-" if d.accuracy is None else f"{100 * d.accuracy:.2f} %",
        ]
        for d in designs
    ]
    headings = ["design", "minimum time ns", "period ns", "energy/update fJ", "area um²", "updates/s/um²", "accuracy"]
    compared = [[k, f"{found[0][k]:.2f}", f"{found[1][k]:.2f}", f"{PUBLISHED[k]:.1f}"] for k in PUBLISHED]
    screen = report.console(stderr=args.json == STANDARD_OUTPUT)
    screen.print(report.table(title, headings, rows))
    screen.print(
        report.table("SC-GDC better than fixed point by", ["", "here", "registered", "published, 28 nm"], compared)
    )
    for line in (f"activity: {result['activity']}", *REASONS):
        screen.print(line, markup=False)
    if args.json == STANDARD_OUTPUT:
        print(report.json_text(result), end="")


__all__ = ["Design", "network", "ratios", "run_bench_training"]
