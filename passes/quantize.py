"""quantize: the scales of inputs, weights and activations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sccc.config import Options
from sccc.diagnostics import Collector
from sccc.evaluate import evaluate
from sccc.ir import Module, Operation, Value
from sccc.ops.geometry import Geometry, conv_geometry, dot_geometry
from sccc.ops.layer import LAYERS, PRODUCT_LAYERS
from sccc.passes.forms import Forms
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
        ranges = _Ranges(module, context)
        problems = Collector()
        for op in module:
            if op.name in PRODUCT_LAYERS:
                with problems.catching():
                    self._quantize_layer(op, context, ranges)
            elif op.name == "nn.add_layer":
                assert op.result is not None
                ranges.put(op.result, *_output_range(op, ranges, ranges.output_options(op, context)))
            elif op.name == "nn.avg_pool":
                ranges.put_average(op)
        problems.raise_if_any()
        ranges.write(module, context)
        return module

    def _quantize_layer(self, op: Operation, context: PassContext, ranges: _Ranges) -> None:
        assert op.result is not None
        a: dict[str, Any] = op.attributes
        options = context.layer_options(op)
        if a["in_scale"]:  # by the model's own quantiser
            ranges.give(op.operands[0], a["in_scale"])
        a["in_scale"], _ = ranges.of(op.operands[0])
        wanted = self.weights or options.weights
        if wanted == "auto":
            wanted = "per-channel" if op.name == "nn.conv_layer" else "per-tensor"
        per_channel = wanted == "per-channel" and not ranges.ends_with(op.result)
        weight = np.asarray(a["weight"])
        a["weight_scale"] = weight_scale(
            weight.reshape(len(weight), -1),
            options.fraction_bits(True),
            per_channel=per_channel,
            power_of_two=(self.scales or options.scales) == "power-of-two",
            # Where a state machine follows, saturated weights cost more than coarse ones (measured: 0.6 pt at 3/4 of the range).
            clip=options.style != "streaming",
            full=options.style != "fixed",
        )
        ranges.put(op.result, *_output_range(op, ranges, ranges.output_options(op, context)))


class _Ranges:
    """The real number that an encoded 1.0 stands for, and whether it may be negative, for each class of values (forms)."""

    def __init__(self, module: Module, context: PassContext) -> None:
        self.module, self.forms = module, Forms(module)
        self.seen = _calibrate(module, context)
        self._of: dict[int, tuple[float, bool]] = {}
        self._given: dict[int, float] = {}
        (source,) = module.inputs
        affine = next(iter(module.ops_named("nn.affine")), source)
        assert affine.result is not None
        self.input_range = _input_range(affine, context, self.seen)
        self.put(affine.result, *self.input_range)

    def put(self, value: Value, scale: float, signed: bool) -> None:
        """A value that is made; where several of one class are, the widest counts."""
        key = id(self.forms[value])
        before = self._of.get(key, (0.0, False))
        self._of[key] = max(before[0], scale), before[1] or signed

    def give(self, value: Value, scale: float) -> None:
        self._given[id(self.forms[value])] = scale

    def of(self, value: Value) -> tuple[float, bool]:
        key = id(self.forms[value])
        scale, signed = self._of[key]
        return self._given.get(key, scale), signed

    def put_average(self, op: Operation) -> None:
        """An average has a range of its own, which is often much smaller than that of what it averages."""
        assert op.result is not None
        scale, signed = self.of(op.operands[0])
        if op.result in self.seen:
            scale = float(np.abs(self.seen[op.result]).max()) or scale
        self.put(op.result, scale, signed)

    def output_options(self, op: Operation, context: PassContext) -> Options:
        """A layer's options with the length and bits of those that read its output, which is rounded to their levels."""
        assert op.result is not None
        options, readers = context.layer_options(op), self.forms[op.result].readers
        if not readers:
            return options
        reader = context.layer_options(readers[0])
        return replace(options, length=reader.length, bits=reader.bits)

    def ends_with(self, value: Value) -> bool:
        """Whether a value leaves the network."""
        return bool(self.forms[value].ends)

    def write(self, module: Module, context: PassContext) -> None:
        """Tell every layer, and the input, the scales of what it reads and makes."""
        for op in module.inputs:
            op.attributes["out_scale"], op.attributes["out_signed"] = self.input_range
        for op in module.ops_named(*LAYERS):
            assert op.result is not None
            a: dict[str, Any] = op.attributes
            options = context.layer_options(op)
            a["out_scale"], a["out_signed"] = self.of(op.result)
            fixed = options.style == "fixed"
            if fixed and self.ends_with(op.result):
                a["out_scale"] *= _stretch(options, a["out_signed"])
            if op.name in PRODUCT_LAYERS:
                a["in_scale"], a["in_signed"] = self.of(op.operands[0])
                if fixed and id(self.forms[op.operands[0]]) not in self._given:
                    a["in_scale"] *= _stretch(options, a["in_signed"])


def _stretch(options: Options, signed: bool) -> float:
    """What an encoded 1.0 is, in units of the largest fixed-point number, which is one step below it."""
    full = 1 << options.fraction_bits(signed)
    return full / (full - 1)


