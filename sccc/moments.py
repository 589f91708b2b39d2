"""Mean and variance of what a product lane adds to a count, derived from the product's own expressions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from sccc.cells import Product
from sccc.types import Encoding


def lane_moments(
    product: Product, x: Any, w: Any, x_encoding: Encoding, w_encoding: Encoding
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per cycle of one lane's contribution to a count, for independent streams.

    x and w are encoded numbers in [-1, 1] and broadcast. A contribution is (neg ? -1 : +1) * bit, so its square's mean is
    P(bit); both are summed over the truth table of the product.
    """
    x, w = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(w, dtype=np.float64))
    probability = {"x": _ones(x, x_encoding), "w": _ones(w, w_encoding)}
    sign = {"xs": x < 0, "ws": w < 0}
    mean, square = np.zeros(x.shape), np.zeros(x.shape)
    for bits in itertools.product((0, 1), repeat=4):
        env = dict(zip(("x", "w", "xs", "ws"), bits, strict=True))
        if not product.bit.evaluate(env) & 1:
            continue
        chance = np.ones(x.shape)
        for name, p in probability.items():
            chance = chance * (p if env[name] else 1.0 - p)
        for name, negative in sign.items():
            chance = chance * (negative == bool(env[name]))
        square += chance
        mean += chance * (1 - 2 * (product.neg.evaluate(env) & 1))
    return mean, square - mean**2


def _ones(value: np.ndarray, encoding: Encoding) -> np.ndarray:
    return (value + 1.0) / 2.0 if encoding is Encoding.BIPOLAR else np.abs(value)
