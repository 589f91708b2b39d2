"""Small networks, data and training modules for the tests of learning on chip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from training_nets import DIGITS, MODEL

from sccc.api import load
from sccc.data import Data
from sccc.ir import Module
from sccc.learning_options import TrainingOptions
from sccc.training import layered, training_module


@pytest.fixture(scope="session")
def digits() -> tuple[Data, Data]:
    """Training and test samples of the digits."""
    with np.load(DIGITS) as archive:
        parts = [(archive[f"x_{s}"] / np.float32(255), archive[f"y_{s}"]) for s in ("train", "test")]
    return Data(*parts[0]), Data(*parts[1])


@pytest.fixture(scope="session")
def digits_network() -> Module:
    return layered(load(MODEL))


@pytest.fixture(scope="session")
def learning(digits_network: Module, digits: tuple[Data, Data]) -> Callable[..., Module]:
    """The digits network as a training module, with options of `TrainingOptions`."""
    return lambda **options: training_module(digits_network, TrainingOptions(**options), digits[0].x)
