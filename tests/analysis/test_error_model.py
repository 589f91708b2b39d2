"""Predicted errors against brute force: bit loops that share nothing with the tables."""

from __future__ import annotations

import numpy as np
import pytest
from nets import one_layer

from sccc import error_model
from sccc.correlation import Randomness
from sccc.error_model import Assignment, layer_error
from sccc.joint import joint_counts, pair_error, product_deviation
from sccc.judged_layer import ideal_levels, signal_deviation
from sccc.sources import lfsr, ramp, scrambled, sobol
from sccc.types import Encoding

BITS, N, LANES, OUTPUTS, SAMPLES = 4, 16, 6, 3, 40


def levels(encoding: str, shape, rng, bits=BITS) -> np.ndarray:
    return rng.integers(Encoding(encoding).minimum_level(bits), (1 << bits) + 1, size=shape)


def objects(items, shape) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)


def brute_totals(x, w, x_encoding, w_encoding, x_random, w_random, length) -> np.ndarray:
    """Totals [samples, outputs], by the truth tables of the multipliers."""
    totals = np.zeros((len(x), len(w)), dtype=int)
    for s, j, i in np.ndindex(len(x), *w.shape):
        xr, wr = x_random[i].sequence(length), w_random[j, i].sequence(length)
        xb, wb = (abs(x[s, i]) > xr).astype(int), (abs(w[j, i]) > wr).astype(int)
        xv = 2 * xb - 1 if x_encoding == "bipolar" else np.where(x[s, i] < 0, -xb, xb)
        wv = 2 * wb - 1 if w_encoding == "bipolar" else np.where(w[j, i] < 0, -wb, wb)
        totals[s, j] += (xv * wv).sum()
    return totals


def number(levels, encoding, bits=BITS):
    return levels / 2**bits * 2 - 1 if encoding == "bipolar" else levels / 2**bits


PAIRS = (
    ("unipolar", "signed"),
    ("signed", "signed"),
    ("bipolar", "bipolar"),
    ("bipolar", "signed"),
    ("unipolar", "unipolar"),
)
SOURCES = {
    "shared": ([Randomness(sobol(BITS, 0))], [Randomness(sobol(BITS, 2))]),
    "masked": ([Randomness(ramp(BITS))], [Randomness(sobol(BITS, 0), mask) for mask in (0, 8, 4, 12, 2, 10)]),
    "lfsr": ([Randomness(lfsr(BITS, BITS, 3))], [Randomness(lfsr(BITS, BITS, 9, 9))]),
    "each": (
        [Randomness(scrambled(BITS, 16 * k), k) for k in range(LANES)],
        [Randomness(scrambled(BITS, 16 * k + 1), k % 16) for k in range(LANES * OUTPUTS)],
    ),
}


