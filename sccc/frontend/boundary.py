"""Where a graph begins and ends: its constants, its one input, its outputs, and which nodes lie between."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx

from sccc.diagnostics import Collector, Location, SccError
from sccc.frontend.bindings import (
    BATCH,
    FLOATS,
    INTEGERS,
    Binding,
    Derived,
    Dims,
    Ending,
    Known,
    Quantized,
    Tensor,
    Unknown,
)
from sccc.frontend.handlers import Context
from sccc.frontend.layout import show
from sccc.frontend.names import identifier, shown
from sccc.frontend.passing import type_name

LOG = logging.getLogger(__name__)
ENDED = (Ending.ARGMAX, Ending.BINARY)


def live_nodes(graph: onnx.GraphProto) -> list[tuple[onnx.NodeProto, int]]:
    """The nodes that the outputs depend on, in order, with their index in the graph."""
    wanted = {value.name for value in graph.output}
    live = []
    for index in range(len(graph.node) - 1, -1, -1):
        node = graph.node[index]
        if any(name in wanted for name in node.output if name):
            wanted.update(name for name in node.input if name)
            live.append((node, index))
    return live[::-1]


def check_constants(
    model: onnx.ModelProto, context: Context, collector: Collector, place: Location
) -> dict[str, Binding]:
    """Every initializer that is used, read and checked; the bad ones are reported once, by name."""
    graph, values = model.graph, dict[str, Binding]()
    clips = [{n for n in node.input[1:]} for node in graph.node if node.op_type == "Clip"]
    others = {n for node in graph.node if node.op_type != "Clip" for n in node.input}
    bounds = set[str]().union(*clips) - others
    for tensor in graph.initializer:
        if tensor.name not in context.used:
            continue
        try:
            array = context.tensors.read(tensor)
            _check_finite(array, tensor.name, tensor.name in bounds)
            values[tensor.name] = Known.of(array)
        except SccError as error:
            problem = error.diagnostics[0]
            collector.add(problem.message, place, problem.advice)
            values[tensor.name] = Unknown()
    for sparse in graph.sparse_initializer:
        collector.add(
            f"initializer '{shown(sparse.values.name)}' is sparse, which is not supported", place, "store it densely"
        )
        values[sparse.values.name] = Unknown()
    return values


def _check_finite(array: np.ndarray, name: str, infinite: bool) -> None:
    """Weights are numbers; only a bound of Clip may be infinite."""
    if array.dtype.kind in "OSUbiu":
        return
    numbers = array.astype(np.float64) if array.dtype.kind not in "f" else array
    bad = np.isnan(numbers) if infinite else ~np.isfinite(numbers)
    if bad.any():
        raise SccError(
            f"initializer '{shown(name)}' holds {np.count_nonzero(bad):,} NaN or infinite elements of {array.size:,}",
            advice="training diverged, or the file is damaged: retrain, or export again",
        )


def bind_input(graph: onnx.GraphProto, context: Context, place: Location) -> dict[str, Binding]:
    """The nn.input for the graph's one input. Raises SccError when there is none, or more."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(f"'{shown(value.name)}'" for value in inputs[:10])
        raise SccError(
            f"the network has {len(inputs)} inputs ({names})" if inputs else "the network has no input",
            place,
            "exactly one is supported: join them before the network, or cut it with onnx.utils.extract_model",
        )
    (value,) = inputs
    try:
        dims, batch = _input_dims(value, place)
    except SccError:
        context.batch_size = None
        raise
    context.batch_size = _batch_size(value, batch)
    elements = value.type.tensor_type.elem_type
    if elements not in FLOATS:
        LOG.info("input '%s' holds %s: feed it those integers, not scaled ones", shown(value.name), type_name(elements))
    shape = [d for d in dims if isinstance(d, int)]
    op = context.module.append(
        "nn.input",
        (),
        {"shape": shape, "name": value.name},
        result=identifier(value.name) or "input",
        origin=shown(value.name),
        location=Location(file=context.file),
    )
    assert op.result is not None
    return {value.name: Tensor(op.result, batch, elements)}


def _batch_size(value: onnx.ValueInfoProto, batch: int | None) -> int | None:
    """None when it is dynamic; 1 when there is no batch axis."""
    if batch is None:
        return 1
    dim = value.type.tensor_type.shape.dim[batch]
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None


