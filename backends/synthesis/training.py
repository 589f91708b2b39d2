"""Update arrays after synthesis: gradient counters with their quantisers and sources, and the fixed-point rival.

A tile of rows x columns weights is mapped to a library, timed, and run in a simulation of its gates on given errors and inputs,
64 independent runs at a time. What one weight, one lane and one source cost follows, and from it what a layer costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sccc.backends.synthesis.activity import WORD, GateSimulator, pack, unpack
from sccc.backends.synthesis.energy import energy
from sccc.backends.synthesis.flat import Flat, flatten, repair_fanout
from sccc.backends.synthesis.liberty import read_liberty
from sccc.backends.synthesis.timing import critical_path
from sccc.backends.synthesis.tools import require_tools
from sccc.backends.synthesis.yosys import run_yosys
from sccc.backends.verilog import training_cells as cells
from sccc.backends.verilog.cell_modules import module_name
from sccc.backends.verilog.render import packed
from sccc.backends.verilog.training import bus_width, lane_width
from sccc.cells import Comb
from sccc.diagnostics import InternalError
from sccc.intervals import widest
from sccc.ops import REGISTRY
from sccc.ops.training_types import STATE_BITS
from sccc.training_cells import FreeRunning, Update
from sccc.types import Fixed, Random

RESET_CYCLES = 2

PARTS = ("registers", "quantise_x", "quantise_delta", "source_x", "source_delta")
"""The tile's instances; the rival has only registers."""


@dataclass(frozen=True)
class Tile:
    """An update array of delta's lanes x x's lanes. `weights`: their type; `op`: train.count or train.descend, with `attributes`;
    `initial`: weights after reset; `seeds`: of the x source and of the delta sources (one, or one per lane), none for the rival."""

    op: str
    x: Fixed
    delta: Fixed
    weights: Fixed
    attributes: Mapping[str, int]
    initial: np.ndarray
    seeds: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def top(self) -> str:
        return f"tile_{self.op.split('.')[1]}"

    @property
    def quantized(self) -> bool:
        return self.seeds is not None


@dataclass(frozen=True)
class TileFigures:
    """Area in the library's unit (um^2) and cells of each part; period: the critical path, ns; `through`: the modules on it."""

    area: Mapping[str, float]
    cells: Mapping[str, int]
    leakage: Mapping[str, float]
    period: float
    through: tuple[str, ...]


class MappedTile:
    """A tile, synthesised. Raises SccError when Yosys, OpenSTA or the library is missing."""

    def __init__(self, tile: Tile, liberty: Path) -> None:
        require_tools("yosys", "sta")
        self.tile = tile
        self.text, self.top = tile_text(tile), tile.top
        library = read_liberty(liberty)
        synthesis = run_yosys(self, library)
        self.flat: Flat = flatten(synthesis.modules, synthesis.top, library)
        repair_fanout(self.flat)
        path = critical_path(self.flat)
        area = self.flat.per_owner({k: g.cell.area for k, g in self.flat.groups.items()})
        leakage = self.flat.per_owner({k: g.cell.leakage for k, g in self.flat.groups.items()})
        count = self.flat.per_owner({k: 1.0 for k in self.flat.groups})
        owners = self.flat.owners
        self.figures = TileFigures(
            {o: float(a) for o, a in zip(owners, area, strict=True)},
            {o: int(n) for o, n in zip(owners, count, strict=True)},
            {o: float(n) for o, n in zip(owners, leakage, strict=True)},
            path.nanoseconds,
            path.through,
        )

    def energy_per_update(self, x: np.ndarray, delta: np.ndarray) -> dict[str, float]:
        """pJ of each part per update. x: [cycles, runs, columns], delta: [cycles, runs, rows], integers, up to 64 runs.

        The gates' registers are compared with the op's own expressions after every update: a difference is an InternalError.
        """
        cycles, runs = x.shape[:2]
        simulator, model = GateSimulator(self.flat), _Model(self.tile, runs)
        flag = {True: np.array([~np.uint64(0)]), False: np.zeros(1, dtype=np.uint64)}
        inputs = {"clk": flag[False], "rst": flag[True], "go": flag[False]}
        inputs |= {"x": _words(x[0], self.tile.x), "delta": _words(delta[0], self.tile.delta)}
        for _ in range(RESET_CYCLES):
            simulator.step(inputs)
        toggles = np.zeros(self.flat.nets)
        mask = np.uint64((1 << runs) - 1) if runs < WORD else ~np.uint64(0)
        inputs |= {"rst": flag[False], "go": flag[True]}
        for t in range(cycles):
            inputs |= {"x": _words(x[t], self.tile.x), "delta": _words(delta[t], self.tile.delta)}
            nets = simulator.step(inputs, toggles if t else None, mask)
            if not np.array_equal(unpack(nets[self.flat.ports["w"]], runs), _bits(model.weights, self.tile.weights)):
                raise InternalError("the synthesised update array computes something else than its op")
            model.step(x[t], delta[t])
        spent = energy(self.flat, toggles / (runs * (cycles - 1)), 1)
        return {owner: float(pj) for owner, pj in zip(self.flat.owners, spent.dynamic, strict=True)}


