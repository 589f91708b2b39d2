"""Cut lenet_sample.npz out of the full MNIST file, so that nothing has to be downloaded to compile and judge LeNet-5.

    python make_sample.py

x_test, y_test: the first 500 test images and their labels. x_calib: 500 training images, drawn with a fixed seed, for
choosing scales.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
TEST = 500
CALIBRATION = 500


def find_data(given: Path | None) -> Path:
    """Return the data file: the one named, or shared/data/mnist.npz in the nearest folder above that has it."""
    if given is not None:
        if not given.is_file():
            sys.exit(f"no such file: {given}")
        return given
    for folder in HERE.parents:
        candidate = folder / "shared" / "data" / "mnist.npz"
        if candidate.is_file():
            return candidate
    sys.exit("no shared/data/mnist.npz in any folder above; name the file with --data")


def calibration_images(images: int) -> npt.NDArray[np.int64]:
    """Which of so many training images are calibrated on."""
    return np.sort(np.random.default_rng(1).choice(images, CALIBRATION, replace=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="MNIST as .npz (default: as for train.py)")
    parser.add_argument("--out", type=Path, default=HERE / "lenet_sample.npz", help="file to write")
    options = parser.parse_args()
    with np.load(find_data(options.data)) as file:
        x_train, x_test, y_test = file["x_train"], file["x_test"], file["y_test"]
    np.savez_compressed(
        options.out,
        x_test=x_test[:TEST].reshape(-1, 28, 28),
        y_test=y_test[:TEST],
        x_calib=x_train[calibration_images(len(x_train))].reshape(-1, 28, 28),
    )
    print(f"wrote {options.out} ({options.out.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
