"""What onnx infers of the results of a node that was refused: stand-ins, with which the check goes on behind it.

One node at a time, from operands whose shapes are in order: inferring the shapes of a damaged graph as a whole can end the process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx
from onnx import helper, numpy_helper

from sccc.frontend.bindings import BATCH, Binding, Known, Quantized, Tensor, Unknown
from sccc.frontend.handlers import LARGEST_VALUE, Context, Step
from sccc.ir import Value
from sccc.types import Real

MOST_DATA = 1024
"""Elements of a constant up to which shapes are inferred from its numbers."""


class StandIns:
    """The types of values that have no binding of their own, by name: bad inputs and constants, and results of refused nodes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.ir_version = max(3, min(model.ir_version, onnx.IR_VERSION))
        self.types = {value.name: value.type for value in model.graph.input}
        for tensor in model.graph.initializer:
            self.types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))

    def bindings(self, step: Step, domain: str) -> list[Binding]:
        """For each of the node's results a tensor of the inferred shape, or Unknown."""
        try:
            inferred = self._infer(step, domain)
        except Exception:  # whatever is wrong with the node was reported where it was found
            inferred = {}
        self.types.update(inferred)
        return [_stand_in(inferred.get(name), step.context) for name in step.node.output]

    def _infer(self, step: Step, domain: str) -> dict[str, onnx.TypeProto]:
        types, data = dict[str, onnx.TypeProto](), dict[str, onnx.TensorProto]()
        for name, binding in zip(step.node.input, step.inputs, strict=True):
            if name:
                types[name] = _type_of(binding, step.context) or self.types[name]
            if isinstance(binding, Known) and binding.fixed and binding.array.size <= MOST_DATA:
                data[name] = numpy_helper.from_array(binding.array, name)
        if not all(_in_order(kind.tensor_type) for kind in types.values()):
            return {}
        opsets = [helper.make_opsetid(name, version) for name, version in step.context.opsets.items()]
        schema = onnx.defs.get_schema(step.node.op_type, step.opset, domain)
        return onnx.shape_inference.infer_node_outputs(
            schema, step.node, types, data, opset_imports=opsets, ir_version=self.ir_version
        )


def _type_of(binding: Binding | None, context: Context) -> onnx.TypeProto | None:
    """The ONNX type of a value; None when its binding does not tell."""
    if isinstance(binding, Known):
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(binding.array.dtype), binding.array.shape)
    if isinstance(binding, Tensor | Quantized):
        tensor = binding.tensor if isinstance(binding, Quantized) else binding
        kind = tensor.type if isinstance(binding, Tensor) else onnx.TensorProto.INT8
        return helper.make_tensor_type_proto(
            kind, [context.batch_size or "N" if d is BATCH else d for d in tensor.dims]
        )
    return None


def _sizes(tensor: onnx.TypeProto.Tensor) -> Sequence[int | None]:
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]


def _in_order(tensor: onnx.TypeProto.Tensor) -> bool:
    """Whether all sizes can be those of a tensor."""
    sizes = [size for size in _sizes(tensor) if size is not None]
    return min(sizes, default=0) >= 0 and math.prod(sizes) <= LARGEST_VALUE


def _stand_in(kind: onnx.TypeProto | None, context: Context) -> Binding:
    if kind is None or not kind.tensor_type.HasField("shape") or not _in_order(kind.tensor_type):
        return Unknown()
    sizes = _sizes(kind.tensor_type)
    dynamic = [axis for axis, size in enumerate(sizes) if size is None]
    if context.batch_size and sizes[:1] == [context.batch_size]:
        dynamic = [0, *dynamic]
    if len(dynamic) != 1 or 0 in sizes:
        return Unknown()
    shape = tuple(size for axis, size in enumerate(sizes) if axis != dynamic[0] and size)
    return Tensor(Value("unknown", Real(shape)), dynamic[0], kind.tensor_type.elem_type)
