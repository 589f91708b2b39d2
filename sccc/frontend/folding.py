"""Constant folding: a node whose inputs are all known is computed here, by onnx's reference evaluator.

Only ops of a closed list are computed, and only after a bound on the size of the result is known, since a file of a
few bytes can ask for terabytes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from sccc.diagnostics import SccError
from sccc.frontend.bindings import Binding, Known
from sccc.frontend.handlers import Step
from sccc.frontend.names import shown

Bound = Callable[[list[np.ndarray], Step], int]
"""The largest number of elements that the results can have together."""


def _broadcast(arrays: list[np.ndarray], step: Step) -> int:
    return math.prod(np.broadcast_shapes(*(a.shape for a in arrays)))


def _together(arrays: list[np.ndarray], step: Step) -> int:
    return sum(a.size for a in arrays)


def _gather(arrays: list[np.ndarray], step: Step) -> int:
    return arrays[0].size * max(arrays[1].size, 1)


def _matmul(arrays: list[np.ndarray], step: Step) -> int:
    return arrays[0].size * arrays[1].size


def _filled(arrays: list[np.ndarray], step: Step) -> int:
    return math.prod(int(d) for d in arrays[0].ravel())


def _expand(arrays: list[np.ndarray], step: Step) -> int:
    return math.prod(np.broadcast_shapes(arrays[0].shape, tuple(int(d) for d in arrays[1].ravel())))


def _tile(arrays: list[np.ndarray], step: Step) -> int:
    return arrays[0].size * math.prod(int(d) for d in arrays[1].ravel())


def _range(arrays: list[np.ndarray], step: Step) -> int:
    start, limit, delta = (float(a.reshape(())) for a in arrays[:3])
    return max(0, math.ceil((limit - start) / delta))


COMPUTED: dict[Bound, str] = {
    _broadcast: "Abs Add And Ceil Clip Cos Div Equal Exp Floor Greater GreaterOrEqual Less LessOrEqual Log Max Min Mod "
    "Mul Neg Not Or Pow Reciprocal Relu Round Sigmoid Sign Sin Sqrt Sub Sum Tanh Where Xor",
    _together: "Cast CastLike Concat DequantizeLinear Dropout Flatten Identity QuantizeLinear ReduceMax ReduceMean "
    "ReduceMin ReduceProd ReduceSum Reshape Shape Size Slice Split Squeeze Transpose Unsqueeze",
    _gather: "Gather",
    _matmul: "MatMul Gemm",
    _filled: "ConstantOfShape",
    _expand: "Expand",
    _tile: "Tile",
    _range: "Range",
}
BOUNDS = {op: bound for bound, ops in COMPUTED.items() for op in ops.split()}
"""Op type -> how large its result can be. These ops are computed, no others."""

IMPLEMENTED_SINCE = {"DequantizeLinear": 19}
"""What onnx's evaluator knows only in newer opsets, which mean the same for what older ones can say."""


def foldable(step: Step) -> bool:
    """Whether the node reads known values only, and can be computed now."""
    return (
        step.node.domain in ("", "ai.onnx")
        and step.node.op_type in BOUNDS
        and bool(step.inputs)
        and all(binding is None or isinstance(binding, Known) for binding in step.inputs)
    )


def fold(step: Step) -> list[Binding]:
    """The node's results. Raises SccError when it cannot be computed, or would be too large."""
    inputs = [binding for binding in step.inputs if isinstance(binding, Known)]
    first = _compute(step, [binding.array for binding in inputs])
    if all(binding.other is binding.array for binding in inputs):
        return [Known.of(array) for array in first]
    second = _compute(step, [binding.other for binding in inputs])
    return [Known(a, b) for a, b in zip(first, second, strict=True)]


def _compute(step: Step, arrays: list[np.ndarray]) -> list[np.ndarray]:
    names = [name for name in step.node.input if name]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            step.context.tensors.reserve_computed(BOUNDS[step.node.op_type](arrays, step) * _element_size(step, arrays))
            results = _evaluator(step).run(None, dict(zip(names, arrays, strict=True)))
    except SccError as error:
        raise step.refuse(error.diagnostics[0].message, error.diagnostics[0].advice) from error
    except Exception as error:  # the reference evaluator raises whatever numpy does on wrong shapes and types
        text = shown((str(error).splitlines() or [type(error).__name__])[0])
        raise step.refuse(f"cannot be computed from its constants: {text}", "check the shapes of its inputs") from error
    return [np.asarray(result) for result in results]


def _element_size(step: Step, arrays: list[np.ndarray]) -> int:
    """Bytes that one element of the results can take."""
    if step.node.op_type == "ConstantOfShape":
        (value,) = [a.t.data_type for a in step.node.attribute if a.name == "value"] or [onnx.TensorProto.FLOAT]
        return onnx.helper.tensor_dtype_to_np_dtype(value).itemsize
    return max(8, *(a.dtype.itemsize for a in arrays))


def _evaluator(step: Step) -> ReferenceEvaluator:
    """An evaluator of this node alone."""
    graph = onnx.GraphProto(name="fold", node=[step.node])
    graph.input.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(step.node.input) if name)
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in step.node.output if name)
    opset = max(step.opset, IMPLEMENTED_SINCE.get(step.node.op_type, 0))
    return ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)]))
