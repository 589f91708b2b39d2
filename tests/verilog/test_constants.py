"""Packed constants of any length are read by Icarus as the numbers that they hold."""

import subprocess

import numpy as np
import pytest

from sccc.backends.verilog.render import LITERAL_BITS, packed

BENCH = """\
module b;
  localparam [{bits}:0] NUMBERS = {text};
  initial $display("%h", NUMBERS);
endmodule
"""


@pytest.mark.parametrize(("count", "width"), ((1, 1), (LITERAL_BITS // 7, 7), (LITERAL_BITS // 7 + 1, 7), (9000, 28)))
def test_icarus_reads_packed_numbers(tmp_path, count, width):
    numbers = np.random.default_rng(1).integers(-1 << width - 1, 1 << width - 1, count)
    text = packed(numbers, width)
    (tmp_path / "b.v").write_text(BENCH.format(bits=count * width - 1, text=text), encoding="ascii")
    subprocess.run(["iverilog", "-g2005", "-o", "b", "b.v"], cwd=tmp_path, check=True)
    output = subprocess.run(["vvp", "-n", "b"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    read = int(output, 16)
    mask = (1 << width) - 1
    assert [read >> k * width & mask for k in range(count)] == [int(n) & mask for n in numbers]
    assert text.count("'h") == -(-count // (LITERAL_BITS // width))
