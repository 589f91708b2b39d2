"""Write VGG16, ResNet18 and MobileNetV2 for 32x32 images as ONNX. Needs torch (the CPU build: `pip install torch`).

    python export.py -o FOLDER                     # the full networks: 59, 45 and 9 MB
    python export.py --width 0.125 --shipped       # the narrow ones and images.npz beside this script, as they are shipped

Nothing here is trained, since networks of this size take hours: convolutions are random (He et al., ICCV 2015), batch
normalisation has the statistics of a forward pass over made-up images, so that activations neither vanish nor explode, and the
classifier is fitted to those images by ridge regression, so that there is a right answer to compare with. The images are smooth
random ones of ten kinds. Accuracy on them says whether hardware and model agree, and nothing about CIFAR-10.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

try:
    import torch
except ImportError:
    sys.exit(
        "export.py: torch is not installed; `pip install torch` (CPU is enough). The narrow .onnx files need none."
    )

from torch import Tensor, nn
from torch.nn import functional as F

from networks import CLASSES, NETWORKS

HERE = Path(__file__).resolve().parent
OPSET = 17
FITTED = 320
"""Images that batch normalisation and classifier see."""
SHIPPED = 8
CALIBRATION = 40
BATCH = 64


def make_images(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images [count, 3, 32, 32] in 0..1 and their kinds [count]: a pattern per kind, and smooth noise on top.

    The patterns are the same for every generator.
    """
    patterns = _smooth(CLASSES, torch.Generator().manual_seed(0))
    y = torch.arange(count) % CLASSES
    x = 0.5 + 0.2 * (patterns[y] + 0.25 * _smooth(count, generator))
    return x.clamp(0, 1), y


def _smooth(count: int, generator: torch.Generator) -> Tensor:
    """Random images with a mean of 0 and a deviation of 1, most of it in low frequencies."""
    x = torch.zeros(count, 3, 32, 32)
    for size, weight in ((4, 1.0), (8, 0.5), (16, 0.25)):
        coarse = torch.randn(count, 3, size, size, generator=generator)
        x += weight * F.interpolate(coarse, (32, 32), mode="bilinear", align_corners=False)
    deviation, mean = torch.std_mean(x, (1, 2, 3), keepdim=True)
    return (x - mean) / deviation


@torch.no_grad()
def build(name: str, width: float, seed: int) -> nn.Sequential:
    """Make a network with random convolutions, plausible normalisation and a fitted classifier."""
    torch.manual_seed(seed)
    model = NETWORKS[name](width)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 1.0, 0.2)  # around 0, small errors would grow from layer to layer
            module.momentum = None  # a plain average over the batches seen
    x, y = make_images(FITTED, torch.Generator().manual_seed(seed))
    body, classifier = model[:-1], model[-1]
    assert isinstance(classifier, nn.Linear)
    for batch in x.split(BATCH):
        body(batch)
    body.eval()
    _fit(classifier, torch.cat([body(batch) for batch in x.split(BATCH)]), y)
    return model.eval()


def _fit(classifier: nn.Linear, features: Tensor, y: Tensor) -> None:
    """Set the weights by ridge regression: logits of 1 for the right class and 0 for the others, times ten."""
    mean = features.mean(0)
    f = (features - mean).double()
    wanted = 10 * (F.one_hot(y, CLASSES) - 1 / CLASSES).double()
    gram = f.T @ f
    gram += 0.1 * gram.diagonal().mean() * torch.eye(len(gram))
    weight = torch.linalg.solve(gram, f.T @ wanted).T.float()
    classifier.weight.copy_(weight)
    classifier.bias.copy_(1.0 - weight @ mean)


def export(model: nn.Module, path: Path) -> None:
    """Write the network, batch normalisation as nodes of its own, with a batch axis of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's older exporter, which needs no onnxscript
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, 32, 32),),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,  # in eval mode, but without folding the normalisation
            do_constant_folding=False,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(path), full_check=True)


@torch.no_grad()
def compare(model: nn.Module, path: Path, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Run the file through onnxruntime: largest difference from torch's logits, and the share of images classified right."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": x.numpy()})
    return float(np.abs(logits - model(x).numpy()).max()), float((logits.argmax(1) == y.numpy()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"networks to write: {', '.join(NETWORKS)} (all)")
    add("-o", "--out", type=Path, default=Path("."), help="folder to write to (the present one)")
    add(
        "--width",
        type=float,
        default=1.0,
        help="share of the channels, at least 4 or 8 each; 0.125: narrow (%(default)s)",
    )
    add("--shipped", action="store_true", help="write NAME_narrow.onnx and images.npz into the folder of this script")
    add("--seed", type=int, default=1, help="seed of everything drawn (%(default)s)")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(NETWORKS)):
        parser.error(f"no such network: {', '.join(unknown)}")

    torch.set_num_threads(1)
    folder: Path = HERE if options.shipped else options.out
    folder.mkdir(parents=True, exist_ok=True)
    x, y = make_images(SHIPPED, torch.Generator().manual_seed(options.seed + 1))
    for name in options.names or NETWORKS:
        model = build(name, options.width, options.seed)
        path = folder / f"{name}{'_narrow' if options.shipped else ''}.onnx"
        export(model, path)
        difference, right = compare(model, path, x, y)
        print(
            f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB): onnxruntime differs by {difference:.1e} from torch, "
            f"{100 * right:.0f} % of {SHIPPED} images right"
        )
        if right < 1:
            sys.exit(f"export.py: {name} misjudges an image that it is to be compared on; try another --seed")
    if options.shipped:
        calibration, _ = make_images(CALIBRATION, torch.Generator().manual_seed(options.seed + 2))
        levels = np.rint(calibration.numpy() * 255).astype(np.uint8)
        np.savez_compressed(HERE / "images.npz", x=x.numpy(), y=y.numpy(), x_calib=levels)


if __name__ == "__main__":
    main()
