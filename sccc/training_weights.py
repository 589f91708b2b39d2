"""First weights of networks that learn from scratch."""

from __future__ import annotations

import numpy as np

from sccc.diagnostics import SccError
from sccc.ir import Module, Operation, Value
from sccc.learning import seen_through
from sccc.ops import REGISTRY
from sccc.passes.trainable import JOINT, WEIGHTED

DEEP = 8
"""With more layers than this, auto is he."""

MEASURED = 128
"""Samples on which lsuv measures sums."""


def new_weights(module: Module, seed: int, kind: str = "auto", samples: np.ndarray | None = None) -> None:
    """Replace weights by uniform ones, biases by 0. Each tap of a convolution's window counts as an input for each channel of its
    group, and as an output for each map.

    glorot: within sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010). he: within sqrt(6 / inputs) in front of ReLU and clip
    (He et al. 2015), sqrt(3 / inputs) elsewhere, so that sums neither grow nor shrink through many layers; the last layer of a
    residual branch over the root of the number of additions, so that these do not add up (as Zhang et al., Fixup, 2019). lsuv:
    those of he, fitted layer by layer to training samples [samples, ...] in real units (`_fit`).

    Raises SccError where lsuv gets no samples.
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
    if kind == "lsuv":
        if samples is None or not len(samples):
            raise SccError("first weights of the kind lsuv are fitted to training samples", advice="give samples")
        _fit(module, samples[:MEASURED])


def _fit(module: Module, samples: np.ndarray) -> None:
    """Scale each layer so that its sums have a variance of 1, and shift each output's to a mean of 0.

    Layer-sequential unit variance (Mishkin & Matas 2016); the biases do what BatchNormalization does to means (Ioffe & Szegedy
    2015), without which depthwise layers, of few taps each, mostly add a constant. The variance is the mean of the outputs' own.
    The last layer of a residual branch is 0 (Zhang et al., Fixup, 2019), so that a block begins as the identity and errors do not
    grow from block to block.
    """
    values: dict[Value, np.ndarray] = {}
    last_reader = {value: op for op in module for value in op.operands}
    for op in module:
        operands = [values[value] for value in op.operands]
        if op.name in WEIGHTED:
            _fit_layer(op, operands[0], 0.0 if _additions(module, op) > 1 else 1.0)
        if op.result is not None:
            definition = REGISTRY[op.name].value
            values[op.result] = definition(op, *operands) if definition and operands else samples.astype(np.float64)
        for value in set(op.operands):
            if last_reader[value] is op:
                del values[value]


def _fit_layer(op: Operation, x: np.ndarray, size: float) -> None:
    """Sums of standard deviation `size` from operands x, the samples' axis first."""
    definition, function = REGISTRY[op.name].value, op.attributes["function"]
    assert definition is not None
    op.attributes["function"] = "identity"
    sums = definition(op, x)
    op.attributes["function"] = function
    axes = (0, *range(2, sums.ndim))
    deviation = float(np.sqrt(sums.var(axis=axes).mean()))
    factor = size / deviation if deviation > 0 else size
    op.attributes["weight"] = np.asarray(op.attributes["weight"]) * factor
    op.attributes["bias"] = -sums.mean(axis=axes) * factor


def _additions(module: Module, layer: Operation) -> int:
    """How many sums of branches there are, where the layer is the last one of a branch, and no shortcut; else 1.

    A shortcut begins at a result that the branch reads as well: the layer's own, or its operand.
    """
    joints = [op for op in module.ops_named(JOINT) if not op.attributes["alone"]]
    read = [seen_through(value) for op in module for value in op.operands if op.name in (*WEIGHTED, JOINT)]
    inside = read.count(seen_through(layer.operands[0])) == 1 and (
        layer.result is None or read.count(layer.result) == 1
    )
    ends = any(layer.result is seen_through(value) for op in joints for value in op.operands)
    return len(joints) if ends and inside else 1
