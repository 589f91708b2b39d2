"""LeNet on MNIST with momentum: momentum counters (SC-GDM) and float descent from the same weights, samples and order.

Run: python examples/train_on_chip/lenet_momentum.py --data mnist.npz --epochs 3

It is what `sccc train examples/lenet/lenet_tanh.onnx --data mnist.npz --from-scratch --rule gdm --against float-momentum` does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sccc.cli import main as sccc

MODEL = Path(__file__).parents[1] / "lenet" / "lenet_tanh.onnx"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="mnist.npz: x_train, y_train, x_test, y_test in uint8")
    parser.add_argument("--epochs", default="3", help="passes over the samples (default 3)")
    args, others = parser.parse_known_args()
    run = ["train", str(MODEL), "--data", args.data, "--epochs", args.epochs, "--from-scratch", "--rule", "gdm"]
    return sccc([*run, "--against", "float-momentum", *others])


if __name__ == "__main__":
    sys.exit(main())
