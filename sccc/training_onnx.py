"""Trained weights back into the ONNX model that they come from: the same graph, other initializers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from sccc.diagnostics import Collector, Location, SccError
from sccc.frontend import load_onnx
from sccc.frontend.names import shown
from sccc.ir import Module
from sccc.passes.training_chain import WEIGHTED
from sccc.training import layered

Layers = dict[str, tuple[np.ndarray, np.ndarray]]


class WritableModel:
    """An ONNX model whose layers' weights are found among its initializers. Raises SccError naming those that are not."""

    def __init__(self, path: Path, module: Module) -> None:
        self.path = path
        self.model = onnx.load(str(path))
        self._initializers = {tensor.name: tensor for tensor in self.model.graph.initializer}
        nodes = self.model.graph.node
        self._nodes = {shown(n.name) or f"{shown(n.op_type)}_{i}": n for i, n in enumerate(nodes)}
        self._places: dict[str, tuple[str, bool, str]] = {}
        """For each layer: the weight's initializer, whether it is transposed, and the bias's."""
        problems = Collector()
        for op in module.ops_named(*WEIGHTED):
            assert op.result is not None
            with problems.catching():
                self._places[op.result.name] = self._find(op.origin, op.attributes)
        names = [name for weight, _, bias in self._places.values() for name in (weight, bias)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            problems.add(
                f"'{name}' serves more than one layer", self._place(""), "train a model without shared weights"
            )
        problems.raise_if_any()

    def _place(self, node: str) -> Location:
        return Location(file=str(self.path), node=node or None)

    def _find(self, origin: str, attributes: dict[str, np.ndarray]) -> tuple[str, bool, str]:
        node = self._nodes.get(origin)
        weight, bias = np.asarray(attributes["weight"]), np.asarray(attributes["bias"])
        if node is not None:
            followers = [n for n in self.model.graph.node if n.op_type == "Add" and set(n.input) & set(node.output)]
            w = self._matching(list(node.input), weight.T) or self._matching(list(node.input), weight)
            b = self._matching([*node.input, *(name for n in followers for name in n.input)], bias)
            if w and b:
                transposed = self._is(w, weight.T) and not (node.op_type == "Gemm" and _attribute(node, "transB"))
                return w, transposed, b
        raise SccError(
            "the layer's weight and bias are not initializers of their own",
            self._place(origin),
            "fold scales and BatchNormalization into Gemm with a bias before training, or write a .sc file with -o",
        )

    def _is(self, name: str, wanted: np.ndarray) -> bool:
        held = numpy_helper.to_array(self._initializers[name]).astype(np.float64)
        return held.squeeze().shape == wanted.squeeze().shape and np.array_equal(held.squeeze(), wanted.squeeze())

    def _matching(self, names: list[str], wanted: np.ndarray) -> str:
        return next((n for n in names if n in self._initializers and self._is(n, wanted)), "")

    def serialized(self, layers: Layers) -> bytes:
        """The model with these weights, read back and compared."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        for layer, (weight, bias) in layers.items():
            weight_name, transposed, bias_name = self._places[layer]
            for name, new in ((weight_name, weight.T if transposed else weight), (bias_name, bias)):
                old = numpy_helper.to_array(tensors[name])
                tensors[name].CopyFrom(numpy_helper.from_array(new.reshape(old.shape).astype(old.dtype), name))
        data: bytes = model.SerializeToString()
        self._check(data, layers)
        return data

    def _check(self, data: bytes, layers: Layers) -> None:
        with tempfile.TemporaryDirectory(prefix="sccc_train_") as folder:
            path = Path(folder) / self.path.name
            path.write_bytes(data)
            read = layered(load_onnx(path))
        for name, (weight, bias) in layers.items():
            op = read.value(name).op
            assert op is not None
            for held, wanted in ((op.attributes["weight"], weight), (op.attributes["bias"], bias)):
                if not np.allclose(held, wanted, rtol=1e-3, atol=1e-6):  # the file's numbers may be float16
                    raise SccError(f"layer {name} cannot be written back to this model", self._place(op.origin))


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((a.i for a in node.attribute if a.name == name), 0)
