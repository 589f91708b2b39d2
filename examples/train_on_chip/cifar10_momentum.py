r"""The CIFAR-10 networks with momentum: momentum counters (SC-GDM) and float descent from the same weights, samples and order.

Run: python examples/train_on_chip/cifar10_momentum.py --network resnet18 --data cifar10.npz --epochs 3
     python examples/train_on_chip/cifar10_momentum.py --network vgg16 --mnist mnist.npz --limit 2000
     python examples/train_on_chip/cifar10_momentum.py --network mobilenetv2 --mnist mnist.npz --limit 3000 --epochs 4 \
         --from-scratch --first-weights lsuv --step-bits 11 --gradient-range 1

`--data` takes images of 3 x 32 x 32 in x_train and x_test (uint8) with classes in y_train and y_test; examples/cifar10/README.md
says how to make such a file of CIFAR-10. `--mnist` takes MNIST instead, padded to 32 x 32, each digit in a colour of its own on
a dark ground of another. It is what `sccc train examples/cifar10/NETWORK_narrow.onnx --data D.npz --rule gdm --against
float-momentum` does with the number formats in FORMATS; other options are handed on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from sccc.cli import main as sccc

MODELS = Path(__file__).parents[1] / "cifar10"
NETWORKS = ("vgg16", "resnet18", "mobilenetv2")

FORMATS = ["--value-bits", "12"]
"""Activations of 12 bits up to 16; else as for any network with convolutions."""

TEST_IMAGES = 1000


def coloured(images: np.ndarray, seed: int) -> np.ndarray:
    """MNIST images [n, 784] in CIFAR-10's shape: uint8 [n, 3, 32, 32]."""
    random = np.random.default_rng(seed)
    shade = np.pad(images.reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))[:, None] / 255.0
    ink, ground = random.uniform(0.6, 1.0, (len(shade), 3, 1, 1)), random.uniform(0.0, 0.3, (len(shade), 3, 1, 1))
    return np.rint(255 * (shade * ink + (1 - shade) * ground)).astype(np.uint8)


def written(mnist: Path, target: Path, limit: int) -> Path:
    """The data as a file that sccc reads."""
    with np.load(mnist) as archive:
        np.savez(
            target,
            x_train=coloured(archive["x_train"][:limit], 1),
            y_train=archive["y_train"][:limit],
            x_test=coloured(archive["x_test"][:TEST_IMAGES], 2),
            y_test=archive["y_test"][:TEST_IMAGES],
        )
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--network", choices=NETWORKS, default="resnet18", help="which narrow network (default resnet18)"
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", help="x_train, y_train, x_test, y_test: 3 x 32 x 32 uint8, as CIFAR-10")
    data.add_argument("--mnist", type=Path, help="mnist.npz, which is coloured")
    parser.add_argument("--limit", type=int, default=2000, help="training samples (default 2000)")
    parser.add_argument("--epochs", default="3", help="passes over the samples (default 3)")
    args, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="sccc_cifar10_") as folder:
        file = args.data or str(written(args.mnist, Path(folder) / "coloured.npz", args.limit))
        run = ["train", str(MODELS / f"{args.network}_narrow.onnx"), "--data", file, "--limit", str(args.limit)]
        return sccc([*run, "--epochs", args.epochs, "--rule", "gdm", "--against", "float-momentum", *FORMATS, *others])


if __name__ == "__main__":
    sys.exit(main())
