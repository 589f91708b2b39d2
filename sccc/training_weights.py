"""First weights of networks that learn from scratch."""

from __future__ import annotations

import numpy as np

from sccc.ir import Module, Operation
from sccc.learning import seen_through
from sccc.passes.trainable import JOINT, WEIGHTED

DEEP = 8
"""With more layers than this, auto is he."""


def new_weights(module: Module, seed: int, kind: str = "auto") -> None:
    """Replace weights by uniform ones, biases by 0. Each tap of a convolution's window counts as an input for each channel of its
    group, and as an output for each map.

    glorot: within sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010). he: within sqrt(6 / inputs) in front of ReLU and clip
    (He et al. 2015), sqrt(3 / inputs) elsewhere, so that sums neither grow nor shrink through many layers; the last layer of a
    residual branch over the root of the number of additions, so that these do not add up (as Zhang et al., Fixup, 2019).
    """
    random = np.random.default_rng([seed, 0x5CC])
    layers = module.ops_named(*WEIGHTED)
    if kind == "auto":
        kind = "he" if len(layers) > DEEP else "glorot"
    for op in layers:
        shape = np.asarray(op.attributes["weight"]).shape
        limit = np.sqrt(6.0 / (sum(shape[:2]) * np.prod(shape[2:])))
        if kind == "he":
            grows = op.attributes["function"] in ("relu", "clip")
            limit = np.sqrt((6.0 if grows else 3.0) / np.prod(shape[1:])) / np.sqrt(_additions(module, op))
        op.attributes["weight"] = random.uniform(-limit, limit, shape)
        op.attributes["bias"] = np.zeros(shape[0])


def _additions(module: Module, layer: Operation) -> int:
    """How many sums of branches there are, where the layer is the last one of a branch, and no shortcut; else 1."""
    joints = [op for op in module.ops_named(JOINT) if not op.attributes["alone"]]
    read = [seen_through(value) for op in module for value in op.operands if op.name in (*WEIGHTED, JOINT)]
    inside = read.count(seen_through(layer.operands[0])) == 1
    ends = any(layer.result is seen_through(value) for op in joints for value in op.operands)
    return len(joints) if ends and inside else 1
