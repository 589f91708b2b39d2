"""Cycles, memory and parallelism of folded hardware: against what they say they count, and against brute force."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from folded_nets import FoldedNet, RandomNet

from sccc.backends.simulator import simulate
from sccc.dataflow import dataflow, is_folded
from sccc.dataflow_timing import timing
from sccc.diagnostics import SccError
from sccc.engines import AddEngine, LayoutEngine, natural_order
from sccc.folding import folding_of
from sccc.ir import Module
from sccc.line_buffer import LineBuffer
from sccc.windows import Window


def conv_of(parallel: list[int], **more: object) -> Module:
    net = FoldedNet((6, 5, 4), length=16)
    return net.end(net.totals(net.input, 6, parallel, [3, 3], pads=[1, 1, 1, 1], **more))


def sums(module: Module) -> list:
    return module.ops_named("sc.dot", "sc.conv", "fx.dot", "fx.conv")


@pytest.mark.parametrize(("parallel", "groups"), [([1, 1, 1], 1), ([1, 2, 7], 1), ([1, 6, 54], 1), ([4, 1, 5], 6)])
def test_windows_are_as_many_as_blocks_of_the_work(parallel, groups):
    (op,) = sums(conv_of(parallel, groups=groups))
    f = folding_of(op)
    blocks = [-(-n // p) for n, p in zip((groups, 6 // groups, 54 // groups), parallel, strict=True)]
    assert f.windows == np.prod(blocks)
    assert f.working == 20 * f.windows * 16
    assert f.multipliers == np.prod(parallel)
    assert f.geometry.products * 16 <= f.multipliers * f.working, "every product has its place"
    assert f.cycles >= f.working


@pytest.mark.parametrize(
    ("parallel", "groups", "what"),
    [
        ([1, 7, 1], 1, "1 .. [1, 6, 54]"),
        ([1, 1, 55], 1, "1 .. [1, 6, 54]"),
        ([0, 1, 1], 1, "1 .. [1, 6, 54]"),
        ([1, 1], 1, "must be groups, outputs and taps"),
        ([2, 1, 4], 2, "several groups at once need groups of one channel"),
        ([2, 1, 9], 3, "several groups at once"),
    ],
)
def test_parallelism_that_cannot_be_is_refused(parallel, groups, what):
    with pytest.raises(SccError, match=what.replace("[", r"\[").replace(".", r"\.")):
        dataflow(conv_of(parallel, groups=groups))


def test_a_word_is_as_wide_as_reading_needs_and_no_wider():
    net = FoldedNet((12,), length=4)
    module = net.end(net.totals(net.input, 4, [1, 1, 12]))
    assert folding_of(sums(module)[0]).word == 1, "12 levels serve for 4 windows of 4 cycles"
    module = conv_of([1, 6, 54])
    assert (folding_of(sums(module)[0]).word, folding_of(sums(module)[0], [1, 6, 53]).word) == (6, 1)


@pytest.mark.parametrize(
    "window",
    [
        Window((1, 1)),
        Window((3, 3), pads=(1, 1, 1, 1)),
        Window((5, 2), (2, 3), (0, 1, 2, 0)),
        Window((2, 2), (3, 3), (4, 0, 0, 3), (2, 1)),
    ],
)
@pytest.mark.parametrize("size", [(6, 5), (9, 7)])
def test_line_buffers_wait_for_what_windows_see_and_keep_it(window, size):
    height, width = size
    buffer = LineBuffer(2, height, width, window)
    pixels = np.arange(height * width).reshape(1, height, width)
    seen = np.stack([*window.views(pixels, -1)]).reshape(window.taps, *buffer.output)
    needed = buffer.needed().reshape(buffer.output)
    assert (needed >= seen.max(axis=0) + 1).all() and needed.min() >= 1
    lowest = buffer.lowest_rows()
    for row in range(buffer.output[0]):
        rows = seen[:, row][seen[:, row] >= 0] // width
        if rows.size:
            assert lowest[row] <= rows.min() and rows.max() < lowest[row] + buffer.rows
    assert buffer.levels == buffer.rows * width * 2


def test_memory_bits_are_those_of_the_memories():
    net = FoldedNet((3, 4, 4), "signed", length=16)
    y = net.levels(net.totals(net.input, 4, [1, 3, 5], [3, 3], pads=[1, 1, 1, 1]), net.rng.integers(1, 8, (4, 1, 1)))
    flow = dataflow(net.end(net.totals(net.add("sc.reshape", [y], shape=[64], **net.layer()), 2, [1, 2, 8])))
    first, second = (engine.memory_bits for engine in flow.engines)
    # 4 rows of 4 pixels of 3 levels of 5 bits; 2 x 6 windows of 15 weights of 5 bits; 2 rows of 64; 8 windows of 16 weights.
    assert (first["line buffer"], first["weights"]) == (4 * 4 * 3 * 5, 12 * 15 * 5)
    assert (second["line buffer"], second["weights"]) == (2 * 64 * 5, 8 * 16 * 5)
    assert flow.memory_bits == sum(first.values()) + sum(second.values())


def test_permuted_lanes_cost_nothing_and_are_tracked():
    """Flattening is a new name for lanes; the dense layer's weights follow the order in which they come."""
    net = FoldedNet((3, 2, 2))
    turned = net.add("sc.transpose", [net.input], perm=[2, 0, 1], **net.layer())
    flat = net.add("sc.reshape", [turned], shape=[12], **net.layer())
    flow = dataflow(net.end(net.totals(flat, 2, [1, 1, 3])))
    (engine,) = flow.products
    assert len(flow.engines) == 1
    x = net.data(2)
    sent = simulate(net.module, x, trace=["x", flat.name]).trace
    order = natural_order((3, 2, 2))
    assert np.array_equal(sent["x"].reshape(2, -1)[:, order], sent[flat.name][:, engine.order])


