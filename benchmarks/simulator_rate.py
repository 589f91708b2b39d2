"""How many products of bits per second the simulator computes, beside the machine's own limit measured in the same run.

    python benchmarks/simulator_rate.py MODEL.onnx --length 16 256 --images 10000

"raw" is the bare AND + population count over two arrays in the first-level cache, measured again before each simulation, as the
machine's speed changes; "of raw" compares processor time. The others are whole simulations, from real-valued images to class
scores.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np

import sccc
from sccc.backends.simulator import Simulator
from sccc.backends.simulator.codegen import KERNEL, load
from sccc.frontend import load_onnx

RAW_WORDS, RAW_REPEATS = 1024, 20000

RAW = f"""{KERNEL}
def raw(a, b, repeats):
    total = ZERO
    for r in range(repeats):
        for i in range(a.size):
            total += pop(a[i] & b[i])
        a[0] += np.uint64(1)
    return total
"""


def best_times(run: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """The shortest wall-clock time and the least processor time (all threads together) of several runs, in seconds."""
    wall, processor = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return min(wall), min(processor)


def raw_times(threads: int) -> tuple[int, float, float]:
    """AND + population count alone: products of bits, wall-clock and processor seconds."""
    kernel = load(RAW).raw
    words = np.random.default_rng(0).integers(0, 1 << 63, (threads, 2, RAW_WORDS), dtype=np.uint64)
    kernel(words[0, 0], words[0, 1], 1)
    with ThreadPoolExecutor(threads) as pool:
        times = best_times(lambda: list(pool.map(lambda pair: kernel(pair[0], pair[1], RAW_REPEATS), words)))
    return threads * RAW_WORDS * RAW_REPEATS * 64, *times


def show(what: str, length: object, products: int, wall: float, processor: float, raw: float) -> None:
    """One line of the table. raw: products per processor second of the kernel alone."""
    rate = products / processor
    print(
        f"{what:24s} {length!s:>6s} {wall:8.3f} {products / wall:12.3g} {rate:14.3g} {100 * rate / raw:6.0f} %",
        flush=True,
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+")
    parser.add_argument("--length", type=int, nargs="+", default=[16, 32, 64, 256])
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument("--style", nargs="+", choices=("accumulate", "streaming"), default=["accumulate", "streaming"])
    parser.add_argument("--data", help="npz file with an array x (samples first); random numbers in 0 .. 1 without it")
    options = parser.parse_args(argv)
    threads = len(os.sched_getaffinity(0))
    print(f"{'what':24s} {'cycles':>6s} {'seconds':>8s} {'products/s':>12s} {'per CPU second':>14s} {'of raw':>8s}")
    products, wall, processor = raw_times(threads)
    show(f"raw, {threads} thread(s)", "", products, wall, processor, products / processor)
    for model, length, style in product(options.model, options.length, options.style):
        images = _images(model, options.data, options.images)
        try:
            simulator = Simulator(sccc.compile(model, calibration=images[:200], length=length, style=style))
        except sccc.SccError as error:
            print(f"{Path(model).stem}, {style}: {error.diagnostics[0].message}")
            continue
        simulator.run(images[:600])
        products, wall, processor = raw_times(threads)
        raw = products / processor
        products = simulator.products_per_sample() * len(images)
        show(f"{Path(model).stem}, {style}", length, products, *best_times(lambda: simulator.run(images), 3), raw)  # noqa: B023
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0


def _images(model: str, path: str | None, count: int) -> np.ndarray:
    if path is None:
        shape = load_onnx(model).inputs[0].result.type.shape
        return np.random.default_rng(0).random((count, *shape))
    data = np.load(path)["x"]
    return np.resize(data, (count, *data.shape[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
