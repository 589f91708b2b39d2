"""Predicted errors of layers on calibration data, for choices of random sources."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np

from sccc.correlation import Randomness, generator_of
from sccc.diagnostics import Location, SccError
from sccc.error_model import Assignment, predicted_error
from sccc.ir import Module, Operation
from sccc.judged_layer import JudgedLayer, ideal_levels, judged_layer, signal_deviation
from sccc.passes.candidates import Spec, source_of
from sccc.passes.manager import PassContext
from sccc.passes.plans import bits_of, feeds_fsm, lane_masks, length_of
from sccc.rounding import count_units, float_layers, rounding_errors

JUDGED_SAMPLES = 100
"""Calibration samples that errors are predicted on: an RMS over them and all outputs is good to a few per cent."""


class Judge:
    """Predicted RMS errors of layers, in units of their output's standard deviation on calibration data.

    Where streams may be shortened (option `shorten`) the rounding of levels is part of the error, as shorter streams have coarser
    ones; otherwise it is the streams' alone.
    """

    def __init__(self, module: Module, context: PassContext) -> None:
        if context.calibration is None:
            raise SccError(
                "an error budget is in units of what layers put out, which is not known without data",
                Location(option="--error-budget"),
                "give --calibrate, or leave out --error-budget",
            )
        self.module = module
        samples = context.calibration[:JUDGED_SAMPLES]
        self.levels = ideal_levels(module, samples)
        self.float_layers = float_layers(module)
        short = {dot for dot in self.levels if context.layer_options(dot).shorten == "yes"}
        self.rounding = {d: e for d, e in rounding_errors(module, samples).items() if d in short} if short else {}
        self.known: dict[Hashable, float] = {}
        self.best: dict[Operation, float] = {}
        self._ready: dict[Operation, tuple[JudgedLayer, np.ndarray, float]] = {}

    def error(self, dot: Operation, x: Spec | None, w: Spec) -> float:
        """RMS error of a layer whose lanes share these sources; x is None where a state machine makes the stream.

        Without the bias where correct-bias folds that into the accumulator's start value.
        """
        key = (dot, x, w)
        if key not in self.known:
            self.known[key] = self.of(dot, self._assignment(dot, x, w))
        self.best[dot] = min(self.best.get(dot, math.inf), self.known[key])
        return self.known[key]

    def of(self, dot: Operation, assignment: Assignment | None = None) -> float:
        """The same for any assignment, or for the one that the module has."""
        layer, units, deviation = self._layer(dot)
        error = predicted_error(layer, assignment or Assignment.of(dot)).in_units(units)
        folded = str(dot.attributes["layer"]) in self.float_layers and not feeds_fsm(self.module, dot)
        off = error.residual if folded else error.rms
        relative = off / deviation if deviation > 0 else (math.inf if off > 0 else 0.0)
        return math.hypot(relative, self.rounding.get(dot, 0.0))

    def _layer(self, dot: Operation) -> tuple[JudgedLayer, np.ndarray, float]:
        """What is needed for every assignment of a layer: it on data, its real units of a count, its deviation in these."""
        if dot not in self._ready:
            layer = self.float_layers.get(str(dot.attributes["layer"]))
            units = count_units(dot, layer) if layer is not None else np.ones(1)
            levels = self.levels[dot]
            self._ready[dot] = judged_layer(dot, levels), units, signal_deviation(dot, levels, units)
        return self._ready[dot]

    def _assignment(self, dot: Operation, x: Spec | None, w: Spec) -> Assignment:
        bits = bits_of(dot.operands[1])
        masks = lane_masks(dot.operands[0], dot.operands[1], bits) if w.masked else (None, None)
        maker = generator_of(dot.operands[0])
        made_by = maker.name if maker is not None else "sc.sng"
        return Assignment(_lanes(x, masks[0], bits, made_by) if x else None, _lanes(w, masks[1], bits, "sc.sng"))

    def refuse(self, dot: Operation, budget: float, error: float) -> SccError:
        """The error for a layer that cannot be kept within its budget."""
        length = length_of(dot)
        needed = 1 << math.ceil(math.log2(length * min(max(error / budget, 1.01), 1e4)))
        rounding = f", {self.rounding[dot]:.3g} of it from rounding" if self.rounding.get(dot) else ""
        return SccError(
            f"layer '{dot.origin or dot.attributes['layer']}' cannot be kept within an error budget of {budget:g}: the best that "
            f"was found has an RMS error of {error:.3g} standard deviations of the layer's output{rounding}",
            Location(node=dot.origin or None, option="--error-budget"),
            f"errors fall about as 1 / length: give --length {needed}, or a larger budget",
        )


def _lanes(spec: Spec, masks: np.ndarray | None, bits: int, generator: str) -> np.ndarray:
    source = source_of(spec, bits)
    numbers = [0] if masks is None else np.ravel(masks).tolist()
    lanes = np.empty(len(numbers), dtype=object)
    lanes[:] = [Randomness(source, mask, generator) for mask in numbers]
    return lanes.reshape(np.shape(masks) if masks is not None else ())
