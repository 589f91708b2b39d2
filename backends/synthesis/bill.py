"""The hardware bill after synthesis: area, gates, critical path and energy, by layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sccc.backends.synthesis.energy import energy, measure_activity
from sccc.backends.synthesis.flat import Flat, flatten, repair_fanout
from sccc.backends.synthesis.liberty import read_liberty
from sccc.backends.synthesis.timing import critical_path
from sccc.backends.synthesis.tools import require_tools
from sccc.backends.synthesis.yosys import Synthesis, run_yosys
from sccc.backends.verilog import Netlist, emit_netlist
from sccc.counting import ALL_SAVINGS, Savings
from sccc.ir import Module

Watch = Callable[[str], Callable[[int, int], None] | None]
"""Called with the name of a stage; what it returns is told how far the stage is."""


@dataclass(frozen=True)
class SynthesizedLayer:
    """One layer ("" for what lies between them). Area in the library's unit (OSU: um^2), energy in pJ per sample, leakage in nW.

    `gates` and `flipflops` are Yosys' generic ones, `cells` the library's.
    """

    name: str
    gates: int
    flipflops: int
    cells: int
    area: float
    switching: float
    internal: float
    clock: float
    leakage: float

    @property
    def dynamic(self) -> float:
        return self.switching + self.internal + self.clock


@dataclass(frozen=True)
class SynthesisBill:
    """A synthesised netlist in full operation: one sample every `interval` cycles at the shortest period."""

    layers: tuple[SynthesizedLayer, ...]
    interval: int
    latency: int
    period: float
    path: tuple[str, ...]
    buffers: int
    checked: int

    def total(self, name: str) -> float:
        return sum(getattr(layer, name) for layer in self.layers)

    @property
    def seconds(self) -> float:
        """Time between samples."""
        return self.interval * self.period * 1e-9

    @property
    def energy(self) -> float:
        """pJ per inference: dynamic, and leakage (nW) during an interval."""
        return self.total("dynamic") + self.total("leakage") * self.seconds * 1e3

    def plain(self) -> dict[str, Any]:
        """As data for JSON; keys name their units."""
        layers = [
            {
                "name": x.name,
                "gates": x.gates,
                "flipflops": x.flipflops,
                "cells": x.cells,
                "area_um2": x.area,
                "energy_pj": {"switching": x.switching, "internal": x.internal, "clock": x.clock},
                "leakage_nw": x.leakage,
            }
            for x in self.layers
        ]
        area = self.total("area")
        return {
            "layers": layers,
            "gates": self.total("gates"),
            "flipflops": self.total("flipflops"),
            "cells": self.total("cells"),
            "fanout_buffers": self.buffers,
            "area_um2": area,
            "critical_path_ns": self.period,
            "critical_path_through": list(self.path),
            "interval_cycles": self.interval,
            "latency_cycles": self.latency,
            "latency_ns": self.latency * self.period,
            "energy_pj_per_inference": self.energy,
            "leakage_pj_per_inference": self.total("leakage") * self.seconds * 1e3,
            "power_mw": self.energy * 1e-9 / self.seconds,
            "inferences_per_second": 1.0 / self.seconds,
            "inferences_per_second_per_mm2": 1e6 / (self.seconds * area) if area else 0.0,
            "results_checked": self.checked,
        }


def synthesize(
    module: Module,
    x: np.ndarray,
    liberty: Path,
    watch: Watch = lambda stage: None,
    *,
    glitches: bool = False,
    savings: Savings = ALL_SAVINGS,
) -> SynthesisBill:
    """Map a compiled module to a library and weigh it on samples x [samples, *input shape] (up to 64 are used).

    Every result of the simulated gates is compared with the bit-stream simulator's. Raises SccError when Yosys, OpenSTA or the
    library is missing.
    """
    require_tools("yosys", "sta")
    library = read_liberty(liberty)
    netlist = emit_netlist(module, savings)
    synthesis = run_yosys(netlist, library, watch("synthesising"))
    flat = flatten(synthesis.modules, synthesis.top, library)
    repair_fanout(flat)
    with ThreadPoolExecutor(1) as pool:
        timing = pool.submit(critical_path, flat)
        activity = measure_activity(flat, module, netlist, x, watch("simulating gates"), glitches=glitches)
        watch("timing")
        path = timing.result()
    return SynthesisBill(
        _layers(flat, netlist, synthesis, activity.toggles, activity.cycles),
        netlist.schedule.interval,
        netlist.schedule.latency,
        path.nanoseconds,
        tuple(_named(step, netlist) for step in path.through),
        flat.buffers,
        activity.checked,
    )


def _layers(
    flat: Flat, netlist: Netlist, synthesis: Synthesis, toggles: np.ndarray, cycles: int
) -> tuple[SynthesizedLayer, ...]:
    spent = energy(flat, toggles, cycles)
    names = layer_names(netlist)
    cells = flat.per_owner({k: 1.0 for k in flat.groups})
    area = flat.per_owner({k: g.cell.area for k, g in flat.groups.items()})
    types = {label: cell["type"] for label, cell in synthesis.modules[synthesis.top]["cells"].items()}
    counts = {o: synthesis.gate_count(types[o]) for o in flat.owners if o}
    whole = synthesis.gate_count()
    counts[""] = tuple(whole[i] - sum(c[i] for c in counts.values()) for i in (0, 1))  # type: ignore[assignment]
    rows = [
        SynthesizedLayer(
            names.get(owner, owner),
            *counts[owner],
            int(cells[i]),
            float(area[i]),
            *(float(getattr(spent, f.name)[i]) for f in dataclasses.fields(spent)),
        )
        for i, owner in enumerate(flat.owners)
    ]
    return (*sorted(rows[1:], key=lambda row: list(names.values()).index(row.name)), rows[0])


def layer_names(netlist: Netlist) -> dict[str, str]:
    """The layer of each instance `layer_<number>` of the top level."""
    return {f"layer_{number}": name for number, name in enumerate(netlist.schedule.layers)}


def _named(step: str, netlist: Netlist) -> str:
    owner, _, rest = step.partition(": ")
    return f"{layer_names(netlist)[owner]}: {rest}" if rest else step
