"""Compiled kernels on levels and totals give what numpy gives, whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest

from sccc.backends.simulator import integers, reference, simulate
from sccc.backends.simulator.integers import WIDE, Encoder, lanewise
from sccc.backends.simulator.layouts import Scratch
from sccc.expr import Var, clamp
from sccc.ir import Module
from sccc.ops import REGISTRY
from sccc.ops.source import input_levels

A, B, P = Var("a"), Var("b"), Var("p")


def an_input(**attributes):
    module = Module("m")
    return module.append("sc.input", [], {"shape": [3, 4], "name": "x", "bits": 5, **attributes}, result="x")


PLACES = (
    {},
    {"scale": 0.3, "offset": 0.1},
    {"scale": np.linspace(-2.0, 3.0, 12).reshape(3, 4), "offset": np.linspace(-1.0, 1.0, 12).reshape(3, 4)},
    {"largest": 20},
)


@pytest.mark.parametrize("encoding", ("unipolar", "bipolar", "signed"))
@pytest.mark.parametrize("place", range(len(PLACES)))
@pytest.mark.parametrize("kind", (np.float64, np.float32, np.float16, np.longdouble, np.uint8, np.int64, np.bool_))
def test_real_inputs_become_the_levels_that_the_op_states(encoding, place, kind):
    """Ties, values beyond the range and infinities among them."""
    op = an_input(encoding=encoding, **PLACES[place])
    x = np.random.default_rng(1).normal(0, 1, (40, 3, 4))
    x[:8] = np.arange(-48, 48).reshape(8, 3, 4) / 64
    if np.issubdtype(kind, np.floating):
        x[9, 0] = (np.inf, -np.inf, 0.0, -0.0)
    x = x.astype(kind)
    levels, holds_nan = Encoder(op).run(x, Scratch())
    assert levels.dtype == np.int16 and not holds_nan
    assert np.array_equal(levels, input_levels(op, x))


def test_nan_is_told():
    x = np.zeros((2, 3, 4))
    x[1, 2, 3] = np.nan
    assert Encoder(an_input(encoding="signed")).run(x, Scratch())[1]


@pytest.mark.parametrize("p", (3, np.arange(-3, 3).reshape(2, 3)))
@pytest.mark.parametrize("expression", (A + B * P, clamp((A * P) >> 2, -5, B), (A < B) & (P >= A)))
def test_expressions_lane_by_lane(expression, p):
    rng = np.random.default_rng(2)
    a, b = rng.integers(-50, 50, (7, 2, 3)), rng.integers(-50, 50, (1, 2, 3))
    for ranges in ({"a": (-50, 50), "b": (-50, 50)}, {"a": (-(1 << 20), 50), "b": (-50, 50)}, {"a": WIDE, "b": WIDE}):
        made = lanewise(expression, ranges, {"p": p, "unused": 1}, (2, 3))([a, b], Scratch())
        assert np.array_equal(made, expression.evaluate({"a": a, "b": b, "p": p}))


@pytest.mark.parametrize("padded", (False, True))
@pytest.mark.parametrize("expression", (clamp(A, B, 99), A + B))
def test_windows_are_folded_as_numpy_folds_them(expression, padded):
    rng = np.random.default_rng(3)
    x, taps = rng.integers(-9, 9, (5, 12)), rng.integers(0, 12, (4, 2, 3))
    if padded:
        taps[:2, 0, :2] = taps[3, 1, 2] = -1
    made = integers.fold(expression, taps, x, np.dtype(np.int16), Scratch(), "key")
    assert np.array_equal(made, reference.fold(expression, taps, x))


def test_rescaling_near_the_ends_of_64_bits():
    cell = REGISTRY["sc.rescale"].cell.result
    parameters = {"mult": (1 << 20) - 1, "shift": 40, "lo": -(1 << 40), "hi": 1 << 40}
    total = np.array([[(1 << 41) - 1, -(1 << 41), 0, -1, 1 << 20, 524289]])
    made = lanewise(cell, {"total": WIDE}, parameters, (6,))([total], Scratch())
    exact = [min(max(((int(t) * parameters["mult"] * 2 >> 40) + 1) >> 1, -(1 << 40)), 1 << 40) for t in total[0]]
    assert made.tolist() == [exact]


@pytest.mark.parametrize(("good", "bad"), (("np.rint(value * steps)", "np.floor(value * steps)"), ("+ 1.0", "+ 0.0")))
def test_a_wrong_kernel_is_noticed(build, make_net, monkeypatch, good, bad):
    from sccc.types import Encoding

    net = make_net(Encoding.BIPOLAR, Encoding.SIGNED, "accumulate", n=9, m=5)
    module, x = build(net), net.data(8)
    slow = simulate(module, x, kernels="numpy").raw
    assert np.array_equal(simulate(module, x).raw, slow)
    assert good in integers.ENCODE
    monkeypatch.setattr(integers, "ENCODE", integers.ENCODE.replace(good, bad))
    assert not np.array_equal(simulate(module, x).raw, slow)
