"""Verilog modules of what engines compute with: the levels at hand, when multipliers work, and the totals that leave.

What an op computes is rendered from its cell in `cells.py`. Each module is emitted once, only when used, with parameters.
"""

from __future__ import annotations

TAPS = """\
// The levels that are multiplied: WORDS words of a step, held while they are used and filled anew meanwhile.
module sccc_taps #(
  parameter W     = 8,
  parameter WORDS = 1,
  parameter SLOT  = 1
) (
  input  wire               clk,
  input  wire [W-1:0]       word,
  input  wire [SLOT-1:0]    slot,
  input  wire               arrived,
  input  wire               taken,
  output reg  [WORDS*W-1:0] held
);
  integer i;
  reg [WORDS*W-1:0] filling;
  reg [WORDS*W-1:0] complete;
  always @* begin
    complete = filling;
    if (arrived) complete[(WORDS-1)*W +: W] = word;
  end
  always @(posedge clk) begin
    for (i = 0; i < WORDS; i = i + 1)
      if (arrived && slot == i) filling[i*W +: W] <= word;
    if (taken) held <= complete;
  end
endmodule
"""

CONTROL = """\
// When multipliers work: from the cycle after `go`, a window of LENGTH cycles, which `t` counts. STEPS windows make a group of
// totals, the `first` of which starts the accumulators; the last waits in its last cycle until there is `room`, then `finish`es.
// Each step of levels, when `taken`, serves for USES windows.
module sccc_fold_control #(
  parameter LENGTH = 1,
  parameter T_BITS = 1,
  parameter STEPS  = 1,
  parameter USES   = 1
) (
  input  wire              clk,
  input  wire              rst,
  input  wire              step,
  output wire              taken,
  output wire              go,
  output wire              first,
  output wire              running,
  output reg  [T_BITS-1:0] t,
  output wire              finish,
  input  wire              room
);
  reg on;
  reg ending;
  reg [$clog2(STEPS + 1)-1:0] s;
  reg [$clog2(USES + 1)-1:0]  u;
  wire last = on && (t == LENGTH - 1);
  wire hold = last && ending && !room;
  assign go      = (!on || (last && !hold)) && (u != 0 || step);
  assign taken   = go && u == 0;
  assign first   = go && s == 0;
  assign running = on && !hold;
  assign finish  = last && ending && room;
  always @(posedge clk) begin
    if (rst) begin
      on     <= 1'b0;
      ending <= 1'b0;
      t      <= 0;
      s      <= 0;
      u      <= 0;
    end else begin
      on <= go || (on && (!last || hold));
      t  <= (go || !on) ? 0 : hold ? t : t + 1;
      if (go) begin
        ending <= (s == STEPS - 1);
        s <= (s == STEPS - 1) ? 0 : s + 1;
        u <= (u == USES - 1) ? 0 : u + 1;
      end
    end
  end
endmodule
"""

RESULTS = """\
// A group of LANES totals, handed on BEAT at a time; of every BLOCKS groups the last has only LAST transfers.
module sccc_results #(
  parameter LANES  = 1,
  parameter W      = 8,
  parameter BEAT   = 1,
  parameter BLOCKS = 1,
  parameter LAST   = 1
) (
  input  wire               clk,
  input  wire               rst,
  input  wire               finish,
  input  wire [LANES*W-1:0] totals,
  output wire               room,
  output wire [BEAT*W-1:0]  out_data,
  output wire               out_valid,
  input  wire               out_ready
);
  localparam BEATS = LANES / BEAT;
  reg [LANES*W-1:0] held;
  reg [$clog2(BEATS + 1)-1:0]  left;
  reg [$clog2(BLOCKS + 1)-1:0] block;
  assign out_data  = held[BEAT*W-1:0];
  assign out_valid = (left != 0);
  assign room      = (left == 0) || (left == 1 && out_ready);
  always @(posedge clk) begin
    if (finish) held <= totals;
    else if (out_valid && out_ready) held <= held >> (BEAT * W);
    if (rst) begin
      left  <= 0;
      block <= 0;
    end else if (finish) begin
      left  <= (block == BLOCKS - 1) ? LAST : BEATS;
      block <= (block == BLOCKS - 1) ? 0 : block + 1;
    end else if (out_valid && out_ready) left <= left - 1;
  end
endmodule
"""

