"""The testbench by itself: its files run in a folder of their own, without sccc, and say PASS."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from nets import Spec, compiled, data

from sccc.backends.simulator import simulate
from sccc.backends.verilog import emit_netlist
from sccc.rtl_check import testbench as make_testbench


def run(folder, sources):
    subprocess.run(["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-o", "sim", *sources], cwd=folder, check=True)
    return subprocess.run(
        ["vvp", "-n", "sim"], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def write(folder, netlist, bench):
    for name, text in {**bench.files, "net.v": netlist.text}.items():
        (folder / name).write_text(text, encoding="ascii")
    return folder


def test_its_files_are_enough(module, inputs, tmp_path):
    netlist, bench = make_testbench(module, inputs, "bench")
    assert bench.main == "bench.v" and all(name.startswith("bench") for name in bench.files)
    output = run(write(tmp_path, netlist, bench), [bench.main, "net.v"])
    assert output.splitlines()[-1].strip() == "PASS" or "PASS\n" in output
    done = re.search(r"DONE compared (\d+) mismatches (\d+)", output)
    assert int(done[1]) > len(inputs) * module.outputs[0].operands[0].type.lanes and done[2] == "0"


def test_it_fails_on_other_data(module, inputs, tmp_path):
    """The expected values of other inputs: nearly everything differs, and the first mismatches are told."""
    netlist, bench = make_testbench(module, inputs, "bench")
    wrong = {name: text for name, text in bench.files.items() if name != "bench_input.hex"}
    zeros = re.sub(r"[0-9a-f]", "0", bench.files["bench_input.hex"])
    folder = write(tmp_path, netlist, bench)
    (folder / "bench_input.hex").write_text(zeros)
    assert wrong
    output = run(folder, [bench.main, "net.v"])
    assert "FAIL" in output and "PASS" not in output and output.count("MISMATCH") <= 21


DRIVER = """\
`timescale 1ns/1ps
module driver;
  reg clk = 0, rst = 1, start = 0;
  reg [{x}-1:0] x, wanted [0:{samples}-1];
  wire valid;
  wire [{y}-1:0] y;
  integer cycle = -3, next = 0, n = 0;
  {top} dut (.clk(clk), .rst(rst), .start(start), .{px}(x), .valid(valid), .{py}(y));
  always #5 clk = ~clk;
  initial $readmemh("bench_input.hex", wanted);
  always @(posedge clk) begin
    cycle = cycle + 1;
    rst <= cycle < 0;
    start <= cycle == next && n < {samples};
    if (cycle == next && n < {samples}) begin
      x <= wanted[n];
      $display("START %0d", cycle);
      n = n + 1;
      next = next + {gap};
    end else if (cycle >= next - {gap} + {hold}) x <= {{{x}{{1'bx}}}};
    if (cycle > {end}) $finish;
  end
  always @(negedge clk) if (cycle >= 0 && valid !== 1'b0) $display("VALID %0d %b", cycle, y);
endmodule
"""


@pytest.mark.parametrize("extra", (0, 1, 7), ids=lambda e: f"{e}-cycles-apart")
@pytest.mark.parametrize("style", ("accumulate", "streaming"))
@pytest.mark.parametrize("end", ("none", "relu", "argmax"))
def test_the_interface_as_the_header_documents_it(style, end, extra, tmp_path):
    """A driver that knows nothing but the header: samples at the documented interval or later, inputs held for as long as
    stated and undefined afterwards, results read while `valid` is high, so many cycles after their start."""
    spec = Spec((4, 5, 3), "tanh", end, {"length": 9, "style": style}, seed=3)
    module, x = compiled(spec), data(spec, 5)
    netlist, bench = make_testbench(module, x, "bench")
    header = netlist.text.split("`default_nettype none")[0]
    interval = int(re.search(r"the next one may come (\d+) cycles later", header)[1])
    hold = int(re.search(r"hold from start for (\d+) cycles", header)[1])
    latency = int(re.search(r"high for one cycle, (\d+) cycles after start", header)[1])
    width = {v: int(re.search(rf"wire \[(\d+):0\] {v}[,\n]", netlist.text)[1]) + 1 for v in ("x", "y")}
    text = DRIVER.format(
        x=width["x"], y=width["y"], px="x", py="y", top=netlist.top, samples=5, gap=interval + extra, hold=hold,
        end=6 * (interval + extra) + latency,
    )  # fmt: skip
    folder = write(tmp_path, netlist, bench)
    (folder / "driver.v").write_text(text)
    output = run(folder, ["driver.v", "net.v"])
    starts = [int(v) for v in re.findall(r"START (\d+)", output)]
    valid = re.findall(r"VALID (\d+) (\w+)", output)
    assert starts == [k * (interval + extra) for k in range(5)]
    assert [int(cycle) for cycle, _ in valid] == [start + latency for start in starts]
    kind, raw = module.outputs[0].operands[0].type, simulate(module, x).raw.reshape(5, -1)
    lane = width["y"] // kind.lanes
    for (_, bits), row in zip(valid, raw, strict=True):
        got = [bits[::-1][i * lane : (i + 1) * lane][::-1] for i in range(kind.lanes)]
        signed = hasattr(kind, "lo")
        assert [int(b, 2) - (signed and b[0] == "1") * (1 << lane) for b in got] == row.tolist()


