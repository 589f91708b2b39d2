"""compensate-flips: what flips take off bipolar products is put back."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Spec, build, data

import sccc
from sccc.config import make_config
from sccc.evaluate import evaluate
from sccc.flip_compensation import compile_for_flips

SPEC = Spec(sizes=(12, 10, 4), options={"length": 1024, "encoding": "bipolar"}, negative_inputs=True)


@pytest.mark.parametrize("flips", (("operand",), ("product",), ("operand", "product")), ids="+".join)
def test_totals_have_the_size_that_they_have_without_flips(flips):
    source, x = build(SPEC), data(SPEC, 60)
    exact = evaluate(source, x)
    slopes = []
    for compensated in (False, True):
        config = make_config(SPEC.options)
        module = sccc.compile(source, config=config, calibration=x)
        if compensated:
            module = compile_for_flips(source, config, flip_rate=0.08, flips=flips, calibration=x)
        made = sccc.simulate(module, x, flip_rate=0.08, flips=flips).output
        centred = [v - v.mean(axis=0) for v in (made, exact)]
        slopes.append((centred[0] * centred[1]).sum() / (centred[1] ** 2).sum())
    assert slopes[0] < 0.8
    assert abs(slopes[1] - 1) < 0.08


def test_only_bipolar_products_are_compensated():
    source = build(Spec(sizes=(5, 3), options={}))
    with pytest.raises(sccc.SccError, match="only products of two bipolar streams"):
        compile_for_flips(source, make_config({"length": 16}), flip_rate=0.1)


def test_without_flips_nothing_changes():
    source, x = build(SPEC), data(SPEC, 20)
    config = make_config(SPEC.options)
    plain = sccc.compile(source, config=config, calibration=x)
    assert np.array_equal(
        sccc.simulate(plain, x).raw,
        sccc.simulate(compile_for_flips(source, config, flip_rate=0.0, calibration=x), x).raw,
    )
