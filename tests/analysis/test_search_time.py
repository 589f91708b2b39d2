"""A search for sources that fails says so soon, on the networks of the examples."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import sccc
from sccc.data import load_calibration
from sccc.diagnostics import SccError

EXAMPLE = Path(__file__).parents[2] / "examples" / "mnist_mlp"


@pytest.mark.parametrize(
    "options",
    (
        {"length": 64},
        {"length": 64, "source": "lfsr"},
        {"length": 32, "sharing": "max"},
        {"length": 32, "shorten": "yes"},
    ),
    ids=str,
)
def test_a_budget_that_nothing_keeps_is_refused_within_20_s_of_processor_time(options):
    model = sccc.load(EXAMPLE / "mnist_mlp_tanh.onnx")
    calibration = load_calibration(EXAMPLE / "mnist_sample.npz", model)
    began = time.process_time()
    with pytest.raises(SccError, match=r"layer 'fc1' cannot be kept within an error budget of 0\.0001"):
        sccc.compile(model, calibration=calibration, error_budget=1e-4, **options)
    assert time.process_time() - began < 20.0
