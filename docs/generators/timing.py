"""Timing diagrams: small netlists run in Icarus, and what their wires did in each cycle as SVG."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import sccc
from generators.bench import input_words, run_netlist, starts, words
from generators.wave_svg import Row, wave_svg
from sccc.ir import Module
from sccc.schedule import schedule
from sccc.types import lane_width

SAMPLES = np.random.default_rng(2).random((20, 4))
"""Inputs of the network; ranges are calibrated on them."""


def _network() -> Module:
    """Two layers, 4-3-2, with fixed random weights."""
    module, rng = Module("tiny"), np.random.default_rng(1)
    value = module.append("nn.input", [], {"shape": [4], "name": "x"}, result="x").result
    for name, inputs, outputs in (("fc1", 4, 3), ("fc2", 3, 2)):
        assert value is not None
        weights = {"weight": rng.uniform(-1.0, 1.0, (outputs, inputs)), "bias": np.zeros(outputs)}
        value = module.append("nn.dense", [value], weights, result=name, origin=name).result
        if name == "fc1":
            assert value is not None
            value = module.append("nn.tanh", [value]).result
    assert value is not None
    module.append("nn.output", [value], {"name": "y"})
    return module


def _compiled(**options: Any) -> Module:
    return sccc.compile(_network(), calibration=SAMPLES, **options)


def handshake() -> str:
    """Accumulate style, N = 8: three starts as close as they may be, the third with the first's sample."""
    module = _compiled(length=8)
    samples = input_words(module, SAMPLES[:2])
    names = {
        "start": "start", "x": "x", "dut.layer_0.running": "fc1: window", "dut.layer_0.fc1_rx": "fc1: random number",
        "dut.layer_0.done": "fc1: done", "dut.layer_1.running": "fc2: window", "dut.valid": "valid", "dut.y": "y: of sample",
    }  # fmt: skip
    found = run_netlist(module, list(names), starts([*samples, samples[0]], [0, 9, 18], 9), 40)
    columns = dict(zip(names, found, strict=True))
    shown = {wire: _numbers(column) for wire, column in columns.items()}
    shown["x"] = [
        {samples[0]: "sample 0", samples[1]: "sample 1"}.get(v) if v is not None else None for v in columns["x"]
    ]
    shown["dut.y"] = _results(module, columns["dut.valid"], columns["dut.y"], [0, 1, 0])
    rows = [Row("clk", "clock", [])]
    for wire, name in names.items():
        rows.append(Row(name, "bus" if wire in ("x", "dut.y", "dut.layer_0.fc1_rx") else "bit", shown[wire]))
    return wave_svg("Three samples through a netlist of two layers in accumulate style, N = 8", rows, cycle=20)


def early_exit() -> str:
    """Streaming style, N = 16, with an early exit: the next sample starts in the cycle after `valid`."""
    module = sccc.compile(_compiled(length=16, style="streaming"), passes="early-exit{margin=4}")
    samples = input_words(module, SAMPLES[:3])
    run = sccc.simulate(module, SAMPLES[:3])
    assert run.cycles is not None
    latencies = (schedule(module).latency - 16 + run.cycles).tolist()
    plan = [0, latencies[0] + 1, latencies[0] + latencies[1] + 2]
    wires = ["start", "dut.layer_0.running", "dut.layer_1.running", "dut.valid", "dut.y"]
    columns = run_netlist(module, wires, starts(samples, plan, 17), plan[-1] + latencies[-1] + 3)
    ended = [cycle for cycle, value in enumerate(columns[3]) if value == 1]
    assert ended == [start + latency for start, latency in zip(plan, latencies, strict=True)]
    results = _results(module, columns[3], columns[4], [0, 1, 2])
    rows = [Row("clk", "clock", [])]
    for name, column in zip(("start", "fc1: window", "fc2: window", "valid"), columns, strict=False):
        rows.append(Row(name, "bit", _numbers(column)))
    rows.append(Row("y: of sample", "bus", results))
    return wave_svg("Three samples through a netlist in streaming style, N = 16, that ends its windows early", rows)


def links() -> str:
    """Folded, 4 products at once, N = 4: levels go in one by one, valid and ready between the engines."""
    module = _compiled(length=4, multipliers=4)
    (word,) = input_words(module, SAMPLES[:1])
    levels = " : ".join(f"(taken == {lane}) ? {word >> (4 * lane) & 15}" for lane in range(4))
    stimulus = f"      start = cycle == 1; x_valid = cycle >= 1 && taken < 4; x_data = {levels} : 0;"
    names = {
        "start": "start", "dut.ready": "ready", "x_valid": "x_valid", "dut.x_ready": "x_ready", "x_data": "x_data",
        "dut.link_1_valid": "link_1_valid", "dut.link_1_ready": "link_1_ready", "dut.link_1_data": "link_1_data",
        "dut.link_2_valid": "link_2_valid", "dut.link_2_ready": "link_2_ready", "dut.done": "done",
    }  # fmt: skip
    taken = "      if (x_valid && dut.x_ready) taken = taken + 1;"
    columns = run_netlist(module, list(names), stimulus, 70, taken)
    rows = [Row("clk", "clock", [])]
    for name, column in zip(names.values(), columns, strict=True):
        rows.append(Row(name, "bus" if name.endswith("data") else "bit", _numbers(column)))
    return wave_svg("One sample through folded hardware: two engines, N = 4", rows, cycle=12)


def _numbers(column: list[int | None]) -> list[str | None]:
    return [None if value is None else str(value) for value in column]


def _results(module: Module, valid: list[int | None], y: list[int | None], order: list[int]) -> list[str | None]:
    """Labels of the result where valid is high. Raises AssertionError where the netlist's differs from the simulator's."""
    raw = sccc.simulate(module, SAMPLES[: max(order) + 1]).raw
    expected = words(raw, lane_width(module.outputs[0].operands[0].type))
    times = [cycle for cycle, value in enumerate(valid) if value == 1]
    labels: list[str | None] = [None] * len(y)
    for cycle, sample in zip(times, order, strict=True):
        assert y[cycle] == expected[sample], (cycle, y[cycle], expected[sample])
        labels[cycle] = str(sample)
    return labels


DIAGRAMS: dict[str, Callable[[], str]] = {
    "images/handshake.svg": handshake,
    "images/early_exit.svg": early_exit,
    "images/links.svg": links,
}
