"""Train the example network, 784-128-128-10, on MNIST in plain numpy and write it as ONNX.

    python train.py --activation tanh            # writes mnist_mlp_tanh.onnx beside this script
    python train.py --activation relu

Three things here are for the sake of the stochastic hardware, and cost next to no accuracy:

* every weight and bias stays inside a fixed box (``CLIP``), because a stream holds values in -1..1: one outlier would
  set the scale of its whole layer and rob all the other weights of resolution;
* noise is added to every sum during training (``--noise``), shaped as the sampling error of a stream is: a neuron that
  adds n products of size up to s * w_max errs in proportion to s * w_max * sqrt(n), where s is the inputs' reach;
* uniform noise of one quantisation step (``--weight-bits``) is added to the weights.

The seed is fixed. On one machine the result is the same each time; another BLAS may round otherwise, and then the
accuracy moves by about 0.1 points.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

# One thread: the matrices are small, and threads that wait for each other on a busy machine cost up to 20 times.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
SIZES = (784, 128, 128, 10)
CLIP = (0.25, 0.25, 0.5)  # largest |weight| and |bias| allowed in fc1, fc2, fc3
NOISE = {"tanh": 0.075, "relu": 0.025}  # on the sums, in units of reach * w_max * sqrt(n)
OPSET = 13
IR_VERSION = 8

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class Data(NamedTuple):
    x_train: Array
    y_train: Labels
    x_test: Array
    y_test: Labels


class Layer(NamedTuple):
    """Weights as ONNX's Gemm with transB=1 has them: (outputs, inputs)."""

    weight: Array
    bias: Array


def find_data(given: Path | None) -> Path:
    """Return the data file: the one named, or shared/data/mnist.npz in the nearest folder above that has it."""
    if given is not None:
        if not given.is_file():
            sys.exit(f"train.py: no such file: {given}")
        return given
    for folder in HERE.parents:
        candidate = folder / "shared" / "data" / "mnist.npz"
        if candidate.is_file():
            return candidate
    sys.exit("train.py: no shared/data/mnist.npz in any folder above; name the file with --data")


def load(path: Path) -> Data:
    """Read the four arrays; images may be stored as 28x28 or flat, and become 784 floats in 0..1."""
    with np.load(path) as file:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(file.files)
        if missing:
            sys.exit(f"train.py: {path} lacks {', '.join(sorted(missing))}")

        def images(key: str) -> Array:
            raw = file[key]
            return raw.reshape(len(raw), -1).astype(np.float32) / np.float32(255)

        return Data(
            images("x_train"), file["y_train"].astype(np.int64), images("x_test"), file["y_test"].astype(np.int64)
        )


def activate(kind: str, z: Array) -> Array:
    return np.tanh(z) if kind == "tanh" else np.maximum(z, np.float32(0))


def slope(kind: str, a: Array) -> Array:
    """Derivative of the activation, from its output."""
    return 1 - a * a if kind == "tanh" else (a > 0).astype(np.float32)


def shift(rng: np.random.Generator, x: Array, reach: int) -> Array:
    """Move a whole batch by up to ``reach`` pixels; MNIST's margin is empty, so rolling round loses nothing."""
    if reach == 0:
        return x
    down, right = rng.integers(-reach, reach + 1, 2)
    rolled: Array = np.roll(x.reshape(-1, 28, 28), (down, right), (1, 2)).reshape(len(x), -1)
    return rolled


