"""The library modules that netlists instantiate: each emitted once, only when used, with parameters.

Loops fill a vector that nobody reads and hand it over as a whole: Icarus would wake every reader for every bit.

Whatever an op does is rendered from its cell's expressions; this file only holds the shells around them.
"""

from __future__ import annotations

from sccc.backends.verilog.render import to_verilog
from sccc.cells import Comb
from sccc.ops import REGISTRY

WINDOW = """\
// Window controller: from the cycle after `go`, `running` is high for LENGTH cycles and `t` counts them;
// `done` is high in the one cycle after that. Another `go` may come in that cycle. `stop` ends the window early.
module sccc_window #(
  parameter LENGTH = 64,
  parameter T_BITS = 6
) (
  input  wire              clk,
  input  wire              rst,
  input  wire              go,
  input  wire              stop,
  output reg               running,
  output reg  [T_BITS-1:0] t,
  output reg               done
);
  localparam [T_BITS-1:0] LAST = LENGTH - 1;
  wire last = running && (stop || t == LAST);
  always @(posedge clk) begin
    if (rst) begin
      running <= 1'b0;
      done    <= 1'b0;
      t       <= {T_BITS{1'b0}};
    end else begin
      running <= go || (running && !last);
      done    <= last;
      t       <= (go || !running) ? {T_BITS{1'b0}} : t + 1'b1;
    end
  end
endmodule
"""

LFSR = """\
// LANES Fibonacci LFSRs with the zero state inserted, loaded with SEEDS when a window starts; their most significant
// bits are the random numbers.
module sccc_lfsr #(
  parameter LANES = 1,
  parameter WIDTH = 16,
  parameter BITS  = 8,
  parameter [WIDTH-1:0] TAPS = 0,
  parameter [LANES*WIDTH-1:0] SEEDS = 1
) (
  input  wire                  clk,
  input  wire                  go,
  input  wire                  running,
  output reg  [LANES*BITS-1:0] random
);
  integer i;
  reg [LANES*WIDTH-1:0] state;
  reg [LANES*WIDTH-1:0] following;
  reg [LANES*BITS-1:0]  all;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) begin
      following[i*WIDTH +: WIDTH] = {
        state[i*WIDTH +: WIDTH-1],
        (^(state[i*WIDTH +: WIDTH] & TAPS)) ^ (state[i*WIDTH +: WIDTH-1] == {WIDTH-1{1'b0}})
      };
      all[i*BITS +: BITS] = state[i*WIDTH + WIDTH - BITS +: BITS];
    end
    random = all;
  end
  always @(posedge clk) begin
    if (go) state <= SEEDS;
    else if (running) state <= following;
  end
endmodule
"""

COUNTER_SOURCES = """\
// LANES random numbers, each a GF(2)-linear map of the cycle counter: bit b of lane i is the parity of t & ROWS[i][b].
module sccc_counter_sources #(
  parameter LANES = 1,
  parameter BITS  = 8,
  parameter [LANES*BITS*BITS-1:0] ROWS = 0
) (
  input  wire [BITS-1:0]       t,
  output reg  [LANES*BITS-1:0] random
);
  wire [LANES*BITS*BITS-1:0] rows = ROWS;
  integer i;
  reg [LANES*BITS-1:0] all;
  always @* begin
    for (i = 0; i < LANES * BITS; i = i + 1) all[i] = ^(t & rows[i*BITS +: BITS]);
    random = all;
  end
endmodule
"""

CONSTANT_STREAMS = """\
// One stream for each distinct pair of level and random number: bit k = {compare}.
module sccc_constant_streams #(
  parameter STREAMS = 1,
  parameter SOURCES = 1,
  parameter BITS    = 8,
  parameter INDEX   = 1,
  parameter [STREAMS*(BITS+1)-1:0] LEVELS = 0,
  parameter [STREAMS*BITS-1:0]     MASKS  = 0,
  parameter [STREAMS*INDEX-1:0]    SOURCE = 0
) (
  input  wire [SOURCES*BITS-1:0] random,
  output reg  [STREAMS-1:0]      streams
);
  // Parts of a net cost Icarus far less than parts of a constant, which it builds anew each time.
  wire [STREAMS*(BITS+1)-1:0] levels  = LEVELS;
  wire [STREAMS*BITS-1:0]     masks   = MASKS;
  wire [STREAMS*INDEX-1:0]    sources = SOURCE;
  integer k;
  reg [BITS-1:0] r;
  reg [STREAMS-1:0] all;
  always @* begin
    r = {{BITS{{1'b0}}}};
    for (k = 0; k < STREAMS; k = k + 1) begin
      r = random[sources[k*INDEX +: INDEX]*BITS +: BITS] ^ masks[k*BITS +: BITS];
      all[k] = {compare};
    end
    streams = all;
  end
endmodule
"""

