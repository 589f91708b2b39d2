"""Images: naive evaluator == simulator (both engines) == RTL in Icarus, for every op, encoding and style; faults are found."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import three_way
from image_naive import ImageNaive
from image_nets import ENCODINGS, NETWORKS, WINDOWS, Builder, data, lenet_like
from image_nets import conv_module as conv

import sccc
from sccc import check
from sccc.backends.simulator import fused, simulate
from sccc.diagnostics import SccError
from sccc.ir import Module


def samples(module: Module, number: int = 3) -> np.ndarray:
    return data(module, number, signed=module.inputs[0].attributes["encoding"] != "unipolar")


def assert_same(module: Module, x: np.ndarray, rtl: bool = True) -> None:
    three_way.assert_same(module, x, rtl, evaluator=ImageNaive)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("x", "w"), ENCODINGS)
def test_convolutions_of_streams(x, w, window):
    module = conv(x, w, WINDOWS[window])
    assert_same(module, samples(module), rtl=window in ("pads and strides", "depthwise"))


@pytest.mark.parametrize(
    ("length", "number"), [(5, 70), (8, 600), (16, 300), (32, 3), (32, 140), (64, 70), (100, 3), (128, 9)]
)
@pytest.mark.parametrize(("x", "w"), [("signed", "signed"), ("bipolar", "bipolar"), ("unipolar", "bipolar")])
def test_convolutions_of_every_width_of_unit_and_more_samples_than_stand_side_by_side(x, w, length, number):
    module = conv(x, w, WINDOWS["pads and strides"], length=length)
    data = samples(module, number)
    runs = [simulate(module, data, kernels=kernels, batch=number).raw for kernels in ("numba", "numpy")]
    assert np.array_equal(*runs)


@pytest.mark.parametrize("fault", ["bit", "neg"])
def test_a_wrong_kernel_is_noticed(monkeypatch, fault):
    module = conv("unipolar", "signed", WINDOWS["pads and strides"])
    data, right = samples(module), fused.product_of
    wanted = simulate(module, data, kernels="numpy").raw
    monkeypatch.setattr(fused, "product_of", lambda op: replace(right(op), **{fault: ~getattr(right(op), fault)}))
    assert not np.array_equal(simulate(module, data).raw, wanted)


@pytest.mark.parametrize("x", ["unipolar", "signed"])
@pytest.mark.parametrize("window", WINDOWS)
def test_convolutions_of_numbers(x, window):
    module = conv(x, "signed", WINDOWS[window], fixed=True)
    assert_same(module, samples(module))


@pytest.mark.parametrize("flip_rate", [0.05, 0.5])
@pytest.mark.parametrize(("x", "w"), ENCODINGS)
def test_flipped_bits_are_the_same_in_both_engines(x, w, flip_rate):
    module = conv(x, w, WINDOWS["pads and strides"])
    data = samples(module)
    runs = [simulate(module, data, flip_rate=flip_rate, kernels=kernels).raw for kernels in ("numpy", "numba")]
    assert np.array_equal(*runs)
    assert not np.array_equal(runs[0], simulate(module, data).raw)


@pytest.mark.parametrize(
    "options", [{"length": 8}, {"length": 8, "weights": "per-tensor"}, {"style": "fixed", "bits": 4}]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name, options):
    network = NETWORKS[name]()
    x = data(network, 20)
    assert_same(sccc.compile(network, calibration=x, **options), x[:2])


@pytest.mark.parametrize("pool", ["nn.max_pool", "nn.avg_pool"])
@pytest.mark.parametrize("encoding", ["auto", "bipolar"])
def test_pooling_as_streams(pool, encoding):
    network = lenet_like(pool)
    x = data(network, 20)
    module = sccc.compile(network, calibration=x, length=8, pooling="streams", encoding=encoding)
    assert module.ops_named("sc.or_pool") or pool == "nn.avg_pool"
    assert_same(module, x[:2])


def test_or_of_correlated_streams_is_the_maximum_that_counting_finds():
    network = lenet_like("nn.max_pool")
    x = data(network, 30)
    runs = [
        simulate(sccc.compile(network, calibration=x, length=16, pooling=p), x).raw for p in ("counting", "streams")
    ]
    assert np.array_equal(*runs)


def test_streaming_convolutions():
    b = Builder((2, 5, 5), seed=6)
    x = b.add("nn.tanh", [b.conv(b.x, "conv1", 3, strides=[2, 2], pads=[1, 1, 1, 1])], "tanh1")
    x = b.add("nn.tanh", [b.conv(x, "conv2", 4, groups=1, kernel=2)], "tanh2")
    network = b.end(b.dense(b.flat(x), "fc", 3))
    inputs = data(network, 12)
    module = sccc.compile(network, calibration=inputs, length=16, style="streaming")
    assert module.ops_named("sc.btanh") and module.ops_named("sc.conv")
    assert_same(module, inputs[:2])


def test_pooling_in_streaming_style_is_refused():
    network = lenet_like("nn.max_pool", "nn.tanh")
    with pytest.raises(SccError, match="streams into this op") as caught:
        sccc.compile(network, length=8, style="streaming")
    assert {d.location.node for d in caught.value.diagnostics} == {"pool1", "pool2"}


# -- planted faults ------------------------------------------------------------------------------------------------------


def swapped(text: str, pattern: str) -> str:
    """The first statement that begins with `pattern`, with its first lane and the one half-way exchanged."""
    statement = re.search(rf"{pattern}[^;]*;", text)
    assert statement is not None, f"no statement like {pattern!r}: nothing has been planted"
    lanes = re.findall(r"\w+\[\d+(?::\d+)?\]", statement[0])
    first, second = lanes[0], lanes[len(lanes) // 2]
    changed = statement[0].replace(first, "@").replace(second, first).replace("@", second)
    return text.replace(statement[0], changed)


def exchanged_ports(text: str) -> str:
    """The operands of the first addition of branches exchanged."""
    return re.sub(r"\.a\((\w+)\), \.b\((\w+)\)", r".a(\2), .b(\1)", text, count=1)


@pytest.mark.parametrize(
    ("name", "options", "fault"),
    [
        ("residual", {"length": 8}, lambda text: swapped(text, r"assign a1_count_x_\d+_0 = ")),
        ("residual", {"length": 8}, exchanged_ports),
        ("mobile", {"length": 8}, exchanged_ports),
        ("lenet", {"length": 8}, lambda text: text.replace("? b_v : a_v", "? a_v : b_v")),
        ("joined", {"length": 8}, lambda text: swapped(text, r"assign cat = ")),
        ("joined", {"style": "fixed", "bits": 4}, lambda text: swapped(text, r"assign turned = ")),
        ("lenet", {"style": "fixed", "bits": 4}, lambda text: re.sub(r"<< 1\)", "<< 2)", text, count=1)),
    ],
)
def test_a_planted_fault_is_found(name, options, fault):
    network = NETWORKS[name]()
    x = data(network, 20)
    module = sccc.compile(network, calibration=x, **options)

    def alter(text: str) -> str:
        changed = fault(text)
        assert changed != text
        return changed

    assert check(module, x[:3], alter=alter).mismatches > 0
