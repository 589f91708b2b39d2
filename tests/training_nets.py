"""Random dense networks for the tests of learning on chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sccc.ir import Module
from sccc.training_bench import network

EXAMPLE = Path(__file__).parents[1] / "examples" / "train_on_chip"
MODEL, DIGITS = EXAMPLE / "digits_64_16_10.onnx", EXAMPLE / "digits.npz"


def random_network(sizes: tuple[int, ...], seed: int = 1, function: str = "tanh") -> Module:
    """A network with random weights; hidden layers have this activation."""
    module, random = network(sizes), np.random.default_rng(seed)
    for op in module.ops_named("nn.layer"):
        shape = op.attributes["weight"].shape
        op.attributes["weight"] = random.uniform(-0.6, 0.6, shape)
        op.attributes["bias"] = random.uniform(-0.3, 0.3, shape[0])
        if op.attributes["function"] == "tanh":
            op.attributes["function"] = function
    return module
