"""A self-checking testbench: drives samples back to back and compares every observable with expected values, each cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc.backends.verilog.buses import bus_width, sign_magnitude
from sccc.backends.verilog.interface import Netlist, Observable
from sccc.backends.verilog.names import comment
from sccc.types import Count, Encoding, Level, Total, Type, lane_width

REPORTED_MISMATCHES = 20
"""How many differing words the testbench prints; all are counted."""


@dataclass(frozen=True)
class Testbench:
    """Files by name: the testbench and its memories. `cycles` is how long it runs."""

    files: dict[str, str]
    main: str
    cycles: int


def emit_testbench(
    netlist: Netlist,
    stem: str,
    inputs: np.ndarray,
    expected: dict[str, np.ndarray],
    taken: np.ndarray | None = None,
    faults: str = "",
) -> Testbench:
    """A testbench for `samples` inputs.

    inputs: int levels [samples, lanes]. expected: for each observable's value name, integers [samples, lanes, cycles] (streams,
    counts) or [samples, lanes] (totals, levels). taken: cycles [samples] of a window that may end early. faults: Verilog that puts
    faults into the netlist.
    """
    samples = len(inputs)
    files = {f"{stem}_input.hex": hex_words(inputs[:, :, None], netlist.input_value.type)}
    checks, memories = [], []
    for number, seen in enumerate(netlist.observables):
        # What does not depend on the input (the stream of a bias) has been recorded once, for all samples.
        recorded = expected[seen.value.name]
        values = np.broadcast_to(
            recorded.reshape(len(recorded), seen.lanes, seen.cycles), (samples, seen.lanes, seen.cycles)
        )
        file = f"{stem}_expected_{number}.hex"
        files[file] = hex_words(values, seen.value.type)
        memories.append(_memory(number, seen, file, samples))
        checks.append(_check(number, seen))
    plan = netlist.schedule
    cycles = (samples - 1) * plan.interval + plan.latency + 2
    if taken is not None:
        files |= _early_files(netlist, stem, taken, cycles)
    files[f"{stem}.v"] = _TEMPLATE.format(
        top=netlist.top,
        stem=stem,
        samples=samples,
        interval=plan.interval,
        latency=plan.latency,
        cycles=cycles,
        x=netlist.input_port,
        y=netlist.output_port,
        x_width=bus_width(netlist.input_value.type),
        y_width=bus_width(netlist.output_value.type),
        memories="\n".join([*memories, *_early_memories(stem, samples, cycles, taken), faults]),
        valid=_ON_TIME if taken is None else "expected_valid[cycle]",
        checks="\n".join(checks),
        reported=REPORTED_MISMATCHES,
    )
    return Testbench(files, f"{stem}.v", cycles)


def hex_words(values: np.ndarray, kind: Type) -> str:
    """One line of hex for each sample and cycle of [samples, lanes, cycles]: lane 0 in the least significant bits."""
    values = values.astype(np.int64)
    if isinstance(kind, Level) and kind.encoding is Encoding.SIGNED:
        values = np.abs(values) | np.where(values < 0, sign_magnitude(-1, kind) & ~1, 0)
    width = lane_width(kind)
    bits = (values.transpose(0, 2, 1)[..., None] >> np.arange(width)) & 1
    words = bits.reshape(values.shape[0] * values.shape[2], -1).astype(np.uint8)
    packed = np.packbits(words, axis=1, bitorder="little")[:, ::-1]
    digits = -(-words.shape[1] // 4)
    return "\n".join(row.tobytes().hex()[-digits:] for row in packed) + "\n"


def unpack_word(word: str, kind: Type) -> list[tuple[str, int | None]]:
    """Each lane of a word in binary as the testbench prints it: its bits, and its value; None where there is x or z."""
    width, word = lane_width(kind), word.strip().lower()
    lanes = [word[len(word) - width * (lane + 1) : len(word) - width * lane] for lane in range(kind.lanes)]
    return [(bits, None if set(bits) - {"0", "1"} else _number(int(bits, 2), width, kind)) for bits in lanes]


def _number(raw: int, width: int, kind: Type) -> int:
    if isinstance(kind, Level) and kind.encoding is Encoding.SIGNED:
        sign = 1 << (width - 1)
        return -(raw & ~sign) if raw & sign else raw
    if isinstance(kind, Count | Total) and raw >> (width - 1):
        return raw - (1 << width)
    return raw


def _memory(number: int, seen: Observable, file: str, samples: int) -> str:
    width = seen.lanes * seen.width
    return (
        f"  // {comment(str(seen))}\n"
        f"  reg [{width - 1}:0] expected_{number} [0:{samples * seen.cycles - 1}];\n"
        f'  initial $readmemh("{file}", expected_{number});'
    )


_ON_TIME = "(cycle >= LATENCY && (cycle - LATENCY) % INTERVAL == 0 && (cycle - LATENCY) / INTERVAL < SAMPLES)"


def _early_files(netlist: Netlist, stem: str, taken: np.ndarray, cycles: int) -> dict[str, str]:
    """Of a layer that may end early: how long each sample's window is, and in which cycles `valid` is high."""
    plan = netlist.schedule
    length = next(seen.cycles for seen in netlist.observables if seen.stops)
    valid = np.zeros(cycles + 1, dtype=int)
    valid[np.arange(len(taken)) * plan.interval + plan.latency - (length - taken)] = 1
    lines = {f"{stem}_taken.hex": (f"{int(t):x}" for t in taken), f"{stem}_valid.hex": (str(v) for v in valid)}
    return {name: "\n".join(text) + "\n" for name, text in lines.items()}


