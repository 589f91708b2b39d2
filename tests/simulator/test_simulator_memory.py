"""Memory does not grow with the number of samples, but for what comes out."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from nets import Spec, compiled, data

from sccc.backends.simulator import Simulator

RUNS = {
    "accumulate": ({"length": 32}, {}),
    "streaming": ({"length": 32, "style": "streaming"}, {}),
    "numpy": ({"length": 32}, {"kernels": "numpy"}),
    "flips": ({"length": 32}, {"flip_rate": 0.05, "flips": ("operand", "state")}),
    "fixed": ({"style": "fixed"}, {}),
}


SPEC_SIZES = (100, 20, 4)


def peak(simulator: Simulator, x: np.ndarray) -> tuple[int, int]:
    """Bytes that a run holds at most beyond those before it, and what its result takes: integers, real units, and parts of them."""
    tracemalloc.start()
    try:
        result = simulator.run(x)
        return tracemalloc.get_traced_memory()[1], 2 * (result.raw.nbytes + result.output.nbytes)
    finally:
        tracemalloc.stop()


def peaks(options: dict[str, object], **more: object) -> tuple[int, int]:
    """Bytes for 200 samples and for 2000, but for what comes out."""
    spec = Spec(sizes=SPEC_SIZES, options=options)
    simulator = Simulator(compiled(spec), threads=1, batch=64, **more)
    simulator.run(data(spec, 200))  # tables and scratch are made once
    few, many = (peak(simulator, data(spec, samples)) for samples in (200, 2000))
    return few[0] - few[1], many[0] - many[1]


@pytest.mark.parametrize("name", RUNS)
def test_ten_times_the_samples_take_no_more_memory(name):
    options, more = RUNS[name]
    few, many = peaks(options, **more)
    assert many < 1.1 * few + 50_000


def test_a_run_that_keeps_its_values_is_noticed():
    """The measure itself: a trace of the first counts grows with the samples."""
    few, many = peaks({"length": 32}, trace=["fc0_count"])
    assert many > 5 * few


def test_the_batch_that_is_chosen_is_bounded():
    simulator = Simulator(compiled(Spec(sizes=SPEC_SIZES, options={"length": 32})), threads=1)
    assert simulator._batch_size(10**7) == simulator._batch_size(10**5) <= 512
