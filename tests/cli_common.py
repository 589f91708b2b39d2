"""What the tests of the command line share: a small network, data for it, and the command run as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

W1 = np.random.default_rng(3).normal(size=(5, 6)).astype(np.float32)
B1 = np.random.default_rng(4).normal(size=5).astype(np.float32) * np.float32(0.3)
W2 = np.random.default_rng(5).normal(size=(3, 5)).astype(np.float32)


@dataclass(frozen=True)
class Result:
    """What a command gave: exit code, standard output and standard error."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def write_model(
    path: Path,
    function: str = "Tanh",
    *,
    names: tuple[str, str, str] = ("fc1", "act", "fc2"),
    w1: np.ndarray = W1,
    **attributes: Any,
) -> Path:
    """6 inputs, 5 neurons with an activation, 3 outputs."""
    constants = {"w1": w1, "b1": B1, "w2": W2}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name=names[0], transB=1),
        helper.make_node(function, ["h"], ["a"], name=names[1], **attributes),
        helper.make_node("Gemm", ["a", "w2"], ["y"], name=names[2], transB=1),
    ]
    return _save(path, nodes, constants, ["N", 6])


def write_images(path: Path) -> Path:
    """A convolution on 1 x 2 x 3 images, ReLU, max pooling, 3 outputs."""
    constants = {"w1": W1[:2, :1, None, None], "b1": B1[:2], "w2": np.resize(W1, (3, 8))}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["h"], name="conv"),
        helper.make_node("Relu", ["h"], ["a"], name="act"),
        helper.make_node("MaxPool", ["a"], ["p"], name="pool", kernel_shape=[1, 2]),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w2"], ["y"], name="fc", transB=1),
    ]
    return _save(path, nodes, constants, ["N", 1, 2, 3])


def _save(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: list[Any]) -> Path:
    constants = {name: array.astype(np.float32).reshape(array.shape) for name, array in constants.items()}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def edit_model(path: Path, change: Callable[[onnx.ModelProto], Any]) -> None:
    """Change a saved model in place."""
    model = onnx.load_from_string(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())


def scores(x: np.ndarray) -> np.ndarray:
    """What the network of `write_model` computes, by numpy."""
    return np.tanh(x @ W1.T + B1) @ W2.T


def samples(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and the classes that the float network gives them: its accuracy is 1."""
    x = np.random.default_rng(6).random((count, 6)).astype(np.float32)
    return x, scores(x).argmax(axis=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def process(*argv: str | Path, env: Mapping[str, str] | None = None) -> Result:
    """Run a command as a process of its own."""
    return shell([sys.executable, "-m", "sccc.cli", *map(str, argv)], env)


def shell(command: Sequence[str] | str, env: Mapping[str, str] | None = None) -> Result:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
        shell=isinstance(command, str),
        executable="/bin/bash" if isinstance(command, str) else None,
        timeout=60,
    )
    return Result(done.returncode, done.stdout, done.stderr)
