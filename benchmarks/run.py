"""`make bench`: the simulator's rates beside the raw kernel's, how its time grows, compile time, accuracies, folded networks."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import accuracy, cifar10, scaling, simulator_rate  # noqa: E402


def compile_time() -> None:
    """Seconds from the command line to files, for the shipped networks."""
    from sccc.cli import main as sccc

    example = ROOT / "examples" / "mnist_mlp"
    with tempfile.TemporaryDirectory() as folder:
        for style in ("accumulate", "streaming"):
            started = time.perf_counter()
            model = str(example / "mnist_mlp_tanh.onnx")
            sccc([model, "-o", f"{folder}/net.v", "--style", style, "--calibrate", str(example / "mnist_sample.npz")])
            print(f"compiled in {style} style in {time.perf_counter() - started:.1f} s")


def main() -> None:
    model = str(ROOT / "examples" / "mnist_mlp" / "mnist_mlp_tanh.onnx")
    lenet = str(ROOT / "examples" / "lenet" / "lenet.onnx")
    print("== simulator rate, products of bits per second ==", flush=True)
    simulator_rate.main([model, "--length", "16", "32", "64", "256"])
    simulator_rate.main([lenet, "--length", "32", "64", "256", "--images", "1000", "--style", "accumulate"])
    print("== how time grows ==", flush=True)
    scaling.main(["--plot", str(ROOT / "build" / "scaling.png")])
    print("== compile time ==", flush=True)
    compile_time()
    print("== accuracy ==", flush=True)
    accuracy.main([])
    print("== convolutional networks, folded ==", flush=True)
    cifar10.main([])


if __name__ == "__main__":
    main()
