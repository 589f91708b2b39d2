"""Writes digits.npz (scikit-learn's 8x8 digits, 1,437 to train and 360 to test) and digits_64_16_10.onnx, a network with random
weights. Run: python examples/train_on_chip/make_digits.py"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

HERE = Path(__file__).parent
SIZES = (64, 16, 10)
TEST_SAMPLES = 360


def save_data() -> None:
    digits = load_digits()
    order = np.random.default_rng(1).permutation(len(digits.target))
    x = np.rint(digits.data[order] * 255.0 / 16.0).astype(np.uint8)  # uint8 is read as x / 255
    y = digits.target[order].astype(np.uint8)
    test, train = slice(0, TEST_SAMPLES), slice(TEST_SAMPLES, None)
    np.savez_compressed(HERE / "digits.npz", x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])


def save_model() -> None:
    random = np.random.default_rng(1)
    nodes, initializers, value = [], [], "x"
    for number, (n, m) in enumerate(itertools.pairwise(SIZES), start=1):
        limit = np.sqrt(6.0 / (n + m))
        weight = random.uniform(-limit, limit, (m, n)).astype(np.float32)
        initializers += [
            numpy_helper.from_array(weight, f"fc{number}.weight"),
            numpy_helper.from_array(np.zeros(m, dtype=np.float32), f"fc{number}.bias"),
        ]
        last = number == len(SIZES) - 1
        out = "logits" if last else f"fc{number}_out"
        inputs = [value, f"fc{number}.weight", f"fc{number}.bias"]
        nodes.append(helper.make_node("Gemm", inputs, [out], f"fc{number}", transB=1))
        if not last:
            nodes.append(helper.make_node("Tanh", [out], [f"act{number}"], f"act{number}"))
            value = f"act{number}"
    graph = helper.make_graph(
        nodes,
        "digits_64_16_10",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", SIZES[0]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", SIZES[-1]])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(HERE / "digits_64_16_10.onnx"))


if __name__ == "__main__":
    save_data()
    save_model()
