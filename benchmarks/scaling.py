"""How the simulator's processor time grows with the stream length, the samples and the products of a network.

    python benchmarks/scaling.py --plot build/scaling.png

Networks are dense, n -> n -> 10, with random weights. The exponent is the slope of log time against log size, by least squares over
the larger half of the sizes: 1 is linear. Below, a fixed part per batch and per input shows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import sccc
from sccc.backends.simulator import Simulator

LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
SAMPLES = (250, 500, 1000, 2000, 4000, 8000)
WIDTHS = (64, 128, 256, 512, 1024)
STYLES = ("accumulate", "streaming")

USUAL_LENGTH, USUAL_SAMPLES, USUAL_WIDTH = 64, 1000, 256


def network(width: int) -> sccc.Module:
    """A tanh MLP of `width` inputs, as many hidden units and 10 outputs."""
    rng = np.random.default_rng(width)
    arrays = {"w1": rng.normal(0, 2 / width**0.5, (width, width)), "w2": rng.normal(0, 2 / width**0.5, (width, 10))}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "fc1"),
        helper.make_node("Tanh", ["a"], ["h"], "act"),
        helper.make_node("MatMul", ["h", "w2"], ["y"], "fc2"),
    ]
    graph = helper.make_graph(
        nodes, "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in arrays.items()],
    )  # fmt: skip
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dense.onnx"
        onnx.save(model, path)
        return sccc.load(path)


@lru_cache
def compiled(style: str, length: int, width: int) -> sccc.Module:
    calibration = np.random.default_rng(0).random((100, width))
    return sccc.compile(network(width), calibration=calibration, length=length, style=style)


def seconds(style: str, *, length: int, samples: int, width: int) -> float:
    """Processor time of a run in one thread, the least of several."""
    x = np.random.default_rng(0).random((samples, width))
    simulator = Simulator(compiled(style, length, width), threads=1)
    simulator.run(x)
    times = []
    for _ in range(3):
        started = time.process_time()
        simulator.run(x)
        times.append(time.process_time() - started)
    return min(times)


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The slope of log time against log size over the larger half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(times[half:]), 1)[0])


def measure() -> dict[str, tuple[list[float], dict[str, list[float]]]]:
    """What is varied -> its sizes, and for each style the times."""
    usual = {"length": USUAL_LENGTH, "samples": USUAL_SAMPLES, "width": USUAL_WIDTH}
    varied = {"length": LENGTHS, "samples": SAMPLES, "width": WIDTHS}
    found = {}
    for name, values in varied.items():
        times = {style: [seconds(style, **{**usual, name: value}) for value in values] for style in STYLES}
        sizes = [float(v * v + 10 * v) if name == "width" else float(v) for v in values]
        found["products" if name == "width" else name] = (sizes, times)
    return found


def plot(found: dict[str, tuple[list[float], dict[str, list[float]]]], path: Path) -> None:
    """Time against size, on logarithmic axes, with a line of slope 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 3.6), layout="constrained")
    units = {"length": "stream length, cycles", "samples": "samples", "products": "products of a sample"}
    for axes, (name, (sizes, times)) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        for style, spent in times.items():
            axes.loglog(sizes, spent, "o-", markersize=4, label=f"{style}, exponent {exponent(sizes, spent):.2f}")
        last = max(spent[-1] for spent in times.values())
        axes.loglog(sizes, [1.4 * last * size / sizes[-1] for size in sizes], ":", color="grey", label="linear")
        if name != "products":
            axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
            axes.minorticks_off()
        axes.set_xlabel(units[name])
        axes.set_ylabel("processor time, s")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", default="build/scaling.png")
    options = parser.parse_args(argv)
    found = measure()
    for name, (sizes, times) in found.items():
        for style, spent in times.items():
            print(f"{style:10s} time ~ {name}^{exponent(sizes, spent):.2f}, {sizes[0]:,.0f} .. {sizes[-1]:,.0f}")
    plot(found, Path(options.plot))
    print(f"wrote {options.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
