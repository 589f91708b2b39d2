"""Folded netlists in Icarus: every transfer of every engine is what the simulator computes, which unfolded netlists equal too."""

from __future__ import annotations

import numpy as np
import pytest
from folded_nets import FoldedNet, RandomNet
from image_nets import ENCODINGS, NETWORKS, WINDOWS, data

import sccc
from sccc import check
from sccc.backends.verilog import emit_netlist
from sccc.backends.verilog.folded.netlist import emit_folded
from sccc.dataflow import dataflow
from sccc.ir import Module
from sccc.verify import verify

AT_ONCE = {
    "plain": [2, 5],
    "pads and strides": [3, 8],
    "dilations": [4, 24],
    "groups": [2, 7],
    "wide pads": [1, 1],
}
"""Outputs and lanes that an engine takes at once, for each window."""


def assert_bits(module: Module, x: np.ndarray, cycles: int = 0, **more: object) -> None:
    """Compares everything that engines put out, and when; every lane of every sample must have come."""
    verify(module)
    netlist = emit_folded(module, dataflow(module, cycles)) if cycles else emit_netlist(module)
    result = check(module, x, netlist=netlist, **more)  # type: ignore[arg-type]
    lanes = sum(len(watch.order) for watch in netlist.watches)  # type: ignore[union-attr]
    assert (result.mismatches, result.first) == (0, None)
    assert result.compared == len(x) * (lanes + 1)


