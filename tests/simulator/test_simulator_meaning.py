"""What the simulator computes, against a naive evaluation in numbers that shares no code with it.

A stream's bit stands for a number in each cycle: 0 or 1, -1 or 1 when bipolar, 0 or +-1 when signed. A count is the
plain sum of products of these numbers, whatever gates compute it.
"""

from __future__ import annotations

import numpy as np
import pytest

from sccc.backends.simulator import Simulator, simulate
from sccc.ops.arithmetic import PRODUCTS
from sccc.ops.source import input_levels
from sccc.types import Encoding

UNIPOLAR, BIPOLAR, SIGNED = Encoding.UNIPOLAR, Encoding.BIPOLAR, Encoding.SIGNED


def numbers(bits: np.ndarray, levels: np.ndarray, encoding: Encoding) -> np.ndarray:
    bits = bits.astype(np.int64)
    if encoding is BIPOLAR:
        return 2 * bits - 1
    return bits * np.sign(levels)[..., None] if encoding is SIGNED else bits


def walk(machine: str, count: list[int], first: int, second: int) -> list[int]:
    """The output bits of one state machine, in plain Python: (states, -) or (threshold, depth)."""
    bits = []
    state = first // 2
    for step in count:
        state += step
        if machine == "relu":
            bits.append(int(state >= first))
            state = min(max(state - first * bits[-1], -second), first - 1)
        else:
            state = min(max(state, 0), first - 1)
            bits.append(int(state >= first // 2))
    return bits


def naive_counts(module, result, net):
    """Counts [samples, m, cycles] from the traced streams and levels."""
    trace = result.trace
    x = numbers(trace["xs"], trace["x"], net.x)
    w = numbers(trace["ws"][0], module.value("weights").op.attributes["levels"], net.w)
    return np.einsum("sit,jit->sjt", x, w)


@pytest.mark.parametrize("kernels", ("numba", "numpy"))
@pytest.mark.parametrize("product", PRODUCTS, ids=lambda pair: "-".join(e.value for e in pair))
def test_counts_are_sums_of_products(build, make_net, kernels, product):
    net = make_net(*product, "accumulate", "masked", n=7, m=3, length=48)
    module = build(net)
    result = simulate(module, net.data(3), trace=["x", "xs", "ws", "count"], kernels=kernels)
    counts = naive_counts(module, result, net)
    assert np.array_equal(result.trace["count"], counts)
    initial = module.value("y").op.attributes["initial"]
    assert np.array_equal(result.raw, counts.sum(axis=2) + initial)
    assert np.array_equal(simulate(module, net.data(3), kernels=kernels).raw, result.raw)


@pytest.mark.parametrize("kernels", ("numba", "numpy"))
@pytest.mark.parametrize("machine", ("btanh", "sigmoid", "relu"))
def test_state_machines(build, make_net, kernels, machine):
    net = make_net(UNIPOLAR, SIGNED, machine, n=7, m=3, length=65, offset=True)
    module = build(net)
    x = net.data(3)
    result = simulate(module, x, trace=["x", "xs", "ws", "count", "biased", "fraction", "y"], kernels=kernels)
    attributes = module.value("y").op.attributes
    names = ("threshold", "depth") if machine == "relu" else ("states", "states")
    parameters = [np.broadcast_to(attributes[name], net.m) for name in names]
    signs = np.sign(module.value("fraction").op.operands[0].op.attributes["levels"])
    bias = module.value("biased").op.attributes["whole"][:, None] + result.trace["fraction"][0] * signs[:, None]
    counts = naive_counts(module, result, net) + bias
    assert np.array_equal(result.trace["biased"], counts)
    for s in range(len(x)):
        for j in range(net.m):
            bits = walk(machine, counts[s, j].tolist(), int(parameters[0][j]), int(parameters[1][j]))
            assert result.trace["y"][s, j].tolist() == bits
    untraced = simulate(module, x, kernels=kernels)
    assert np.array_equal(untraced.raw, result.trace["y"].sum(axis=2, dtype=np.int64))


@pytest.mark.parametrize("sources", ("sobol", "masked", "scrambled", "ramp"))
@pytest.mark.parametrize("encoding", (UNIPOLAR, BIPOLAR, SIGNED))
def test_over_a_period_a_stream_is_its_level(build, make_net, sources, encoding):
    w = {UNIPOLAR: SIGNED, BIPOLAR: BIPOLAR, SIGNED: SIGNED}[encoding]
    net = make_net(encoding, w, "accumulate", sources, n=9, m=4, length=64, bits=6)
    module = build(net)
    result = simulate(module, net.data(5), trace=["x", "xs", "ws"])
    assert np.array_equal(result.trace["x"], input_levels(module.inputs[0], net.data(5)))
    assert np.array_equal(result.trace["xs"].sum(axis=-1), np.abs(result.trace["x"]))
    assert np.array_equal(result.trace["ws"][0].sum(axis=-1), np.abs(module.value("weights").op.attributes["levels"]))


def test_streams_of_an_lfsr_are_exactly_their_levels_over_a_period(build, make_net):
    net = make_net(UNIPOLAR, UNIPOLAR, "accumulate", "lfsr", n=9, m=2, length=1024, bits=6)
    result = simulate(build(net), net.data(4), trace=["x", "xs"])
    ones = result.trace["xs"].sum(axis=-1, dtype=np.int64)
    assert np.array_equal(ones, 16 * result.trace["x"])


@pytest.mark.parametrize("kernels", ("numba", "numpy"))
def test_inner_values_fit_together(build_deep, make_net, kernels):
    net = make_net(SIGNED, SIGNED, "accumulate", n=9, m=6, length=48)
    module = build_deep(net)
    trace = simulate(module, net.data(4), trace="all", kernels=kernels).trace
    initial = module.value("y").op.attributes["initial"]
    assert np.array_equal(trace["y"], initial + trace["count"].sum(axis=2))
    assert np.array_equal(trace["scaled"], np.clip(np.floor(trace["y"] * 3 / 16 + 0.5), -6, 7))
    table = module.value("level").op.attributes["table"]
    assert np.array_equal(trace["level"], table[trace["scaled"] + 6])
    source = module.value("hs").op.operands[1].name
    random = simulate(module, net.data(1), trace=source).trace[source]
    assert random.shape == (48,)
    assert np.array_equal(trace["hs"], np.abs(trace["level"])[..., None] > random)
    assert np.array_equal(trace["best"], np.argmax(trace["y_2"], axis=1))
    assert "ws" not in trace and "weights" not in trace


def test_output_in_real_units(build, make_net):
    for machine, encoding in (("btanh", BIPOLAR), ("relu", UNIPOLAR)):
        net = make_net(UNIPOLAR, SIGNED, machine, length=50)
        result = simulate(build(net), net.data(6), trace=["y"])
        ones = result.trace["y"].mean(axis=-1)
        assert np.allclose(result.output, 0.5 * (2 * ones - 1 if encoding is BIPOLAR else ones))
        assert np.array_equal(result.raw, result.trace["y"].sum(axis=-1, dtype=np.int64))


@pytest.mark.parametrize("what", ("x", "xs", "count", "y"))
def test_any_value_may_be_the_output(build, make_net, what):
    net = make_net(SIGNED, SIGNED, "accumulate", n=4, m=4, length=40)
    module = build(net)
    module.outputs[0].operands[0] = module.value(what)
    fast, slow = (simulate(module, net.data(3), kernels=kernels) for kernels in ("numba", "numpy"))
    assert np.array_equal(fast.raw, slow.raw) and fast.output.shape == (3, 4)
    full = simulate(build(net), net.data(3), trace=["x", "xs", "count", "y"]).trace
    reals = {
        "x": full["x"] / 32,
        "xs": full["xs"].mean(axis=-1) * np.sign(full["x"]),
        "count": full["count"].mean(axis=-1),
        "y": full["y"],
    }
    assert np.allclose(fast.output, 0.5 * reals[what])


def test_products_of_bits_are_counted(build_deep, make_net):
    net = make_net(SIGNED, SIGNED, "accumulate", n=9, m=6, length=48)
    simulator = Simulator(build_deep(net))
    assert simulator.run(net.data(7)).bit_products == 7 * 48 * (9 * 6 + 6 * 2)
