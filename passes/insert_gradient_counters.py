"""insert-gradient-counters: a network that infers becomes one that learns, on the same chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sccc.diagnostics import Collector, SccError
from sccc.ir import Module, Operation, Value
from sccc.passes.manager import Pass, PassContext, register
from sccc.sources import splitmix64
from sccc.types import Fixed

CHOICES = {
    "rule": ("gdc", "gdm", "fixed"),
    "sources": ("per-layer", "per-lane"),
    "loss": ("cross-entropy", "squared-error"),
}

FUNCTIONS = ("identity", "tanh", "sigmoid", "relu")

SUM_BITS = 7
"""Fractional bits of a sum before its activation's table, and of the reciprocal's argument."""

SUM_RANGE = 4
"""Sums are limited to -4 .. 4 before a table: tanh and sigmoid have saturated (tanh 4 = 0.9993); sigmoid to twice that."""

SCORE_BITS, SCORE_RANGE = 8, 32
"""Fractional bits and range of the scores that softmax reads."""

RELU_RANGE = 4.0
"""Outputs of ReLU saturate here."""

FRACTION = 8
"""Extra fractional bits of the fixed-point rival's weights below the step."""


@register
@dataclass(frozen=True)
class InsertGradientCounters(Pass):
    """Add loss, backward graph, ternary quantisers and gradient counters: the network learns on chip (after fuse-layers).

    rule: gdc (gradient counters), gdm (with momentum) or fixed (the rival: a multiplier, an adder and a register per weight).
    step_bits: the counters' step is 2**-step_bits, the learning rate. sources: one random source for all error lanes of a
    layer, or one per lane; inputs share one either way. weight_range: weights saturate at + and - this power of two; 0: one
    that holds them, at least 1. value_bits, delta_bits: fractional bits of values and of errors. decay_bits: the
    momentum's beta is 1 - 2**-decay_bits; momentum_bits: its counters saturate at 2**momentum_bits. input_range: inputs
    saturate there; 0: measured on calibration data, or 1.
    """

    name: ClassVar[str] = "insert-gradient-counters"

    rule: str = "gdc"
    step_bits: int = 10
    sources: str = "per-layer"
    loss: str = "cross-entropy"
    weight_range: int = 0
    value_bits: int = 8
    delta_bits: int = 16
    decay_bits: int = 3
    momentum_bits: int = 4
    input_range: float = 0.0
    random_seed: int = 1

    def __post_init__(self) -> None:
        problems = Collector()
        for option, known in CHOICES.items():
            if getattr(self, option) not in known:
                problems.add(f"unknown {option} '{getattr(self, option)}'", advice="known: " + ", ".join(known))
        for option, least, most in (
            ("step_bits", 2, 20), ("value_bits", 4, 16), ("delta_bits", 4, 16), ("weight_range", 0, 64),
            ("decay_bits", 1, 12), ("momentum_bits", 1, 12),
        ):  # fmt: skip
            if not least <= getattr(self, option) <= most:
                problems.add(f"{option} = {getattr(self, option)} is outside {least} .. {most}")
        if self.weight_range & (self.weight_range - 1):
            problems.add(f"weight_range = {self.weight_range} is no power of two")
        if not 0.0 <= self.input_range < 2.0**self.value_bits:
            problems.add(f"input_range = {self.input_range} is outside 0 .. {1 << self.value_bits}")
        problems.raise_if_any()

    def run(self, module: Module, context: PassContext) -> Module:
        chain = read_chain(module)
        return _Builder(self, module, chain, self._range(chain, context)).build()

    def _range(self, chain: Chain, context: PassContext) -> float:
        """The power of two that the input stays below."""
        most = self.input_range
        if not most and context.calibration is not None:
            x = context.calibration.reshape(len(context.calibration), -1)
            most = float(np.abs((x - chain.offset) / chain.scale).max())
        return max(1.0, 2.0 ** np.ceil(np.log2(most))) if most else 1.0


@dataclass(frozen=True)
class Chain:
    """An MLP: the input, (x - offset) / scale of it, layers in order, the output's op."""

    source: Operation
    offset: np.ndarray
    scale: np.ndarray
    layers: list[Operation]
    output: Operation


