"""Verilog modules of the links between engines: registers, FIFOs and forks, and both ends. Each is emitted once, only when used.

Streams are `data`, `valid` and `ready`: a transfer happens in a cycle in which both are high. When each thing happens is said once
more, as recurrences, in sccc/dataflow_kernel.py, and `sccc check` compares the two.
"""

from __future__ import annotations

STAGE = """\
// A register in a stream.
module sccc_stage #(
  parameter W = 8
) (
  input  wire         clk,
  input  wire         rst,
  input  wire [W-1:0] in_data,
  input  wire         in_valid,
  output wire         in_ready,
  output reg  [W-1:0] out_data,
  output reg          out_valid,
  input  wire         out_ready
);
  assign in_ready = !out_valid || out_ready;
  always @(posedge clk) begin
    if (in_valid && in_ready) out_data <= in_data;
    if (rst) out_valid <= 1'b0;
    else if (in_ready) out_valid <= in_valid;
  end
endmodule
"""

FIFO = """\
// DEPTH transfers that wait, and a register behind them.
module sccc_fifo #(
  parameter W     = 8,
  parameter DEPTH = 2
) (
  input  wire         clk,
  input  wire         rst,
  input  wire [W-1:0] in_data,
  input  wire         in_valid,
  output wire         in_ready,
  output reg  [W-1:0] out_data,
  output reg          out_valid,
  input  wire         out_ready
);
  reg [W-1:0] memory [0:DEPTH-1];
  reg [$clog2(DEPTH + 1)-1:0] count;
  reg [$clog2(DEPTH + 1)-1:0] head;
  reg [$clog2(DEPTH + 1)-1:0] tail;
  assign in_ready = (count != DEPTH);
  wire push = in_valid && in_ready;
  wire load = (count != 0) && (!out_valid || out_ready);
  always @(posedge clk) begin
    if (push) memory[tail] <= in_data;
    if (load) out_data <= memory[head];
    if (rst) begin
      count     <= 0;
      head      <= 0;
      tail      <= 0;
      out_valid <= 1'b0;
    end else begin
      if (push) tail <= (tail == DEPTH - 1) ? 0 : tail + 1;
      if (load) head <= (head == DEPTH - 1) ? 0 : head + 1;
      count     <= count + push - load;
      out_valid <= load || (out_valid && !out_ready);
    end
  end
endmodule
"""

FORK = """\
// READERS take each transfer, each when it can; the next one comes when all have.
module sccc_fork #(
  parameter READERS = 2
) (
  input  wire               clk,
  input  wire               rst,
  input  wire               in_valid,
  output wire               in_ready,
  output wire [READERS-1:0] out_valid,
  input  wire [READERS-1:0] out_ready
);
  reg  [READERS-1:0] done;
  wire [READERS-1:0] served = done | (out_valid & out_ready);
  assign out_valid = {READERS{in_valid}} & ~done;
  assign in_ready  = &(done | out_ready);
  always @(posedge clk) begin
    if (rst || (in_valid && in_ready)) done <= {READERS{1'b0}};
    else done <= served;
  end
endmodule
"""

GATE = """\
// Lets the BEATS transfers of a sample in after each `start`.
module sccc_gate #(
  parameter BEATS = 1
) (
  input  wire clk,
  input  wire rst,
  input  wire start,
  output wire ready,
  input  wire in_valid,
  output wire in_ready,
  output wire out_valid,
  input  wire out_ready
);
  reg [$clog2(BEATS + 1)-1:0] left;
  assign ready     = (left == 0);
  assign out_valid = in_valid && !ready;
  assign in_ready  = out_ready && !ready;
  always @(posedge clk) begin
    if (rst) left <= 0;
    else if (start && ready) left <= BEATS;
    else if (in_valid && in_ready) left <= left - 1;
  end
endmodule
"""

COLLECT = """\
// Gathers the BEATS transfers of a result; `done` is high in the cycle after the last one.
module sccc_collect #(
  parameter W     = 8,
  parameter BEATS = 1
) (
  input  wire               clk,
  input  wire               rst,
  input  wire [W-1:0]       in_data,
  input  wire               in_valid,
  output wire               in_ready,
  output reg  [BEATS*W-1:0] all,
  output reg                done
);
  integer i;
  reg [$clog2(BEATS + 1)-1:0] count;
  assign in_ready = 1'b1;
  always @(posedge clk) begin
    for (i = 0; i < BEATS; i = i + 1)
      if (in_valid && count == i) all[i*W +: W] <= in_data;
    if (rst) begin
      count <= 0;
      done  <= 1'b0;
    end else begin
      done <= in_valid && (count == BEATS - 1);
      if (in_valid) count <= (count == BEATS - 1) ? 0 : count + 1;
    end
  end
endmodule
"""
