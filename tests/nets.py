"""Random networks for the tests: nn modules built op by op, and compiled with the default pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sccc.backends.simulator import simulate
from sccc.config import make_config
from sccc.ir import Module, Value
from sccc.passes import DEFAULT_PIPELINE, PassContext, parse_pipeline, run_passes

ATTRIBUTES: dict[str, dict[str, float]] = {
    "leaky_relu": {"alpha": 0.125},
    "clip": {"lo": -0.5, "hi": 1.5},
    "hard_sigmoid": {"alpha": 0.25, "beta": 0.5},
}
"""Attributes of the activations that have some."""


@dataclass(frozen=True)
class Spec:
    """A random network. sizes: lanes, input first. end: argmax, softmax, none, or an activation of the last layer."""

    sizes: Sequence[int] = (5, 4, 3)
    activation: str = "tanh"
    end: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    negative_inputs: bool = False
    positive: bool = False  # no negative weight or bias: what unipolar streams can hold
    bias: bool = True
    seed: int = 0
    samples: int = 3

    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, *self.sizes])


def weights(spec: Spec, rng: np.random.Generator, m: int, n: int) -> np.ndarray:
    """Random weights with what is special: zeros, a full-scale one, and sometimes a row of zeros."""
    weight = rng.normal(size=(m, n))
    weight[rng.random((m, n)) < 0.2] = 0.0
    weight[rng.integers(m), rng.integers(n)] = 3.0
    weight = np.where(np.abs(weight) > 2.5, np.sign(weight) * 2.5, weight) / np.sqrt(n)
    if m > 1 and rng.random() < 0.3:
        weight[rng.integers(m)] = 0.0
    return np.abs(weight) if spec.positive else weight


def build(spec: Spec) -> Module:
    """The float network."""
    rng = spec.rng()
    module = Module("net")
    value = module.append("nn.input", [], {"shape": [spec.sizes[0]], "name": "x"}, result="x").result
    for number, (n, m) in enumerate(zip(spec.sizes, spec.sizes[1:], strict=False)):
        bias = rng.normal(size=m) * 0.4 * spec.bias
        attributes = {"weight": weights(spec, rng, m, n), "bias": np.abs(bias) if spec.positive else bias}
        origin = f"fc{number}"
        value = module.append("nn.dense", [value], attributes, result=origin, origin=f"/{origin}/Gemm").result
        last = number == len(spec.sizes) - 2
        function = (spec.end if spec.end not in ("none", "argmax", "softmax") else "") if last else spec.activation
        if function and function != "identity":
            value = module.append(f"nn.{function}", [value], ATTRIBUTES.get(function, {}), origin=f"act{number}").result
    if spec.end in ("argmax", "softmax"):
        value = module.append(f"nn.{spec.end}", [value]).result
    module.append("nn.output", [value], {"name": "y"})
    return module


def data(spec: Spec, samples: int = 0) -> np.ndarray:
    """Inputs; the first sample holds the extremes."""
    rng = np.random.default_rng([spec.seed, 1, *spec.sizes])
    x = rng.random((samples or spec.samples, spec.sizes[0]))
    if spec.negative_inputs:
        x = 2 * x - 1
    x[0] = rng.choice([0.0, 1.0, -1.0 if spec.negative_inputs else 0.5], spec.sizes[0])
    return x


def context(options: Mapping[str, Any], calibration: np.ndarray | None = None, layers: Any = None) -> PassContext:
    return PassContext(
        make_config(options, layers), calibration, lambda module, x, names: simulate(module, x, trace=names).trace
    )


def lower(
    module: Module,
    options: Mapping[str, Any],
    calibration: np.ndarray | None = None,
    pipeline: str = DEFAULT_PIPELINE,
    layers: Any = None,
) -> Module:
    """The module after a pipeline."""
    return run_passes(module, parse_pipeline(pipeline), context(options, calibration, layers))


def compiled(spec: Spec, calibrated: bool = True) -> Module:
    """The hardware of a network, with calibration data unless told otherwise."""
    return lower(build(spec), spec.options, data(spec, 20) if calibrated else None)


def constant(module: Module, levels: Any, encoding: str, bits: int, result: str) -> Value:
    attributes = {"levels": np.asarray(levels), "encoding": encoding, "bits": bits, "layer": "one"}
    return module.append("sc.constant", [], attributes, result=result).result


def source(module: Module, bits: int, kind: str = "sobol", index: Any = 0, **more: Any) -> Value:
    attributes = {"kind": kind, "index": index, "bits": bits, "layer": "one", **more}
    return module.append("sc.source", [], attributes).result


def sng(module: Module, level: Value, random: Value, length: int, result: str) -> Value:
    return module.append("sc.sng", [level, random], {"length": length, "layer": "one"}, result=result).result


def one_layer(
    x: str,
    w: str,
    levels: Any,
    length: int,
    bits: int,
    machine: tuple[str, Mapping[str, Any]] = ("sc.accumulate", {}),
    sources: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"index": 0}, {"index": 1}),
    bias: tuple[Any, Any] | None = None,
) -> Module:
    """An input of encoding x [n], weights of encoding w with `levels` [m, n], a count, perhaps a bias, and a machine.

    Values: %level %x %weights %w %count, %biased, and %y. `bias` is (whole, signed levels of the fraction).
    """
    levels = np.asarray(levels)
    module = Module("one")
    attributes = {"shape": [levels.shape[1]], "name": "in", "encoding": x, "bits": bits}
    level = module.append("sc.input", [], attributes, result="level").result
    stream = sng(module, level, source(module, bits, **sources[0]), length, "x")
    weight = sng(module, constant(module, levels, w, bits, "weights"), source(module, bits, **sources[1]), length, "w")
    count = module.append("sc.dot", [stream, weight], {"layer": "one"}, result="count").result
    if bias is not None:
        fraction = constant(module, bias[1], "signed", bits, "bias")
        fraction = sng(module, fraction, source(module, bits, index=2), length, "fraction")
        whole = {"whole": np.asarray(bias[0]), "layer": "one"}
        count = module.append("sc.offset", [count, fraction], whole, result="biased").result
    y = module.append(machine[0], [count], {**machine[1], "layer": "one"}, result="y").result
    module.append("sc.output", [y], {"name": "out", "layer": "one"})
    return module
