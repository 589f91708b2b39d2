"""ONNX files are untrusted: external data stays in the model's folder, sizes are checked before memory is taken."""

from __future__ import annotations

import os
import random
import resource
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sccc.diagnostics import SccError
from sccc.frontend import load_onnx
from sccc.ir import Module


def external(g, weight: np.ndarray, content: bytes | None = None, write: str | None = "weights.bin", **entries) -> str:
    """A weight in a file beside the model; `write`: the file to write, `entries`: what the model says of it."""
    if write is not None:
        (g.path.parent / write).write_bytes(weight.tobytes() if content is None else content)
    tensor = TensorProto(name="w", dims=weight.shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "weights.bin", **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    g.initializers.append(tensor)
    return "w"


WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3) / 8


def refusal(g) -> str:
    with pytest.raises(SccError) as error:
        g.load()
    return error.value.diagnostics[0].render()


def test_weights_in_external_files_are_read(graph):
    g = graph()
    g.node("MatMul", "x", external(g, WEIGHT))
    g.check()
    g = graph()
    g.node("MatMul", "x", external(g, WEIGHT, b"12345678" + WEIGHT.tobytes() + b"more", offset=8, length=48))
    g.check()


def test_external_files_may_lie_in_a_folder_below_the_model(graph):
    g = graph()
    (g.path.parent / "data").mkdir()
    g.node("MatMul", "x", external(g, WEIGHT, write="data/w.bin", location="data/w.bin"))
    g.check()


def test_onnx_own_writer_of_external_data_is_understood(graph):
    g = graph(file="saved.onnx")
    g.node("MatMul", "x", g.const(WEIGHT))
    onnx.save(g.model(), g.path, save_as_external_data=True, size_threshold=0, location="saved.bin")
    np.testing.assert_array_equal(load_onnx(g.path).ops[1].attributes["weight"], WEIGHT.T)


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "a/../../secret.bin", "/etc/passwd", "", "C:\\secret", "..\\secret.bin", "w\0.bin", "."],
)
def test_external_data_outside_the_model_folder_is_refused(graph, location):
    g = graph()
    (g.path.parent.parent / "secret.bin").write_bytes(WEIGHT.tobytes())
    g.node("MatMul", "x", external(g, WEIGHT, location=location))
    assert "outside the model's folder" in refusal(g) or "cannot be read" in refusal(g)


def test_symbolic_links_out_of_the_model_folder_are_refused(graph, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.bin"
    secret.write_bytes(WEIGHT.tobytes())
    g = graph()
    (g.path.parent / "link.bin").symlink_to(secret)
    (g.path.parent / "link").symlink_to(secret.parent)
    for location in ("link.bin", "link/secret.bin"):
        g.initializers.clear()
        g.nodes.clear()
        g.node("MatMul", "x", external(g, WEIGHT, write=None, location=location))
        assert "outside the model's folder" in refusal(g)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"offset": 4}, "has 44 bytes of external data, its shape needs 48"),
        ({"offset": 4, "length": 48}, "ends at byte 52 of 'weights.bin', which has 48"),
        ({"length": 40}, "has 40 bytes of external data, its shape needs 48"),
        ({"offset": 10**18, "length": 48}, "ends at byte 1,000,000,000,000,000,048"),
        ({"offset": -4}, "offset of the external data of tensor 'w' is not a whole number: '-4'"),
        ({"offset": "many"}, "is not a whole number: 'many'"),
        ({"offset": "9" * 5000}, "is not a whole number"),
        ({"location": "missing.bin"}, "cannot be read from 'missing.bin'"),
    ],
)
def test_external_data_must_have_the_size_of_its_tensor(graph, entries, reason):
    g = graph()
    g.node("MatMul", "x", external(g, WEIGHT, **entries))
    assert reason in refusal(g)


def test_external_data_in_a_pipe_does_not_hang(graph):
    g = graph()
    os.mkfifo(g.path.parent / "weights.bin")
    g.node("MatMul", "x", external(g, WEIGHT, write=None))
    assert "not in a regular file" in refusal(g)


def test_declared_sizes_are_checked_before_memory_is_taken(graph):
    for dims in ([1 << 20, 1 << 20], [1 << 62, 1 << 62], [-1, 4], [3, 3]):
        g = graph()
        tensor = TensorProto(name="w", dims=dims, data_type=TensorProto.FLOAT, raw_data=bytes(48))
        g.initializers.append(tensor)
        g.node("MatMul", "x", "w")
        text = refusal(g)
        assert "at most 2,147,483,648" in text or "negative dimension" in text or "holds 48 bytes" in text


def test_many_large_tensors_together_are_refused(graph):
    g = graph()
    for k in range(3):
        tensor = TensorProto(name=f"w{k}", dims=[1 << 14, 1 << 15], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="sparse.bin")
        g.initializers.append(tensor)
        g.node("MatMul", "x", f"w{k}")
        g.output(g.last)
    with pytest.raises(SccError, match="the constants need 6,442,450,944 bytes"):
        g.load()