def train(data: Data, options: argparse.Namespace) -> list[Layer]:
    """Adam on cross-entropy with decoupled weight decay, the rate falling to zero along a cosine."""
    kind: str = options.activation
    rng = np.random.default_rng(options.seed)
    weights: list[Array] = []
    for inputs, outputs, clip in zip(SIZES[:-1], SIZES[1:], CLIP, strict=True):
        scale = np.sqrt((1.0 if kind == "tanh" else 2.0) / inputs)
        drawn = rng.standard_normal((outputs, inputs), dtype=np.float32) * np.float32(scale)
        weights.append(np.clip(drawn, -clip, clip))
    biases: list[Array] = [np.zeros(outputs, np.float32) for outputs in SIZES[1:]]
    parameters = weights + biases
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    depth = len(weights)
    step, total = 0, options.epochs * (len(data.x_train) // options.batch)
    start = time.perf_counter()
    for epoch in range(options.epochs):
        order = rng.permutation(len(data.x_train))
        loss_sum = 0.0
        for at in range(0, len(order) - options.batch + 1, options.batch):
            pick = order[at : at + options.batch]
            labels = data.y_train[pick]
            used = weights
            if options.weight_bits:
                grid = [np.float32(2 * clip / 2**options.weight_bits) for clip in CLIP]
                used = [
                    w + (rng.random(w.shape, dtype=np.float32) - np.float32(0.5)) * g
                    for w, g in zip(weights, grid, strict=True)
                ]

            acts = [shift(rng, data.x_train[pick], options.shift)]
            for i in range(depth):
                z = acts[-1] @ used[i].T + biases[i]
                if options.noise:
                    # The inputs of the first layer are in 0..1 and tanh's in -1..1; ReLU's go as far as they go.
                    reach = 1.0 if i == 0 or kind == "tanh" else float(acts[-1].max())
                    sigma = options.noise * CLIP[i] * reach * np.sqrt(SIZES[i])
                    z += rng.standard_normal(z.shape, dtype=np.float32) * np.float32(sigma)
                acts.append(activate(kind, z) if i < depth - 1 else z)

            # Floored, since denormal numbers make the products below ten times slower.
            logits = np.maximum(acts[-1] - acts[-1].max(axis=1, keepdims=True), np.float32(-20))
            exp = np.exp(logits)
            prob = exp / exp.sum(axis=1, keepdims=True)
            rows = np.arange(len(labels))
            loss_sum -= float(np.log(prob[rows, labels] + 1e-12).sum())
            delta = prob
            delta[rows, labels] -= 1
            delta /= len(labels)
            grad_w: list[Array] = []
            grad_b: list[Array] = []
            for i in reversed(range(depth)):
                grad_w.insert(0, delta.T @ acts[i])
                grad_b.insert(0, delta.sum(axis=0))
                if i:
                    delta = (delta @ used[i]) * slope(kind, acts[i])

            step += 1
            rate = options.rate * 0.5 * (1 + np.cos(np.pi * step / total))
            for i, grad in enumerate(grad_w + grad_b):
                first[i] += np.float32(0.1) * (grad - first[i]) + np.float32(1e-30)  # keeps it from turning denormal
                second[i] += np.float32(0.001) * (grad * grad - second[i])
                size = np.float32(rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step))
                parameters[i] -= size * first[i] / (np.sqrt(second[i]) + np.float32(1e-8))
                if i < depth:
                    parameters[i] *= np.float32(1 - rate * options.decay)
                np.clip(parameters[i], -CLIP[i % depth], CLIP[i % depth], out=parameters[i])
        if not options.quiet:
            seconds = time.perf_counter() - start
            print(
                f"epoch {epoch + 1:2d}/{options.epochs}  loss {loss_sum / len(order):.4f}  {seconds:5.1f} s", flush=True
            )
    return [Layer(w, b) for w, b in zip(weights, biases, strict=True)]


def to_onnx(layers: list[Layer], kind: str) -> onnx.ModelProto:
    """Build fc1, act1, fc2, act2, fc3 with Gemm and the activation."""
    nodes = []
    tensors = []
    source = "image"
    for i, layer in enumerate(layers, 1):
        last = i == len(layers)
        names = [f"fc{i}.weight", f"fc{i}.bias"]
        tensors += [numpy_helper.from_array(t, n) for t, n in zip(layer, names, strict=True)]
        target = "logits" if last else f"fc{i}_out"
        nodes.append(helper.make_node("Gemm", [source, *names], [target], name=f"fc{i}", transB=1))
        if not last:
            source = f"act{i}_out"
            nodes.append(helper.make_node("Tanh" if kind == "tanh" else "Relu", [target], [source], name=f"act{i}"))
    graph = helper.make_graph(
        nodes,
        f"mnist_mlp_{kind}",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", SIZES[0]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", SIZES[-1]])],
        tensors,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sccc examples/mnist_mlp/train.py",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def accuracy(path: Path, x: Array, y: Labels) -> float:
    """Measure, through onnxruntime, the share of images classified right."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": x})
    return float((logits.argmax(axis=1) == y).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--activation", choices=("tanh", "relu"), default="tanh", help="activation after fc1 and fc2 (%(default)s)")
    add("--data", type=Path, help="MNIST as .npz (shared/data/mnist.npz in the nearest folder above that has it)")
    add("--out", type=Path, help="file to write (mnist_mlp_<activation>.onnx beside this script)")
    add("--epochs", type=int, default=24, help="passes over the training images (%(default)s)")
    add("--batch", type=int, default=128, help="images per step (%(default)s)")
    add("--rate", type=float, default=2e-3, help="first learning rate (%(default)s)")
    add("--decay", type=float, default=0.02, help="weight decay (%(default)s)")
    noise = ", ".join(f"{kind}: {value}" for kind, value in NOISE.items())
    add("--noise", type=float, help=f"noise on the sums, in units of reach * w_max * sqrt(n); 0 for none ({noise})")
    add(
        "--weight-bits",
        type=int,
        default=5,
        help="noise on the weights: one step of so many bits; 0 for none (%(default)s)",
    )
    add("--shift", type=int, default=1, help="move the training images by up to so many pixels (%(default)s)")
    add("--seed", type=int, default=1, help="seed of everything drawn (%(default)s)")
    add("--quiet", action="store_true", help="do not print a line for each epoch")
    options = parser.parse_args()
    if options.noise is None:
        options.noise = NOISE[options.activation]
    out: Path = options.out or HERE / f"mnist_mlp_{options.activation}.onnx"

    data = load(find_data(options.data))
    layers = train(data, options)
    onnx.save(to_onnx(layers, options.activation), out)
    for i, layer in enumerate(layers, 1):
        w, b = layer
        print(f"fc{i}: max|w| {np.abs(w).max():.4f}  std {w.std():.4f}  max|b| {np.abs(b).max():.4f}")
    print(f"wrote {out} ({out.stat().st_size / 1000:.0f} kB)")
    print(f"float test accuracy (onnxruntime): {100 * accuracy(out, data.x_test, data.y_test):.2f} %")


if __name__ == "__main__":
    main()
