"""The bill of one module as plain data and as tables: estimated, and synthesised."""

from __future__ import annotations

from typing import Any

from sccc import report
from sccc.cells import MultiplyAdd
from sccc.cost import bill
from sccc.dataflow import is_folded
from sccc.energy import OSU018, Estimate, estimate, estimates
from sccc.folded_cost import folded_bill
from sccc.ir import Module
from sccc.ops import REGISTRY
from sccc.schedule import schedule


def estimated(module: Module) -> dict[str, Any]:
    """The bill as plain data: `report.bill_rows` with area_um2 and energy_pj, per layer and in total."""
    data = report.bill_rows(module)
    found = (
        folded_estimates(module) if is_folded(module) else estimates(module, {x.name: x.cost for x in bill(module)[0]})
    )
    for row, each in zip(data["layers"], found.values(), strict=True):
        row["area_um2"], row["energy_pj"] = round(each.area), round(each.energy, 3)
    data["area_um2"] = round(sum(e.area for e in found.values()))
    data["energy_pj"] = round(sum(e.energy for e in found.values()), 3)
    data.setdefault("interval", schedule(module).interval)
    data["table"] = OSU018.name
    return data


def folded_estimates(module: Module) -> dict[str, Estimate]:
    """By engine; without memories. Energy is that of the cycles in which the engine works."""
    numbers = any(isinstance(REGISTRY[op.name].cell, MultiplyAdd) for op in module)
    return {
        engine.name: estimate(engine.cost, instant=numbers, interval=engine.working)
        for engine in folded_bill(module).engines
    }


_COLUMNS = {
    "name": "layer",
    "style": "style",
    "sources": "sources",
    "sngs": "SNGs",
    "gates": "gates",
    "flipflops": "flip-flops",
    "cycles": "cycles",
    "area_um2": "area um²",
    "energy_pj": "energy pJ",
}


_FOLDED = {
    "name": "layer",
    "engine": "engine",
    "multipliers": "multipliers",
    "utilisation": "utilisation",
    "memory_bits": "memory bits",
    "gates": "gates",
    "flipflops": "flip-flops",
    "cycles": "cycles",
    "area_um2": "area um² without memories",
    "energy_pj": "energy pJ",
}


def estimated_table(data: dict[str, Any]) -> Any:
    """The bill as a table."""
    columns = bill_columns(data)
    footer = ["total", "", *(data.get(c, "") for c in list(columns)[2:])]
    left_out = " without memories" if "multipliers" in data else ""
    operation = f"energy per inference in full operation, a sample every {data['interval']:,} cycles"
    title = f"estimated{left_out} ({data['table']}; {operation})"
    return report.table(title, list(columns.values()), [[x[c] for c in columns] for x in data["layers"]], footer=footer)


def bill_columns(data: dict[str, Any]) -> dict[str, str]:
    """Keys of a layer in `estimated`, with their headings."""
    return _FOLDED if "multipliers" in data else _COLUMNS


def synthesized_rows(data: dict[str, Any], guess: dict[str, Any]) -> tuple[list[str], list[list[Any]], list[Any]]:
    """Headings, rows and totals for `SynthesisBill.plain()`."""
    names = {row["key"]: row["name"] for row in guess["layers"]}
    rows, total = [], dict.fromkeys(("switching", "internal", "clock"), 0.0)
    for x in data["layers"]:
        energies = x["energy_pj"]
        total = {k: v + energies[k] for k, v in total.items()}
        numbers = [x["gates"], x["flipflops"], x["cells"], x["area_um2"], *energies.values(), sum(energies.values())]
        rows.append([names.get(x["name"], x["name"]) or "(control)", *numbers])
    headings = ["layer", "gates", "flip-flops", "cells", "area um²"]
    headings += ["switching pJ", "internal pJ", "clock pJ", "energy pJ"]
    footer = ["total", *(data[k] for k in ("gates", "flipflops", "cells", "area_um2")), *total.values()]
    return headings, rows, [*footer, sum(total.values())]


def synthesized_parts(data: dict[str, Any], guess: dict[str, Any]) -> list[Any]:
    """Table and lines for `SynthesisBill.plain()`."""
    headings, rows, footer = synthesized_rows(data, guess)
    deviation = 100 * (guess["gates"] / data["gates"] - 1) if data["gates"] else 0.0
    return [
        report.table("synthesised: Yosys, Liberty", headings, rows, footer=footer),
        f"gates: estimated {guess['gates']:,}, Yosys {data['gates']:,}: {deviation:+.1f} %",
        f"critical path: {data['critical_path_ns']:.2f} ns through {' -> '.join(data['critical_path_through'])}",
        f"a sample every {data['interval_cycles']} cycles: {1e-3 * data['inferences_per_second']:,.1f} thousand a second, "
        f"{data['inferences_per_second_per_mm2']:,.0f} a second and mm², latency {data['latency_ns']:,.0f} ns",
        f"energy: {data['energy_pj_per_inference']:,.1f} pJ per inference, {data['power_mw']:.3g} mW; "
        f"{data['fanout_buffers']:,} buffers for fan-out; {data['results_checked']:,} results of the gates checked",
    ]