class _Model:
    """The tile by its ops' expressions, `runs` times over: weights [runs, rows, columns]."""

    def __init__(self, tile: Tile, runs: int) -> None:
        self.tile = tile
        self.weights = np.broadcast_to(tile.initial, (runs, *tile.initial.shape)).astype(np.int64)
        self.states = [s.astype(np.int64) for s in tile.seeds] if tile.seeds else []

    def step(self, x: np.ndarray, delta: np.ndarray) -> None:
        tile, source, quantize = self.tile, REGISTRY["train.source"].cell, REGISTRY["train.quantize"].cell
        update = REGISTRY[tile.op].cell
        assert isinstance(source, FreeRunning) and isinstance(quantize, Comb) and isinstance(update, Update)
        if tile.quantized:
            numbers = []
            for side, kind in enumerate((tile.x, tile.delta)):
                drop = STATE_BITS - random_type(kind).bits
                numbers.append(source.out.evaluate({"state": self.states[side], "drop": drop}))
                self.states[side] = source.next.evaluate({"state": self.states[side]})
            x, delta = (
                quantize.result.evaluate({"x": v, "random": r}) for v, r in zip((x, delta), numbers, strict=True)
            )
        env = {**tile.attributes, "w": self.weights, "x": x[:, None, :], "delta": delta[:, :, None]}
        self.weights = np.asarray(update.next.evaluate(env), dtype=np.int64)


def random_type(kind: Fixed) -> Random:
    """The random numbers that numbers of a type are compared with when they are quantised."""
    return Random((), max(1, (max(-kind.lo, kind.hi) - 1).bit_length()))


def _bits(values: np.ndarray, kind: Fixed) -> np.ndarray:
    lanes = values.reshape(len(values), -1)
    return ((lanes[:, :, None] >> np.arange(lane_width(kind))) & 1).reshape(len(lanes), -1)


def _words(values: np.ndarray, kind: Fixed) -> np.ndarray:
    return pack(_bits(values, kind))


# -- Verilog --------------------------------------------------------------------------------------------------------------