def _input_dims(value: onnx.ValueInfoProto, place: Location) -> tuple[Dims, int | None]:
    """The input's shape and the position of its batch axis: the dynamic one, or axis 0 of two or more."""
    label = f"input '{shown(value.name)}'"
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise SccError(f"{label} has no shape", place, "export with a fixed input shape")
    if tensor.elem_type not in FLOATS and tensor.elem_type not in INTEGERS:
        raise SccError(f"{label} holds {type_name(tensor.elem_type)}", place, "inputs must be numbers")
    sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
    dynamic = [axis for axis, size in enumerate(sizes) if size is None]
    if any(d.HasField("dim_value") and d.dim_value < 0 for d in tensor.shape.dim):
        raise SccError(f"{label} has a negative dimension", place, "export it again")
    if len(dynamic) > 1 or (dynamic and len(sizes) == 1):
        raise SccError(
            f"{label} has {len(dynamic)} dynamic dimensions" + (" and no other" if len(sizes) == len(dynamic) else ""),
            place,
            "only the batch may be dynamic: fix the others (onnx.tools.update_model_dims, or at export)",
        )
    batch = dynamic[0] if dynamic else 0 if len(sizes) > 1 else None
    return tuple(BATCH if axis == batch else size or 1 for axis, size in enumerate(sizes)), batch


def append_output(model: onnx.ModelProto, values: Mapping[str, Binding], context: Context, place: Location) -> None:
    """The nn.output. Of labels and scores the scores are taken. Raises SccError for outputs that do not go together."""
    outputs = list(model.graph.output)
    if not outputs:
        raise SccError("the network has no output", place, "export it again")
    tensors = [_output_tensor(value, values, place) for value in outputs]
    scores = [_scores(tensor) if len(outputs) > 1 else tensor for tensor in tensors]
    if len({tensor.value for tensor in scores}) > 1:
        names = ", ".join(f"'{shown(value.name)}'" for value in outputs[:10])
        raise SccError(
            f"the network has {len(outputs)} outputs ({names})",
            place,
            "one is supported, or labels with their scores: cut the network with onnx.utils.extract_model "
            "(from scikit-learn: options={'zipmap': False})",
        )
    output = next((value for value in outputs if not _is_label(values[value.name])), outputs[0])
    result = scores[0]
    _check_declared(output, result, values, place)
    value = result.value
    while result.ending is Ending.SOFTMAX and value.op is not None and value.op.name == "nn.reshape":
        value = value.op.operands[0]
    context.module.append(
        "nn.output",
        [value],
        {"name": output.name},
        origin=shown(output.name),
        location=Location(file=context.file),
    )


def _output_tensor(value: onnx.ValueInfoProto, values: Mapping[str, Binding], place: Location) -> Tensor:
    binding = values.get(value.name)
    label = f"output '{shown(value.name)}'"
    if isinstance(binding, Quantized):
        raise SccError(
            f"{label} is what QuantizeLinear '{binding.origin}' gives",
            replace(place, node=binding.origin),
            "end the network with its DequantizeLinear",
        )
    if isinstance(binding, Derived):
        return binding.tensor
    if isinstance(binding, Tensor):
        return binding
    problem = "is computed by no node" if binding is None else "does not depend on the network's input"
    raise SccError(f"{label} {problem}", place, "export the model again")


def _is_label(binding: Binding) -> bool:
    return binding.label if isinstance(binding, Derived) else isinstance(binding, Tensor) and binding.scores is not None


def _scores(tensor: Tensor) -> Tensor:
    return tensor.scores or tensor


def _check_declared(value: onnx.ValueInfoProto, result: Tensor, values: Mapping[str, Binding], place: Location) -> None:
    """The shape that the file declares for its output must be the one that was computed."""
    declared = value.type.tensor_type
    if not declared.HasField("shape") or values[value.name] is not result or result.ending in ENDED:
        return
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in declared.shape.dim]
    dims = result.dims
    fits = len(sizes) == len(dims) and all(s is None or d is BATCH or s == d for s, d in zip(sizes, dims, strict=True))
    if not fits:
        text = ", ".join("?" if s is None else str(s) for s in sizes)
        raise SccError(
            f"output '{shown(value.name)}' is declared with shape [{text}], and is computed with {show(dims)}",
            place,
            "the file contradicts itself: export it again",
        )
