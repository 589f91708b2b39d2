"""The image classifiers that the onnx package ships without their weights: each is computed right, or refused with every reason.

Their weights are one constant each, made by ConstantOfShape. Random ones in their place show an error that equal ones hide.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from threadpoolctl import threadpool_limits

from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.frontend import load_onnx

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
COMPUTED = ["densenet121", "inception_v2", "resnet50", "shufflenet", "squeezenet"]
REFUSED = {
    "bvlc_alexnet": ["n2", "n6"],
    "inception_v1": ["n3", "n8"],
    "zfnet512": ["n2", "n6"],
}
"""Model -> its nodes that are LRN."""
LARGEST = "vgg19"


def model_path(name: str) -> Path:
    return FOLDER / f"light_{name}.onnx"


def with_random_weights(name: str, path: Path) -> None:
    """Write the model with weights of the size that training begins with, so that numbers neither vanish nor grow."""
    model = onnx.load(model_path(name))
    graph, random = model.graph, np.random.default_rng(1)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape"]:
        shape = tuple(shapes[node.input[0]])
        if len(shape) > 1:
            weight = random.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        else:
            weight = random.uniform(0.5, 1.5, shape).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weight, node.output[0]))
        graph.node.remove(node)
    path.write_bytes(model.SerializeToString())


def runtime_output(path: Path, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def test_these_are_all_the_models():
    assert {path.stem for path in FOLDER.glob("*.onnx")} == {f"light_{name}" for name in (*COMPUTED, *REFUSED, LARGEST)}


@pytest.mark.parametrize("name", COMPUTED)
def test_models_with_random_weights_compute_what_onnxruntime_computes(name, tmp_path):
    path = tmp_path / "model.onnx"
    with_random_weights(name, path)
    x = np.random.default_rng(2).normal(size=(1, 3, 224, 224)).astype(np.float32)
    with threadpool_limits(1):
        y = evaluate(load_onnx(path), x)
    expected = runtime_output(path, x).reshape(y.shape)  # Softmax over channels ends with the classes alone
    assert np.ptp(expected) > 0.01 * np.abs(expected).max()
    np.testing.assert_allclose(y, expected, rtol=2e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("name", REFUSED)
def test_models_with_lrn_are_refused_at_each_of_its_nodes(name):
    with pytest.raises(SccError) as error:
        load_onnx(model_path(name))
    problems = [(d.location.node, d.message) for d in error.value.diagnostics]
    assert problems == [(node, "LRN: operator not supported") for node in REFUSED[name]]


MEASURED = """
import json, resource, sys
from pathlib import Path
import numpy as np
from sccc.evaluate import evaluate
from sccc.frontend import load_onnx
shape = (1, 3, 224, 224)
x = (np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32)
y = evaluate(load_onnx(sys.argv[1]), x)
print(json.dumps({"y": y.tolist(), "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def test_the_largest_one_takes_less_than_4_gb():
    """VGG19 has 144 million weights. ONNX states what it gives for this input."""
    run = [sys.executable, "-c", MEASURED, str(model_path(LARGEST))]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    result = json.loads(subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout)
    expected = onnx.TensorProto.FromString((FOLDER / f"light_{LARGEST}_output_0.pb").read_bytes())
    np.testing.assert_allclose(result["y"], numpy_helper.to_array(expected), rtol=1e-3)
    assert result["kilobytes"] < 4_000_000