def test_lanes_are_put_in_order_where_an_image_is_wanted():
    net = FoldedNet((12,))
    image = net.add("sc.reshape", [net.input], shape=[3, 2, 2], **net.layer())
    flow = dataflow(net.end(net.totals(image, 2, [1, 1, 3], [2, 2])))
    assert [type(engine) for engine in flow.engines][:1] == [LayoutEngine]


def residual(depth: int) -> FoldedNet:
    net = FoldedNet((2, 6, 6))
    main = net.input
    for _ in range(depth):
        main = net.levels(net.totals(main, 2, [1, 1, 18], [3, 3], pads=[1, 1, 1, 1]))
    total = net.add("sc.add", [main, net.input], "sum", **net.layer())
    net.end(net.levels(total))
    return net


def test_the_early_operand_waits_as_long_as_the_other_branch_lags():
    depths = []
    for depth in (1, 2, 3):
        (join,) = (e for e in dataflow(residual(depth).module).engines if isinstance(e, AddEngine))
        lag = min(depth * 7 * 2, 72)  # a row and a pixel for each 3x3 convolution
        assert join.depths[1] >= lag and join.depths[0] < join.depths[1]
        depths.append(join.depths[1])
    assert depths == sorted(depths)


def test_a_fifo_that_is_too_short_is_found_out():
    flow = dataflow(residual(2).module)
    (join,) = (e for e in flow.engines if isinstance(e, AddEngine))
    timing(flow)
    join.depths = [2, 8]
    with pytest.raises(Exception, match="block one another"):
        timing(flow)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_never_block(seed):
    flow = dataflow(RandomNet(seed).module)
    times = timing(flow, 5)
    steps = np.diff(times.done)
    assert (steps >= 1).all() and times.interval >= max(e.folding.working for e in flow.products)


def test_a_chain_is_as_fast_as_its_slowest_engine():
    net = FoldedNet((4, 8, 8))
    x = net.input
    for parallel in ([1, 4, 6], [1, 2, 9], [1, 4, 36]):
        x = net.levels(net.totals(x, 4, parallel, [3, 3], pads=[1, 1, 1, 1]))
    flow = dataflow(net.end(x))
    assert timing(flow, 4).interval == flow.slowest.cycles == flow.products[1].cycles


def test_compiled_times_are_those_of_the_plain_recurrences():
    code = """
from folded_nets import RandomNet
from sccc.dataflow import dataflow
from sccc.dataflow_timing import timing
for seed in range(12):
    print(timing(dataflow(RandomNet(seed).module), 3).done)
"""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "NUMBA_DISABLE_JIT": jit},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for jit in ("0", "1")
    ]
    assert printed[0] == printed[1] and printed[0].count("\n") == 12


def test_folded_or_not_is_a_matter_of_all_layers():
    net = FoldedNet((6,))
    hidden = net.levels(net.totals(net.input, 4, []))
    hidden = net.levels(net.totals(hidden, 4, [1, 1, 1]))
    module = net.end(net.totals(hidden, 4, []))
    with pytest.raises(SccError) as caught:
        is_folded(module)
    assert len(caught.value.diagnostics) == 2
    for op in sums(module):
        op.attributes["parallel"] = []
    assert not is_folded(module)
    for op in sums(module):
        op.attributes["parallel"] = [1, 1, 1]
    assert is_folded(module)
