"""ONNX's own backend tests as networks with one input: weights are stored in the file, as a trained model has them.

A node test hands every tensor to its node at run time. Here the first one stays the network's input and the others become
initializers; where an op joins tensors (`JOINING`), all of them are cut out of one packed input. Integers that a node gives
are dequantized behind it (`DEQUANTIZED`), and what is split gives one network for each part.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.frontend import load_onnx

JOINING = ("Add", "Concat", "Sum")
DEQUANTIZED = {"QuantizeLinear": 1, "QLinearConv": 6}
"""Op type -> the input that holds the scale of its result; the zero point is behind it."""


@dataclass(frozen=True)
class Case:
    """A model of one input, what is fed to it, and the output that ONNX expects."""

    name: str
    model: onnx.ModelProto
    x: np.ndarray
    expected: np.ndarray
    rtol: float
    atol: float


# fmt: off
NODE_MODULES = [
    "add", "argmax", "averagepool", "batch_normalization", "cast", "clip", "concat", "conv", "convtranspose",
    "dequantizelinear", "div", "dropout", "flatten", "gemm", "globalaveragepool", "globalmaxpool",
    "groupnormalization", "hardsigmoid", "hardswish", "identity", "leakyrelu", "lrn", "lstm", "matmul", "max",
    "maxpool", "min", "mul", "neg", "pad", "qlinearconv", "quantizelinear", "reducemean", "relu", "reshape",
    "resize", "sigmoid", "slice", "softmax", "split", "squeeze", "sub", "sum", "tanh", "transpose", "unsqueeze",
    "upsample",
]
# fmt: on
"""The files of onnx.backend.test.case.node that are run: one for each op."""
PYTORCH = ("pytorch-converted", "pytorch-operator")


@functools.cache
def cases_of(group: str) -> list[Case]:
    """The cases of one of NODE_MODULES or of PYTORCH, sorted by name."""
    found = _pytorch_tests(group) if group in PYTORCH else _node_tests(group)
    return [made for case in sorted(found, key=lambda case: case.name) for made in _networks(case)]


def _node_tests(module: str) -> list[TestCase]:
    """The tests that importing a module makes, but those of sequences and optionals, which only programs have."""
    from onnx.backend.test.case.node import _NodeTestCases

    before = len(_NodeTestCases)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        importlib.import_module(f"onnx.backend.test.case.node.{module}")
    return [case for case in _NodeTestCases[before:] if all(map(_is_tensor, case.data_sets[0][0]))]


def _pytorch_tests(kind: str) -> list[TestCase]:
    """What was exported from PyTorch, brought from opset 6 to 11."""
    tests = load_model_tests(kind=kind)
    for case in tests:
        folder = Path(case.model_dir)
        case.model = onnx.load(folder / "model.onnx")
        if case.model.opset_import[0].version < 11:
            case.model = version_converter.convert_version(case.model, 11)
        data = [sorted((folder / "test_data_set_0").glob(f"{part}_*.pb")) for part in ("input", "output")]
        case.data_sets = [tuple([onnx.load_tensor(path) for path in paths] for paths in data)]
    return tests


def _is_tensor(data: object) -> bool:
    return isinstance(data, np.ndarray | np.generic | onnx.TensorProto)


def _array(data: object) -> np.ndarray:
    return numpy_helper.to_array(data) if isinstance(data, onnx.TensorProto) else np.asarray(data)


def _networks(case: TestCase) -> Iterator[Case]:
    """One network for a test; for a node that splits its input one for each part."""
    inputs, outputs = ([_array(data) for data in part] for part in case.data_sets[0])
    op_type = case.model.graph.node[0].op_type
    splits = op_type == "Split" and len(outputs) > 1
    for index in range(len(outputs) if splits else 1):
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        if splits:
            del model.graph.output[:]
            model.graph.output.append(case.model.graph.output[index])
        expected = _dequantized(model, inputs, outputs[0]) if op_type in DEQUANTIZED else outputs[index]
        x = _packed(model.graph, inputs) if op_type in JOINING else None
        x = _stored(model.graph, inputs) if x is None else x
        yield Case(f"{case.name}[{index}]" if splits else case.name, model, x, expected, case.rtol, case.atol)


def _dequantized(model: onnx.ModelProto, inputs: list, integers: np.ndarray) -> np.ndarray:
    """Append a DequantizeLinear with the parameters of the node's result; returns what it makes of the integers."""
    graph = model.graph
    first, (node,) = DEQUANTIZED[graph.node[0].op_type], graph.node
    attributes = [a for a in node.attribute if a.name in ("axis", "block_size")]
    last = helper.make_node("DequantizeLinear", [node.output[0], *node.input[first : first + 2]], ["dequantized"])
    last.attribute.extend(attributes)
    graph.node.append(last)
    graph.output[0].CopyFrom(helper.make_tensor_value_info("dequantized", onnx.TensorProto.FLOAT, None))
    alone = helper.make_graph([last], "g", [onnx.ValueInfoProto(name=name) for name in last.input], graph.output)
    evaluator = ReferenceEvaluator(helper.make_model(alone, opset_imports=[helper.make_opsetid("", 25)]))
    return evaluator.run(None, dict(zip(last.input, [integers, *inputs[first : first + 2]], strict=True)))[0]