SNG = """\
// Stochastic number generators: bit = {compare}; {sharing}.
module {name} #(
  parameter LANES = 1,
  parameter BITS  = 8
) (
  input  wire [LANES*(BITS+1)-1:0] level,
  input  wire [{width}-1:0]        random,
  output reg  [LANES-1:0]          bits
);
  integer i;
  reg [LANES-1:0] all;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) all[i] = {compare};
    bits = all;
  end
endmodule
"""

WBG = """\
// Weighted binary generators: a lane's bit is that of its level at the place of the random number's most significant one.
// Level 2**BITS gives ones throughout.
module sccc_wbg #(
  parameter LANES = 1,
  parameter BITS  = 8
) (
  input  wire [LANES*(BITS+1)-1:0] level,
  input  wire [BITS-1:0]           random,
  output reg  [LANES-1:0]          bits
);
  integer i, k;
  reg [BITS:0] weights;
  reg above;
  reg [LANES-1:0] all;
  always @* begin
    weights = {1'b1, {BITS{1'b0}}};
    above = 1'b0;
    for (k = BITS - 1; k >= 0; k = k - 1) begin
      weights[k] = random[k] & ~above;
      above = above | random[k];
    end
    for (i = 0; i < LANES; i = i + 1) all[i] = |(level[i*(BITS+1) +: BITS+1] & weights);
    bits = all;
  end
endmodule
"""

FROM_START = """\
// Sums of SW bits, from which their value in the cycle of `go` is taken off: two's complement counts of W bits.
module sccc_from_start #(
  parameter LANES = 1,
  parameter SW    = 8,
  parameter W     = 8
) (
  input  wire                clk,
  input  wire                go,
  input  wire [LANES*SW-1:0] sum,
  output reg  [LANES*W-1:0]  count
);
  integer i;
  reg [LANES*SW-1:0] start;
  reg [LANES*W-1:0]  all;
  reg signed [SW:0]  difference;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) begin
      difference = {1'b0, sum[i*SW +: SW]} - {1'b0, start[i*SW +: SW]};
      all[i*W +: W] = difference;
    end
    count = all;
  end
  always @(posedge clk) if (go) start <= sum;
endmodule
"""

LEVELS = """\
// Two's complement totals of W bits as levels: magnitude of BITS+1 bits and, when SIGN is 1, a sign bit above it.
module sccc_levels #(
  parameter LANES = 1,
  parameter W     = 8,
  parameter BITS  = 6,
  parameter SIGN  = 1
) (
  input  wire [LANES*W-1:0]             total,
  output reg  [LANES*(BITS+1+SIGN)-1:0] level
);
  localparam EW = W + BITS + 2;
  integer i;
  reg [LANES*(BITS+1+SIGN)-1:0] all;
  reg signed [EW-1:0] number;
  reg [EW-1:0] magnitude;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) begin
      number = $signed(total[i*W +: W]);
      magnitude = number[EW-1] ? -number : number;
      if (SIGN) all[i*(BITS+1+SIGN) + BITS + SIGN] = number[EW-1];
      all[i*(BITS+1+SIGN) +: BITS+1] = magnitude[BITS:0];
    end
    level = all;
  end
endmodule
"""

