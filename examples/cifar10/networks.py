"""VGG16, ResNet18 and MobileNetV2 in their usual CIFAR-10 form (32x32 images, no early downsampling), at any width."""

from __future__ import annotations

from torch import Tensor, nn

CLASSES = 10


def scaled(channels: int, width: float, least: int) -> int:
    """Channels at a width."""
    return max(least, round(channels * width))


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution that keeps the size (but for its stride), and batch normalisation; the latter has the bias."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


def vgg16(width: float) -> nn.Module:
    """13 convolutions in five blocks, each halving the image, and one classifier (Simonyan & Zisserman, ICLR 2015)."""
    layers: list[nn.Module] = []
    channels = 3
    for outputs, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        outputs = scaled(outputs, width, 8)
        for _ in range(depth):
            layers += [*conv_bn(channels, outputs), nn.ReLU()]
            channels = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, CLASSES))


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, which is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        first, second = conv_bn(inputs, outputs, stride=stride), conv_bn(outputs, outputs)
        self.body = nn.Sequential(*first, nn.ReLU(), *second)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_bn(inputs, outputs, 1, stride))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return out


def resnet18(width: float) -> nn.Module:
    """A 3x3 stem and four stages of two basic blocks (He et al., CVPR 2016)."""
    channels = scaled(64, width, 8)
    layers: list[nn.Module] = [*conv_bn(3, channels), nn.ReLU()]
    for stage, outputs in enumerate((64, 128, 256, 512)):
        outputs = scaled(outputs, width, 8)
        layers += [BasicBlock(channels, outputs, 2 if stage else 1), BasicBlock(outputs, outputs, 1)]
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3, linear 1x1 projection; added to its input where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [*conv_bn(inputs, inner, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*conv_bn(inner, inner, 3, stride, groups=inner), nn.ReLU6()]
        self.body = nn.Sequential(*expand, *depthwise, *conv_bn(inner, outputs, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return x + out if self.adds else out


# Expansion, channels, blocks, stride of the first block; ImageNet's strides are 2 in the stem and in the second stage.
MOBILENET_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
)  # fmt: skip


def mobilenetv2(width: float) -> nn.Module:
    """Inverted residuals with ReLU6 (Sandler et al., CVPR 2018)."""
    channels = scaled(32, width, 4)
    layers: list[nn.Module] = [*conv_bn(3, channels), nn.ReLU6()]
    for expansion, outputs, blocks, stride in MOBILENET_STAGES:
        outputs = scaled(outputs, width, 4)
        for block in range(blocks):
            layers.append(InvertedResidual(channels, outputs, 1 if block else stride, expansion))
            channels = outputs
    last = scaled(1280, width, 4)
    layers += [*conv_bn(channels, last, 1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, CLASSES))


NETWORKS = {"vgg16": vgg16, "resnet18": resnet18, "mobilenetv2": mobilenetv2}