def tile_text(tile: Tile) -> str:
    """The tile as Verilog, with the modules that it instantiates."""
    rows, columns = tile.initial.shape
    used = {tile.op: cells.update_modules(tile.op)}
    lines = [
        f"module {tile.top} (",
        "  input  wire clk,",
        "  input  wire rst,",
        "  input  wire go,",
        f"  input  wire [{bus_width(tile.x) - 1}:0] x,",
        f"  input  wire [{bus_width(tile.delta) - 1}:0] delta,",
        f"  output wire [{rows * columns * lane_width(tile.weights) - 1}:0] w",
        ");",
    ]
    x, delta, moves = "x", "delta", (tile.x, tile.delta)
    if tile.seeds is not None:
        ternary = [Fixed(kind.shape, -1, 1, 0) for kind in moves]
        for name, kind, seeds in (("x", tile.x, tile.seeds[0]), ("delta", tile.delta, tile.seeds[1])):
            lines += _quantised(name, kind, seeds)
        used["train.source"] = cells.source_module("train.source")
        used["train.quantize"] = cells.comb_module("train.quantize")
        x, delta, moves = "q_x", "q_delta", (ternary[0], ternary[1])
    update = REGISTRY[tile.op].cell
    assert isinstance(update, Update)
    ranges = {n: (v, v) for n, v in tile.attributes.items()}
    ranges |= {n: (k.lo, k.hi) for n, k in (("w", tile.weights), ("x", moves[0]), ("delta", moves[1]))}
    settings = {
        "ROWS": rows, "COLUMNS": columns, "W": lane_width(tile.weights), "EW": widest(update.next, ranges) + 1,
        "X_W": lane_width(moves[0]), "DELTA_W": lane_width(moves[1]),
        **{n.upper(): tile.attributes[n] for n in cells.attributes_of(REGISTRY[tile.op], update.next)},
        "INITIAL": packed(tile.initial.reshape(-1), lane_width(tile.weights)),
    }  # fmt: skip
    ports = {"clk": "clk", "rst": "rst", "go": "go", "x": x, "delta": delta, "w": "w"}
    lines.append(_instance(module_name(tile.op), settings, "registers", ports))
    return "\n".join([*lines, "endmodule", "", *used.values()])


def _quantised(name: str, kind: Fixed, seeds: np.ndarray) -> list[str]:
    """A source (or one per lane) and the ternary quantiser of a bus: wires q_NAME of two bits a lane."""
    random, source, quantize = random_type(kind), REGISTRY["train.source"].cell, REGISTRY["train.quantize"].cell
    assert isinstance(source, FreeRunning) and isinstance(quantize, Comb)
    lanes, width = int(np.size(seeds)), lane_width(random)
    ranges = {"state": (0, (1 << STATE_BITS) - 1), "drop": (STATE_BITS - random.bits,) * 2}
    inner = max(widest(source.next, ranges), widest(source.out, ranges)) + 1
    settings: dict[str, object] = {
        "LANES": lanes, "S_W": STATE_BITS, "R_W": width, "EW": inner, "DROP": STATE_BITS - random.bits,
        "SEEDS": packed(np.asarray(seeds).reshape(-1), STATE_BITS),
    }  # fmt: skip
    ports = {"clk": "clk", "rst": "rst", "go": "go", "random": f"r_{name}"}
    compared = widest(quantize.result, {"x": (kind.lo, kind.hi), "random": (0, (1 << random.bits) - 1)}) + 1
    comparison: dict[str, object] = {
        "LANES": kind.lanes, "R_W": 2, "EW": compared, "X_W": lane_width(kind), "X_RUN": 1,
        "RANDOM_W": width, "RANDOM_RUN": 1 if lanes > 1 else kind.lanes,
    }  # fmt: skip
    return [
        f"  wire [{lanes * width - 1}:0] r_{name};",
        f"  wire [{2 * kind.lanes - 1}:0] q_{name};",
        _instance("sccc_source", settings, f"source_{name}", ports),
        _instance(
            "sccc_quantize", comparison, f"quantise_{name}", {"x": name, "random": f"r_{name}", "result": f"q_{name}"}
        ),
    ]


def _instance(module: str, settings: Mapping[str, object], label: str, ports: Mapping[str, str]) -> str:
    parameters = ", ".join(f".{k}({v})" for k, v in settings.items())
    connections = ", ".join(f".{k}({v})" for k, v in ports.items())
    return f"  {module} #({parameters}) {label} ({connections});"


__all__ = ["PARTS", "MappedTile", "Tile", "TileFigures", "random_type", "tile_text"]