def _computed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def _stored(graph: onnx.GraphProto, inputs: list) -> np.ndarray:
    """Make all inputs but the first initializers; returns the first."""
    first, *others = _computed_inputs(graph)
    names = [value.name for value in others]
    del graph.input[:]
    graph.input.append(first)
    graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in zip(names, inputs[1:], strict=True))
    return inputs[0]


def _packed(graph: onnx.GraphProto, inputs: list) -> np.ndarray | None:
    """Cut all inputs out of one, whose axis 0 is the batch; returns it. None when they cannot be packed sample by sample."""
    if len({a.shape[0] for a in inputs}) > 1 or len({min(a.ndim, 2) for a in inputs}) > 1:
        return None
    axis = min(inputs[0].ndim - 1, 1)
    flat = [a.reshape(*a.shape[:axis], -1) for a in inputs]
    names, kind = [value.name for value in _computed_inputs(graph)], graph.input[0].type.tensor_type.elem_type
    nodes, start = [], 0
    for name, part, array in zip(names, flat, inputs, strict=True):
        stop = start + part.shape[axis]
        bounds = {"starts": [start], "ends": [stop], "axes": [axis], "shape": array.shape}
        graph.initializer.extend(
            numpy_helper.from_array(np.array(v, np.int64), f"{name}_{k}") for k, v in bounds.items()
        )
        nodes.append(helper.make_node("Slice", ["packed", *(f"{name}_{k}" for k in list(bounds)[:3])], [f"{name}_cut"]))
        nodes.append(helper.make_node("Reshape", [f"{name}_cut", f"{name}_shape"], [name]))
        start = stop
    nodes.extend(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    x = np.concatenate(flat, axis)
    graph.input.append(helper.make_tensor_value_info("packed", kind, x.shape))
    return x


def as_one_sample(case: Case) -> Case:
    """The same network of a whole tensor as one sample, of a batch of one: no axis of it is the batch."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array(case.x.shape, np.int64), "whole_shape"))
    nodes = [helper.make_node("Reshape", ["whole", "whole_shape"], [graph.input[0].name]), *graph.node]
    kind = graph.input[0].type.tensor_type.elem_type
    graph.input[0].CopyFrom(helper.make_tensor_value_info("whole", kind, (1, *case.x.shape)))
    del graph.node[:]
    graph.node.extend(nodes)
    return replace(case, model=model, x=case.x[None])


def outcome(case: Case, folder: Path) -> np.ndarray | str:
    """What frontend and float module compute, the batch first, or all the reasons for which the network is refused."""
    path = folder / "model.onnx"
    path.write_bytes(case.model.SerializeToString())
    try:
        module = load_onnx(path)
    except SccError as error:
        return "; ".join(diagnostic.message for diagnostic in error.diagnostics)
    return evaluate(module, case.x if case.x.ndim > 1 else case.x[None])


def outcomes(case: Case, folder: Path) -> list[np.ndarray | str]:
    """With the first axis as the batch, and with all axes as one sample."""
    return [outcome(network, folder) for network in (case, as_one_sample(case))]


def reason(results: list[np.ndarray | str]) -> str | None:
    """Why a case is refused in either form; None when there is a result."""
    return results[0] if all(isinstance(result, str) for result in results) else None


def agrees(case: Case, y: np.ndarray) -> bool:
    """Whether an output is the expected one, wherever ONNX has the batch axis; axes of 1 behind ArgMax do not count."""
    layouts = [np.moveaxis(y, 0, axis) for axis in range(y.ndim)] + ([y[0]] if len(y) == 1 else []) + [y[..., None]]
    rounding = float(ml_dtypes.finfo(case.expected.dtype).eps) if case.expected.dtype.kind in "fV" else 0.0
    tolerance = {"rtol": max(case.rtol, rounding), "atol": max(case.atol, 1e-6), "equal_nan": True}
    expected = case.expected.astype(np.float64)
    return any(a.shape == expected.shape and np.allclose(a, expected, **tolerance) for a in layouts)
