"""Energy of the mapped netlist: Liberty's tables times what each net does in a simulation of the gates.

Per cycle and sample, in pJ:
  switching  1/2 C V^2 per transition of a net, C its pins' capacitance (no wires: nothing is placed)
  internal   the driving pin's table at that load, and the tables of input pins, at one input slew
  clock      the clock pins' capacitance and tables, two transitions a cycle (an ideal clock: no tree, no gating)
  leakage    the cells' leakage times the time, added by the caller, who knows the period
Without `glitches` the simulation has no delays, and a net changes at most once a cycle. With them every cell takes one unit of
time and every change counts in full, which is more than real gates make of short pulses: the truth lies between. What is steady
is read in full operation: a new sample every `interval` cycles, all layers at work, whole intervals measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sccc.backends.simulator import simulate
from sccc.backends.synthesis.activity import WORD, GateSimulator, pack, unpack
from sccc.backends.synthesis.flat import Flat
from sccc.backends.verilog import Netlist
from sccc.backends.verilog.buses import sign_magnitude
from sccc.diagnostics import InternalError
from sccc.ir import Module
from sccc.ops.source import input_levels
from sccc.types import Encoding, Level, Type, lane_width

RESET_CYCLES = 3

MEASURED_CYCLES = 32
"""At least so many cycles are measured, in whole intervals."""


@dataclass(frozen=True)
class Energy:
    """pJ per sample by owner: arrays over Flat.owners. `leakage` is in nW."""

    switching: np.ndarray
    internal: np.ndarray
    clock: np.ndarray
    leakage: np.ndarray

    @property
    def dynamic(self) -> np.ndarray:
        return self.switching + self.internal + self.clock


@dataclass(frozen=True)
class Activity:
    """`toggles[n]`: transitions of net n per sample, on average: over one interval of `cycles`. `checked` results were right."""

    toggles: np.ndarray
    cycles: int
    checked: int


def energy(flat: Flat, toggles: np.ndarray, cycles: int) -> Energy:
    """Energy of these transitions per net over these cycles."""
    loads, half = flat.loads(), 0.5 * flat.library.voltage**2
    moves = toggles.copy()
    moves[flat.clocks] = 2.0 * cycles
    per_net = half * loads * moves
    size = len(flat.owners)
    switching, internal, clock = np.zeros(size), np.zeros(size), np.zeros(size)
    for group in flat.groups.values():
        for pin in group.cell.pins.values():
            nets = group.column(pin.name)
            if pin.direction == "output":
                switching += np.bincount(group.owner, per_net[nets], minlength=size)
            each = group.cell.transition_energy(pin.name, loads[nets]) * moves[nets]
            if pin.name == group.cell.clocked_on:
                clock += np.bincount(group.owner, each + half * pin.capacitance * moves[nets], minlength=size)
            else:
                internal += np.bincount(group.owner, each, minlength=size)
    driven = np.unique(np.concatenate([flat.ports[p] for p in flat.inputs if p not in ("clk", "rst")]))
    switching[0] += per_net[driven[driven > 1]].sum()
    return Energy(switching, internal, clock, flat.per_owner({k: g.cell.leakage for k, g in flat.groups.items()}))


def measure_activity(
    flat: Flat,
    module: Module,
    netlist: Netlist,
    x: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
    *,
    glitches: bool = False,
) -> Activity:
    """Simulate the gates on up to 64 of the samples x [samples, *input shape] at a time, a new one every interval.

    Results are compared with the bit-stream simulator's: a wrong one is an InternalError.
    """
    plan, port = netlist.schedule, netlist.input_port
    samples = min(len(x), WORD)
    warm = -(-plan.latency // plan.interval) + 1
    source = module.inputs[0]
    shape = source.attributes["shape"]
    levels = input_levels(source, np.asarray(x[:samples], dtype=np.float64).reshape(samples, *shape))
    intervals = max(1, MEASURED_CYCLES // plan.interval)
    words = [
        _words(np.roll(levels, k, axis=0), netlist.input_value.type) for k in range(min(samples, warm + intervals))
    ]
    expected = _expected(module, netlist, x[:samples])
    simulator = GateSimulator(flat, unit_delay=glitches)
    idle = {"rst": np.array([~np.uint64(0)]), "start": np.zeros(1, dtype=np.uint64), port: words[0]}
    idle |= {"clk": np.zeros(1, dtype=np.uint64)}
    for _ in range(RESET_CYCLES):
        simulator.step(idle)
    toggles = np.zeros(flat.nets)
    first, last = warm * plan.interval, (warm + intervals) * plan.interval
    checked, ones = 0, np.array([~np.uint64(0)])
    idle["rst"] = np.zeros(1, dtype=np.uint64)
    mask = np.uint64((1 << samples) - 1) if samples < WORD else ~np.uint64(0)
    for cycle in range(last):
        number, phase = divmod(cycle, plan.interval)
        inputs = idle | {port: words[number % len(words)]} | ({"start": ones} if phase == 0 else {})
        nets = simulator.step(inputs, toggles if cycle >= first else None, mask)
        which, at = divmod(cycle - plan.latency, plan.interval)
        if expected is not None and at == 0 and which >= 0:
            seen = unpack(nets[flat.ports[netlist.output_port]], samples)
            if not np.array_equal(seen, np.roll(expected, which % len(words), axis=0)):
                raise InternalError("the synthesised netlist computes something else than the simulator")
            checked += samples
        if progress:
            progress(cycle + 1, last)
    return Activity(toggles / (samples * intervals), plan.interval, checked)


def _expected(module: Module, netlist: Netlist, x: np.ndarray) -> np.ndarray | None:
    """Bits [samples, width] at the output port when `valid` is high; None where the output is no single number."""
    seen = netlist.observables[-1]
    if seen.cycles != 1:
        return None
    raw = simulate(module, x, trace=[seen.value.name]).trace[seen.value.name]
    return _bits(np.broadcast_to(raw.reshape(len(raw), -1), (len(x), seen.lanes)), seen.value.type)


def _words(levels: np.ndarray, kind: Type) -> np.ndarray:
    return pack(_bits(levels.reshape(len(levels), -1), kind))


def _bits(values: np.ndarray, kind: Type) -> np.ndarray:
    """Integers [samples, lanes] as bits on a bus [samples, lanes * width], as the hardware holds them."""
    values = values.astype(np.int64)
    if isinstance(kind, Level) and kind.encoding is Encoding.SIGNED:
        values = np.abs(values) | np.where(values < 0, sign_magnitude(-1, kind) & ~1, 0)
    return ((values[:, :, None] >> np.arange(lane_width(kind))) & 1).reshape(len(values), -1)
