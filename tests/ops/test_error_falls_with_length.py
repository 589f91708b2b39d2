"""The error of a dot product falls with the length of the streams, to nothing: no floor, and no worse than by chance.

Peers' errors stall (a floored operand stalls at 1.5), grow with the number of lanes (seeds that are neighbours) or compute
min(a, b) (the same seed); each of these fails here.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from nets import Spec, compiled

from sccc.backends.simulator import simulate
from sccc.evaluate import evaluate
from sccc.moments import lane_moments
from sccc.ops.arithmetic import PRODUCTS
from sccc.types import Encoding

LENGTHS = (16, 64, 256, 1024, 4096, 16384)
N, OUTPUTS, SAMPLES = 64, 6, 8


def errors(source: str, sharing: str, encoding: str, length: int) -> tuple[float, float]:
    """RMS error of the dot products of one layer, in units of the products, and what independent streams would give."""
    options = {"source": source, "sharing": sharing, "encoding": encoding, "length": length}
    spec = Spec((N, OUTPUTS), "tanh", "none", options, bias=False, seed=8)
    module = compiled(spec, calibrated=False)
    x = np.random.default_rng(5).random((SAMPLES, N))
    (dot,) = module.ops_named("sc.dot")
    seen = {}
    evaluate(module, x, lambda op, value: seen.update({op.result: value}) if op.result else None)
    error = simulate(module, x).raw / length - seen[dot.result]
    x_type, w_type = (v.type.encoding for v in dot.operands)
    product = PRODUCTS[x_type, w_type]
    _, variance = lane_moments(product, seen[dot.operands[0]][:, None], seen[dot.operands[1]], x_type, w_type)
    return float(np.sqrt(np.mean(error**2))), float(np.sqrt(variance.sum(axis=-1).mean() / length))


@pytest.mark.parametrize("encoding", ("signed", "bipolar"))
def test_one_low_discrepancy_pair_for_all_lanes(encoding):
    """Sobol, shared: always better than independent streams, and falling nearly as 1 / N."""
    rms, chance = zip(*(errors("sobol", "auto", encoding, length) for length in LENGTHS), strict=True)
    assert all(a < 0.9 * b for a, b in zip(rms, chance, strict=True))
    assert all(b < 0.6 * a for a, b in itertools.pairwise(rms))
    assert rms[-1] < rms[0] * 16 / 16384 * 10
    assert rms[-1] < 0.05 * chance[-1]


@pytest.mark.parametrize("encoding", ("signed", "bipolar"))
def test_an_lfsr_for_every_lane(encoding):
    """Random streams: within 1.1 of the prediction for independent ones or better, and falling as 1 / sqrt(N).

    An LFSR of 4 bits has 16 phases for 64 lanes: masks keep lanes of one phase apart.
    """
    rms, chance = zip(*(errors("lfsr", "none", encoding, length) for length in LENGTHS), strict=True)
    assert all(a < 1.1 * b for a, b in zip(rms, chance, strict=True)), (rms, chance)
    assert all(b < 0.85 * a for a, b in itertools.pairwise(rms)), rms
    assert rms[-1] < 1.5 * rms[0] / 32


def test_the_prediction_is_what_independent_bits_give():
    rng = np.random.default_rng(0)
    x, w = rng.random(N), rng.uniform(-1, 1, N)
    counts = ((rng.random((20000, N)) < x) & (rng.random((20000, N)) < np.abs(w))) @ np.sign(w)
    mean, variance = lane_moments(
        PRODUCTS[Encoding.UNIPOLAR, Encoding.SIGNED], x, w, Encoding.UNIPOLAR, Encoding.SIGNED
    )
    assert counts.var() == pytest.approx(variance.sum(), rel=0.05)
    assert counts.mean() == pytest.approx(mean.sum(), abs=0.15)