def read_chain(module: Module) -> Chain:
    """The layers of a module of nn.layer ops. Raises SccError with everything that cannot be trained."""
    problems = Collector()
    layers: list[Operation] = []
    offset, scale = np.zeros(()), np.ones(())
    for op in module:
        if op.name == "nn.layer":
            layers.append(op)
            if op.attributes["function"] not in FUNCTIONS:
                advice = "trained on chip: " + ", ".join(FUNCTIONS)
                problems.add(f"{op.attributes['function']} has no backward form here", op.place(), advice)
        elif op.name == "nn.affine" and not layers:
            factor, shift = (
                np.broadcast_to(np.asarray(op.attributes[k], dtype=np.float64), op.operands[0].type.shape).reshape(-1)
                for k in ("scale", "shift")
            )
            if np.all(factor):
                offset, scale = offset * np.ones(factor.shape) - shift / factor * scale, scale / factor
            else:
                problems.add("a scale of 0 hides an input", op.place())
        elif op.name not in ("nn.input", "nn.output", "nn.softmax", "nn.argmax", "nn.reshape"):
            advice = "an MLP is trained: run absorb-quantizers,fold-constants,fuse-layers first"
            problems.add(f"{op.name} cannot be trained on chip", op.place(), advice)
    if len(module.inputs) != 1 or len(module.outputs) != 1:
        problems.add(f"module '{module.name}' needs one input and one output to be trained")
    elif not layers:
        problems.add(f"module '{module.name}' has no layer to train", advice="run fuse-layers first")
    elif layers[-1].result is not None and layers[-1].result.type.lanes < 2:
        problems.add("one output tells no classes apart", layers[-1].place(), "a classifier with at least 2 is wanted")
    problems.raise_if_any()
    return Chain(module.inputs[0], offset, scale, layers, module.outputs[0])


@dataclass
class _Layer:
    """What a layer's forward part leaves for its backward part."""

    op: Operation
    x: Value
    weights: Value
    bias: Value
    sums: Value
    out: Value


