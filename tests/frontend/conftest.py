"""A builder of small ONNX graphs, and the comparison with onnx's reference evaluator and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from sccc.evaluate import evaluate
from sccc.frontend import load_onnx
from sccc.ir import Module

NEWEST = onnx.defs.onnx_opset_version()
NEWEST_IN_RUNTIME = 21
OPSETS = [9, 11, 13, 17, 21, NEWEST]
BATCH = 5


class Graph:
    """An ONNX model under construction: nodes are appended to `last`, the name of the value written last."""

    def __init__(self, folder: Path, opset: int = 17, shape: Sequence[int | str] = ("N", 4), **options: Any) -> None:
        self.path = folder / options.pop("file", "model.onnx")
        self.opset = opset
        self.domains: dict[str, int] = options.pop("domains", {})
        self.type = options.pop("type", TensorProto.FLOAT)
        self.input = options.pop("input", "x")
        assert not options
        self.shape = list(shape)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.extra_inputs: list[onnx.ValueInfoProto] = []
        self.last = self.input
        self.random = np.random.default_rng(len(self.shape) + opset)

    def weight(self, *shape: int) -> str:
        """A random float initializer."""
        return self.const(self.random.normal(size=shape).astype(np.float32))

    def const(self, array: Any, dtype: Any = None, name: str | None = None) -> str:
        """An initializer with the given numbers."""
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def constant_node(self, array: Any, dtype: Any = None) -> str:
        """The same as a Constant node."""
        name = f"k{len(self.nodes)}"
        value = numpy_helper.from_array(np.asarray(array, dtype))
        self.nodes.append(helper.make_node("Constant", [], [name], name=f"Constant_{name}", value=value))
        return name

    def node(
        self, op: str, *inputs: str, name: str | None = None, outputs: Sequence[str] = (), **attributes: Any
    ) -> str:
        """Append a node that reads `inputs`, or the value written last."""
        label = name if name is not None else f"{op.lower()}{len(self.nodes)}"
        names = list(outputs) or [f"v{len(self.nodes)}"]
        self.nodes.append(helper.make_node(op, list(inputs or [self.last]), names, name=label, **attributes))
        self.last = names[0]
        return self.last

    def output(
        self, name: str | None = None, shape: Sequence[Any] | None = None, type: int = TensorProto.FLOAT
    ) -> Graph:
        self.outputs.append(helper.make_tensor_value_info(name or self.last, type, shape))
        return self

    def model(self) -> onnx.ModelProto:
        if not self.outputs:
            self.output()
        inputs = [helper.make_tensor_value_info(self.input, self.type, self.shape), *self.extra_inputs]
        graph = helper.make_graph(self.nodes, "g", inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid(d, v) for d, v in {"": self.opset, **self.domains}.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10 if self.opset <= 21 else onnx.IR_VERSION)

    def save(self) -> Path:
        self.path.write_bytes(self.model().SerializeToString())
        return self.path

    def load(self) -> Module:
        return load_onnx(self.save())

    def data(self) -> np.ndarray:
        shape = [BATCH if isinstance(d, str) else d for d in self.shape]
        if self.type == TensorProto.FLOAT:
            return self.random.normal(size=shape).astype(np.float32)
        return self.random.integers(0, 100, size=shape).astype(helper.tensor_dtype_to_np_dtype(self.type))

    def check(
        self, batch: int | None = 0, out: int | None = 0, tolerance: float = 1e-5, runtime_only: bool = False
    ) -> Module:
        """Compare with ONNX on random data; `batch`, `out`: the batch axes of input and output (None: no batch).

        `runtime_only`: onnx.reference does not know the form of the op that is tested.
        """
        module = self.load()
        x = self.data()
        samples = x[None] if batch is None else np.moveaxis(x, batch, 0)
        y = evaluate(module, samples)
        for expected in references(self.path, self.opset, {self.input: x}, runtime_only):
            expected = expected[None] if out is None else np.moveaxis(expected, out, 0)
            assert y.shape == expected.shape
            np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
        return module


def references(path: Path, opset: int, feeds: dict[str, np.ndarray], runtime_only: bool = False) -> list[np.ndarray]:
    """The first output as onnx.reference computes it, and as onnxruntime does when it knows the opset; one of them at least."""
    results = []
    content = path.read_bytes()
    trains = opset < 14 and b"BatchNormalization" in content  # onnx.reference takes it for training there
    one_axis = opset < 13 and b"Softmax" in content  # and forgets there that Softmax runs over several axes
    misses = opset < 19 and b"DequantizeLinear" in content
    (x,) = feeds.values()
    rounds_down = b"MaxPool" in content and (b"SAME_LOWER" in content or x.ndim == 3)  # and fails in one dimension
    if not (runtime_only or trains or one_axis or misses or rounds_down):
        results.append(ReferenceEvaluator(str(path)).run(None, feeds)[0])
    if opset > NEWEST_IN_RUNTIME and not results:
        model = onnx.load(path)
        model.opset_import[0].version = opset = NEWEST_IN_RUNTIME  # the ops in question mean the same there
        path = path.with_name("older.onnx")
        onnx.save(model, path)
    if opset <= NEWEST_IN_RUNTIME:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it quantizes
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        results.append(session.run(None, feeds)[0])
    return [np.asarray(result, dtype=np.float64) for result in results]


GraphMaker = Callable[..., Graph]


@pytest.fixture
def graph(tmp_path: Path) -> GraphMaker:
    """Makes a `Graph` in a temporary folder."""
    return lambda *args, **options: Graph(tmp_path, *args, **options)


@pytest.fixture(params=OPSETS)
def opset(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def axes(opset: int) -> Callable[..., None]:
    """Appends a Squeeze or Unsqueeze, whose axes are an attribute before opset 13 and an input since."""

    def append(g: Graph, op: str, *axes: int) -> None:
        if opset < 13:
            g.node(op, axes=list(axes))
        else:
            g.node(op, g.last, g.const(list(axes), np.int64))

    return append
