"""The modules that folded netlists instantiate: each emitted once, only when used, with parameters.

Streams are `data`, `valid` and `ready`: a transfer happens in a cycle in which both are high. What an op computes is rendered from
its cell in `cells.py`; this file holds memories and control. When each thing happens is said once more, as recurrences, in
sccc/dataflow_kernel.py, and `sccc check` compares the two.
"""

from __future__ import annotations

LINE_BUFFER = """\
// Line buffer: keeps ROWS rows of an image, written around and around, and reads a window's taps, a word of WORD levels a cycle.
// A step is STEP words; `step` is high while one is complete, until it is `taken`; meanwhile no further word is read. In the cycle
// after a word was read, `arrived` is high, `slot` is its number in the step; `live` is low for what is no part of the image.
// At each position: for each of BLOCKS channel groups, REPEATS times, STEPS steps over the taps, TAP words each.
module sccc_line_buffer #(
  parameter LW      = 8,
  parameter BEAT    = 1,
  parameter WORD    = 1,
  parameter PIXEL   = 1,
  parameter HEIGHT  = 1,
  parameter WIDTH   = 1,
  parameter ROWS    = 2,
  parameter KH      = 1,
  parameter KW      = 1,
  parameter SH      = 1,
  parameter SW      = 1,
  parameter DH      = 1,
  parameter DW      = 1,
  parameter PT      = 0,
  parameter PL      = 0,
  parameter OH      = 1,
  parameter OW      = 1,
  parameter TAP     = 1,
  parameter STEP    = 1,
  parameter STEPS   = 1,
  parameter REPEATS = 1,
  parameter BLOCKS  = 1,
  parameter SLOT    = 1
) (
  input  wire               clk,
  input  wire               rst,
  input  wire [BEAT*LW-1:0] in_data,
  input  wire               in_valid,
  output wire               in_ready,
  output reg  [WORD*LW-1:0] word,
  output reg                live,
  output reg  [SLOT-1:0]    slot,
  output reg                arrived,
  output reg                step,
  input  wire               taken
);
  localparam ROW    = WIDTH * PIXEL;                     // words of a row
  localparam DEPTH  = ROWS * ROW;
  localparam AB     = $clog2(DEPTH + 1) + 1;
  localparam YB     = $clog2(HEIGHT + ROWS + PT + OH * SH + KH * DH + 1) + 2;
  localparam XB     = $clog2((WIDTH + PL + OW * SW + KW * DW) * PIXEL + 1) + 2;
  localparam FIRST  = ((ROWS - PT % ROWS) % ROWS) * ROW; // where the row above the image by PT would lie
  localparam DOWN   = (DH % ROWS) * ROW;
  localparam STRIDE = (SH % ROWS) * ROW;
  localparam AGAIN  = (((HEIGHT - (OH - 1) * SH) % ROWS + ROWS) % ROWS) * ROW;
  localparam REACH  = (KH - 1) * DH;
  localparam WIDE   = (KW - 1) * DW * PIXEL;

  function [AB-1:0] wrapped;
    input [AB-1:0] address;
    wrapped = (address >= DEPTH) ? address - DEPTH : address;
  endfunction

  reg [WORD*LW-1:0] memory [0:DEPTH-1];

  // Writing: the beat in a word, the word in a pixel, the pixel's place in the row, the row's place in the memory.
  reg [$clog2(WORD/BEAT + 1)-1:0] part;
  reg [$clog2(PIXEL + 1)-1:0]     piece;
  reg [XB-1:0]                    column;
  reg [AB-1:0]                    line;
  // Whole rows written, counted from the first row of the sample that is being read.
  reg signed [YB-1:0] written;

  // Reading: position, and what its first tap is; the tap; the word in the step and so on. Columns are counted in words.
  reg [$clog2(OH + 1)-1:0]      oy;
  reg [$clog2(OW + 1)-1:0]      ox;
  reg signed [YB-1:0]           y0;
  reg signed [XB-1:0]           x0;
  reg [AB-1:0]                  line0;
  reg signed [YB-1:0]           y;
  reg signed [XB-1:0]           x;
  reg [AB-1:0]                  line_y;
  reg [$clog2(KH + 1)-1:0]      ky;
  reg [$clog2(KW + 1)-1:0]      kx;
  reg [$clog2(TAP + 1)-1:0]     c;
  reg                           spent;
  reg [$clog2(STEP + 1)-1:0]    f;
  reg [$clog2(STEPS + 1)-1:0]   s;
  reg [$clog2(REPEATS + 1)-1:0] r;
  reg [$clog2(BLOCKS + 1)-1:0]  b;
  reg [$clog2(BLOCKS * TAP + TAP + 1)-1:0] base;

  // The last pixel under the window, or the first of the image: nothing is read before a sample has begun.
  wire signed [YB-1:0] under_y = y0 + REACH;
  wire signed [XB-1:0] under_x = x0 + WIDE;
  wire signed [YB-1:0] last_y  = (under_y < 0) ? 0 : (under_y > HEIGHT - 1) ? HEIGHT - 1 : under_y;
  wire signed [XB-1:0] last_x  = (under_x < 0) ? 0 : (under_x > ROW - PIXEL) ? ROW - PIXEL : under_x;
  wire available = written > last_y || (written == last_y && $signed(column) > last_x);
  wire issue = available && (!step || taken);
  wire in_image = !spent && y >= 0 && y < HEIGHT && x >= 0 && x < ROW && base + c < PIXEL;
  wire [AB-1:0] place = line_y + x + base + c;

  wire signed [YB-1:0] lowest = (y0 < 0) ? 0 : (y0 > HEIGHT) ? HEIGHT : y0;
  assign in_ready = written - lowest < ROWS;
  wire accept    = in_valid && in_ready;
  wire end_word  = (part == WORD / BEAT - 1);
  wire end_pixel = end_word && (piece == PIXEL - 1);
  wire end_row   = end_pixel && (column == ROW - PIXEL);

  wire end_step   = (f == STEP - 1);
  wire end_taps   = end_step && (s == STEPS - 1);
  wire end_reads  = end_taps && (r == REPEATS - 1);
  wire end_place  = end_reads && (b == BLOCKS - 1);
  wire end_line   = end_place && (ox == OW - 1);
  wire end_sample = end_line && (oy == OH - 1);
  wire signed [YB-1:0] next_y0 = end_sample ? -PT : end_line ? y0 + SH : y0;
  wire signed [XB-1:0] next_x0 = end_line ? -PL * PIXEL : end_place ? x0 + SW * PIXEL : x0;
  wire [AB-1:0] next_line0 = end_sample ? wrapped(line0 + AGAIN) : end_line ? wrapped(line0 + STRIDE) : line0;

  always @(posedge clk) begin
    if (accept) memory[line + column + piece][part*BEAT*LW +: BEAT*LW] <= in_data;
    if (issue) begin
      word <= memory[place];
      live <= in_image;
      slot <= f;
    end
  end

  always @(posedge clk) begin
    if (rst) begin
      part    <= 0;
      piece   <= 0;
      column  <= 0;
      line    <= 0;
      written <= 0;
    end else begin
      if (accept) begin
        part <= end_word ? 0 : part + 1;
        if (end_word) piece <= end_pixel ? 0 : piece + 1;
        if (end_pixel) column <= end_row ? 0 : column + PIXEL;
        if (end_row) line <= wrapped(line + ROW);
      end
      written <= written + (accept && end_row) - ((issue && end_sample) ? HEIGHT : 0);
    end
  end

  always @(posedge clk) begin
    if (rst) begin
      step    <= 1'b0;
      arrived <= 1'b0;
      oy <= 0;  ox <= 0;  ky <= 0;  kx <= 0;  c <= 0;  f <= 0;  s <= 0;  r <= 0;  b <= 0;  base <= 0;
      spent   <= 1'b0;
      y0 <= -PT;         y <= -PT;
      x0 <= -PL * PIXEL; x <= -PL * PIXEL;
      line0 <= FIRST;    line_y <= FIRST;
    end else begin
      arrived <= issue;
      if (issue && end_step) step <= 1'b1;
      else if (taken) step <= 1'b0;
      if (issue) begin
        f <= end_step ? 0 : f + 1;
        if (end_step) s <= end_taps ? 0 : s + 1;
        if (end_taps) r <= end_reads ? 0 : r + 1;
        if (end_reads) b <= end_place ? 0 : b + 1;
        if (end_reads) base <= end_place ? 0 : base + TAP;
        if (end_place) ox <= end_line ? 0 : ox + 1;
        if (end_line) oy <= end_sample ? 0 : oy + 1;
        y0    <= next_y0;
        x0    <= next_x0;
        line0 <= next_line0;
        if (end_taps) begin
          c <= 0;  kx <= 0;  ky <= 0;  spent <= 1'b0;
          y <= next_y0;
          x <= next_x0;
          line_y <= next_line0;
        end else if (!spent) begin
          c <= (c == TAP - 1) ? 0 : c + 1;
          if (c == TAP - 1) begin
            kx <= (kx == KW - 1) ? 0 : kx + 1;
            x  <= (kx == KW - 1) ? x0 : x + DW * PIXEL;
            if (kx == KW - 1) begin
              spent <= (ky == KH - 1);
              ky <= ky + 1;
              y  <= y + DH;
              line_y <= wrapped(line_y + DOWN);
            end
          end
        end
      end
    end
  end
endmodule
"""

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
  reg [WORDS*W-1:0] filling;
  reg [WORDS*W-1:0] complete;
  always @* begin
    complete = filling;
    if (arrived) complete[(WORDS-1)*W +: W] = word;
  end
  always @(posedge clk) begin
    if (arrived) filling[slot*W +: W] <= word;
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

