"""LeNet-5 (LeCun et al., Proc. IEEE 1998) in torch, and what coarse levels do to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

ACTIVATIONS = ("relu", "tanh")


class LeNet(nn.Module):
    """28x28 images in 0..1, [batch, 1, 28, 28] -> 10 logits; ReLU and max pooling, or tanh and average pooling as in 1998."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        act: Callable[[], nn.Module] = nn.ReLU if activation == "relu" else nn.Tanh
        pool: Callable[[int], nn.Module] = nn.MaxPool2d if activation == "relu" else nn.AvgPool2d
        self.conv1, self.act1, self.pool1 = nn.Conv2d(1, 6, 5, padding=2), act(), pool(2)
        self.conv2, self.act2, self.pool2 = nn.Conv2d(6, 16, 5), act(), pool(2)
        self.flatten = nn.Flatten()
        self.fc1, self.act3 = nn.Linear(400, 120), act()
        self.fc2, self.act4 = nn.Linear(120, 84), act()
        self.fc3 = nn.Linear(84, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.pool1(self.act1(self.conv1(image)))
        x = self.pool2(self.act2(self.conv2(x)))
        x = self.act3(self.fc1(self.flatten(x)))
        logits: Tensor = self.fc3(self.act4(self.fc2(x)))
        return logits

    def layers(self) -> OrderedDict[str, nn.Conv2d | nn.Linear]:
        """The layers with weights, in order."""
        return OrderedDict((name, m) for name, m in self.named_children() if isinstance(m, nn.Conv2d | nn.Linear))


def to_levels(x: Tensor, scale: float, bits: int) -> Tensor:
    """Round to multiples of scale / 2**bits and saturate at +-scale; the gradient passes as if nothing had happened.

    That is the straight-through estimator (Bengio, Leonard & Courville 2013), which is 0 where x saturates.
    """
    step = scale / 2**bits
    limited = x.clamp(-scale, scale)
    return limited + (torch.round(limited / step) * step - limited).detach()


def largest(x: Tensor, coverage: float, at_most: int = 20_000) -> float:
    """The magnitude that a share `coverage` of the elements stays within, judged on at most so many of them."""
    flat = x.detach().abs().flatten()
    flat = flat[:: max(1, flat.numel() // at_most)]
    return float(flat.kthvalue(max(1, round(coverage * flat.numel()))).values) or 1.0


class Streams:
    """Runs a network about as streams of 2**bits cycles would; with bits = 0 it runs as it is.

    Each layer's input becomes levels of `bits` fractional bits, saturating at its `coverage` quantile (or at the scale fixed
    for that layer); its weights become signed levels of that many bits, saturating at `clips`; and each of its sums errs by
    noise * (input scale) * (weight scale) * sqrt(products), which is how the sampling errors of the products add up.
    """

    def __init__(self, model: LeNet, clips: dict[str, float]) -> None:
        self.bits, self.coverage, self.noise = 0, 1.0, 0.0
        self.scales: dict[str, float] = {"conv1": 1.0}  # of layers' inputs, where they are fixed
        self.model, self.clips = model, clips

    def __call__(self, image: Tensor) -> Tensor:
        if not self.bits:
            logits: Tensor = self.model(image)
            return logits
        layers = self.model.layers()
        hooks = [layer.register_forward_pre_hook(partial(self._coarse, name)) for name, layer in layers.items()]
        hooks += [layer.register_forward_hook(partial(self._noisy, name)) for name, layer in layers.items()]
        weights = {f"{name}.weight": to_levels(m.weight, self.clips[name], self.bits) for name, m in layers.items()}
        try:
            logits = torch.func.functional_call(self.model, weights, (image,))
        finally:
            for hook in hooks:
                hook.remove()
        return logits

    def _coarse(self, name: str, layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        (x,) = inputs
        return to_levels(x, self.scales.get(name) or largest(x, self.coverage), self.bits)

    def _noisy(self, name: str, layer: nn.Module, inputs: tuple[Tensor], sums: Tensor) -> Tensor:
        if not self.noise:
            return sums
        products = self.model.layers()[name].weight[0].numel()
        sigma = self.noise * inputs[0].abs().max().item() * self.clips[name] * products**0.5
        return sums + sigma * torch.randn_like(sums)
