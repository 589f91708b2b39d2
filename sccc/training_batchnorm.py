"""BatchNormalization behind layers that were trained: folded into their weights, its nodes leave the ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

EPSILON = 1e-5
"""ONNX's, where a node names none."""


class FoldedNormalization:
    """The BatchNormalization that alone reads a Conv's or Gemm's result, with constant parameters."""

    def __init__(self, node: onnx.NodeProto, initializers: dict[str, onnx.TensorProto]) -> None:
        self.node = node
        scale, shift, mean, variance = (
            numpy_helper.to_array(initializers[name]).astype(np.float64) for name in node.input[1:5]
        )
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), EPSILON)
        self.factor = scale / np.sqrt(variance + epsilon)
        self.shift = shift - self.factor * mean

    @staticmethod
    def behind(
        layer: onnx.NodeProto, graph: onnx.GraphProto, initializers: dict[str, onnx.TensorProto]
    ) -> FoldedNormalization | None:
        """None where something else reads the layer's result as well, or something that is no BatchNormalization."""
        readers = [node for node in graph.node if set(node.input) & set(layer.output)]
        if len(readers) != 1 or readers[0].op_type != "BatchNormalization" or layer.op_type not in ("Conv", "Gemm"):
            return None
        node = readers[0]
        if any(name not in initializers for name in node.input[1:5]) or layer.output[0] in {
            o.name for o in graph.output
        }:
            return None
        return FoldedNormalization(node, initializers)

    def folded(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weight [outputs, ...] and bias of the layer with the normalisation in them."""
        factor = self.factor.reshape(-1, *(1,) * (weight.ndim - 1))
        return weight * factor, bias * self.factor + self.shift

    def remove(self, graph: onnx.GraphProto, layer: str, bias: np.ndarray) -> str:
        """The node of that name makes what the normalisation made, with a bias of its own, whose initializer's name is returned.

        `graph` is a copy of the one that the normalisation was found in.
        """
        taken = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.input}
        index = next(i for i, node in enumerate(graph.node) if list(node.output) == list(self.node.output))
        made, (read,) = graph.node[index].output[0], graph.node[index].input[:1]
        del graph.node[index]
        maker = next(node for node in graph.node if read in node.output)
        maker.output[0] = made
        held = maker.input[2] if len(maker.input) > 2 and maker.input[2] else ""
        if not held:
            held = f"{layer}.bias"
            while held in taken:
                held += "_"
            del maker.input[2:]
            maker.input.append(held)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(
                next(tensor.data_type for tensor in graph.initializer if tensor.name == maker.input[1])
            )
            graph.initializer.append(numpy_helper.from_array(bias.astype(dtype), held))
        return held


def drop_unread(graph: onnx.GraphProto, but: set[str]) -> None:
    """Take out the initializers that no node reads, and what is known of values that are gone, but for names in `but`."""
    read = {name for node in graph.node for name in node.input} | {o.name for o in graph.output} | but
    made = {name for node in graph.node for name in node.output}
    for field, kept in ((graph.initializer, read), (graph.value_info, made)):
        remaining = [entry for entry in field if entry.name in kept]
        del field[:]
        field.extend(remaining)
