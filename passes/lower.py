"""lower: layers become streams, dot products and activations, with the decisions that earlier passes wrote down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sccc.diagnostics import Collector, InternalError
from sccc.ir import Module, Operation, Value
from sccc.ops.fixed import number_range
from sccc.ops.layer import one_in_totals
from sccc.passes.manager import Pass, PassContext, register
from sccc.types import Encoding, Level

FUNCTION_ATTRIBUTES = ("function", "alpha", "beta", "lo", "hi")


@register
@dataclass(frozen=True)
class Lower(Pass):
    """Turn each nn.layer into SNGs (none in fixed point), a dot product and an activation that map-activations will map."""

    name: ClassVar[str] = "lower"

    def run(self, module: Module, context: PassContext) -> Module:
        _check_decided(module)
        lowered = Module(module.name, reference=module.clone())
        values: dict[Value, Value] = {}
        for op in module:
            _HANDLERS[op.name](lowered, op, values, module)
        lowered.erase_dead()
        return lowered


def _check_decided(module: Module) -> None:
    problems = Collector()
    for op in module:
        if op.name not in _HANDLERS:
            problems.add(f"{op.name} has no form in streams", op.place(), "run fuse-layers before lower")
        elif op.name == "nn.layer" and not (op.attributes["x_encoding"] and np.all(op.attributes["weight_scale"])):
            problems.add(
                "the layer has no scales or encodings yet", op.place(), "run quantize and choose-encoding before lower"
            )
    problems.raise_if_any()


def next_layer(module: Module, value: Value) -> Operation | None:
    """The layer that reads a value, through reshapes; None when the value leaves the network."""
    for reader in module.uses()[value]:
        if reader.name == "nn.layer":
            return reader
        if reader.name in ("nn.reshape", "nn.affine") and reader.result is not None:
            return next_layer(module, reader.result)
    return None


def _input(lowered: Module, op: Operation, values: dict[Value, Value], module: Module) -> None:
    assert op.result is not None
    layer = next_layer(module, op.result)
    if layer is None:
        raise InternalError("the input feeds no layer")
    attributes = {
        "shape": [op.result.type.lanes],
        "name": op.attributes["name"],
        **_input_scale(module, op, layer.attributes["in_scale"]),
        "encoding": layer.attributes["x_encoding"],
        "bits": layer.attributes["bits"],
        "largest": _largest(layer.attributes),
    }
    new = lowered.append("sc.input", [], attributes, result=op.result.name, origin=op.origin, location=op.location)
    values[op.result] = _result(new)


def _input_scale(module: Module, op: Operation, in_scale: Any) -> dict[str, Any]:
    """Scale and offset of the input's levels; a standardisation x' = scale x + shift in front of the first layer is in them."""
    affines = module.ops_named("nn.affine")
    if not affines:
        return {"scale": in_scale}
    (affine,) = affines
    assert op.result is not None
    shape = (op.result.type.lanes,)
    scale, shift = (
        np.broadcast_to(np.asarray(affine.attributes[k], dtype=np.float64), affine.operands[0].type.shape).reshape(
            shape
        )
        for k in ("scale", "shift")
    )
    return {"scale": in_scale / scale, "offset": -shift / scale}


def _reshape(lowered: Module, op: Operation, values: dict[Value, Value], module: Module) -> None:
    assert op.result is not None
    values[op.result] = values[op.operands[0]]


def _layer(lowered: Module, op: Operation, values: dict[Value, Value], module: Module) -> None:
    assert op.result is not None
    a: dict[str, Any] = op.attributes
    name = op.result.name
    common: dict[str, Any] = {"origin": op.origin, "location": op.location}

    def add(op_name: str, operands: list[Value], suffix: str, **attributes: Any) -> Value:
        new = lowered.append(op_name, operands, {**attributes, "layer": name}, result=f"{name}_{suffix}", **common)
        return _result(new)

    x, scale = values[op.operands[0]], np.asarray(a["weight_scale"], dtype=np.float64).reshape(-1, 1)
    in_scale = _lane_scale(float(a["in_scale"]) if np.ndim(a["in_scale"]) == 0 else 1.0, scale[:, 0])
    weight = a["weight"] / scale
    fixed, following = a["style"] == "fixed", next_layer(module, op.result)
    if following is None and a["function"] == "identity":
        one = one_in_totals(a)
        exact = a["bias"] / in_scale * one
        bias = {"initial": np.rint(exact).astype(np.int64), "exact": exact, "scale": in_scale / one}
        if fixed:
            values[op.result] = _numbers(add, a, weight, x, **bias)
        else:
            values[op.result] = add("sc.accumulate", [_streams(add, a, weight, x)], "total", **bias)
        return
    decided = following.attributes if following is not None else a
    values[op.result] = add(
        "sc.activate",
        [_numbers(add, a, weight, x) if fixed else _streams(add, a, weight, x)],
        "out",
        style=a["style"],
        in_scale=in_scale / one_in_totals(a) if fixed else in_scale,
        bias=a["bias"],
        out_scale=float(decided["in_scale"]) if following is not None else a["out_scale"],
        **_output_form(a, following),
        **{k: a[k] for k in FUNCTION_ATTRIBUTES},
    )


def _streams(add: Callable[..., Value], a: dict[str, Any], weight: np.ndarray, x: Value) -> Value:
    """The count of a layer's products, of streams."""
    if isinstance(x.type, Level):
        r = add("sc.source", [], "rx", kind="sobol", index=0, bits=x.type.bits)
        x = add("sc.sng", [x, r], "x", length=a["length"])
    encoding = Encoding(a["w_encoding"])
    levels = encoding.encode(weight, a["bits"])
    w = add("sc.constant", [], "weights", levels=levels, encoding=encoding.value, bits=a["bits"])
    r = add("sc.source", [], "rw", kind="sobol", index=1, bits=a["bits"])
    w = add("sc.sng", [w, r], "w", length=a["length"])
    return add("sc.dot", [x, w], "count")


