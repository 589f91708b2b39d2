"""A small network for the hardware bill: scikit-learn's 8x8 digits, 64-32-10, tanh. Makes digits_mlp.onnx and digits.npz.

Run: python examples/digits_mlp/train.py   (needs scikit-learn; a second or two)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent


def main() -> None:
    digits = load_digits()
    x = (digits.data / 16.0).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(x, digits.target, test_size=500, random_state=1)
    net = MLPClassifier((32,), activation="tanh", alpha=0.01, max_iter=600, random_state=1).fit(x_train, y_train)
    (w1, w2), (b1, b2) = net.coefs_, net.intercepts_
    constants = {"w1": w1.T, "b1": b1, "w2": w2.T, "b2": b2}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="fc1", transB=1),
        helper.make_node("Tanh", ["h"], ["a"], name="act1"),
        helper.make_node("Gemm", ["a", "w2", "b2"], ["y"], name="fc2", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits_mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(np.ascontiguousarray(a, dtype=np.float32), name) for name, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    (HERE / "digits_mlp.onnx").write_bytes(model.SerializeToString())

    np.savez_compressed(HERE / "digits.npz", x_test=x_test, y_test=y_test, x_calib=x_train[:300])
    print(f"test accuracy {net.score(x_test, y_test):.4f}")


if __name__ == "__main__":
    main()