def _early_memories(stem: str, samples: int, cycles: int, taken: np.ndarray | None) -> list[str]:
    if taken is None:
        return []
    return [
        f'  reg [31:0] taken [0:{samples - 1}];\n  initial $readmemh("{stem}_taken.hex", taken);',
        f'  reg expected_valid [0:{cycles}];\n  initial $readmemh("{stem}_valid.hex", expected_valid);',
    ]


def _check(number: int, seen: Observable) -> str:
    limit = "taken[sample]" if seen.stops else str(seen.cycles)
    return f"""\
      if (cycle >= {seen.first}) begin
        sample = (cycle - {seen.first}) / INTERVAL;
        position = (cycle - {seen.first}) % INTERVAL;
        if (sample < SAMPLES && position < {limit}) begin
          compared = compared + {seen.lanes};
          if (dut.{seen.path} !== expected_{number}[sample * {seen.cycles} + position]) begin
            for (lane = 0; lane < {seen.lanes}; lane = lane + 1)
              if (dut.{seen.path}[lane * {seen.width} +: {seen.width}] !==
                  expected_{number}[sample * {seen.cycles} + position][lane * {seen.width} +: {seen.width}])
                mismatches = mismatches + 1;
            if (reported < {REPORTED_MISMATCHES})
              $display("MISMATCH {number} sample %0d cycle %0d got %b expected %b", sample, position,
                       dut.{seen.path}, expected_{number}[sample * {seen.cycles} + position]);
            reported = reported + 1;
          end
        end
      end"""


_TEMPLATE = """\
// Self-checking testbench of {top}, generated by sccc: {samples} samples, a new one every {interval} cycles.
// Run: iverilog -g2005 -o {stem}.vvp {stem}.v NETLIST.v && vvp -n {stem}.vvp   (in this folder)
`timescale 1ns/1ps
module {top}_tb;
  localparam SAMPLES  = {samples};
  localparam INTERVAL = {interval};
  localparam LATENCY  = {latency};
  localparam CYCLES   = {cycles};

  reg clk = 1'b0;
  reg rst = 1'b1;
  reg start = 1'b0;
  reg  [{x_width}-1:0] stimulus [0:SAMPLES-1];
  reg  [{x_width}-1:0] x;
  wire valid;
  wire [{y_width}-1:0] y;
  integer cycle, sample, position, lane, compared, mismatches, reported;

{memories}
  {top} dut (.clk(clk), .rst(rst), .start(start), .{x}(x), .valid(valid), .{y}(y));

  always #5 clk = ~clk;

  initial begin
    $readmemh("{stem}_input.hex", stimulus);
    cycle = -4;
    compared = 0;
    mismatches = 0;
    reported = 0;
  end

  // Inputs change just after the rising edge that begins a cycle; cycle 0 is the first with start high.
  always @(posedge clk) begin
    cycle = cycle + 1;
    rst   <= cycle < -1;
    start <= cycle >= 0 && cycle % INTERVAL == 0 && cycle / INTERVAL < SAMPLES;
    if (cycle >= 0 && cycle % INTERVAL == 0 && cycle / INTERVAL < SAMPLES) x <= stimulus[cycle / INTERVAL];
  end

  // Everything is compared in the middle of the cycle.
  always @(negedge clk) begin
    if (cycle >= 0) begin
{checks}
      compared = compared + 1;
      if (valid !== {valid}) begin
        mismatches = mismatches + 1;
        if (reported < {reported}) $display("MISMATCH valid sample 0 cycle %0d got %b expected %b", cycle, valid, !valid);
        reported = reported + 1;
      end
      if (cycle == CYCLES) begin
        $display("DONE compared %0d mismatches %0d", compared, mismatches);
        if (mismatches == 0) $display("PASS"); else $display("FAIL");
        $finish;
      end
    end
  end
endmodule
"""