WEIGHTS = """\
// Weight memory: the next of DEPTH words with every `go`, again and again.
module sccc_weights #(
  parameter W     = 8,
  parameter DEPTH = 1,
  parameter FILE  = ""
) (
  input  wire         clk,
  input  wire         rst,
  input  wire         go,
  output reg  [W-1:0] word
);
  reg [W-1:0] memory [0:DEPTH-1];
  reg [$clog2(DEPTH + 1)-1:0] at;
  generate
    if (FILE != "") begin : load
      initial $readmemh(FILE, memory);
    end
  endgenerate
  always @(posedge clk) begin
    if (go) word <= memory[at];
    if (rst) at <= 0;
    else if (go) at <= (at == DEPTH - 1) ? 0 : at + 1;
  end
endmodule
"""

CONSTANTS = """\
// Constants of lanes: word by word, the next one after each `next`, again and again.
module sccc_lane_constants #(
  parameter W     = 8,
  parameter DEPTH = 1,
  parameter FILE  = ""
) (
  input  wire         clk,
  input  wire         rst,
  input  wire         next,
  output wire [W-1:0] word
);
  reg [W-1:0] memory [0:DEPTH-1];
  reg [$clog2(DEPTH + 1)-1:0] at;
  generate
    if (FILE != "") begin : load
      initial $readmemh(FILE, memory);
    end
  endgenerate
  assign word = memory[at];
  always @(posedge clk) begin
    if (rst) at <= 0;
    else if (next) at <= (at == DEPTH - 1) ? 0 : at + 1;
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

LAYOUT = """\
// Inputs a and b (B_BEATS 0: none) stored whole and sent in another order: entry = place on a, or A_BEATS + place on b, or
// A_BEATS + B_BEATS for NOTHING. An entry is sent as soon as it has come; the next sample comes when all have been sent.
module sccc_layout #(
  parameter W       = 8,
  parameter A_BEATS = 1,
  parameter B_BEATS = 0,
  parameter BEATS   = 1,
  parameter E       = 1,
  parameter [W-1:0] NOTHING = 0,
  parameter FILE    = ""
) (
  input  wire         clk,
  input  wire         rst,
  input  wire [W-1:0] a_data,
  input  wire         a_valid,
  output wire         a_ready,
  input  wire [W-1:0] b_data,
  input  wire         b_valid,
  output wire         b_ready,
  output reg  [W-1:0] out_data,
  output reg          out_valid,
  input  wire         out_ready
);
  localparam B_SIZE = (B_BEATS > 0) ? B_BEATS : 1;
  reg [W-1:0] a_memory [0:A_BEATS-1];
  reg [W-1:0] b_memory [0:B_SIZE-1];
  reg [E-1:0] order [0:BEATS-1];
  generate
    if (FILE != "") begin : load
      initial $readmemh(FILE, order);
    end
  endgenerate
  reg [$clog2(A_BEATS + 1)-1:0] a_count;
  reg [$clog2(B_BEATS + 2)-1:0] b_count;
  reg [$clog2(BEATS + 1)-1:0]   at;      // the entry after `entry`
  reg [E-1:0] entry;
  reg         entry_valid;
  reg         entry_last;
  reg         sent;
  assign a_ready = (a_count != A_BEATS);
  assign b_ready = (b_count != B_BEATS);
  wire from_a  = entry < A_BEATS;
  wire nothing = entry == A_BEATS + B_BEATS;
  wire come    = nothing ? a_count != 0 : from_a ? entry < a_count : entry < A_BEATS + b_count;
  wire take    = entry_valid && !sent && come && (!out_valid || out_ready);
  wire all     = (sent || (take && entry_last)) && !a_ready && !b_ready;
  always @(posedge clk) begin
    if (a_valid && a_ready) a_memory[a_count] <= a_data;
    if (b_valid && b_ready) b_memory[b_count] <= b_data;
    if (take) out_data <= nothing ? NOTHING : from_a ? a_memory[entry] : b_memory[entry - A_BEATS];
    if (take || !entry_valid) entry <= order[at];
    if (rst) begin
      a_count     <= 0;
      b_count     <= 0;
      at          <= 0;
      entry_valid <= 1'b0;
      entry_last  <= 1'b0;
      sent        <= 1'b0;
      out_valid   <= 1'b0;
    end else begin
      a_count <= all ? 0 : a_count + (a_valid && a_ready);
      b_count <= all ? 0 : b_count + (b_valid && b_ready);
      if (take || !entry_valid) begin
        entry_valid <= 1'b1;
        entry_last  <= (at == BEATS - 1);
        at          <= (at == BEATS - 1) ? 0 : at + 1;
      end
      sent      <= !all && (sent || (take && entry_last));
      out_valid <= take || (out_valid && !out_ready);
    end
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
  reg [$clog2(BEATS + 1)-1:0] count;
  assign in_ready = 1'b1;
  always @(posedge clk) begin
    if (in_valid) all[count*W +: W] <= in_data;
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
