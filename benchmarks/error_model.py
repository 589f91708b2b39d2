"""Predicted against measured RMS error of each layer's total, for many choices of random sources, on the MNIST networks.

The prediction (`sccc.error_model`) sees the 500 calibration samples; the measurement simulates every layer by itself, bit for bit,
fed with the levels that the ideal evaluator gives it, on other samples. Errors are in counts of the window.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import sccc
from sccc.accuracy import predictions
from sccc.backends.simulator import simulate
from sccc.data import Data, load_calibration, load_data
from sccc.error_model import layer_error
from sccc.ir import Module, Operation
from sccc.judged_layer import ideal_levels, signal_deviation
from sccc.passes import DEFAULT_PIPELINE
from sccc.passes.plans import Plan, reversed_masks, spread_masks
from sccc.report import console, table
from sccc.sources import SOBOL_DIMENSIONS
from sccc.types import Level

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "mnist_mlp"

ALLOWED = 0.25
"""Relative error of a prediction that the project allows itself."""


@dataclass(frozen=True)
class Case:
    """Sources of one choice. kinds: sobol, ramp, lfsr, or scrambled and lfsr with `each`: one for every SNG; masks of w, x."""

    title: str
    kinds: tuple[str, str]
    index: tuple[int, int]
    length: int
    encoding: str = "signed"
    masked: str = ""
    each: bool = False
    network: str = "tanh"


CASES = (
    Case("sobol 0, 1", ("sobol", "sobol"), (0, 1), 16),
    Case("sobol 0, 1", ("sobol", "sobol"), (0, 1), 32),
    Case("sobol 1, 0 (swapped)", ("sobol", "sobol"), (1, 0), 32),
    Case("sobol 0, 1; relu", ("sobol", "sobol"), (0, 1), 32, network="relu"),
    Case("sobol 3, 6", ("sobol", "sobol"), (3, 6), 64),
    Case("sobol 0, 1; masks on w", ("sobol", "sobol"), (0, 1), 32, masked="w"),
    Case("sobol 0, 1; masks on w", ("sobol", "sobol"), (0, 1), 256, masked="w"),
    Case("ramp, sobol 0", ("ramp", "sobol"), (0, 0), 64),
    Case("ramp, sobol 0; cut short", ("ramp", "sobol"), (0, 0), 50),
    Case("lfsr pair", ("lfsr", "lfsr"), (5, 23), 32),
    Case("lfsr pair", ("lfsr", "lfsr"), (17, 200), 256, network="relu"),
    Case("scrambled sobol each", ("scrambled", "scrambled"), (0, 1), 32, each=True),
    Case("scrambled sobol each", ("scrambled", "scrambled"), (0, 1), 128, each=True, network="relu"),
    Case("lfsr each", ("lfsr", "lfsr"), (0, 0), 64, each=True),
    Case("lfsr each", ("lfsr", "lfsr"), (0, 0), 256, each=True, network="relu"),
    Case("one lfsr for x, each for w", ("lfsr", "lfsr"), (77, -1), 64),
    Case("sobol 0, 1", ("sobol", "sobol"), (0, 1), 256, "bipolar"),
    Case("sobol 0, 1; masks on w, x", ("sobol", "sobol"), (0, 1), 64, "bipolar", masked="wx"),
    Case("scrambled sobol each", ("scrambled", "scrambled"), (0, 1), 64, "bipolar", each=True),
    Case("lfsr pair", ("lfsr", "lfsr"), (17, 200), 256, "bipolar"),
    Case("sobol 0, 1; bipolar x signed", ("sobol", "sobol"), (0, 1), 64, "mixed"),
    Case("lfsr each; bipolar x signed", ("lfsr", "lfsr"), (0, 0), 128, "mixed", each=True),
)


def plan_of(case: Case, dot: Operation, bits: int) -> Plan:
    """Sources and masks for a layer's size."""
    rng = np.random.default_rng(9)
    index: list[Any] = []
    for side, stream in enumerate(dot.operands):
        kind, number = case.kinds[side], case.index[side]
        if case.each or number < 0:
            draws = rng.integers(1 << max(3, bits) if kind == "lfsr" else 1 << 16, size=stream.type.shape)
            index.append(draws if kind == "lfsr" else draws * SOBOL_DIMENSIONS + number)
        else:
            index.append(number)
    lanes = dot.operands[0].type.lanes
    masks: list[Any] = [None, None]
    if "w" in case.masked:
        masks[1] = reversed_masks(lanes, bits) if "x" in case.masked else spread_masks(lanes, bits)
    if "x" in case.masked:
        masks[0] = spread_masks(lanes, bits)
    if case.kinds[0] == "scrambled":
        masks = [rng.integers(1 << bits, size=s.type.shape) for s in dot.operands]
    return Plan(case.kinds, (index[0], index[1]), (masks[0], masks[1]))


def single_layer(dot: Operation, plan: Plan) -> Module:
    """A module that is nothing but this dot product with other sources; its input takes encoded numbers."""
    x, w = dot.operands
    assert w.op is not None and w.op.operands[0].op is not None
    weights = w.op.operands[0].op.attributes
    bits, layer = int(weights["bits"]), {"layer": "one"}
    module = Module("one")
    encoding = x.type.encoding.value  # type: ignore[attr-defined]
    shape = {"shape": [x.type.lanes], "name": "x", "encoding": encoding, "bits": bits}
    levels = [
        module.append("sc.input", [], shape).result,
        module.append("sc.constant", [], {**weights, **layer}).result,
    ]
    streams = []
    for side, level in enumerate(levels):
        source = {"kind": plan.kind[side], "index": np.asarray(plan.index[side]), "bits": bits, **layer}
        random = module.append("sc.source", [], source).result
        if plan.masks[side] is not None:
            random = module.append("sc.mask", [random], {"masks": plan.masks[side], **layer}).result
        length = {"length": x.type.length, **layer}  # type: ignore[attr-defined]
        streams.append(module.append("sc.sng", [level, random], length).result)
    count = module.append("sc.dot", streams, layer).result
    total = module.append("sc.accumulate", [count], {"initial": 0, **layer}, result="total").result
    module.append("sc.output", [total], {"name": "y", **layer})
    return module


