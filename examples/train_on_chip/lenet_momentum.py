"""LeNet on MNIST with momentum: float descent and momentum counters (SC-GDM) from the same weights, samples and order.

Run: python examples/train_on_chip/lenet_momentum.py --data mnist.npz --epochs 2   (about a millisecond a sample and rule)
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from sccc.backends.simulator.training_lenet import COUNTERS, FLOAT, LeNet

RULES = {"float-momentum": FLOAT, "gdm": COUNTERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="mnist.npz: x_train, y_train, x_test, y_test in uint8")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=0, help="only so many training samples an epoch")
    parser.add_argument("--step-bits", type=int, default=10)
    parser.add_argument("--decay-bits", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with np.load(args.data) as archive:
        x, test = ((archive[k].reshape(-1, 784) / np.float32(255)).astype(np.float32) for k in ("x_train", "x_test"))
        y, test_y = archive["y_train"], archive["y_test"]
    results = {}
    for name, rule in RULES.items():
        net, epochs, started = LeNet(rule, args.seed, args.step_bits, args.decay_bits), [], time.perf_counter()
        for epoch in range(args.epochs):
            order = np.random.default_rng([args.seed, epoch]).permutation(len(x))
            net.train(x, y, order[: args.limit or len(x)])
            epochs.append({"epoch": epoch + 1, "accuracy": net.accuracy(test, test_y)})
            print(name, epochs[-1], f"{time.perf_counter() - started:.0f} s", flush=True)
        results[name] = {"epochs": epochs, "accuracy": epochs[-1]["accuracy"]}
    print(json.dumps({**results, "difference": results["gdm"]["accuracy"] - results["float-momentum"]["accuracy"]}))


if __name__ == "__main__":
    main()
