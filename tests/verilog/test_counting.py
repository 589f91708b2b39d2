"""What a plan counts, evaluated bit by bit, is the sum of the products; subtotals by themselves; sums of bits in Icarus."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sccc.backends.verilog.popcount import counter_module, counter_name, neighbours, sum_module, sum_name
from sccc.counting import ALL_SAVINGS, NO_SAVINGS, ONE, ZERO, Bit, Counting, Savings, plans
from sccc.gates import sum_bits
from sccc.neurons import ConstantStreams, distinct
from sccc.ops.arithmetic import PRODUCTS
from sccc.subtotals import SIZES, shared_subtotals
from sccc.types import Encoding, Random

BITS = 3


def constants(rng: np.random.Generator, outputs: int, lanes: int, signed: bool) -> ConstantStreams:
    """Weights of few levels, so that many are equal: 0, the full scale, and signs where there are some."""
    levels = rng.integers(0, 4, (outputs, lanes)) * 3 % 10
    levels[levels > 8] = 8
    varying = (levels > 0) & (levels < 8)
    (keys,), number = distinct(levels[varying])
    index = np.full(levels.shape, -1)
    index[varying] = number
    signs = (rng.random(levels.shape) < 0.4) * signed * (levels > 0)
    zeros = [0] * len(keys)
    return ConstantStreams(keys.tolist(), zeros, zeros, index, (levels == 8).astype(int), signs.astype(int))


def evaluated(plan: Counting, x: np.ndarray, xs: np.ndarray, random: int, before: bool = False) -> np.ndarray:
    """The counts in a cycle, by the plan; `before`: what the sums are before the window, where weights are 0."""
    weights = [int(level > random) and not before for level in plan.streams.levels] + [not before]
    table = plan.products
    values = []
    for kind, stream, lane in zip(table.kind, table.stream, table.lane, strict=True):
        w = {ONE: 1, ZERO: 0}.get(int(stream)) if stream < 0 else int(weights[stream])
        values.append(int(table.exprs[kind].evaluate({"x": int(x[lane]), "xs": int(xs[lane]), "w": w})) & 1)

    def bit(each: Bit) -> int:
        if each.place < 0:
            return values[each.number] ^ each.inverted
        return (sum(map(bit, plan.subtotals[each.number])) >> each.place & 1) ^ each.inverted

    def total(columns: list[list[Bit]]) -> int:
        return sum(bit(each) << weight for weight, column in enumerate(columns) for each in column)

    sums = np.array([total(up) - total(down) for up, down in zip(plan.up, plan.down, strict=True)])
    counts = plan.scale * sums + plan.constants
    if plan.offset == "xs":
        return counts if before else counts - evaluated(plan, x, xs, random, before=True)
    if plan.offset == "w":
        return counts - plan.table[:, random]
    return counts - int(x.sum()) if plan.offset == "x" else counts


@pytest.mark.parametrize("pair", PRODUCTS, ids=lambda pair: "-".join(e.value for e in pair))
@pytest.mark.parametrize("savings", (NO_SAVINGS, ALL_SAVINGS, Savings(signs=False), Savings(subtotals=False)))
def test_every_plan_counts_the_products(pair, savings):
    product = PRODUCTS[pair]
    rng = np.random.default_rng(8)
    streams = constants(rng, 5, 30, pair[1] is Encoding.SIGNED)
    bits = np.where(streams.index >= 0, 0, streams.constant_bits)
    offsets = set()
    for plan in plans(product, streams, Random((), BITS), savings):
        offsets.add(plan.offset)
        for random in range(1 << BITS):
            x, xs = rng.integers(0, 2, (2, 30))
            xs = xs if pair[0] is Encoding.SIGNED else np.zeros_like(xs)
            level = np.asarray([*streams.levels, 0])[streams.index]
            env = {"x": x, "xs": xs, "w": np.where(streams.index >= 0, level > random, bits), "ws": streams.signs}
            lane = (product.bit.evaluate(env) & 1) * (1 - 2 * (product.neg.evaluate(env) & 1))
            wanted = np.broadcast_to(lane, streams.index.shape).sum(axis=1)
            assert np.array_equal(evaluated(plan, x, xs, random), wanted)
    assert offsets


def test_a_source_for_each_weight_has_no_table_of_offsets():
    streams = constants(np.random.default_rng(1), 3, 5, True)
    pair = (Encoding.BIPOLAR, Encoding.SIGNED)
    assert {p.offset for p in plans(PRODUCTS[pair], streams, Random((3, 5), BITS))} == {""}
    assert {p.offset for p in plans(PRODUCTS[pair], streams, Random((), BITS))} == {"w", ""}


# -- subtotals ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 60), st.integers(1, 5), st.booleans())
def test_subtotals_take_equal_bits_and_leave_the_rest(seed, outputs, columns, kinds, mixed):
    rng = np.random.default_rng(seed)
    symbols = rng.integers(-kinds, kinds + 1, (outputs, columns))
    found, left = shared_subtotals(symbols, mixed=mixed)
    taken = np.zeros_like(symbols)
    for each in found:
        a, b = symbols[each.first, each.columns], symbols[each.second, each.columns]
        assert len(each.columns) in SIZES and (a != 0).all()
        assert np.array_equal(a, -b if each.opposite else b)
        assert mixed or len(set(np.sign(a).tolist())) == 1
        for row, part in ((each.first, a), (each.second, b)):
            assert (taken[row, each.columns] == 0).all()
            taken[row, each.columns] = part
    assert np.array_equal(taken + left, symbols)


def test_nothing_is_left_that_could_be_shared():
    rng = np.random.default_rng(0)
    symbols = rng.integers(-2, 3, (7, 90))
    _, left = shared_subtotals(symbols, mixed=True)
    for i in range(7):
        for j in range(i):
            for sign in (1, -1):
                assert ((left[i] == sign * left[j]) & (left[i] != 0)).sum() < SIZES[-1]


def test_equal_outputs_are_counted_once():
    found, left = shared_subtotals(np.tile(np.arange(1, 32), (2, 1)), mixed=False)
    assert [(s.first, s.second, len(s.columns), s.opposite) for s in found] == [(0, 1, 31, False)]
    assert not left.any()


# -- sums of bits ------------------------------------------------------------------------------------------------------

HEIGHTS = [
    (1,), (2,), (3,), (4,), (7,), (13,), (64,),
    (1, 1), (5, 2), (2, 5), (0, 3), (3, 0, 2), (0, 0, 1), (9, 4, 4, 1), (40, 7, 3, 2, 1),
]  # fmt: skip


def test_sums_of_bits_are_right(tmp_path):
    """Random bits, all zeros and all ones, in Icarus; counters of each size side by side too."""
    rng = np.random.default_rng(2)
    lines = ["module bench;", "  integer wrong = 0;"]
    checks = ["  initial begin"]
    for number, heights in enumerate(HEIGHTS):
        vectors = [weight for weight, height in enumerate(heights) if height]
        lines += [f"  reg [{heights[k] - 1}:0] a{number}_{k};" for k in vectors]
        lines.append(f"  wire [{sum_bits(heights) - 1}:0] y{number};")
        ports = ", ".join(f".v{k}(a{number}_{k})" for k in vectors)
        lines.append(f"  {sum_name(heights)} u{number} ({ports}, .ones(y{number}));")
        for density in (0.0, 1.0, 0.5, 0.5, 0.9):
            bits = {k: rng.random(heights[k]) < density for k in vectors}
            wanted = sum(int(v.sum()) << k for k, v in bits.items())
            values = {k: "".join("01"[int(b)] for b in v) for k, v in bits.items()}
            checks += [f"    a{number}_{k} = {heights[k]}'b{text};" for k, text in values.items()]
            checks.append(f"    #1 if (y{number} !== {wanted}) wrong = wrong + 1;")
    for size in SIZES:
        lines += [f"  reg [2:0] c{size}_{i};" for i in range(size)]
        lines += [f"  wire [2:0] o{size}_{k};" for k in range(size.bit_length())]
        ports = [f".v{i}(c{size}_{i})" for i in range(size)]
        ports += [f".ones{k}(o{size}_{k})" for k in range(size.bit_length())]
        lines.append(f"  {counter_name(size)} #(.LANES(3)) n{size} ({', '.join(ports)});")
        bits = rng.integers(0, 2, (size, 3))
        checks += [f"    c{size}_{i} = 3'b{''.join(map(str, row[::-1]))};" for i, row in enumerate(bits.tolist())]
        checks.append("    #1;")
        for lane, ones in enumerate(bits.sum(axis=0).tolist()):
            got = ", ".join(f"o{size}_{k}[{lane}]" for k in reversed(range(size.bit_length())))
            checks.append(f"    if ({{{got}}} !== {ones}) wrong = wrong + 1;")
    checks += ['    $display("wrong %0d", wrong);', "  end", "endmodule"]
    modules = [sum_module(heights) for heights in HEIGHTS] + [counter_module(size) for size in SIZES]
    (tmp_path / "b.v").write_text("\n".join([*lines, *checks, *modules]), encoding="ascii")
    subprocess.run(["iverilog", "-g2005", "-o", "b", "b.v"], cwd=tmp_path, check=True)
    output = subprocess.run(["vvp", "-n", "b"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert output.split() == ["wrong", "0"]


@pytest.mark.parametrize("length", (0, 1, 2, 3, 9, 10, 27, 100))
def test_neighbours_are_positions_and_the_first_are_added_first(length):
    order = neighbours(length)
    assert sorted(order) == list(range(length))
    third = length // 3
    triples = {frozenset((i, third + i, 2 * third + i)) for i in range(third)}
    along = {frozenset(order[i : i + 3]) for i in range(length - 2)}
    assert triples <= along
