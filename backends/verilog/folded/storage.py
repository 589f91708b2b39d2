"""Verilog modules that hold values: line buffers, inputs stored whole, memories of weights and of constants of lanes.

Each is emitted once, only when used, with parameters.
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
