"""quantize: the scales of inputs, weights and activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sccc.config import Options
from sccc.diagnostics import Collector
from sccc.evaluate import evaluate
from sccc.ir import Module, Operation, Value
from sccc.passes.lower import next_layer
from sccc.passes.manager import Pass, PassContext, register

BOUNDED = {"tanh": (1.0, True), "sigmoid": (1.0, False), "hard_sigmoid": (1.0, False)}
"""Activations whose range is known: largest magnitude, and whether it may be negative."""


STANDARD_RANGE = 3.0
"""Range of standardised features, in standard deviations, where there is nothing to measure it on."""

STANDARD_COVERAGE = 0.995
"""Share of standardised features' values that their common range covers."""


@register
@dataclass(frozen=True)
class Quantize(Pass):
    """Choose scales: weights per layer or output channel, activations from calibration data or bounded from the weights."""

    name: ClassVar[str] = "quantize"
    weights: str = ""
    scales: str = ""

    def run(self, module: Module, context: PassContext) -> Module:
        seen = _calibrate(module, context)
        problems = Collector()
        for op in module.ops_named("nn.layer"):
            with problems.catching():
                self._quantize_layer(module, op, context, seen)
        problems.raise_if_any()
        return module

    def _quantize_layer(
        self, module: Module, op: Operation, context: PassContext, seen: dict[Value, np.ndarray]
    ) -> None:
        assert op.result is not None
        a: dict[str, Any] = op.attributes
        options = context.config.for_layer(op.result.name, op.origin, a["activation_origin"])
        given = a["in_scale"]
        a["in_scale"], a["in_signed"] = _input_range(module, op, context, seen)
        fixed, last = options.style == "fixed", next_layer(module, op.result) is None
        if fixed:
            a["in_scale"] *= _stretch(options, a["in_signed"])
        if given:  # by the model's own quantiser
            a["in_scale"] = given
            _give_back(op, given)
        per_channel = (self.weights or options.weights) == "per-channel" and not last
        a["weight_scale"] = weight_scale(
            a["weight"],
            options.fraction_bits(True),
            per_channel=per_channel,
            power_of_two=(self.scales or options.scales) == "power-of-two",
            # Where a state machine follows, saturated weights cost more than coarse ones (measured: 0.6 pt at 3/4 of the range).
            clip=options.style != "streaming",
            full=not fixed,
        )
        a["out_scale"], a["out_signed"] = _output_range(op, seen, options.coverage)
        if fixed and last:
            a["out_scale"] *= _stretch(options, a["out_signed"])


def _stretch(options: Options, signed: bool) -> float:
    """What an encoded 1.0 is, in units of the largest fixed-point number, which is one step below it."""
    full = 1 << options.fraction_bits(signed)
    return full / (full - 1)


def _give_back(op: Operation, scale: float) -> None:
    """Let the layer before an input of given scale put out that scale."""
    source = op.operands[0]
    while source.op is not None and source.op.name == "nn.reshape":
        source = source.op.operands[0]
    if source.op is not None and source.op.name == "nn.layer":
        source.op.attributes["out_scale"] = scale


CLIP_STEPS = 41
"""Candidate weight scales between CLIP_LEAST and 1 times the largest weight."""
CLIP_LEAST = 0.3


def weight_scale(
    weight: np.ndarray, bits: int, *, per_channel: bool, power_of_two: bool, clip: bool, full: bool = True
) -> Any:
    """The real number that a weight level of 1.0 stands for, per layer or [outputs] per channel.

    The largest magnitude; with `clip`, the scale at most that large which minimises the mean square error of rounding to `bits`
    fractional bits and saturating (Banner et al., NeurIPS 2019, by search instead of a distribution). Levels go up to 2**bits
    when `full`, else to 2**bits - 1, as fixed-point numbers do.
    """
    one = 1 << bits
    top = one if full else one - 1
    rows = np.abs(weight) if per_channel else np.abs(weight).reshape(1, -1)
    largest = rows.max(axis=1)
    largest = np.where(largest > 0, largest, 1.0)
    if power_of_two:
        candidates = 2.0 ** (np.ceil(np.log2(largest * one / top)) - np.arange(3 if clip else 1)[:, None])
    else:
        candidates = largest * one / top * np.linspace(1.0, CLIP_LEAST, CLIP_STEPS if clip else 1)[:, None]
    errors = [_rounding_error(rows, scale / one, top) for scale in candidates]
    scale = np.take_along_axis(candidates, np.argmin(errors, axis=0)[None], axis=0)[0]
    return scale if per_channel else float(scale[0])


def _rounding_error(rows: np.ndarray, step: np.ndarray, top: int) -> np.ndarray:
    """Mean square error per row of magnitudes rounded to multiples of step and limited to top of them."""
    step = step[:, None]
    return np.square(np.minimum(np.rint(rows / step), top) * step - rows).mean(axis=1)


def _calibrate(module: Module, context: PassContext) -> dict[Value, np.ndarray]:
    """What each value of the network is on the calibration data; empty without data."""
    seen: dict[Value, np.ndarray] = {}
    if context.calibration is not None:

        def watch(op: Operation, value: np.ndarray) -> None:
            if op.result is not None:
                seen[op.result] = value

        evaluate(module, context.calibration, watch)
    return seen


def _input_range(
    module: Module, op: Operation, context: PassContext, seen: dict[Value, np.ndarray]
) -> tuple[float, bool]:
    """Scale of a layer's input, and whether it may be negative."""
    source = op.operands[0]
    while source.op is not None and source.op.name == "nn.reshape":
        source = source.op.operands[0]
    assert source.op is not None
    if source.op.name == "nn.layer":
        return source.op.attributes["out_scale"], source.op.attributes["out_signed"]
    given = context.config.options.input_range
    if source.op.name == "nn.affine":  # standardised features: in units of their standard deviation
        if source not in seen and not given:
            context.warnings.append(
                f"no calibration data: standardised inputs are taken to lie within +-{STANDARD_RANGE:g}"
            )
        values = np.abs(seen[source]) if source in seen else np.array([STANDARD_RANGE])
        return given or float(np.quantile(values, STANDARD_COVERAGE)) or 1.0, True
    if source in seen:
        largest = float(np.abs(seen[source]).max()) or 1.0
        return given or largest, bool((seen[source] < 0).any())
    if not given:
        context.warnings.append(
            "no calibration data: the input is taken to lie in 0 .. 1 (see --calibrate, --input-range)"
        )
    return given or 1.0, False


def _output_range(op: Operation, seen: dict[Value, np.ndarray], coverage: float) -> tuple[float, bool]:
    """Scale of a layer's output: known from the activation, measured on calibration data, or bounded from the weights."""
    a: dict[str, Any] = op.attributes
    assert op.result is not None
    if a["function"] in BOUNDED:
        return BOUNDED[a["function"]]
    if op.result in seen:
        # A range that covers every outlier would waste levels on them: short streams have few (measured: 0.5 pt at N = 16).
        largest = float(np.quantile(np.abs(seen[op.result]), coverage))
        signed = bool((seen[op.result] < 0).any())
    else:
        reach = float((np.abs(a["weight"]).sum(axis=1) * a["in_scale"] + np.abs(a["bias"])).max())
        largest, signed = reach, a["function"] not in ("relu",)
    if a["function"] == "clip":
        limits = [abs(v) for v in (a["lo"], a["hi"]) if np.isfinite(v)]
        largest = min(largest, max(limits)) if len(limits) == 2 else largest
        signed = signed and a["lo"] < 0
    return largest or 1.0, signed
