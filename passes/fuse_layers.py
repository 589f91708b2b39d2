"""fuse-layers: dense ops, convolutions and additions become layers with their activations; what has no layer form is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sccc.diagnostics import Collector
from sccc.ir import Attribute, Module, Operation, Value
from sccc.ops.geometry import WINDOW_ATTRIBUTES
from sccc.ops.layer import LAYERS
from sccc.passes.fold_constants import reads_input, standardises_input
from sccc.passes.forms import ENDS, TRANSPARENT
from sccc.passes.manager import Pass, PassContext, register

FUNCTIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "clip", "hard_sigmoid", "hard_swish")
FUNCTION_ATTRIBUTES = ("alpha", "beta", "lo", "hi")
KEPT = ("nn.input", "nn.avg_pool", *ENDS, *TRANSPARENT)

WIDEST_DIAGONAL = 4096
"""Lanes up to which an elementwise op on a vector becomes a layer with a diagonal weight."""


@register
@dataclass(frozen=True)
class FuseLayers(Pass):
    """Turn each dense op, convolution and addition, with the activation behind it, into a layer, the unit that becomes hardware."""

    name: ClassVar[str] = "fuse-layers"

    def run(self, module: Module, context: PassContext) -> Module:
        _flatten_vectors(module)
        _fold_pads(module)
        problems = Collector()
        for op in module.ops_named("nn.argmax"):
            _drop_increasing(module, op, problems)
        for op in list(module.ops):
            if op in module.ops and op.name not in KEPT:
                _fuse(module, op, problems)
        problems.raise_if_any()
        module.erase_dead()
        context.config.check_layers(_layer_names(module))
        return module


def _layer_names(module: Module) -> set[str]:
    """What a configuration may call a layer: its ONNX node, its activation's node, its value in the IR."""
    names: set[str] = set()
    for op in module.ops_named(*LAYERS):
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


def _fold_pads(module: Module) -> None:
    """Let convolutions do the padding with zeros in front of them."""
    uses = module.uses()
    for op in module.ops_named("nn.pad"):
        assert op.result is not None
        pads, readers = list(op.attributes["pads"]), uses[op.result]
        image = len(pads) == 6 and not pads[0] and not pads[3] and op.attributes["value"] == 0.0
        if image and readers and all(reader.name == "nn.conv" for reader in readers):
            for reader in readers:
                own = reader.attributes["pads"]
                reader.attributes["pads"] = [
                    a + b for a, b in zip(own, (pads[1], pads[2], pads[4], pads[5]), strict=True)
                ]
                reader.operands = list(op.operands)
    module.erase_dead()


def _fuse(module: Module, op: Operation, problems: Collector) -> None:
    assert op.result is not None
    shape = op.result.type.shape
    function = op.name.removeprefix("nn.") in FUNCTIONS
    if op.name == "nn.affine" and (standardises_input(op) or (len(shape) == 3 and reads_input(op))):
        return  # what it does is done to the input's levels
    if op.name == "nn.dense" and len(shape) == 1:
        _make_layer(module, op, "nn.layer", _parameters(op.attributes["weight"], op.attributes["bias"]))
    elif op.name == "nn.dense":
        problems.add(
            f"the layer's input has the shape {op.operands[0].type.shape} per sample, and must be a vector",
            op.place(),
            "put a Flatten before it",
        )
    elif op.name == "nn.conv":
        geometry = {k: op.attributes[k] for k in (*WINDOW_ATTRIBUTES, "groups")}
        parameters = _parameters(op.attributes["weight"], op.attributes["bias"])
        _make_layer(module, op, "nn.conv_layer", {**parameters, **geometry})
    elif op.name == "nn.add":
        _make_layer(module, op, "nn.add_layer", {})
    elif function and len(shape) == 3:
        _make_layer(module, op, "nn.add_layer", {"alone": True})
    elif (function or op.name == "nn.affine") and len(shape) == 1 and shape[0] <= WIDEST_DIAGONAL:
        # A layer with a diagonal weight, whose zeros cost nothing.
        scale, shift = _coefficients(op, shape)
        _make_layer(module, op, "nn.layer", _parameters(np.diag(scale), shift))
    elif op.name == "nn.affine" and len(shape) == 3 and _per_channel(op):
        scale, shift = (c[:, 0, 0] for c in _coefficients(op, shape))
        parameters = _parameters(scale.reshape(-1, 1, 1, 1), shift)
        _make_layer(module, op, "nn.conv_layer", {**parameters, "groups": shape[0]})
    else:
        problems.add(
            f"{op.name} cannot be compiled where it stands",
            op.place(),
            "layers are Gemm or MatMul on vectors, Conv on images and Add, each followed by an activation; "
            "Softmax and ArgMax come last",
        )


def _coefficients(op: Operation, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of an elementwise op, in full shape; of an activation, 1 and 0."""
    scale, shift = (np.asarray(op.attributes.get(k, v), dtype=np.float64) for k, v in (("scale", 1.0), ("shift", 0.0)))
    return np.broadcast_to(scale, shape), np.broadcast_to(shift, shape)


def _per_channel(op: Operation) -> bool:
    """Whether an affine op on an image does the same to all of a channel."""
    assert op.result is not None
    return all(
        np.array_equal(c, np.broadcast_to(c[:, :1, :1], c.shape)) for c in _coefficients(op, op.result.type.shape)
    )


def _parameters(weight: Attribute, bias: Attribute) -> dict[str, Attribute]:
    weight = np.asarray(weight, dtype=np.float64)
    return {"weight": weight, "bias": np.broadcast_to(np.asarray(bias, dtype=np.float64), weight.shape[:1]).copy()}


def _make_layer(module: Module, op: Operation, name: str, attributes: dict[str, Attribute]) -> None:
    """Replace `op`, and the activation that alone reads it, by a layer `name`. An activation takes itself."""
    assert op.result is not None
    last = op
    function = op if op.name.removeprefix("nn.") in FUNCTIONS else _only_reader(module, op.result)
    if function is not None and function.name.removeprefix("nn.") in FUNCTIONS:
        last = function
        attributes["function"] = function.name.removeprefix("nn.")
        attributes["activation_origin"] = function.origin
        attributes.update({k: function.attributes[k] for k in FUNCTION_ATTRIBUTES if k in function.attributes})
    if name != "nn.add_layer":
        attributes["in_scale"] = op.attributes.get("range", 0.0) or _reshaped_range(op.operands[0])
    wish = op.result.name
    operands = [*op.operands, *op.operands] if attributes.get("alone") else op.operands
    layer = module.append(name, operands, attributes, result=wish, origin=op.origin, location=op.location, before=op)
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