SEARCHED_VALUES = 1 << 18
"""Values on which the errors of candidate scales are measured, where there are that many."""

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
    searched = rows[:, :: max(1, rows.size // SEARCHED_VALUES)]
    errors = [_rounding_error(searched, scale / one, top) for scale in candidates]
    scale = np.take_along_axis(candidates, np.argmin(errors, axis=0)[None], axis=0)[0]
    return scale if per_channel else float(scale[0])


def _rounding_error(rows: np.ndarray, step: np.ndarray, top: int) -> np.ndarray:
    """Mean square error per row of magnitudes rounded to multiples of step and limited to top of them."""
    step = step[:, None]
    error = rows / step
    np.rint(error, out=error)  # in place: fresh pages cost more than the arithmetic
    np.minimum(error, top, out=error)
    error *= step
    error -= rows
    np.square(error, out=error)
    return error.mean(axis=1)


CALIBRATION_PRODUCTS = 1 << 32
"""Products of numbers that are spent on calibration data: large networks see fewer samples, at least 8."""

CALIBRATION_ELEMENTS = 1 << 26
"""Numbers that are kept of all values on the calibration data."""


def _calibrate(module: Module, context: PassContext) -> dict[Value, np.ndarray]:
    """What the values of the network are on the calibration data: [samples, *shape]; empty without data."""
    seen: dict[Value, np.ndarray] = {}
    if context.calibration is not None:
        lanes = sum(value.type.lanes for value in module.values())
        work = sum(geometry.products for geometry in _geometries(module))
        samples = context.calibration[
            : max(8, min(CALIBRATION_ELEMENTS // lanes, CALIBRATION_PRODUCTS // max(work, 1)))
        ]

        def watch(op: Operation, value: np.ndarray) -> None:
            if op.result is not None and op.name in (*LAYERS, "nn.input", "nn.affine", "nn.avg_pool"):
                seen[op.result] = value

        evaluate(module, samples, watch)
    return seen


def _geometries(module: Module) -> list[Geometry]:
    """Of the layers that multiply."""
    made = {"nn.layer": dot_geometry, "nn.conv_layer": conv_geometry}
    return [
        made[op.name](op, op.operands[0].type.shape, np.asarray(op.attributes["weight"]).shape)
        for op in module.ops_named(*PRODUCT_LAYERS)
    ]


def _input_range(op: Operation, context: PassContext, seen: dict[Value, np.ndarray]) -> tuple[float, bool]:
    """Scale of the network's input (of what standardises it), and whether it may be negative."""
    assert op.result is not None
    given = context.config.options.input_range
    if op.name == "nn.affine":  # standardised features: in units of their standard deviation
        if op.result not in seen and not given:
            context.warnings.append(
                f"no calibration data: standardised inputs are taken to lie within +-{STANDARD_RANGE:g}"
            )
        values = np.abs(seen[op.result]) if op.result in seen else np.array([STANDARD_RANGE])
        if len(op.result.type.shape) == 3:  # pixels, which have no outliers
            return given or float(values.max()) or 1.0, True
        return given or float(np.quantile(values, STANDARD_COVERAGE)) or 1.0, True
    if op.result in seen:
        largest = float(np.abs(seen[op.result]).max()) or 1.0
        return given or largest, bool((seen[op.result] < 0).any())
    if not given:
        context.warnings.append(
            "no calibration data: the input is taken to lie in 0 .. 1 (see --calibrate, --input-range)"
        )
    return given or 1.0, False


def _output_range(op: Operation, ranges: _Ranges, options: Options) -> tuple[float, bool]:
    """Scale of a layer's output: known from the activation, measured on calibration data, or bounded from the weights."""
    a: dict[str, Any] = op.attributes
    assert op.result is not None
    if a["function"] in BOUNDED:
        return BOUNDED[a["function"]]
    if op.result in ranges.seen:
        # A range that covers every outlier would waste levels on them: short streams have few (measured: 0.5 pt at N = 16).
        values = ranges.seen[op.result]
        signed = bool((values < 0).any())
        largest = _measured_range(np.abs(values).reshape(1, -1), options, signed)
    else:
        largest, signed = _reach(op, ranges), a["function"] not in ("relu",)
    if a["function"] == "clip":
        limits = [abs(v) for v in (a["lo"], a["hi"]) if np.isfinite(v)]
        largest = min(largest, max(limits)) if len(limits) == 2 else largest
        signed = signed and a["lo"] < 0
    return largest or 1.0, signed


def _measured_range(magnitudes: np.ndarray, options: Options, signed: bool) -> float:
    """The range of an unbounded activation from the magnitudes [1, n] that it has on calibration data."""
    if options.coverage:
        return float(np.quantile(magnitudes, options.coverage))
    step = max(1, magnitudes.size // SEARCHED_VALUES)
    top = 1 << options.fraction_bits(signed)
    scales = magnitudes.max() * np.linspace(RANGE_LEAST, 1.0, RANGE_STEPS)
    errors = [_rounding_error(magnitudes[:, ::step], np.array([scale / top]), top)[0] for scale in scales]
    return float(scales[int(np.argmin(errors))])


RANGE_STEPS, RANGE_LEAST = 61, 0.1
"""Candidate ranges of an activation between RANGE_LEAST and 1 times its largest value."""


def _reach(op: Operation, ranges: _Ranges) -> float:
    """The largest magnitude that a layer's sum can have."""
    a: dict[str, Any] = op.attributes
    if op.name == "nn.add_layer":
        own = list(op.operands[:1] if a["alone"] else op.operands)
        return sum(ranges.of(operand)[0] for operand in own)
    weight = np.asarray(a["weight"])
    return float((np.abs(weight).reshape(len(weight), -1).sum(axis=1) * a["in_scale"] + np.abs(a["bias"])).max())
