"""Train LeNet-5 on MNIST for short streams and write it as ONNX. Needs torch (the CPU build will do: `pip install torch`).

    python train.py --activation relu            # writes lenet.onnx beside this script
    python train.py --activation tanh            # writes lenet_tanh.onnx

What is for the sake of the stochastic hardware, and costs next to no accuracy:

* every weight stays inside a fixed box (``CLIP``), because streams hold values in -1..1: one outlier would set the scale of its
  whole layer and rob all the other weights of resolution;
* most steps see levels of 4 or 5 bits in place of inputs and weights, noise on every sum, and activations that saturate where a
  random share of them lies (see ``network.Streams``); the rest see floats, so that the model as exported stays good too.

The seed is fixed and there is one thread: on one machine the result is the same each time. Another build of torch may round
otherwise, and then the accuracy moves by about 0.1 points.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime

try:
    import torch
except ImportError:
    sys.exit(
        "train.py: torch is not installed; `pip install torch` (CPU is enough). The trained .onnx files need none."
    )

from torch import Tensor
from torch.nn import functional as F

from make_sample import HERE, calibration_images, find_data
from network import ACTIVATIONS, LeNet, Streams, largest

CLIP = {"conv1": 0.5, "conv2": 0.5, "fc1": 0.25, "fc2": 0.25, "fc3": 0.5}  # largest |weight| allowed
BITS = (0, 5, 4, 4)  # what a training step computes in, one drawn for each; 0: floats
OPSET = 17


class Data(NamedTuple):
    """Images [n, 1, 28, 28] in 0..1, labels [n]."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


def load(path: Path) -> Data:
    """Read x_train, y_train, x_test and y_test; images may be stored as 28x28 or flat."""
    with np.load(path) as file:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(file.files)
        if missing:
            sys.exit(f"train.py: {path} lacks {', '.join(sorted(missing))}")

        def images(key: str) -> Tensor:
            return torch.from_numpy(file[key].reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255))

        def labels(key: str) -> Tensor:
            return torch.from_numpy(file[key].astype(np.int64))

        return Data(images("x_train"), labels("y_train"), images("x_test"), labels("y_test"))


def distort(x: Tensor) -> Tensor:
    """Turn, scale, shear and move each image a little."""
    n = len(x)
    matrix = torch.eye(2).expand(n, 2, 2) + (torch.rand(n, 2, 2) - 0.5) * 0.3
    shift = (torch.rand(n, 2, 1) - 0.5) * (4 * 2 / 28)  # of up to 2 pixels
    grid = F.affine_grid(torch.cat([matrix, shift], 2), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def train(data: Data, options: argparse.Namespace) -> LeNet:
    """AdamW on cross-entropy, the rate falling to zero along a cosine."""
    torch.manual_seed(options.seed)
    model = LeNet(options.activation)
    streams = Streams(model, CLIP)
    optimizer = torch.optim.AdamW(model.parameters(), options.rate, weight_decay=options.decay, foreach=True)
    steps = len(data.x_train) // options.batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs * steps)
    start = time.perf_counter()
    for epoch in range(options.epochs):
        order = torch.randperm(len(data.x_train))
        loss_sum = 0.0
        for step in range(steps):
            pick = order[step * options.batch : (step + 1) * options.batch]
            streams.bits = BITS[int(torch.randint(len(BITS), ()))]
            streams.coverage = 1 - options.saturate * float(torch.rand(()))
            streams.noise = options.noise * float(torch.rand(()))
            loss = F.cross_entropy(streams(distort(data.x_train[pick])), data.y_train[pick])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for name, layer in model.layers().items():
                    layer.weight.clamp_(-CLIP[name], CLIP[name])
            loss_sum += loss.item()
        if not options.quiet:
            seconds = time.perf_counter() - start
            print(f"epoch {epoch + 1:2d}/{options.epochs}  loss {loss_sum / steps:.4f}  {seconds:5.1f} s", flush=True)
    return model.eval()


def export(model: LeNet, path: Path) -> None:
    """Write the model, with a batch axis of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's older exporter, which needs no onnxscript
        torch.onnx.export(
            model,
            (torch.zeros(1, 1, 28, 28),),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def float_accuracy(path: Path, data: Data) -> float:
    """Measure, through onnxruntime, the share of test images classified right."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": data.x_test.numpy()})
    return float((logits.argmax(axis=1) == data.y_test.numpy()).mean())


@torch.no_grad()
def level_accuracy(model: LeNet, data: Data, bits: int, coverage: float) -> float:
    """Share of test images classified right with inputs and weights rounded to levels, one scale each per layer.

    A layer's input scale covers that share of what calibration images give; its weight scale is its largest weight.
    """
    layers = model.layers()
    streams = Streams(model, {name: float(layer.weight.abs().max()) for name, layer in layers.items()})
    seen: dict[str, float] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: largest(args[0], coverage)}))
        for name, layer in layers.items()
    ]
    model(data.x_train[calibration_images(len(data.x_train))])
    for hook in hooks:
        hook.remove()
    streams.bits, streams.scales = bits, seen | {"conv1": 1.0}
    right = sum(
        int((streams(x).argmax(1) == y).sum())
        for x, y in zip(data.x_test.split(1000), data.y_test.split(1000), strict=True)
    )
    return right / len(data.y_test)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--activation", choices=ACTIVATIONS, default="relu", help="relu (max pooling) or tanh (average pooling)")
    add("--data", type=Path, help="MNIST as .npz (shared/data/mnist.npz in the nearest folder above that has it)")
    add("--out", type=Path, help="file to write (lenet.onnx or lenet_tanh.onnx beside this script)")
    add("--epochs", type=int, default=18, help="passes over the training images (%(default)s)")
    add("--batch", type=int, default=128, help="images per step (%(default)s)")
    add("--rate", type=float, default=3e-3, help="first learning rate (%(default)s)")
    add("--decay", type=float, default=0.02, help="weight decay (%(default)s)")
    add("--noise", type=float, default=0.03, help="largest noise on sums (%(default)s); see network.Streams")
    add("--saturate", type=float, default=0.05, help="largest share of activations that saturate (%(default)s)")
    add("--seed", type=int, default=1, help="seed of everything drawn (%(default)s)")
    add("--quiet", action="store_true", help="do not print a line for each epoch")
    options = parser.parse_args()
    out: Path = options.out or HERE / ("lenet.onnx" if options.activation == "relu" else "lenet_tanh.onnx")

    torch.set_num_threads(1)
    data = load(find_data(options.data))
    model = train(data, options)
    export(model, out)
    for name, layer in model.layers().items():
        print(
            f"{name}: max|w| {layer.weight.abs().max():.4f}  std {layer.weight.std():.4f}  max|b| {layer.bias.abs().max():.4f}"
        )
    print(f"wrote {out} ({out.stat().st_size / 1000:.0f} kB)")
    print(f"float test accuracy (onnxruntime): {100 * float_accuracy(out, data):.2f} %")
    for bits in (5, 4):
        for coverage in (1.0, 0.99, 0.95):
            accuracy = level_accuracy(model, data, bits, coverage)
            print(f"{bits}-bit levels, scales covering {100 * coverage:g} %: {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main()
