"""Trained weights back into the ONNX model that they come from: the same graph, other initializers.

Only BatchNormalization that was folded into the layer in front of it before training leaves the graph: it is in the weights.
"""

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
from sccc.passes.trainable import WEIGHTED
from sccc.training import layered
from sccc.training_batchnorm import FoldedNormalization, drop_unread

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
        """For each layer: the weight's initializer, whether it is transposed, and the bias's ('': it has none yet)."""
        self._normalizations: dict[str, FoldedNormalization] = {}
        problems = Collector()
        for op in module.ops_named(*WEIGHTED):
            assert op.result is not None
            with problems.catching():
                self._places[op.result.name] = self._find(op.origin, op.attributes, op.result.name)
        names = [name for weight, _, bias in self._places.values() for name in (weight, bias) if name]
        for name in sorted({name for name in names if names.count(name) > 1}):
            problems.add(
                f"'{name}' serves more than one layer", self._place(""), "train a model without shared weights"
            )
        problems.raise_if_any()

    def _place(self, node: str) -> Location:
        return Location(file=str(self.path), node=node or None)

    def _find(self, origin: str, attributes: dict[str, np.ndarray], layer: str) -> tuple[str, bool, str]:
        node = self._nodes.get(origin)
        weight, bias = np.asarray(attributes["weight"]), np.asarray(attributes["bias"])
        if node is not None:
            behind = FoldedNormalization.behind(node, self.model.graph, self._initializers)
            if behind is not None and (found := self._unfolded(node, behind, weight, bias)):
                self._normalizations[layer] = behind
                return found
            followers = [n for n in self.model.graph.node if n.op_type == "Add" and set(n.input) & set(node.output)]
            w = self._matching(list(node.input), weight.T) or self._matching(list(node.input), weight)
            b = self._matching([*node.input, *(name for n in followers for name in n.input)], bias)
            if w and b:
                transposed = self._is(w, weight.T) and not (node.op_type == "Gemm" and _attribute(node, "transB"))
                return w, transposed, b
        raise SccError(
            "the layer's weight and bias are not initializers of their own",
            self._place(origin),
            "fold scales into Gemm with a bias before training, or write a .sc file with -o",
        )

    def _unfolded(
        self, node: onnx.NodeProto, behind: FoldedNormalization, weight: np.ndarray, bias: np.ndarray
    ) -> tuple[str, bool, str] | None:
        """The initializers that make the layer's weight and bias with the normalisation behind it."""
        names = [*node.input[1:], ""][:2]
        if any(name and name not in self._initializers for name in names) or not names[0]:
            return None
        w, b = (self._array(name) if name else np.zeros(len(bias)) for name in names)
        transposed = node.op_type == "Gemm" and not _attribute(node, "transB")
        made = behind.folded(w.T if transposed else w, b)
        if any(
            a.shape != held.shape or not np.allclose(a, held, rtol=1e-6, atol=1e-9)
            for a, held in zip(made, (weight, bias), strict=True)
        ):
            return None
        return names[0], transposed, names[1]

    def _array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._initializers[name]).astype(np.float64)

    def _is(self, name: str, wanted: np.ndarray) -> bool:
        held = self._array(name)
        return held.squeeze().shape == wanted.squeeze().shape and np.array_equal(held.squeeze(), wanted.squeeze())

    def _matching(self, names: list[str], wanted: np.ndarray) -> str:
        return next((n for n in names if n in self._initializers and self._is(n, wanted)), "")

    def serialized(self, layers: Layers) -> bytes:
        """The model with these weights, read back and compared."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        biases = {layer: bias for layer, (_, _, bias) in self._places.items()}
        for layer, behind in self._normalizations.items():
            biases[layer] = behind.remove(model.graph, layer, layers[layer][1])
        drop_unread(model.graph, {entry.name for entry in self.model.graph.input})
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        for layer, (weight, bias) in layers.items():
            (weight_name, transposed, _), bias_name = self._places[layer], biases[layer]
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