FOLD_REGISTER = """\
// What a window's taps come to, one after the other: `folded` is their combination with `number`, the next one. Words that are not
// live do not take part. `result` is valid from the cycle in which the step's last word arrives.
module sccc_fold_register #(
  parameter W    = 8,
  parameter SLOT = 1
) (
  input  wire            clk,
  input  wire            rst,
  input  wire            live,
  input  wire [SLOT-1:0] slot,
  input  wire            arrived,
  input  wire [W-1:0]    number,
  input  wire [W-1:0]    folded,
  output wire [W-1:0]    folded_so_far,
  output wire [W-1:0]    result
);
  reg [W-1:0] state;
  reg         any;
  wire some = any && slot != 0;
  wire [W-1:0] following = !live ? state : some ? folded : number;
  assign folded_so_far = state;
  assign result = arrived ? following : state;
  always @(posedge clk) begin
    if (arrived) state <= following;
    if (rst) any <= 1'b0;
    else if (arrived) any <= some || live;
  end
endmodule
"""

BIT_PLANES = """\
// LANES words of W bits as W vectors: first the least significant bits of all lanes, and so on.
module sccc_bit_planes #(
  parameter LANES = 1,
  parameter W     = 8
) (
  input  wire [LANES*W-1:0] lanes,
  output reg  [LANES*W-1:0] planes
);
  integer i;
  integer k;
  reg [LANES*W-1:0] all;
  always @* begin
    for (i = 0; i < LANES; i = i + 1)
      for (k = 0; k < W; k = k + 1) all[k*LANES + i] = lanes[i*W + k];
    planes = all;
  end
endmodule
"""

REGROUP = """\
// TAPS x GROUPS words of W bits, group by group: from (tap, group) to (group, tap).
module sccc_regroup #(
  parameter W      = 8,
  parameter TAPS   = 1,
  parameter GROUPS = 1
) (
  input  wire [TAPS*GROUPS*W-1:0] in,
  output reg  [TAPS*GROUPS*W-1:0] out
);
  integer g;
  integer t;
  reg [TAPS*GROUPS*W-1:0] all;
  always @* begin
    for (g = 0; g < GROUPS; g = g + 1)
      for (t = 0; t < TAPS; t = t + 1) all[(g*TAPS + t)*W +: W] = in[(t*GROUPS + g)*W +: W];
    out = all;
  end
endmodule
"""

MULTIPLY = """\
// OUTPUTS sums of TAPS products of signed numbers; the levels of each of GROUPS groups serve for all its outputs.
module sccc_multiply #(
  parameter GROUPS  = 1,
  parameter OUTPUTS = 1,
  parameter TAPS    = 1,
  parameter XW      = 8,
  parameter WW      = 8,
  parameter CW      = 16
) (
  input  wire [GROUPS*TAPS*XW-1:0]         x,
  input  wire [GROUPS*OUTPUTS*TAPS*WW-1:0] w,
  output reg  [GROUPS*OUTPUTS*CW-1:0]      count
);
  integer g;
  integer o;
  integer i;
  reg [GROUPS*OUTPUTS*CW-1:0] all;
  reg signed [XW-1:0] number;
  reg signed [WW-1:0] weight;
  reg signed [CW-1:0] sum;
  always @* begin
    number = 0;
    weight = 0;
    for (g = 0; g < GROUPS; g = g + 1)
      for (o = 0; o < OUTPUTS; o = o + 1) begin
        sum = 0;
        for (i = 0; i < TAPS; i = i + 1) begin
          number = x[(g*TAPS + i)*XW +: XW];
          weight = w[((g*OUTPUTS + o)*TAPS + i)*WW +: WW];
          sum = sum + number * weight;
        end
        all[(g*OUTPUTS + o)*CW +: CW] = sum;
      end
    count = all;
  end
endmodule
"""