def compiled(case: Case, calibration: np.ndarray) -> Module:
    path = EXAMPLE / f"mnist_mlp_{case.network}.onnx"
    encoding = "signed" if case.encoding == "mixed" else case.encoding
    module = sccc.compile(path, calibration=calibration, length=case.length, encoding=encoding)
    if case.encoding == "mixed":  # signed weights and, as behind a tanh state machine, bipolar inputs
        bipolar = sccc.compile(path, calibration=calibration, length=case.length, encoding="bipolar")
        for dot, other in zip(bipolar.ops_named("sc.dot"), module.ops_named("sc.dot"), strict=True):
            dot.operands[1] = other.operands[1]
        module = bipolar
    return module


def numbers(dot: Operation, levels: np.ndarray) -> np.ndarray:
    kind = dot.operands[0].op.operands[0].type  # type: ignore[union-attr]
    assert isinstance(kind, Level)
    return kind.encoding.decode(levels, kind.bits)


def compare(case: Case, calibration: np.ndarray, test: np.ndarray) -> list[tuple[str, str, float, float]]:
    """For each layer: encodings, its name, predicted and measured RMS error."""
    module = compiled(case, calibration)
    # Levels come from a module whose own dots were not tampered with.
    plain = compiled(replace(case, encoding="bipolar" if case.encoding == "mixed" else case.encoding), calibration)
    seen, fresh = ideal_levels(plain, calibration), ideal_levels(plain, test)
    rows = []
    for dot, twin in zip(module.ops_named("sc.dot"), plain.ops_named("sc.dot"), strict=True):
        weights = dot.operands[1].op.operands[0]  # type: ignore[union-attr]
        assert isinstance(weights.type, Level) and weights.op is not None
        one = single_layer(dot, plan_of(case, dot, weights.type.bits))
        (only,) = one.ops_named("sc.dot")
        predicted = layer_error(only, seen[twin]).rms
        x = numbers(only, fresh[twin])
        w = weights.type.encoding.decode(weights.op.attributes["levels"], weights.type.bits)
        total = simulate(one, x, trace=["total"]).trace["total"]
        measured = float(np.sqrt(np.mean((total - case.length * (x @ w.T)) ** 2)))
        kinds = " x ".join(v.type.encoding.value for v in dot.operands)  # type: ignore[attr-defined]
        rows.append((kinds, str(dot.attributes["layer"]), predicted, measured))
    return rows


def bias_gain(network: str, length: int, calibration: np.ndarray, data: Data) -> list[str]:
    """Accuracy without and with biases folded, and without and with the residual error of layers, in output deviations."""
    path = EXAMPLE / f"mnist_mlp_{network}.onnx"
    plain = sccc.compile(
        path, calibration=calibration, length=length, passes=DEFAULT_PIPELINE.replace(",correct-bias", "")
    )
    folded = sccc.compile(path, calibration=calibration, length=length)
    cells = [network, str(length)]
    for module in (plain, folded):
        cells.append(f"{100 * np.mean(predictions(simulate(module, data.x).output) == data.y):.2f}")
    errors = [(layer_error(dot, x), signal_deviation(dot, x)) for dot, x in ideal_levels(plain, calibration).items()]
    for figure in ("rms", "residual"):
        cells.append(" ".join(f"{getattr(error, figure) / unit:.4f}" for error, unit in errors))
    return cells


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(EXAMPLE / "mnist_sample.npz"))
    parser.add_argument("--samples", type=int, default=1000, help="samples of the measurement")
    args = parser.parse_args(argv)
    rows, worst = [], 0.0
    for case in CASES:
        model = sccc.load(EXAMPLE / f"mnist_mlp_{case.network}.onnx")
        calibration = load_calibration(EXAMPLE / "mnist_sample.npz", model)
        test = load_data(args.data, model, limit=args.samples).x
        for kinds, layer, predicted, measured in compare(case, calibration, test):
            off = predicted / measured - 1.0
            worst = max(worst, abs(off))
            figures = f"{predicted:.3f}", f"{measured:.3f}", f"{100 * off:+.1f} %"
            rows.append([case.network, case.title, kinds, str(case.length), layer, *figures])
            print(*rows[-1], sep="  ", flush=True)
    headings = ["net", "sources of x, w", "encodings", "N", "layer", "predicted", "measured", "off by"]
    console().print(table(f"RMS error of a layer's total, in counts; {args.samples} samples", headings, rows))
    gains = []
    for network, length in (("tanh", 8), ("tanh", 16), ("relu", 8), ("relu", 16), ("relu", 32)):
        model = sccc.load(EXAMPLE / f"mnist_mlp_{network}.onnx")
        calibration = load_calibration(EXAMPLE / "mnist_sample.npz", model)
        gains.append(bias_gain(network, length, calibration, load_data(args.data, model, need_y=True)))
    headings = ["net", "N", "accuracy %", "biases folded", "RMS of layers, in deviations", "biases folded"]
    console().print(table("what folding biases gains (pass correct-bias)", headings, gains))
    result = f"off by at most {100 * worst:.1f} % (allowed {100 * ALLOWED:.0f} %)"
    print(f"{len(CASES)} choices of sources, {len(rows)} layers: {result}")


if __name__ == "__main__":
    main()