def test_a_start_after_a_reset_in_the_middle_of_a_window(tmp_path):
    """Whatever was running is gone: the next sample gives what it always gives."""
    spec = Spec((4, 5, 3), "tanh", "none", {"length": 9, "style": "streaming", "source": "lfsr"}, seed=3)
    module, x = compiled(spec), data(spec, 2)
    netlist, bench = make_testbench(module, x, "bench")
    width = {v: int(re.search(rf"wire \[(\d+):0\] {v}[,\n]", netlist.text)[1]) + 1 for v in ("x", "y")}
    text = f"""\
module driver;
  reg clk = 0, rst = 1, start = 0;
  reg [{width["x"]}-1:0] x, wanted [0:1];
  wire valid;
  wire [{width["y"]}-1:0] y;
  integer cycle = -3;
  net dut (.clk(clk), .rst(rst), .start(start), .x(x), .valid(valid), .y(y));
  always #5 clk = ~clk;
  initial $readmemh("bench_input.hex", wanted);
  always @(posedge clk) begin
    cycle = cycle + 1;
    rst <= cycle < 0 || cycle == 6;
    start <= cycle == 0 || cycle == 8;
    x <= wanted[cycle >= 8];
    if (cycle > 40) $finish;
  end
  always @(negedge clk) if (cycle >= 0 && valid !== 1'b0) $display("VALID %0d %b", cycle, y);
endmodule
"""
    folder = write(tmp_path, netlist, bench)
    (folder / "driver.v").write_text(text)
    ((cycle, bits),) = re.findall(r"VALID (\d+) (\w+)", run(folder, ["driver.v", "net.v"]))
    assert int(cycle) == 8 + emit_netlist(module).schedule.latency
    lane = width["y"] // 3
    got = [int(bits[::-1][i * lane : (i + 1) * lane][::-1], 2) for i in range(3)]
    assert [g - (g >> lane - 1 << lane) for g in got] == simulate(module, x).raw[1].tolist()


def test_levels_leave_in_sign_and_magnitude(tmp_path):
    spec = Spec((3, 4), "tanh", "tanh", {"length": 16}, seed=1)
    module, x = compiled(spec), data(spec, 4)
    assert simulate(module, x).raw.min() < 0
    netlist, bench = make_testbench(module, x, "bench")
    assert "PASS" in run(write(tmp_path, netlist, bench), [bench.main, "net.v"])
    assert np.all(np.abs(simulate(module, x).raw) <= 16)
