"""VGG16, ResNet18 and MobileNetV2 in their usual CIFAR-10 form (32x32 images, no early downsampling), at any width.

`width` multiplies the numbers of channels; 1 is the full network.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

CLASSES = 10


def scaled(channels: int, width: float, least: int) -> int:
    """Channels at a width."""
    return max(least, round(channels * width))


def conv_bn(
    mark: object, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> dict[str, nn.Module]:
    """Convolution that keeps the size (but for its stride), and batch normalisation, whose shift stands for the bias."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return {f"conv{mark}": conv, f"bn{mark}": nn.BatchNorm2d(outputs)}


def sequence(parts: dict[str, nn.Module]) -> nn.Sequential:
    """Modules one after the other; ONNX nodes are named after the keys."""
    return nn.Sequential(OrderedDict(parts))


def vgg16(width: float) -> nn.Sequential:
    """13 convolutions in five blocks, each halving the image, and one classifier (Simonyan & Zisserman, ICLR 2015)."""
    parts: dict[str, nn.Module] = {}
    channels = 3
    for block, (outputs, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        outputs = scaled(outputs, width, 8)
        for number in range(1, depth + 1):
            mark = f"{block}_{number}"
            parts |= conv_bn(mark, channels, outputs) | {f"relu{mark}": nn.ReLU()}
            channels = outputs
        parts[f"pool{block}"] = nn.MaxPool2d(2)
    return sequence(parts | {"flatten": nn.Flatten(), "classifier": nn.Linear(channels, CLASSES)})


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, which is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        first, second = conv_bn(1, inputs, outputs, stride=stride), conv_bn(2, outputs, outputs)
        self.body = sequence(first | {"relu": nn.ReLU()} | second)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else sequence(conv_bn("", inputs, outputs, 1, stride))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return out


def resnet18(width: float) -> nn.Sequential:
    """A 3x3 stem and four stages of two basic blocks (He et al., CVPR 2016)."""
    channels = scaled(64, width, 8)
    parts = conv_bn("", 3, channels) | {"relu": nn.ReLU()}
    for stage, outputs in enumerate((64, 128, 256, 512), 1):
        outputs = scaled(outputs, width, 8)
        parts[f"block{stage}_1"] = BasicBlock(channels, outputs, 1 if stage == 1 else 2)
        parts[f"block{stage}_2"] = BasicBlock(outputs, outputs, 1)
        channels = outputs
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": nn.Linear(channels, CLASSES)}
    return sequence(parts)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3, linear 1x1 projection; added to its input in all blocks of a stage but the first."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, adds: bool) -> None:
        super().__init__()
        inner = inputs * expansion
        parts = conv_bn(1, inputs, inner, 1) | {"relu1": nn.ReLU6()} if expansion > 1 else {}
        parts |= conv_bn(2, inner, inner, 3, stride, groups=inner) | {"relu2": nn.ReLU6()}
        self.body = sequence(parts | conv_bn(3, inner, outputs, 1))
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return x + out if self.adds else out


# Expansion, channels, blocks, stride of the first block; ImageNet's strides are 2 in the stem and in the second stage.
MOBILENET_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
)  # fmt: skip


def mobilenetv2(width: float) -> nn.Sequential:
    """Inverted residuals with ReLU6 (Sandler et al., CVPR 2018)."""
    channels = scaled(32, width, 4)
    parts = conv_bn("", 3, channels) | {"relu": nn.ReLU6()}
    for stage, (expansion, outputs, blocks, stride) in enumerate(MOBILENET_STAGES, 1):
        outputs = scaled(outputs, width, 4)
        for block in range(blocks):
            made = InvertedResidual(channels, outputs, 1 if block else stride, expansion, adds=block > 0)
            parts[f"block{stage}_{block + 1}"] = made
            channels = outputs
    last = scaled(1280, width, 4)
    parts |= conv_bn("_last", channels, last, 1) | {"relu_last": nn.ReLU6()}
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": nn.Linear(last, CLASSES)}
    return sequence(parts)


NETWORKS = {"vgg16": vgg16, "resnet18": resnet18, "mobilenetv2": mobilenetv2}
