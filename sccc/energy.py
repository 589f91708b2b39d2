"""Area and energy estimated before any synthesis: the bill's gates and flip-flops times a table.

The table is for the OSU 0.18 um library (1.8 V, typical corner; Debian's qflow-tech-osu018) and was *measured* with
`sccc report --synth` on the networks of docs/bill.md: area and energy over Yosys' gates, flip-flops apart. An estimate is as
good as its two factors: gates within 15 %, energy per gate and cycle within about a third between those networks. No wires, no
clock tree, no glitches: what `--synth` leaves out is left out here too.

For scale, other processes (Horowitz, ISSCC 2014, 45 nm, 0.9 V): an 8-bit integer addition 0.03 pJ, a multiplication 0.2 pJ.
"""

from __future__ import annotations

from dataclasses import dataclass

from sccc.cost import Cost
from sccc.ir import Module
from sccc.schedule import is_instant, layer_ops, schedule


@dataclass(frozen=True)
class Table:
    """What one gate or flip-flop takes. `gate_energy`: pJ per gate and cycle in full operation, by kind of layer."""

    name: str
    gate_area: float
    flipflop_area: float
    gate_energy: dict[str, float]
    flipflop_energy: float


OSU018 = Table(
    name="OSU 0.18 um, 1.8 V",
    gate_area=27.0,
    flipflop_area=96.0,
    gate_energy={"streams": 0.019, "numbers": 0.042},
    flipflop_energy=0.22,
)
"""um^2 and pJ. A flip-flop is DFFPOSX1: its clock pin takes 2 x (0.064 internal + 0.045 switched capacitance) pJ a cycle."""


@dataclass(frozen=True)
class Estimate:
    """Area in um^2 and energy in pJ per inference."""

    area: float
    energy: float


def estimate(cost: Cost, *, instant: bool, interval: int, active: int = 0, table: Table = OSU018) -> Estimate:
    """What a layer of this cost takes when a sample enters every `interval` cycles. `instant`: it multiplies numbers.

    active: cycles of the interval in which its gates switch, where its window is shorter than others'; 0: all of them.
    """
    gate = table.gate_energy["numbers" if instant else "streams"]
    area = cost.gates * table.gate_area + cost.flipflops * table.flipflop_area
    return Estimate(area, (active or interval) * cost.gates * gate + interval * cost.flipflops * table.flipflop_energy)


def estimates(module: Module, costs: dict[str, Cost], table: Table = OSU018) -> dict[str, Estimate]:
    """Estimates by layer, for costs by layer."""
    times, ops = schedule(module), layer_ops(module)
    windows = {n: t.ended - t.go if t.length and not t.instant else 0 for n, t in times.layers.items()}
    return {
        n: estimate(c, instant=is_instant(ops[n]), interval=times.interval, active=windows[n], table=table)
        for n, c in costs.items()
    }