@pytest.mark.parametrize("window", AT_ONCE)
@pytest.mark.parametrize(("x", "w"), [*ENCODINGS, ("signed", "unipolar")])
def test_convolutions_of_streams(x, w, window):
    attributes, at_once = WINDOWS[window], AT_ONCE[window]
    net = FoldedNet((4, 5, 4), x, w)
    module = net.end(
        net.totals(
            net.input, 4, [1, min(at_once[0], 4 // attributes.get("groups", 1)), at_once[1]], [3, 2], **attributes
        )
    )
    assert_bits(module, net.data())


@pytest.mark.parametrize("x", ["unipolar", "signed"])
@pytest.mark.parametrize("window", AT_ONCE)
def test_convolutions_of_numbers(x, window):
    attributes, at_once = WINDOWS[window], AT_ONCE[window]
    net = FoldedNet((4, 5, 4), x, fixed=True)
    parallel = [1, min(at_once[0], 4 // attributes.get("groups", 1)), at_once[1]]
    assert_bits(net.end(net.totals(net.input, 4, parallel, [3, 2], **attributes)), net.data())


@pytest.mark.parametrize("parallel", [[1, 1, 1], [1, 2, 4], [2, 2, 3], [3, 2, 2], [5, 2, 6]])
@pytest.mark.parametrize("fixed", [False, True])
def test_depthwise_convolutions(parallel, fixed):
    """Groups at once that divide the channels, that do not, and all of them; two outputs a group."""
    net = FoldedNet((5, 4, 3), "signed", fixed=fixed)
    total = net.totals(net.input, 10, parallel, [2, 3], groups=5, pads=[1, 1, 0, 1])
    assert_bits(net.end(net.levels(total, net.rng.integers(1, 6, (10, 1, 1)))), net.data())


@pytest.mark.parametrize("parallel", [[1, 1, 1], [1, 3, 5], [1, 4, 4], [1, 5, 11]])
@pytest.mark.parametrize(("x", "w", "source"), [("unipolar", "signed", "lfsr"), ("bipolar", "bipolar", "ramp")])
def test_dense_layers(x, w, source, parallel):
    net = FoldedNet((11,), x, w, source=source, length=13)
    hidden = net.levels(net.totals(net.input, 5, parallel), table=True)
    assert_bits(net.end(net.totals(hidden, 3, [1, 2, 2])), net.data(4))


@pytest.mark.parametrize("initial", [7, (3, 1, 1), (3, 4, 4)])
def test_start_values_for_all_lanes_for_channels_and_for_every_lane(initial):
    net = FoldedNet((2, 4, 4))
    values = initial if isinstance(initial, int) else net.rng.integers(-20, 20, initial)
    total = net.totals(net.input, 3, [1, 2, 9], [3, 3], values, pads=[1, 1, 1, 1])
    assert_bits(net.end(total), net.data())


@pytest.mark.parametrize("x", ["unipolar", "signed", "bipolar"])
@pytest.mark.parametrize("op", ["sc.max_pool", "sc.sum_pool"])
def test_pooling(op, x):
    net = FoldedNet((4, 5, 6), x, "bipolar" if x == "bipolar" else "signed")
    window = {"kernel": [2, 3], "strides": [2, 1], "pads": [1, 1, 0, 1], "dilations": [2, 1]}
    pooled = net.add(op, [net.input], "pooled", **window, **net.layer())
    pooled = net.levels(pooled, 3) if op == "sc.sum_pool" else pooled
    assert_bits(net.end(net.totals(pooled, 2, [1, 1, 4], [1, 1])), net.data(), cycles=60)


@pytest.mark.parametrize("fixed", [False, True])
def test_branches_that_meet_again_with_levels_of_different_bits(fixed):
    net = FoldedNet((2, 5, 5), fixed=fixed)
    main = net.levels(net.totals(net.input, 2, [1, 1, 9], [3, 3], pads=[1, 1, 1, 1]))
    main = net.levels(net.totals(main, 2, [1, 2, 5], [3, 3], pads=[1, 1, 1, 1]))
    net.bits, net.top = 5, (1 << 5) - fixed
    layer = net.layer()
    finer = net.add(
        "sc.rescale", [net.add("sc.add", [main, main], mult_a=2, mult_b=1, **layer)], shift=0, lo=0, hi=net.top, **layer
    )
    finer = net.add("sc.level", [finer], encoding="unipolar", bits=5, **layer)
    total = net.add(
        "sc.add", [net.input, finer], "sum", mult_a=4, mult_b=net.rng.integers(1, 3, (2, 1, 1)), **net.layer()
    )
    net.bits, net.top = 3, (1 << 3) - fixed
    assert_bits(net.end(net.totals(net.levels(total), 3, [1, 3, 2], [1, 1])), net.data())


LAYOUTS = {
    "sc.pad": {"pads": [1, 0, 2, 0, 1, 1], "level": 5},
    "sc.slice": {"starts": [1, 0, 1], "stops": [4, 3, 5], "steps": [2, 1, 2]},
    "sc.upsample": {"factors": [2, 3]},
    "sc.transpose": {"perm": [1, 2, 0]},
    "sc.reshape": {"shape": [5, 6, 2]},
    "sc.concat": {"axis": 0},
}


@pytest.mark.parametrize("op", LAYOUTS)
@pytest.mark.parametrize("reader", ["conv", "dense"])
def test_lanes_that_are_moved(op, reader):
    net = FoldedNet((4, 3, 5), "signed")
    first = net.levels(net.totals(net.input, 4, [1, 2, 4], [1, 1]))
    operands = [first, net.input] if op == "sc.concat" else [first]
    moved = net.add(op, operands, "moved", **LAYOUTS[op], **net.layer())
    if reader == "dense":
        flat = net.add("sc.reshape", [moved], shape=[moved.type.lanes], **net.layer())
        assert_bits(net.end(net.totals(flat, 2, [1, 2, 6])), net.data())
    else:
        assert_bits(net.end(net.totals(moved, 2, [1, 1, 2], [2, 2])), net.data())


@pytest.mark.parametrize("cycles", [1, 20, 100_000])
def test_links_of_any_width(cycles):
    net = FoldedNet((6, 4, 4), fixed=True)
    x = net.levels(net.totals(net.input, 6, [1, 6, 6], [1, 1]))
    x = net.add("sc.max_pool", [x], kernel=[2, 2], strides=[2, 2], **net.layer())
    x = net.levels(net.totals(x, 6, [6, 1, 9], [3, 3], groups=6, pads=[1, 1, 1, 1]))
    module = net.end(net.totals(net.add("sc.reshape", [x], shape=[24], **net.layer()), 4, [1, 2, 12]))
    widest = max(link.beat for link in dataflow(module, cycles).links)
    assert widest == {1: 6, 20: 6, 100_000: 1}[cycles]
    assert_bits(module, net.data(4), cycles)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("options", [{}, {"style": "fixed"}, {"encoding": "bipolar", "source": "lfsr"}])
def test_whole_networks_folded_and_not(name, options):
    if "encoding" in options and name in ("residual", "mobile"):
        options = {"encoding": "signed", "source": "lfsr"}  # bipolar levels are not added
    network = NETWORKS[name]()
    x = data(network, 3)
    compiled = [
        sccc.compile(network, calibration=data(network, 20), length=8, **more, **options)
        for more in ({}, {"multipliers": 60})
    ]
    unfolded, folded = compiled
    assert (check(unfolded, x[:2]).mismatches, emit_netlist(folded).files != {}) == (0, True)
    assert_bits(folded, x)
    assert_bits(folded, x[:2], stalled=True)
    outputs = [sccc.simulate(module, x).raw for module in compiled]
    assert np.array_equal(*outputs)


@pytest.mark.parametrize("seed", range(24))
def test_random_networks(seed):
    net = RandomNet(seed)
    assert_bits(net.module, net.net.data(3), cycles=[0, 1, 50][seed % 3], stalled=seed % 4 == 3)


def test_a_class_is_the_output():
    net = FoldedNet((9,))
    assert_bits(net.end(net.totals(net.input, 7, [1, 2, 3]), argmax=True), net.data(6))
