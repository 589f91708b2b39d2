"""Errors of the product sums of a network, measured by simulation."""

from __future__ import annotations

import numpy as np

from sccc.backends.simulator import simulate
from sccc.correlation import generator_of
from sccc.ir import Module, Operation
from sccc.judged_layer import ideal_levels, ideal_totals
from sccc.ops import REGISTRY
from sccc.passes import DEFAULT_PIPELINE

UNCORRECTED = DEFAULT_PIPELINE.replace(",correct-bias", "")


def measured_errors(module: Module, samples: np.ndarray) -> dict[Operation, np.ndarray]:
    """For each product sum its total minus that of exact streams, for the levels that it is given: by simulation."""
    uses = module.uses()
    sums = {dot: uses[dot.result][0] for dot in ideal_levels(module, samples[:2])}
    makers = {dot: generator_of(dot.operands[0]) for dot in sums}
    names = [op.operands[0].name for op in makers.values()] + [op.result.name for op in sums.values()]
    trace = simulate(module, samples, trace=names).trace
    errors = {}
    for dot, total in sums.items():
        level = makers[dot].operands[0]
        numbers, chain, stream = level.type.encoding.decode(trace[level.name], level.type.bits), [], dot.operands[0]
        while stream.op is not makers[dot]:
            chain.append(stream.op)
            stream = stream.op.operands[0]
        for op in reversed(chain):  # pooling, reshaping
            numbers = REGISTRY[op.name].value(op, numbers)
        ideal = ideal_totals(dot, level.type.encoding.encode(numbers, level.type.bits))
        errors[dot] = trace[total.result.name] - np.asarray(total.attributes["initial"]) - ideal
    return errors
