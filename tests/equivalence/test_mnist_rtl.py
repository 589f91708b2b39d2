"""The shipped MNIST network itself, every cycle of every layer, in Icarus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sccc

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mnist_mlp"


@pytest.mark.parametrize("network,options", [("tanh", {"length": 32}), ("tanh", {"length": 32, "style": "streaming"})])
def test_the_mnist_network_equals_the_simulator_on_two_images(network, options):
    data = np.load(EXAMPLE / "mnist_sample.npz")
    calibration, x = (data[name].reshape(-1, 784)[:count] / 255.0 for name, count in (("x_calib", 100), ("x_test", 2)))
    module = sccc.compile(EXAMPLE / f"mnist_mlp_{network}.onnx", calibration=calibration, **options)
    result = sccc.check(module, x)
    assert (result.samples, result.mismatches, result.first) == (2, 0, None)
    # Inputs, counts and (in streaming style) bits of 784-128-128-10 in each cycle of both windows.
    assert result.compared > 2 * options["length"] * (784 + 128 + 128)
