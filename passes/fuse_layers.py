"""fuse-layers: a dense op and its activation become one nn.layer; what has no layer form is refused, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sccc.diagnostics import Collector
from sccc.ir import Attribute, Module, Operation, Value
from sccc.passes.fold_constants import standardises_input
from sccc.passes.manager import Pass, PassContext, register

FUNCTIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "clip", "hard_sigmoid")
FUNCTION_ATTRIBUTES = ("alpha", "beta", "lo", "hi")
KEPT = ("nn.input", "nn.output", "nn.softmax", "nn.argmax")


@register
@dataclass(frozen=True)
class FuseLayers(Pass):
    """Turn each dense op with the activation behind it into one nn.layer, the unit that becomes hardware."""

    name: ClassVar[str] = "fuse-layers"

    def run(self, module: Module, context: PassContext) -> Module:
        _flatten_vectors(module)
        problems = Collector()
        for op in module.ops_named("nn.argmax"):
            _drop_increasing(module, op, problems)
        for op in list(module.ops):
            if op in module.ops and op.name not in KEPT:
                with problems.catching():
                    _fuse(module, op, problems)
        problems.raise_if_any()
        module.erase_dead()
        context.config.check_layers(_layer_names(module))
        return module


def _layer_names(module: Module) -> set[str]:
    """What a configuration may call a layer: its ONNX node, its activation's node, its value in the IR."""
    names: set[str] = set()
    for op in module.ops_named("nn.layer"):
        assert op.result is not None
        names |= {op.origin, str(op.attributes["activation_origin"]), op.result.name}
    return names - {""}


INCREASING = ("tanh", "sigmoid", "leaky_relu", "softmax")
"""Functions that keep the order of different numbers, so that ArgMax need not wait for them."""


def _drop_increasing(module: Module, argmax: Operation, problems: Collector) -> None:
    """ArgMax compares totals: an increasing function in front of it changes nothing and is left out."""
    maker = argmax.operands[0].op
    while maker is not None and maker.name.removeprefix("nn.") in INCREASING:
        argmax.operands = list(maker.operands)
        maker = argmax.operands[0].op
    if maker is not None and maker.name.removeprefix("nn.") in FUNCTIONS:
        problems.add(
            f"ArgMax of a {maker.name.removeprefix('nn.')}, which makes different numbers equal",
            argmax.place(),
            "leave the activation out: the class is the largest sum, or end the model before ArgMax",
        )


def _flatten_vectors(module: Module) -> None:
    """Drop reshapes between the input and a dense op: a row-major vector is what streams are made of."""
    for op in list(module.ops):
        if op.name != "nn.reshape" or len(op.attributes["shape"]) != 1:
            continue
        source = op.operands[0]
        while source.op is not None and source.op.name == "nn.reshape":
            source = source.op.operands[0]
        if source.op is not None and source.op.name == "nn.input":
            op.operands = [source]
        elif source.type == op.result.type:  # type: ignore[union-attr]
            module.replace_uses(op.result, source)  # type: ignore[arg-type]
            module.erase(op)


def _fuse(module: Module, op: Operation, problems: Collector) -> None:
    if op.name == "nn.reshape" and op.operands[0].op is not None and op.operands[0].op.name == "nn.input":
        return
    if standardises_input(op):
        return  # what it does is done to the input's levels
    if op.name == "nn.dense":
        assert op.result is not None
        if len(op.result.type.shape) != 1:
            problems.add(
                f"the layer's input has the shape {op.operands[0].type.shape} per sample, and must be a vector",
                op.place(),
                "put a Flatten before it",
            )
            return
        _make_layer(module, op, np.asarray(op.attributes["weight"]), np.asarray(op.attributes["bias"]), op)
        return
    if op.name == "nn.affine" or op.name.removeprefix("nn.") in FUNCTIONS:
        # An elementwise op with no dense layer before it: a layer with a diagonal weight, whose zeros cost nothing.
        shape = op.operands[0].type.shape
        if len(shape) == 1 and shape[0] <= 4096:
            scale = np.broadcast_to(np.asarray(op.attributes.get("scale", 1.0), dtype=np.float64), shape)
            shift = np.broadcast_to(np.asarray(op.attributes.get("shift", 0.0), dtype=np.float64), shape)
            _make_layer(module, op, np.diag(scale), shift, op if op.name == "nn.affine" else None)
            return
    problems.add(
        f"{op.name} cannot be compiled where it stands",
        op.place(),
        "layers are Gemm/MatMul on vectors, followed by an activation; Softmax and ArgMax come last",
    )


def _make_layer(module: Module, op: Operation, weight: np.ndarray, bias: np.ndarray, linear: Operation | None) -> None:
    """Replace `op` (and the activation that alone reads it) by a layer. `linear` is op itself unless op is an activation."""
    assert op.result is not None
    last = op
    function = op if linear is None else _only_reader(module, op.result)
    attributes: dict[str, Attribute] = {
        "weight": weight.astype(np.float64),
        "bias": np.broadcast_to(bias, weight.shape[:1]).astype(np.float64),
    }
    if function is not None and function.name.removeprefix("nn.") in FUNCTIONS:
        last = function
        attributes["function"] = function.name.removeprefix("nn.")
        attributes["activation_origin"] = function.origin
        attributes.update({k: function.attributes[k] for k in FUNCTION_ATTRIBUTES if k in function.attributes})
    attributes["in_scale"] = op.attributes.get("range", 0.0) or _reshaped_range(op.operands[0])
    wish = op.result.name
    layer = module.append(
        "nn.layer", op.operands, attributes, result=wish, origin=op.origin, location=op.location, before=op
    )
    assert layer.result is not None and last.result is not None
    module.replace_uses(last.result, layer.result)
    if last is not op:
        module.erase(last)
    module.erase(op)
    layer.result.name = wish


def _reshaped_range(value: Value) -> Attribute:
    """The range that a reshape in front of a layer was given."""
    is_reshape = value.op is not None and value.op.name == "nn.reshape"
    return value.op.attributes.get("range", 0.0) if value.op is not None and is_reshape else 0.0


def _only_reader(module: Module, value: Value) -> Operation | None:
    readers = module.uses()[value]
    return readers[0] if len(readers) == 1 else None