class _Builder:
    """Builds the training module: forward in order, then backward, and a layer's update behind its error."""

    def __init__(self, options: InsertGradientCounters, source: Module, chain: Chain, input_range: float) -> None:
        self.options, self.chain, self.input_range = options, chain, input_range
        self.module = Module(source.name, reference=source.clone())
        self.seed = splitmix64(options.random_seed)
        self.common: dict[str, Any] = {}

    def add(self, op_name: str, operands: list[Value], result: str = "", /, **attributes: Any) -> Value:
        op = self.module.append(f"train.{op_name}", operands, attributes, result=result, **self.common)
        return op.result if op.result is not None else operands[0]

    def build(self) -> Module:
        source, output = self.chain.source, self.chain.output
        self._from(source)
        top = 1 << self.options.value_bits
        unipolar = self.options.value_bits - round(np.log2(self.input_range))
        assert source.result is not None
        affine = {"scale": self.chain.scale, "offset": self.chain.offset} if self.chain.scale.ndim else {}
        shape = [source.result.type.lanes]
        x = self.add(
            "input", [], source.result.name,
            shape=shape, name=source.attributes["name"], bits=unipolar, lo=-top, hi=top, **affine,
        )  # fmt: skip
        last = self.chain.layers[-1]
        assert last.result is not None
        label = self.add("label", [], "label", classes=last.result.type.lanes)
        layers = []
        for op in self.chain.layers:
            layers.append(self._forward(op, x, op is last))
            x = layers[-1].out
        self._from(last)
        delta = self._loss(layers[-1], label)
        for layer in reversed(layers):
            self._from(layer.op)
            first = layer is layers[0]
            handed = None if first else self.add("backward", [delta, layer.weights], f"{self._name(layer)}_back")
            self._update(layer, delta)
            if handed is not None:
                before = layers[layers.index(layer) - 1]
                self._from(before.op)
                delta = self._through(before, handed)
        self._from(output)
        self.add("output", [layers[-1].out], name=output.attributes["name"])
        return self.module

    def _from(self, op: Operation) -> None:
        self.common = {"origin": op.origin, "location": op.location}

    def _name(self, layer: _Layer) -> str:
        assert layer.op.result is not None
        return layer.op.result.name

    # -- forward ----------------------------------------------------------------------------------------------------------

    def _forward(self, op: Operation, x: Value, last: bool) -> _Layer:
        self._from(op)
        assert op.result is not None
        name, a = op.result.name, op.attributes
        weight, bias = np.asarray(a["weight"]), np.broadcast_to(np.asarray(a["bias"]), (len(a["weight"]),))
        most = max(float(np.abs(weight).max()), float(np.abs(bias).max()))
        limit = self.options.weight_range or 1 << max(0, int(np.ceil(np.log2(max(most, 1.0)))))
        w = self._register(weight, f"{name}_w", limit)
        b = self._register(bias, f"{name}_b", limit)
        sums = self.add("dense", [x, w, b], f"{name}_sum")
        out = self._activation(str(a["function"]), sums, name, last)
        return _Layer(op, x, w, b, sums, out)

    def _register(self, values: np.ndarray, name: str, limit: int) -> Value:
        bits = self.weight_bits
        lo, hi = -(limit << bits), (limit << bits) - 1
        initial = np.clip(np.rint(values * 2.0**bits), lo, hi).astype(np.int64)
        return self.add("weights", [], name, initial=initial, bits=bits, lo=lo, hi=hi)

    @property
    def weight_bits(self) -> int:
        return self.options.step_bits + (FRACTION if self.options.rule == "fixed" else 0)

    def _activation(self, function: str, sums: Value, name: str, last: bool) -> Value:
        top = self.options.value_bits
        if function == "identity":
            if not last:
                return self._rounded(sums, top, f"{name}_out", -(1 << top), 1 << top)
            limit = SCORE_RANGE << SCORE_BITS
            return self._rounded(sums, SCORE_BITS, f"{name}_score", -limit, limit - 1)
        if function == "relu":
            bits = top - int(np.log2(RELU_RANGE))
            return self._rounded(sums, bits, f"{name}_out", 0, 1 << top)
        curve: Callable[[np.ndarray], np.ndarray] = np.tanh
        limit = SUM_RANGE
        if function == "sigmoid":
            curve, limit = _sigmoid, 2 * SUM_RANGE
        limit <<= SUM_BITS
        v = self._rounded(sums, SUM_BITS, f"{name}_v", -limit, limit)
        table = np.rint(curve(np.arange(-limit, limit + 1) / 2.0**SUM_BITS) * (1 << top)).astype(np.int64)
        return self.add("lookup", [v], f"{name}_out", table=table, bits=top)

    def _rounded(self, x: Value, bits: int, name: str, lo: int, hi: int) -> Value:
        assert isinstance(x.type, Fixed)
        if x.type.bits < bits:
            raise SccError(
                f"%{x.name} has {x.type.bits} fractional bits, and {bits} are wanted",
                advice="raise step_bits or value_bits",
            )
        return self.add("round", [x], name, shift=x.type.bits - bits, lo=lo, hi=hi)

    # -- the loss ---------------------------------------------------------------------------------------------------------

    def _loss(self, layer: _Layer, label: Value) -> Value:
        if self.options.loss == "squared-error":
            return self._squared_error(layer, label)
        if str(layer.op.attributes["function"]) != "identity":
            raise SccError(
                "cross-entropy is taken of a last layer without activation",
                layer.op.place(),
                "choose loss=squared-error",
            )
        scores, bits = layer.out, self.options.delta_bits
        below = self.add("subtract", [self.add("maximum", [scores], "largest"), scores], "below")
        furthest = int(np.ceil(np.log(2.0) * (bits + 1) * (1 << SCORE_BITS)))
        below = self.add("round", [below], "below_limited", shift=0, lo=0, hi=furthest)
        powers = np.rint(np.exp(-np.arange(furthest + 1) / 2.0**SCORE_BITS) * (1 << bits)).astype(np.int64)
        e = self.add("lookup", [below], "exponential", table=powers, bits=bits)
        total = self.add("sum", [e], "total")
        classes, one = e.type.lanes, 1 << min(SUM_BITS, bits)
        short = self._rounded(total, min(SUM_BITS, bits), "total_rounded", one, classes * one)
        inverses = np.rint((1 << bits) * one / np.arange(one, classes * one + 1)).astype(np.int64)
        inverse = self.add("lookup", [short], "inverse", table=inverses, bits=bits)
        p = self._rounded(self.add("multiply", [e, inverse], "share"), bits, "probability", 0, 1 << bits)
        delta = self.add("residual", [p, self.add("sum", [p], "probabilities"), label], "residual")
        return self._limited(delta, "delta")

    def _squared_error(self, layer: _Layer, label: Value) -> Value:
        y = layer.out
        assert isinstance(y.type, Fixed)
        function = str(layer.op.attributes["function"])
        on, off = 1 << y.type.bits, -(1 << y.type.bits) if function == "tanh" else 0
        error = self.add("error", [y, label], "error", on=on, off=off)
        slope = self._slope(layer)
        return self._limited(error if slope is None else self.add("multiply", [error, slope], "error_sloped"), "delta")

    # -- backward ---------------------------------------------------------------------------------------------------------

    def _limited(self, delta: Value, name: str) -> Value:
        """An error with delta_bits fractional bits (fewer when it has fewer), limited to -1 .. 1."""
        assert isinstance(delta.type, Fixed)
        bits = min(self.options.delta_bits, delta.type.bits)
        return self._rounded(delta, bits, name, -(1 << bits), 1 << bits)

    def _through(self, layer: _Layer, handed: Value) -> Value:
        """The error in front of a layer's activation."""
        slope = self._slope(layer)
        name = f"{self._name(layer)}_delta"
        if slope is None:
            return self._limited(handed, name)
        return self._limited(self.add("multiply", [handed, slope], f"{name}_exact"), name)

    def _slope(self, layer: _Layer) -> Value | None:
        """The activation's derivative, from its output: 1 - a**2, a (1 - a), or a > 0; None for 1."""
        function, out, name = str(layer.op.attributes["function"]), layer.out, f"{self._name(layer)}_slope"
        assert isinstance(out.type, Fixed)
        bits = out.type.bits
        if function == "identity":
            return None
        if function == "relu":
            return self.add("positive", [out], name)
        if function == "sigmoid":
            rest = self.add("subtract", [self._one(bits), out], f"{name}_rest")
            return self.add("multiply", [out, rest], name)
        square = self.add("multiply", [out, out], f"{name}_square")
        return self.add("subtract", [self._one(2 * bits), square], name)

    def _one(self, bits: int) -> Value:
        return self.add("constant", [], "one", value=np.array(1 << bits, dtype=np.int64), bits=bits)

    # -- the update -------------------------------------------------------------------------------------------------------

    def _update(self, layer: _Layer, delta: Value) -> None:
        name, one = self._name(layer), self.add("constant", [], "one", value=np.array(1, dtype=np.int64), bits=0)
        if self.options.rule == "fixed":
            for register_, x in ((layer.weights, layer.x), (layer.bias, one)):
                self._descend(register_, delta, x)
            return
        x = self._quantized(layer.x, f"{name}_qx", lanes=False)
        qdelta = self._quantized(delta, f"{name}_qdelta", lanes=self.options.sources == "per-lane")
        for register_, q in ((layer.weights, x), (layer.bias, one)):
            if self.options.rule == "gdm":
                self._momentum(register_, qdelta, q)
            else:
                self._saturating("count", register_, [qdelta, q], move=_worth(qdelta, q))

    def _quantized(self, value: Value, name: str, *, lanes: bool) -> Value:
        """Compared with a source of as many bits as the number's range has."""
        assert isinstance(value.type, Fixed)
        bits = max(1, (max(-value.type.lo, value.type.hi) - 1).bit_length())
        return self.add("quantize", [value, self._source(bits, f"{name}_r", value.type.shape if lanes else ())], name)

    def _source(self, bits: int, name: str, shape: tuple[int, ...]) -> Value:
        seeds = np.zeros(shape, dtype=np.int64)
        for index in np.ndindex(shape):
            self.seed = splitmix64(self.seed)
            seeds[index] = max(1, self.seed >> 32)
        return self.add("source", [], name, seeds=seeds, bits=bits, drop=32 - bits)

    def _saturating(self, op: str, register_: Value, operands: list[Value], **attributes: Any) -> None:
        assert isinstance(register_.type, Fixed)
        self.add(op, [register_, *operands], lo=register_.type.lo, hi=register_.type.hi, **attributes)

    def _momentum(self, register_: Value, qdelta: Value, q: Value) -> None:
        worth = int(np.log2(_worth(qdelta, q)))
        decay, limit = self.options.decay_bits, 1 << self.options.momentum_bits
        initial = np.zeros(register_.type.shape, dtype=np.int64)
        m = self.add(
            "weights", [], f"{register_.name}_m", initial=initial, bits=decay - worth, lo=-limit, hi=limit - 1
        )  # fmt: skip
        out = self.add("quantize", [m, self._source(decay, f"{register_.name}_mr", ())], f"{register_.name}_out")
        self._saturating("average", m, [qdelta, q, out])
        self._saturating("count_by", register_, [out], move=1 << worth)

    def _descend(self, register_: Value, delta: Value, x: Value) -> None:
        assert isinstance(delta.type, Fixed) and isinstance(x.type, Fixed)
        shift = delta.type.bits + x.type.bits + self.options.step_bits - self.weight_bits
        self._saturating("descend", register_, [delta, x], shift=shift)


def _worth(*quantized: Value) -> int:
    """What the product of quantised values of 1 is worth."""
    bits = 0
    for value in quantized:
        assert isinstance(value.type, Fixed)
        bits += value.type.bits
    return 1 << -bits


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