NUMBERS = """\
// Levels as unsigned numbers of BITS bits, or, when SIGN is 1, of BITS + 1: the level plus 2**BITS.
module sccc_numbers #(
  parameter LANES = 1,
  parameter BITS  = 8,
  parameter SIGN  = 0
) (
  input  wire [LANES*(BITS+1+SIGN)-1:0] level,
  output reg  [LANES*(BITS+SIGN)-1:0]   number
);
  integer i;
  reg [LANES*(BITS+SIGN)-1:0] all;
  reg [BITS:0] magnitude;
  reg negative;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) begin
      magnitude = level[i*(BITS+1+SIGN) +: BITS+1];
      negative = SIGN && level[i*(BITS+1+SIGN) + BITS + SIGN];
      if (negative) magnitude = -magnitude;
      if (SIGN) magnitude[BITS] = !magnitude[BITS];
      all[i*(BITS+SIGN) +: BITS+SIGN] = magnitude[BITS+SIGN-1:0];
    end
    number = all;
  end
endmodule
"""

INTEGERS = """\
// Levels as two's complement integers of W bits, W > BITS + 1.
module sccc_integers #(
  parameter LANES = 1,
  parameter BITS  = 8,
  parameter SIGN  = 0,
  parameter W     = 10
) (
  input  wire [LANES*(BITS+1+SIGN)-1:0] level,
  output reg  [LANES*W-1:0]             number
);
  integer i;
  reg [LANES*W-1:0] all;
  reg [W-1:0] magnitude;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) begin
      magnitude = {{(W-BITS-1){1'b0}}, level[i*(BITS+1+SIGN) +: BITS+1]};
      if (SIGN && level[i*(BITS+1+SIGN) + BITS + SIGN]) magnitude = -magnitude;
      all[i*W +: W] = magnitude;
    end
    number = all;
  end
endmodule
"""

SPLIT_LEVELS = """\
// Signs and magnitudes of signed levels (sign in the most significant bit of each).
module sccc_split_levels #(
  parameter LANES = 1,
  parameter BITS  = 8
) (
  input  wire [LANES*(BITS+2)-1:0] level,
  output reg  [LANES-1:0]          sign,
  output reg  [LANES*(BITS+1)-1:0] magnitude
);
  integer i;
  reg [LANES-1:0] signs;
  reg [LANES*(BITS+1)-1:0] magnitudes;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) begin
      signs[i] = level[i*(BITS+2) + BITS + 1];
      magnitudes[i*(BITS+1) +: BITS+1] = level[i*(BITS+2) +: BITS+1];
    end
    sign = signs;
    magnitude = magnitudes;
  end
endmodule
"""

ARGMAX = """\
// The index of the first largest of LANES signed totals.
module sccc_argmax #(
  parameter LANES = 2,
  parameter W     = 8,
  parameter IW    = 4
) (
  input  wire [LANES*W-1:0] total,
  output reg  [IW-1:0]      index
);
  integer i;
  reg signed [W-1:0] best;
  reg signed [W-1:0] candidate;
  always @* begin
    best = total[0 +: W];
    candidate = total[0 +: W];
    index = {IW{1'b0}};
    for (i = 1; i < LANES; i = i + 1) begin
      candidate = total[i*W +: W];
      if (candidate > best) begin
        best = candidate;
        index = i[IW-1:0];
      end
    end
  end
endmodule
"""


def _sng_compare(level: str, random: str) -> str:
    cell = REGISTRY["sc.sng"].cell
    assert isinstance(cell, Comb)
    return to_verilog(cell.result, {"level": level, "random": random}.__getitem__)


def sng(*, shared: bool) -> tuple[str, str]:
    """The SNG module and its name; all lanes share one random number, or each has its own."""
    name = "sccc_sng" if shared else "sccc_sng_lanes"
    random = "{1'b0, random}" if shared else "{1'b0, random[i*BITS +: BITS]}"
    text = SNG.format(
        name=name,
        compare=_sng_compare("level[i*(BITS+1) +: BITS+1]", random),
        sharing="all lanes share the random number" if shared else "each lane has a random number of its own",
        width="BITS" if shared else "LANES*BITS",
    )
    return name, text


def wbg() -> tuple[str, str]:
    """The module of weighted binary generators, and its name: the op's expression, decided by the one bit that counts."""
    return "sccc_wbg", WBG


def constant_streams() -> str:
    return CONSTANT_STREAMS.format(compare=_sng_compare("levels[k*(BITS+1) +: BITS+1]", "{1'b0, r}"))
