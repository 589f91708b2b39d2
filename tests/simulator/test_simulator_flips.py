"""Bit flips: as often as asked, the same for both engines, and where they belong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sccc.backends.simulator import simulate
from sccc.backends.simulator.flips import FlipSource, flip_bits, flip_packed
from sccc.backends.simulator.layouts import pack
from sccc.types import Encoding

UNIPOLAR, BIPOLAR, SIGNED = Encoding.UNIPOLAR, Encoding.BIPOLAR, Encoding.SIGNED


def flips_of(rate: float, lanes: int, length: int, **key: int) -> np.ndarray:
    drawn = FlipSource(rate, key.get("seed", 1)).draw(key.get("sample", 0), key.get("op", 3), 0, lanes, length)
    return flip_bits(np.zeros((lanes, length), dtype=np.uint8), drawn)


@pytest.mark.parametrize("rate", (0.001, 0.05, 0.3, 0.49, 0.5))
@pytest.mark.parametrize("length", (64, 100))
def test_rate(rate, length):
    lanes = 5000
    flips = flips_of(rate, lanes, length)
    variance = rate * (1 - rate)
    assert abs(flips.mean() - rate) < 5 * math.sqrt(variance / flips.size)
    assert np.all(np.abs(flips.mean(axis=0) - rate) < 6 * math.sqrt(variance / lanes))
    spread = flips.sum(axis=1).var() / (length * variance)  # 1 when the bits of a lane are independent
    assert abs(spread - 1) < 5 * math.sqrt((2 + 1 / (length * variance)) / lanes)
    pairs = (flips[:, 1:] & flips[:, :-1]).mean() - rate**2
    assert abs(pairs) < 6 * rate / math.sqrt(flips.size)


def test_every_sample_operation_and_seed_has_its_own():
    base = flips_of(0.2, 50, 64)
    assert np.array_equal(base, flips_of(0.2, 50, 64))
    for other in ({"sample": 1}, {"op": 4}, {"seed": 2}):
        agreement = (base == flips_of(0.2, 50, 64, **other)).mean()
        assert abs(agreement - (0.2**2 + 0.8**2)) < 0.05


@pytest.mark.parametrize("rate", (0.05, 0.4, 0.5))
@pytest.mark.parametrize("length", (1, 48, 64, 65, 100))
def test_packed_and_plain_bits_flip_alike(rate, length):
    bits = np.random.default_rng(0).integers(0, 2, (300, length), dtype=np.uint8)
    source = FlipSource(rate, 7)
    plain = flip_bits(bits, source.draw(2, 1, 0, 300, length))
    packed = flip_packed(pack(bits), length, source.draw(2, 1, 0, 300, length))
    assert np.array_equal(pack(plain), packed)


def test_pieces_of_a_large_tensor(monkeypatch):
    from sccc.backends.simulator import flips

    monkeypatch.setattr(flips, "BITS_PER_DRAW", 640)
    made = flips_of(0.1, 2000, 64)
    assert abs(made.mean() - 0.1) < 5 * math.sqrt(0.09 / made.size)
    assert abs(made[:10].mean() - made[10:20].mean()) > 0  # pieces are not copies of one another


@pytest.mark.parametrize("machine", ("accumulate", "relu"))
@pytest.mark.parametrize("product", ((UNIPOLAR, SIGNED), (BIPOLAR, BIPOLAR), (SIGNED, SIGNED), (UNIPOLAR, BIPOLAR)))
def test_engines_flip_alike(build, make_net, product, machine):
    net = make_net(*product, machine, n=9, m=5, length=48, offset=True)
    module, x = build(net), net.data(3)
    runs = [simulate(module, x, flip_rate=0.1, kernels=kernels, trace=["xs", "y"]) for kernels in ("numba", "numpy")]
    assert np.array_equal(runs[0].raw, runs[1].raw)
    assert np.array_equal(runs[0].trace["y"], runs[1].trace["y"])
    assert not np.array_equal(runs[0].trace["y"], simulate(module, x, trace=["y"]).trace["y"])


@pytest.mark.parametrize("rate", (0.05, 0.5))
def test_streams_between_layers_flip_too(build_deep, make_net, rate):
    net = make_net(UNIPOLAR, SIGNED, "relu", n=9, m=70, length=48)
    module, x = build_deep(net), net.data(3)
    runs = [simulate(module, x, flip_rate=rate, kernels=kernels, trace="all") for kernels in ("numba", "numpy")]
    for name, values in runs[0].trace.items():
        assert np.array_equal(values, runs[1].trace[name])
    assert np.array_equal(simulate(module, x, flip_rate=rate).raw, runs[0].raw)


@pytest.mark.parametrize("kernels", ("numba", "numpy"))
def test_rate_at_the_gates(build, make_net, kernels):
    """All x bits are 0 and all w bits 1: after flips with rate p a product is 1 with probability p (1 - p)."""
    net = make_net(UNIPOLAR, UNIPOLAR, "accumulate", n=40, m=20, length=64)
    module = build(net)
    module.value("weights").op.attributes["levels"] = np.full((20, 40), 32)
    module.value("y").op.attributes["initial"] = 0
    p, samples = 0.1, 10
    result = simulate(module, np.zeros((samples, 40)), flip_rate=p, kernels=kernels, trace=["xs"])
    assert not result.trace["xs"].any()  # a trace shows the stream before it reaches the faulty wires
    mean = result.raw.sum() / result.bit_products
    spread = math.sqrt(p * (1 - p) / (samples * 40 * 64))  # x's flips are shared by all outputs
    assert abs(mean - p * (1 - p)) < 5 * spread


def test_signs_do_not_flip_and_rate_0_changes_nothing(build, make_net):
    net = make_net(UNIPOLAR, SIGNED, "accumulate", n=9, m=5)
    module, x = build(net), net.data(6)
    assert np.array_equal(simulate(module, x, flip_rate=0.0).raw, simulate(module, x).raw)
    levels = module.value("weights").op.attributes["levels"]
    levels[:] = -np.abs(levels)
    module.value("y").op.attributes["initial"] = 0
    assert simulate(module, x, flip_rate=0.3).raw.max() <= 0