BOMBS = {
    "ConstantOfShape": lambda g: g.node("ConstantOfShape", g.const([1 << 20, 1 << 20], np.int64)),
    "Expand": lambda g: g.node("Expand", g.const([[1.0]], np.float32), g.const([1 << 20, 1 << 20], np.int64)),
    "Tile": lambda g: g.node("Tile", g.const([[1.0]], np.float32), g.const([1 << 20, 1 << 20], np.int64)),
    "Range": lambda g: g.node("Range", *(g.const(n, np.float32) for n in (0, 1e12, 1))),
    "Add": lambda g: g.node("Add", g.weight(1 << 17, 1), g.weight(1, 1 << 17)),
    "MatMul": lambda g: g.node("MatMul", g.weight(1 << 17, 1), g.weight(1, 1 << 17)),
    "Gather": lambda g: g.node("Gather", g.weight(1, 1 << 17), g.const(np.zeros(1 << 17), np.int64)),
    "Concat": lambda g: [g.node("Concat", g.last, g.last, axis=0) for _ in range(40) if g.last != "x" or g.weight(4)],
}


@pytest.mark.parametrize("op", BOMBS)
def test_small_files_cannot_ask_for_large_constants(graph, op):
    g = graph()
    if op == "Concat":
        g.last = g.weight(1 << 10)
    BOMBS[op](g)
    g.node("MatMul", "x", g.last)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    text = refusal(g)
    assert f"{op}: " in text and "bytes" in text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_000_000
    assert time.monotonic() - start < 20


def test_graphs_with_too_many_nodes_are_refused(graph):
    g = graph()
    g.nodes = [helper.make_node("Relu", ["x"], ["y"])] * 20_001
    assert "20,001 nodes" in refusal(g.output("y"))


def dense_network(g):
    """A network of vectors, with a shape computed from the batch."""
    g.node("Shape")
    g.node("Gather", g.last, g.const([0], np.int64), axis=0)
    g.node("Concat", g.last, g.const([-1], np.int64), axis=0)
    g.node("Reshape", "x", g.last)
    g.node("Gemm", g.last, g.weight(12, 3), g.weight(3), alpha=0.5)
    g.node("BatchNormalization", g.last, *[g.const([1, 2, 3], np.float32) for _ in range(4)])
    g.node("Clip", g.last, g.const(-1.0, np.float32))
    g.node("QuantizeLinear", g.last, g.const(0.5, np.float32), g.const(3, np.int8))
    g.node("DequantizeLinear", g.last, "c9", "c10")
    g.node("LeakyRelu", alpha=0.5)
    g.node("Transpose", perm=[0, 1])
    g.node("Softmax", axis=1)
    g.node("ArgMax", axis=1)
    return g.output(type=TensorProto.INT64)


def image_network(g):
    """A network of images, with branches."""
    g.node("Unsqueeze", "x", g.const([1], np.int64))
    g.node("Pad", g.last, g.const([0, 0, 1, 0, 0, 0, 0, 1], np.int64))
    trunk = g.node("Conv", g.last, g.weight(4, 1, 2, 2), g.weight(4), auto_pad="SAME_UPPER", strides=[1, 1])
    left = g.node("Mul", trunk, g.node("HardSigmoid", alpha=1 / 6))
    right = g.node("Conv", trunk, g.weight(4, 2, 3, 1), group=2, pads=[1, 0, 1, 0], dilations=[1, 2])
    g.node("Concat", g.node("Add", left, right), trunk, axis=1)
    g.node("Resize", g.last, "", g.const([1, 1, 2, 2], np.float32), coordinate_transformation_mode="asymmetric")
    g.node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 1], ceil_mode=1, count_include_pad=1)
    g.node("Slice", g.last, *(g.const([n], np.int64) for n in (1, 7, 1, 2)))
    g.node("Split", g.last, g.const([1, 2], np.int64), axis=1, outputs=["first", "second"])
    g.node("MaxPool", "second", kernel_shape=[2, 2], dilations=[1, 2])
    g.node("GlobalAveragePool")
    g.node("Flatten")
    return g


@pytest.mark.parametrize("network", [dense_network, image_network])
def test_damaged_files_give_an_error_or_a_module_and_nothing_else(graph, network):
    """Bytes of real graphs are changed at random."""
    g = network(graph(shape=("N", 3, 4)))
    whole = g.save().read_bytes()
    assert isinstance(load_onnx(g.path), Module)
    random_source = random.Random(1)
    for _ in range(600):
        damaged = bytearray(whole)
        for _ in range(random_source.choice((1, 1, 2, 4))):
            damaged[random_source.randrange(len(damaged))] = random_source.choice((0, 1, 2, 7, 127, 128, 255, 97))
        g.path.write_bytes(damaged)
        try:
            assert isinstance(load_onnx(g.path), Module)
        except SccError as error:
            assert error.diagnostics
