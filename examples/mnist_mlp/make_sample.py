"""Cut mnist_sample.npz out of the full MNIST file, so that the demo and the tests need no download.

    python make_sample.py

x_test, y_test: the first 1000 test images and their labels. x_calib: 500 training images, drawn with a fixed seed, for
choosing scales; no test image is among them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from train import HERE, find_data

TEST = 1000
CALIB = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="MNIST as .npz (default: as for train.py)")
    parser.add_argument("--out", type=Path, default=HERE / "mnist_sample.npz", help="file to write")
    options = parser.parse_args()
    with np.load(find_data(options.data)) as file:
        x_train, x_test, y_test = file["x_train"], file["x_test"], file["y_test"]
    pick = np.sort(np.random.default_rng(1).choice(len(x_train), CALIB, replace=False))
    np.savez_compressed(
        options.out,
        x_test=x_test[:TEST].reshape(-1, 28, 28),
        y_test=y_test[:TEST],
        x_calib=x_train[pick].reshape(-1, 28, 28),
    )
    print(f"wrote {options.out} ({options.out.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
