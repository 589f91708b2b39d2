"""Small netlists in Icarus: what their wires hold in each clock cycle."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from sccc.api import emit_files
from sccc.backends.verilog.icarus import run_icarus
from sccc.ir import Module
from sccc.ops.source import input_levels
from sccc.types import lane_width


def input_words(module: Module, x: np.ndarray) -> list[int]:
    """The input port's bits for each sample of x, lane 0 lowest."""
    (source,) = module.inputs
    assert source.result is not None
    return words(input_levels(source, x), lane_width(source.result.type))


def words(numbers: np.ndarray, width: int) -> list[int]:
    """Integers [samples, lanes] as a port holds them: `width` bits each, two's complement, lane 0 lowest."""
    return [sum((int(n) & ((1 << width) - 1)) << (width * lane) for lane, n in enumerate(row)) for row in numbers]


def run_netlist(
    module: Module, wires: list[str], stimulus: str, cycles: int, before: str = ""
) -> list[list[int | None]]:
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
        printed = run_icarus(Path(folder), ["net.v", "bench.v"])
    lines = [line.split() for line in printed.splitlines() if line[:1] in ("0", "1", "x", "z")]
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


def starts(samples: list[int], cycles: list[int], hold: int) -> str:
    """Statements that start each sample in its cycle and hold its levels, until the next start or for `hold` cycles."""
    lines = ["      start = 0;"]
    for word, cycle, following in zip(samples, cycles, [*cycles[1:], 1 << 30], strict=True):
        lines.append(f"      if (cycle == {cycle}) begin start = 1; x = {word}; end")
        if cycle + hold < following:
            lines.append(f"      if (cycle == {cycle + hold}) x = {{64{{1'bx}}}};")
    return "\n".join(lines)
