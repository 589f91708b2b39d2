"""A small network as a file, with data that it gets right, mostly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sccc.api import load
from sccc.data import Data
from sccc.evaluate import evaluate
from sccc.ir import Module


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(7)
    arrays = {
        "w1": rng.normal(0, 0.5, (12, 8)),
        "b1": rng.normal(0, 0.1, 8),
        "w2": rng.normal(0, 0.6, (8, 4)),
        "b2": np.zeros(4),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["a"], "fc1"),
        helper.make_node("Tanh", ["a"], ["h"], "act"),
        helper.make_node("Gemm", ["h", "w2", "b2"], ["y"], "fc2"),
    ]
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in arrays.items()],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("sweep") / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="session")
def source(model: Path) -> Module:
    return load(model)


@pytest.fixture(scope="session")
def samples(source: Module) -> Data:
    x = np.random.default_rng(8).random((120, 12)).astype(np.float32)
    return Data(x, evaluate(source, x).argmax(axis=1))


@pytest.fixture(scope="session")
def data_file(model: Path, samples: Data) -> Path:
    path = model.with_name("data.npz")
    np.savez(path, x=samples.x, y=samples.y)
    return path
