"""fold-constants and convolutions: normalisation per channel disappears where it can, and stays where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from nets import lower

from sccc.evaluate import evaluate
from sccc.ir import Module, Value

RNG = np.random.default_rng(3)
SHAPE = (4, 6, 7)


class Net:
    """A chain of nn ops under construction; `value` is the last one."""

    def __init__(self) -> None:
        self.module = Module("net")
        self.value: Value = self.module.append("nn.input", [], {"shape": list(SHAPE), "name": "x"}).result

    def add(self, op: str, **attributes) -> Net:
        origin = f"{op}{len(self.module)}"
        self.value = self.module.append(f"nn.{op}", [self.value], attributes, origin=origin).result
        return self

    def conv(self, outputs: int = 4, groups: int = 1, size: int = 3, **attributes) -> Net:
        weight = RNG.normal(size=(outputs, self.value.type.shape[0] // groups, size, size))
        return self.add("conv", weight=weight, bias=RNG.normal(size=outputs), groups=groups, **attributes)

    def norm(self, shift: bool = True) -> Net:
        scale, offset = RNG.normal(size=(2, self.value.type.shape[0], 1, 1))
        return self.add("affine", scale=scale, shift=offset * shift)

    def folded(self) -> list[str]:
        """The ops that are left between input and output, after the check that the value is kept."""
        if not self.module.outputs:
            self.module.append("nn.output", [self.value], {"name": "y"})
        x = RNG.normal(size=(3, *SHAPE))
        before = evaluate(self.module, x)
        self.module = lower(self.module, {}, pipeline="fold-constants")
        np.testing.assert_allclose(evaluate(self.module, x), before, rtol=1e-9, atol=1e-9)
        return [op.name.removeprefix("nn.") for op in self.module.ops[1 : -len(self.module.outputs)]]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("outputs", [4, 8])
def test_behind_a_convolution_it_disappears(groups, outputs):
    net = Net().conv(outputs, groups, pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2]).norm().norm()
    assert net.folded() == ["conv"]
    (conv,) = net.module.ops_named("nn.conv")
    assert conv.attributes["strides"] == [2, 1] and conv.attributes["pads"] == [1, 0, 2, 1]
    assert (conv.attributes["dilations"], conv.attributes["groups"], conv.origin) == ([1, 2], groups, "conv1")


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("outputs", [4, 8])
def test_in_front_of_a_convolution_without_padding_it_disappears(groups, outputs):
    net = Net().add("tanh").norm().conv(outputs, groups, strides=[1, 2])
    assert net.folded() == ["tanh", "conv"]
    assert net.module.ops_named("nn.conv")[0].origin == "conv3"


@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 0, 0, 1]])
def test_in_front_of_padding_a_shift_stays_and_a_scale_disappears(pads):
    """Beyond the edge lie zeros, not the shift."""
    assert Net().add("tanh").norm().conv(pads=pads).folded() == ["tanh", "affine", "conv"]
    assert Net().add("tanh").norm(shift=False).conv(pads=pads).folded() == ["tanh", "conv"]


def test_between_two_convolutions_it_joins_the_first():
    assert Net().conv(pads=[1] * 4).norm().conv(pads=[1] * 4).norm().folded() == ["conv", "conv"]


def test_convolutions_are_not_merged():
    assert Net().conv(size=1).conv(size=1).folded() == ["conv", "conv"]


@pytest.mark.parametrize("shape", [(1, 6, 7), (4, 6, 1), (4, 6, 7)])
def test_what_differs_within_a_channel_stays(shape):
    net = Net().add("tanh").conv(pads=[1] * 4)
    net.add("affine", scale=RNG.normal(size=shape), shift=np.zeros(()))
    assert net.folded() == ["tanh", "conv", "affine"]


def test_what_differs_within_a_channel_joins_the_dense_layer_behind_the_image():
    net = Net().add("tanh").add("affine", scale=RNG.normal(size=SHAPE), shift=RNG.normal(size=(4, 1, 1)))
    net.add("reshape", shape=[168]).add("dense", weight=RNG.normal(size=(3, 168)))
    assert net.folded() == ["tanh", "reshape", "dense"]


def test_a_convolution_that_others_read_too_keeps_its_normalisation_behind_it():
    net = Net().conv()
    trunk = net.value
    net.norm().conv()
    net.module.append("nn.output", [net.value], {"name": "y"})
    net.module.append("nn.output", [trunk], {"name": "also"})
    assert net.folded() == ["conv", "conv"]  # it joins the second one instead
    net = Net().conv().norm()
    trunk = net.value
    net.add("relu").conv()
    net.module.append("nn.output", [net.value], {"name": "y"})
    net.module.append("nn.output", [trunk], {"name": "also"})
    assert net.folded() == ["conv", "relu", "conv"]


def test_a_normalisation_that_two_convolutions_read_stays():
    net = Net().add("tanh").norm()
    trunk = net.value
    left = net.conv().value
    net.value = trunk
    right = net.conv().value
    net.value = net.module.append("nn.add", [left, right]).result
    assert net.folded() == ["tanh", "affine", "conv", "conv", "add"]


def test_a_quantised_range_stays_with_the_first_op():
    net = Net().conv()
    net.module.ops[1].attributes["range"] = 0.5
    net.norm()
    net.folded()
    assert net.module.ops_named("nn.conv")[0].attributes["range"] == 0.5
    net = Net().add("tanh").norm().conv()
    net.module.ops_named("nn.conv")[0].attributes["range"] = 0.5  # of the normalised numbers
    net.folded()
    assert net.module.ops_named("nn.conv")[0].attributes["range"] == 0.0


def test_uneven_scales_of_the_input_stay():
    scale = np.array([1.0, 2.0, 5.0, 1.0]).reshape(4, 1, 1)
    assert Net().add("affine", scale=scale, shift=0.0).conv().folded() == ["affine", "conv"]
    assert Net().add("affine", scale=np.minimum(scale, 3.0), shift=0.0).conv().folded() == ["conv"]


def test_what_changes_nothing_disappears():
    factor = float(np.float32(1 / 6))
    net = Net().add("tanh").add("affine", scale=6.0, shift=0.0).add("affine", scale=factor, shift=0.0).add("relu")
    net.module.append("nn.output", [net.value], {"name": "y"})
    assert [op.name for op in lower(net.module, {}, pipeline="fold-constants")][1:3] == ["nn.tanh", "nn.relu"]


def test_normalisation_is_kept_small_when_it_is_merged():
    net = Net().add("tanh").norm().norm()
    assert net.folded() == ["tanh", "affine"]
    assert net.module.ops_named("nn.affine")[0].attributes["scale"].shape == (4, 1, 1)