@pytest.mark.parametrize("encodings", PAIRS, ids=" x ".join)
@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.parametrize("length", (N, 11, 40))
def test_fixed_sources_are_exact(encodings, sources, length):
    rng = np.random.default_rng(7)
    x, w = levels(encodings[0], (SAMPLES, LANES), rng), levels(encodings[1], (OUTPUTS, LANES), rng)
    module = one_layer(*encodings, w, length, BITS)
    xr, wr = SOURCES[sources]
    shapes = (
        ((), (1, LANES)) if sources == "masked" else ((LANES,), (OUTPUTS, LANES)) if sources == "each" else ((), ())
    )
    assignment = Assignment(objects(xr, shapes[0]), objects(wr, shapes[1]))
    predicted = layer_error(module.ops_named("sc.dot")[0], x, assignment)
    spread = np.broadcast_to(assignment.x, (LANES,)), np.broadcast_to(assignment.w, (OUTPUTS, LANES))
    totals = brute_totals(x, w, *encodings, *spread, length)
    error = totals - length * number(x, encodings[0]) @ number(w, encodings[1]).T
    np.testing.assert_allclose(predicted.bias, error.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(predicted.variance, error.var(axis=0), atol=1e-9)
    assert predicted.rms == pytest.approx(np.sqrt((error**2).mean()))
    assert predicted.residual == pytest.approx(np.sqrt(((error - error.mean(axis=0)) ** 2).mean()))


def test_the_modules_own_sources_are_the_default():
    rng = np.random.default_rng(1)
    x, w = levels("unipolar", (9, LANES), rng), levels("signed", (OUTPUTS, LANES), rng)
    (dot,) = one_layer(
        "unipolar", "signed", w, N, BITS, sources=({"index": 3}, {"kind": "lfsr", "index": 5})
    ).ops_named("sc.dot")
    given = Assignment(objects([Randomness(sobol(BITS, 3))], ()), objects([Randomness(lfsr(BITS, BITS, 5))], ()))
    assert layer_error(dot, x).rms == layer_error(dot, x, given).rms


@pytest.mark.parametrize(
    "encodings", (("unipolar", "signed"), ("bipolar", "bipolar"), ("bipolar", "signed")), ids=" x ".join
)
@pytest.mark.parametrize("kind", ("lfsr", "scrambled", "x shared"))
def test_lanes_with_sources_of_their_own_as_an_ensemble(encodings, kind, monkeypatch):
    """Within 15 % of the exact tables, averaged over outputs, though only a sample of the pairs is looked at."""
    rng = np.random.default_rng(2)
    bits, length, m, n = 5, 32, 40, 24
    x, w = levels(encodings[0], (50, n), rng, bits), levels(encodings[1], (m, n), rng, bits)
    (dot,) = one_layer(*encodings, w, length, bits).ops_named("sc.dot")
    make = (lambda k: scrambled(bits, 16 * int(k))) if kind == "scrambled" else (lambda k: lfsr(bits, bits, int(k)))
    other = (lambda k: scrambled(bits, 16 * int(k) + 1)) if kind == "scrambled" else make
    mask = (lambda k: int(k) % 32) if kind == "scrambled" else (lambda k: 0)
    xs = [Randomness(make(k), mask(k)) for k in rng.integers(1000, size=1 if kind == "x shared" else n)]
    ws = [Randomness(other(k), mask(k)) for k in rng.integers(1000, size=m * n)]
    assignment = Assignment(objects(xs, () if kind == "x shared" else (n,)), objects(ws, (m, n)))
    exact = layer_error(dot, x, assignment).rms
    monkeypatch.setattr(error_model, "EXACT_PAIRS", 0)
    assert layer_error(dot, x, assignment).rms == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("x_encoding", ("unipolar", "bipolar"))
@pytest.mark.parametrize("w_encoding", ("signed", "bipolar"))
def test_independent_bits(x_encoding, w_encoding):
    """Where a state machine makes x: against many draws of random bits."""
    rng = np.random.default_rng(4)
    w = levels(w_encoding, (OUTPUTS, LANES), rng)
    (dot,) = one_layer(x_encoding, w_encoding, w, N, BITS).ops_named("sc.dot")
    x = rng.random((4, LANES)) * (2 if x_encoding == "bipolar" else 1) - (x_encoding == "bipolar")
    random = Randomness(sobol(BITS, 1), 5)
    predicted = layer_error(dot, x, Assignment(None, objects([random], ())))
    p = (x + 1) / 2 if x_encoding == "bipolar" else x
    drawn = (rng.random((4000, 4, LANES, N)) < p[..., None]).astype(np.int8)
    xv = 2 * drawn - 1 if x_encoding == "bipolar" else drawn
    wb = (np.abs(w)[..., None] > random.sequence(N)).astype(int)
    wv = 2 * wb - 1 if w_encoding == "bipolar" else np.sign(w)[..., None] * wb
    error = np.einsum("dsnt,mnt->dsm", xv, wv) - N * x @ number(w, w_encoding).T
    assert predicted.rms == pytest.approx(np.sqrt((error**2).mean()), rel=0.02)
    np.testing.assert_allclose(predicted.bias, error.mean(axis=(0, 1)), atol=0.1)
    np.testing.assert_allclose(predicted.variance, error.var(axis=(0, 1)), rtol=0.05)


def test_joint_counts_are_counts():
    a, b = Randomness(sobol(3, 1)), Randomness(lfsr(3, 3, 2), 5)
    ra, rb = a.sequence(13), b.sequence(13)
    counts = joint_counts(a, b, 3, 13, 3)
    for lx, lw in np.ndindex(9, 9):
        assert counts[lx, lw] == sum((x < lx) & (y < lw) for x, y in zip(ra, rb, strict=True))


def test_wide_levels_are_looked_up_at_a_lower_resolution():
    a, b = Randomness(sobol(12, 0)), Randomness(sobol(12, 1))
    table = product_deviation(a, b, 12, 4096, Encoding.UNIPOLAR, Encoding.SIGNED)
    assert table.shape == (1025, 2049)
    assert table[1024, 2048] == table[0, 3] == 0
    ra, rb = a.sequence(4096), b.sequence(4096)
    assert table[200, 1024 + 37] == ((ra < 800) & (rb < 37 * 4)).sum() - 4096 * 800 * 148 / 2**24
    assert table[200, 1024 - 37] == -table[200, 1024 + 37]


def test_a_ramp_cut_short_is_a_large_error_though_its_streams_are_independent():
    a, b = Randomness(ramp(5)), Randomness(sobol(5, 0))
    assert pair_error(a, b, 5, 32) < 0.5
    assert pair_error(a, b, 5, 20) > 1.0
    assert pair_error(a, a, 5, 32) > 1.0


def test_levels_and_deviation_of_the_ideal_network():
    rng = np.random.default_rng(6)
    w = levels("signed", (OUTPUTS, LANES), rng)
    module = one_layer("bipolar", "signed", w, N, BITS)
    x = rng.random((30, LANES)) * 2 - 1
    (dot,) = module.ops_named("sc.dot")
    found = ideal_levels(module, x)[dot]
    assert np.array_equal(found, np.rint((x + 1) / 2 * 16))
    ideal = N * (found / 8 - 1) @ (w / 16).T
    assert signal_deviation(dot, found) == pytest.approx(np.sqrt(ideal.var(axis=0).mean()))