def _numbers(add: Callable[..., Value], a: dict[str, Any], weight: np.ndarray, x: Value, **bias: Any) -> Value:
    """The total of a layer's products, of numbers. Weights leave out the one most negative number."""
    bits, top = a["weight_bits"], (1 << a["weight_bits"]) - 1
    levels = np.clip(Encoding.SIGNED.encode(weight, bits), -top, top)
    w = add("sc.constant", [], "weights", levels=levels, encoding=Encoding.SIGNED.value, bits=bits)
    return add("fx.dot", [x, w], "total", **bias)


def _largest(layer: Mapping[str, Any]) -> int:
    """The largest level of a layer's input: 0 (1.0 itself) for streams, what a number of that width holds for numbers."""
    if layer["style"] != "fixed":
        return 0
    return number_range(Level((), Encoding(layer["x_encoding"]), layer["bits"]))[1]


def _lane_scale(in_scale: float, weight_scale: np.ndarray) -> Any:
    """Real units of one count per cycle: a number when all lanes agree, else one per lane."""
    scale = in_scale * weight_scale
    return float(scale[0]) if np.all(scale == scale[0]) else scale


def _output_form(a: dict[str, Any], following: Operation | None) -> dict[str, Any]:
    """Encoding, bits and largest level of what leaves a layer: what the next one reads, or the network's output."""
    if following is not None:
        f: dict[str, Any] = following.attributes
        return {"encoding": f["x_encoding"], "bits": f["bits"], "largest": _largest(f)}
    encoding, bits = Encoding.SIGNED if a["out_signed"] else Encoding.UNIPOLAR, a["bits"]
    if a["style"] != "fixed":
        return {"encoding": encoding.value, "bits": bits}
    bits = a["weight_bits"] + (encoding is Encoding.UNIPOLAR)
    return {"encoding": encoding.value, "bits": bits, "largest": number_range(Level((), encoding, bits))[1]}


def _output(lowered: Module, op: Operation, values: dict[Value, Value], module: Module) -> None:
    source, post = op.operands[0], "none"
    while source.op is not None and source.op.name in ("nn.softmax", "nn.reshape"):
        post = "softmax" if source.op.name == "nn.softmax" else post
        source = source.op.operands[0]
    scale = 1.0
    maker = source.op
    assert maker is not None
    if maker.name == "nn.layer":
        a: dict[str, Any] = maker.attributes
        if a["function"] == "identity":
            scale = (
                float(a["in_scale"] if np.ndim(a["in_scale"]) == 0 else 1.0)
                * float(np.ravel(a["weight_scale"])[0])
                / one_in_totals(a)
            )
        else:
            scale = float(a["out_scale"])
    layer = values[source].op.attributes.get("layer", "")  # type: ignore[union-attr]
    lowered.append(
        "sc.output",
        [values[source]],
        {"name": op.attributes["name"], "scale": scale, "post": post, "layer": layer},
        origin=op.origin,
        location=op.location,
    )


def _softmax(lowered: Module, op: Operation, values: dict[Value, Value], module: Module) -> None:
    assert op.result is not None
    values[op.result] = values[op.operands[0]]


def _argmax(lowered: Module, op: Operation, values: dict[Value, Value], module: Module) -> None:
    assert op.result is not None
    total = values[op.operands[0]]
    attributes = {"layer": total.op.attributes.get("layer", "") if total.op else ""}
    new = lowered.append(
        "sc.argmax", [total], attributes, result=op.result.name, origin=op.origin, location=op.location
    )
    values[op.result] = _result(new)


def _result(op: Operation) -> Value:
    assert op.result is not None
    return op.result


_HANDLERS = {
    "nn.input": _input,
    "nn.reshape": _reshape,
    "nn.affine": _reshape,  # only in front of the first layer (fuse-layers), where the input's levels do its work
    "nn.layer": _layer,
    "nn.softmax": _softmax,
    "nn.argmax": _argmax,
    "nn.output": _output,
}
