"""Timing diagrams: small netlists run in Icarus, and what their wires did in each cycle as SVG."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sccc
from generators.wave_svg import Row, wave_svg
from sccc.api import emit_files
from sccc.backends.verilog.icarus import run_icarus
from sccc.ir import Module
from sccc.ops.source import input_levels
from sccc.schedule import schedule

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


def _words(module: Module, samples: int) -> list[int]:
    """The port's bits for each of the first samples, lane 0 lowest."""
    (source,) = module.inputs
    assert source.result is not None
    width = source.result.type.bits + 1  # type: ignore[attr-defined]
    levels = input_levels(source, SAMPLES[:samples])
    return [sum(int(level) << (width * lane) for lane, level in enumerate(row)) for row in levels]


def _run(module: Module, wires: list[str], stimulus: str, cycles: int, before: str = "") -> list[list[int | None]]:
    """For each wire its value in each cycle, None where unknown. `stimulus` sets inputs just after the clock's edge.

    `before` is executed just before the edge. Both are Verilog, and may use `cycle` and the integer `taken`, 0 at first.
    """
    files = emit_files(module, "net.v")
    ports = dict(_ports(files["net.v"]))
    declared = "\n".join(f"  reg [{width - 1}:0] {name} = 0;" for name, width in ports.items() if name != "clk")
    connected = ", ".join(f".{name}({name})" for name in ports)
    shown = ", ".join(wires)
    text = f"""`timescale 1ns/1ps
module bench;
  reg clk = 0;
  integer cycle = 0, taken = 0;
{declared}
  tiny dut ({connected});
  always @(negedge clk) begin
    if (cycle >= 0) $display("{" ".join(["%b"] * len(wires))}", {shown});
  end
  initial begin
    cycle = -1; rst = 1;
    #5 clk = 1; #5 clk = 0; #5 clk = 1; #1 rst = 0; #4 clk = 0; #5;
    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin
{before}
      clk = 1; #1
{stimulus}
      #4 clk = 0; #5;
    end
    $finish;
  end
endmodule
"""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {**files, "bench.v": text}.items():
            (Path(folder) / name).write_text(content, encoding="utf-8")
        lines = [
            line.split() for line in run_icarus(Path(folder), ["net.v", "bench.v"]).splitlines() if line[:1] in "01xz"
        ]
    assert len(lines) == cycles
    return [[None if set(word) & set("xz") else int(word, 2) for word in column] for column in zip(*lines, strict=True)]


def _ports(netlist: str) -> list[tuple[str, int]]:
    """Inputs of the netlist's top module, with their widths."""
    head = netlist.split("module tiny (", 1)[1].split(");", 1)[0]
    found = []
    for line in head.splitlines():
        words = line.strip(" ,").split()
        if words[:2] == ["input", "wire"]:
            width = int(words[2][1:].split(":")[0]) + 1 if words[2].startswith("[") else 1
            found.append((words[-1], width))
    return found


def _starts(words: list[int], cycles: list[int], hold: int) -> str:
    """Statements that start each sample in its cycle and hold its levels, until the next start or for `hold` cycles."""
    lines = ["      start = 0;"]
    for word, cycle, following in zip(words, cycles, [*cycles[1:], 1 << 30], strict=True):
        lines.append(f"      if (cycle == {cycle}) begin start = 1; x = {word}; end")
        if cycle + hold < following:
            lines.append(f"      if (cycle == {cycle + hold}) x = {{64{{1'bx}}}};")
    return "\n".join(lines)


def handshake() -> str:
    """Accumulate style, N = 8: three starts as close as they may be, the third with the first's sample."""
    module = _compiled(length=8)
    words = _words(module, 2)
    starts = [0, 9, 18]
    wires = [
        "start",
        "x",
        "dut.layer_0.running",
        "dut.layer_0.fc1_rx",
        "dut.layer_0.done",
        "dut.layer_1.running",
        "dut.valid",
        "dut.y",
    ]
    columns = _run(module, wires, _starts([*words, words[0]], starts, 9), 40)
    names = ["start", "x", "fc1: window", "fc1: random number", "fc1: done", "fc2: window", "valid", "y: of sample"]
    held = _named(columns[1], {words[0]: "sample 0", words[1]: "sample 1"})
    results = _results(module, columns[6], columns[7], [0, 1, 0])
    rows = [Row("clk", "clock", [])]
    for name, column in zip(names, columns, strict=True):
        labels = held if name == "x" else results if name == "y: of sample" else _numbers(column)
        rows.append(Row(name, "bus" if name in ("x", "y: of sample", "fc1: random number") else "bit", labels))
    return wave_svg("Three samples through a netlist of two layers in accumulate style, N = 8", rows)


def early_exit() -> str:
    """Streaming style, N = 16, with an early exit: the next sample starts in the cycle after `valid`."""
    module = sccc.compile(_compiled(length=16, style="streaming"), passes="early-exit{margin=4}")
    words = _words(module, 3)
    run = sccc.simulate(module, SAMPLES[:3])
    assert run.cycles is not None
    latencies = (schedule(module).latency - 16 + run.cycles).tolist()
    plan = [0, latencies[0] + 1, latencies[0] + latencies[1] + 2]
    wires = ["start", "dut.layer_0.running", "dut.layer_1.running", "dut.valid", "dut.y"]
    columns = _run(module, wires, _starts(words, plan, 17), plan[-1] + latencies[-1] + 3)
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
    (word,) = _words(module, 1)
    levels = " : ".join(f"(taken == {lane}) ? {word >> (4 * lane) & 15}" for lane in range(4))
    stimulus = f"      start = cycle == 1; x_valid = cycle >= 1 && taken < 4; x_data = {levels} : 0;"
    names = {
        "start": "start", "dut.ready": "ready", "x_valid": "x_valid", "dut.x_ready": "x_ready", "x_data": "x_data",
        "dut.link_1_valid": "link_1_valid", "dut.link_1_ready": "link_1_ready", "dut.link_1_data": "link_1_data",
        "dut.link_2_valid": "link_2_valid", "dut.link_2_ready": "link_2_ready", "dut.done": "done",
    }  # fmt: skip
    taken = "      if (x_valid && dut.x_ready) taken = taken + 1;"
    columns = _run(module, list(names), stimulus, 70, taken)
    rows = [Row("clk", "clock", [])]
    for name, column in zip(names.values(), columns, strict=True):
        rows.append(Row(name, "bus" if name.endswith("data") else "bit", _numbers(column)))
    return wave_svg("One sample through folded hardware: two engines, N = 4", rows, cycle=14)


def _named(column: list[int | None], names: dict[int, str]) -> list[str | None]:
    return [names.get(value) if value is not None else None for value in column]


def _numbers(column: list[int | None]) -> list[str | None]:
    return [None if value is None else str(value) for value in column]


def _results(module: Module, valid: list[int | None], y: list[int | None], order: list[int]) -> list[str | None]:
    """Labels of the result where valid is high. Raises AssertionError where the netlist's differs from the simulator's."""
    raw = sccc.simulate(module, SAMPLES[: max(order) + 1]).raw
    kind = module.outputs[0].operands[0].type
    width = max(abs(kind.lo), kind.hi + 1).bit_length() + 1  # type: ignore[attr-defined]
    expected = [sum((int(v) & (2**width - 1)) << (width * i) for i, v in enumerate(row)) for row in raw]
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
