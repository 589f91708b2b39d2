"""lower: layers become streams, dot products and activations, with the decisions that earlier passes wrote down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sccc.config import Options
from sccc.diagnostics import Collector, SccError
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.adders import ADDERS
from sccc.ops.fixed import number_range
from sccc.ops.geometry import WINDOW_ATTRIBUTES
from sccc.ops.layer import LAYERS, PRODUCT_LAYERS, bias_of, one_in_totals
from sccc.passes.choose_encoding import EXTRA_BITS
from sccc.passes.forms import TRANSPARENT, Form, FormClass, Forms, reader_form
from sccc.passes.manager import Pass, PassContext, register
from sccc.types import Encoding, Level
from sccc.windows import Window

FUNCTION_ATTRIBUTES = ("function", "alpha", "beta", "lo", "hi")


@register
@dataclass(frozen=True)
class Lower(Pass):
    """Turn each nn.layer into SNGs (none in fixed point), a dot product and an activation that map-activations will map."""

    name: ClassVar[str] = "lower"

    def run(self, module: Module, context: PassContext) -> Module:
        _check_decided(module)
        low = _Lowering(module, context.config.options)
        for op in module:
            _HANDLERS[op.name](low, op)
        low.lowered.erase_dead()
        return low.lowered


def _check_decided(module: Module) -> None:
    problems = Collector()
    for op in module:
        if op.name not in _HANDLERS:
            problems.add(f"{op.name} has no form in streams", op.place(), "run fuse-layers before lower")
        elif op.name in PRODUCT_LAYERS and not (op.attributes["x_encoding"] and np.all(op.attributes["weight_scale"])):
            problems.add(
                "the layer has no scales or encodings yet", op.place(), "run quantize and choose-encoding before lower"
            )
    problems.raise_if_any()


class _Lowering:
    """The module under way: what has become of each value, and which levels each class of values (forms) takes."""

    def __init__(self, module: Module, options: Options) -> None:
        self.module, self.options, self.forms = module, options, Forms(module)
        self.lowered = Module(module.name, reference=module.clone())
        self.values: dict[Value, Value] = {}
        self.input_scale = 1.0
        """Of the input's levels, after the standardisation that they do."""
        self.pending: dict[Value, list[tuple[str, dict[str, Any]]]] = {}
        """Ops that wait for a value's streams: pooling by OR, and what reshapes its result."""
        self.units: dict[Value, float] = {}
        """Real units of a total of 1, for totals that leave the network."""

    def form(self, kind: FormClass) -> Form:
        """What the readers of a class want its levels to be. Raises SccError when they disagree."""
        wanted = {reader_form(op): op for op in kind.readers}
        if len(wanted) > 1:
            first, second, *_ = wanted.values()
            raise SccError(
                f"'{first.origin}' and '{second.origin}' read one value and want it as different levels "
                f"({' and '.join(map(str, wanted))})",
                first.place(),
                "give both layers the same length, bits, style and encoding",
            )
        if wanted:
            return next(iter(wanted))
        return self._unmultiplied(kind)

    def _unmultiplied(self, kind: FormClass) -> Form:
        """The form of levels that no layer multiplies: they may be finer, as they cost no cycles."""
        maker = kind.makers[0]
        if maker.name == "nn.avg_pool":
            source = self.values[maker.operands[0]]
            assert isinstance(source.type, Level) and source.op is not None
            scale = max(self.scale_of(self.values[m.operands[0]]) for m in kind.makers)
            return Form(scale, source.type.encoding.value, source.type.bits, 0)
        if maker.name in ("nn.input", "nn.affine"):
            return self._input_form()
        a: dict[str, Any] = maker.attributes
        encoding = (
            Encoding.SIGNED if any(m.attributes.get("out_signed", False) for m in kind.makers) else Encoding.UNIPOLAR
        )
        if a["style"] != "fixed":
            bits = a["bits"] + (EXTRA_BITS if kind.joins else 0)
            return Form(float(a["out_scale"]), encoding.value, bits, 0)
        bits = a.get("weight_bits", a["bits"]) + (encoding is Encoding.UNIPOLAR) * ("weight_bits" in a)
        return Form(float(a["out_scale"]), encoding.value, bits, number_range(Level((), encoding, bits))[1])

    def scale_of(self, levels: Value) -> float:
        """The real number that an encoded 1.0 of levels of the lowered module stands for."""
        op = levels.op
        while op is not None and op.name not in ("sc.activate", "sc.input"):
            op = op.operands[0].op
        assert op is not None
        return float(np.max(op.attributes["out_scale"])) if op.name == "sc.activate" else self.input_scale

    def _input_form(self) -> Form:
        """The form of an input that is pooled or added before any layer multiplies it."""
        a, options = self.module.inputs[0].attributes, self.options
        encoding = Encoding.SIGNED if a["out_signed"] else Encoding.UNIPOLAR
        bits = options.fraction_bits(a["out_signed"])
        largest = number_range(Level((), encoding, bits))[1] if options.style == "fixed" else 0
        return Form(a["out_scale"], encoding.value, bits, largest)

    def layer_of(self, op: Operation) -> str:
        """The layer whose module an op between layers is put into: the next one, or the one before where none follows."""
        before = str(self.values[op.operands[0]].op.attributes.get("layer", ""))  # type: ignore[union-attr]
        return self._next_layer(op) or before

    def _next_layer(self, op: Operation) -> str:
        assert op.result is not None
        for reader in self.module.uses()[op.result]:
            if reader.result is not None and reader.name in (*LAYERS, "nn.avg_pool", "nn.max_pool"):
                return reader.result.name
            if reader.result is not None and reader.name in TRANSPARENT and (found := self._next_layer(reader)):
                return found
        return ""

    def add(self, op: Operation, made: str, operands: list[Value], wish: str, /, **attributes: Any) -> Value:
        """Append an op `made` that belongs to `op`."""
        new = self.lowered.append(made, operands, attributes, result=wish, origin=op.origin, location=op.location)
        return _result(new)


def _input(low: _Lowering, op: Operation) -> None:
    assert op.result is not None
    kind = low.forms.input_class(low.module)
    form = low.form(kind)
    in_scale = kind.readers[0].attributes["in_scale"] if kind.readers else form.scale
    low.input_scale = float(np.max(in_scale))
    # A network of dense layers alone takes a vector, whatever the ONNX input's shape.
    flat = not low.module.ops_named(
        "nn.conv_layer", "nn.add_layer", "nn.avg_pool", *(set(TRANSPARENT) - {"nn.reshape"})
    )
    shape = [op.result.type.lanes] if flat or not op.result.type.shape else list(op.result.type.shape)
    attributes = {
        "shape": shape,
        "name": op.attributes["name"],
        **_input_scale(low.module, in_scale, tuple(shape)),
        "encoding": form.encoding,
        "bits": form.bits,
        "largest": form.largest,
    }
    low.values[op.result] = low.add(op, "sc.input", [], op.result.name, **attributes)


def _input_scale(module: Module, in_scale: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Scale and offset of the input's levels; a standardisation x' = scale x + shift in front of the first layer is in them."""
    affines = module.ops_named("nn.affine")
    if not affines:
        return {"scale": in_scale}
    (affine,) = affines
    scale, shift = (
        np.broadcast_to(np.asarray(affine.attributes[k], dtype=np.float64), affine.operands[0].type.shape).reshape(
            shape
        )
        for k in ("scale", "shift")
    )
    return {"scale": in_scale / scale, "offset": -shift / scale}


def _same(low: _Lowering, op: Operation) -> None:
    assert op.result is not None
    low.values[op.result] = low.values[op.operands[0]]


def _layout(low: _Lowering, op: Operation) -> None:
    """A rewiring; a reshape of what is a vector already is nothing."""
    assert op.result is not None
    operands = [low.values[v] for v in op.operands]
    x = operands[0]
    if op.operands[0] in low.pending:
        low.values[op.result] = x
        low.pending[op.result] = [*low.pending[op.operands[0]], ("sc.reshape", {"shape": op.attributes["shape"]})]
        return
    flat_input = x.op is not None and x.op.name == "sc.input" and len(x.type.shape) == 1
    if op.name == "nn.reshape" and (flat_input or x.type.shape == op.result.type.shape):
        low.values[op.result] = x
        return
    name = op.name.replace("nn.", "sc.")
    attributes = {k: v for k, v in op.attributes.items() if k in REGISTRY[name].attributes}
    if op.name == "nn.pad":
        kind = operands[0].type
        assert isinstance(kind, Level)
        attributes["level"] = int(kind.encoding.encode(op.attributes["value"] / low.scale_of(operands[0]), kind.bits))
    low.values[op.result] = low.add(op, name, operands, op.result.name, **attributes, layer=low.layer_of(op))


def _max_pool(low: _Lowering, op: Operation) -> None:
    assert op.result is not None
    x = low.values[op.operands[0]]
    attributes = {k: op.attributes[k] for k in ("kernel", *WINDOW_ATTRIBUTES)}
    if op.attributes["pooling"] == "streams":
        low.values[op.result] = x
        low.pending[op.result] = [*low.pending.get(op.operands[0], []), ("sc.or_pool", attributes)]
        return
    low.values[op.result] = low.add(op, "sc.max_pool", [x], op.result.name, **attributes, layer=op.result.name)


def _avg_pool(low: _Lowering, op: Operation) -> None:
    """The sum under the window, of levels or of the ones of their streams, divided by what the window covers."""
    assert op.result is not None
    x, name = low.values[op.operands[0]], op.result.name
    assert isinstance(x.type, Level)
    window = Window.of(op.attributes)
    divisor = np.asarray(window.taps) if op.attributes["include_pad"] else window.covered(*x.type.shape[1:])
    attributes = {k: op.attributes[k] for k in WINDOW_ATTRIBUTES}
    if op.attributes["pooling"] == "streams":
        total = _ones_under_window(low, op, x, window, attributes)
        units = np.asarray(low.scale_of(x) / divisor)
    else:
        attributes["kernel"] = op.attributes["kernel"]
        total = low.add(op, "sc.sum_pool", [x], f"{name}_total", **attributes, layer=name)
        units = np.asarray(low.scale_of(x) / (1 << x.type.bits) / divisor)
    same = bool(np.all(units == units.flat[0]))
    unit = float(units.flat[0]) if same else np.broadcast_to(units, total.type.shape).copy()
    _finish(low, op, total, unit, {"function": "identity"}, x.type.bits)


def _ones_under_window(low: _Lowering, op: Operation, x: Value, window: Window, attributes: dict[str, Any]) -> Value:
    """The ones of all streams under a window in each cycle: a convolution of each channel with weights of 1."""
    assert op.result is not None and isinstance(x.type, Level)
    name, channels, bits = op.result.name, x.type.shape[0], x.type.bits
    length = max((r.attributes["length"] for r in low.module.ops_named(*PRODUCT_LAYERS)), default=1 << bits)
    ones = np.full((channels, 1, *window.kernel), 1 << bits)
    a = {"bits": bits, "length": length, "w_encoding": "unipolar", "groups": channels, **attributes}

    def add(op_name: str, operands: list[Value], suffix: str, **own: Any) -> Value:
        return low.add(op, op_name, operands, f"{name}_{suffix}", **own, layer=name)

    return _streams(add, a, ones / (1 << bits), x, [])


def _add_layer(low: _Lowering, op: Operation) -> None:
    """Levels of two branches on one scale; the finest unit of either, as far as multipliers of ADD_BITS bits can tell."""
    assert op.result is not None
    a: dict[str, Any] = op.attributes
    name = op.result.name
    x, y = (low.values[v] for v in op.operands)
    units = [low.scale_of(v) / (1 << v.type.bits) for v in (x, y)]  # type: ignore[attr-defined]
    unit = min(units) if min(units) == max(units) else max(units) / ((1 << ADD_BITS) - 1)
    if a["alone"]:
        unit, window = units[0], {"kernel": [1, 1], **{k: v.default for k, v in WINDOW_ATTRIBUTES.items()}}
        total = low.add(op, "sc.sum_pool", [x], f"{name}_total", **window, layer=name)
    else:
        mults = {f"mult_{side}": round(u / unit) for side, u in zip("ab", units, strict=True)}
        total = low.add(op, "sc.add", [x, y], f"{name}_total", **mults, layer=name)
    _finish(low, op, total, unit, {k: a[k] for k in FUNCTION_ATTRIBUTES}, a["bits"])


ADD_BITS = 8
"""Bits of the multipliers that bring two branches to one scale: a relative error of at most 2**-9."""


def _finish(low: _Lowering, op: Operation, total: Value, unit: Any, function: dict[str, Any], bits: int) -> None:
    """The activation behind a sum of levels, or the sum itself where it leaves the network as it is."""
    assert op.result is not None
    kind = low.forms[op.result]
    only_ends = kind.ends and not (kind.readers or kind.joins or kind.through)
    if only_ends and function["function"] == "identity" and np.ndim(unit) == 0:
        low.values[op.result] = total
        low.units[total] = float(unit)
        return
    form = low.form(kind)
    low.values[op.result] = low.add(
        op,
        "sc.activate",
        [total],
        f"{op.result.name}_out",
        style="accumulate",
        in_scale=unit,
        out_scale=form.scale,
        encoding=form.encoding,
        bits=form.bits,
        largest=form.largest,
        layer=op.result.name,
        **function,
    )


def _layer(low: _Lowering, op: Operation) -> None:
    assert op.result is not None
    a: dict[str, Any] = op.attributes
    name = op.result.name

    def add(op_name: str, operands: list[Value], suffix: str, **attributes: Any) -> Value:
        return low.add(op, op_name, operands, f"{name}_{suffix}", **attributes, layer=name)

    x, pending = low.values[op.operands[0]], low.pending.get(op.operands[0], [])
    weight, bias = np.asarray(a["weight"]), bias_of(op)
    scale = np.asarray(a["weight_scale"], dtype=np.float64).reshape(-1, *(1,) * (weight.ndim - 1))
    in_scale = _lane_scale(
        float(a["in_scale"]) if np.ndim(a["in_scale"]) == 0 else 1.0, scale.reshape(-1, *(1,) * (bias.ndim - 1))
    )
    weight = weight / scale
    fixed, kind = a["style"] == "fixed", low.forms[op.result]
    only_ends = not (kind.readers or kind.joins or any(t.name != "nn.reshape" for t in kind.through))
    if only_ends and a["function"] == "identity":
        one = one_in_totals(a)
        exact = bias / in_scale * one
        start = {"initial": np.rint(exact).astype(np.int64), "exact": exact, "scale": in_scale / one}
        if fixed:
            low.values[op.result] = _numbers(add, a, weight, x, **start)
        else:
            low.values[op.result] = add("sc.accumulate", [_streams(add, a, weight, x, pending)], "total", **start)
        low.units[low.values[op.result]] = float(np.ravel(in_scale)[0]) / one
        return
    form = low.form(kind)
    low.values[op.result] = add(
        "sc.activate",
        [_numbers(add, a, weight, x) if fixed else _streams(add, a, weight, x, pending)],
        "out",
        style=a["style"],
        in_scale=in_scale / one_in_totals(a) if fixed else in_scale,
        bias=bias,
        out_scale=form.scale,
        encoding=form.encoding,
        bits=form.bits,
        largest=form.largest,
        **{k: a[k] for k in FUNCTION_ATTRIBUTES},
    )


def _streams(
    add: Callable[..., Value],
    a: dict[str, Any],
    weight: np.ndarray,
    x: Value,
    pending: list[tuple[str, dict[str, Any]]],
) -> Value:
    """The count of a layer's products, of streams; `pending` is done to the streams of x first."""
    if isinstance(x.type, Level):
        r = add("sc.source", [], "rx", kind="sobol", index=0, bits=x.type.bits)
        made = str(a.get("sng", "sc.sng"))
        x = add(made, [x, r], "x", length=a["length"], **({"bits": x.type.bits} if made == "sc.wbg" else {}))
        for name, attributes in pending:
            x = add(name, [x], name.removeprefix("sc."), **attributes)
    encoding = Encoding(a["w_encoding"])
    levels = encoding.encode(weight, a["bits"])
    w = add("sc.constant", [], "weights", levels=levels, encoding=encoding.value, bits=a["bits"])
    r = add("sc.source", [], "rw", kind="sobol", index=1, bits=a["bits"])
    w = add("sc.sng", [w, r], "w", length=a["length"])
    if a.get("adder", "apc") != "apc":
        return _joined(add, a, [x, w])
    return add("sc.dot" if weight.ndim == 2 else "sc.conv", [x, w], "count", **_window(a))


def _joined(add: Callable[..., Value], a: dict[str, Any], operands: list[Value]) -> Value:
    """The count of a layer's products behind OR or MUX adders."""
    if a["adder"] == "mux":
        # Of all bits that the length resolves: fewer would repeat themselves in step with the other sources.
        bits = max(a["bits"], (a["length"] - 1).bit_length())
        operands = [*operands, add("sc.source", [], "rs", kind="sobol", index=2, bits=bits)]
    return add(ADDERS[a["adder"]], operands, "count", inputs=a["adder_inputs"])


def _window(a: dict[str, Any]) -> dict[str, Any]:
    """The window attributes of a convolution; nothing for a dense layer."""
    return {k: a[k] for k in (*WINDOW_ATTRIBUTES, "groups") if k in a}


def _numbers(add: Callable[..., Value], a: dict[str, Any], weight: np.ndarray, x: Value, **bias: Any) -> Value:
    """The total of a layer's products, of numbers. Weights leave out the one most negative number."""
    bits, top = a["weight_bits"], (1 << a["weight_bits"]) - 1
    levels = np.clip(Encoding.SIGNED.encode(weight, bits), -top, top)
    w = add("sc.constant", [], "weights", levels=levels, encoding=Encoding.SIGNED.value, bits=bits)
    return add("fx.dot" if weight.ndim == 2 else "fx.conv", [x, w], "total", **bias, **_window(a))


def _lane_scale(in_scale: float, weight_scale: np.ndarray) -> Any:
    """Real units of one count per cycle: a number when all lanes agree, else one per lane, of images per channel."""
    scale = in_scale * weight_scale
    return float(scale.flat[0]) if np.all(scale == scale.flat[0]) else scale


def _output(low: _Lowering, op: Operation) -> None:
    source, post = op.operands[0], "none"
    while source.op is not None and source.op.name == "nn.softmax":
        post = "softmax"
        source = source.op.operands[0]
    result = low.values[source]
    maker = result.op
    assert maker is not None
    scale = 1.0
    if isinstance(result.type, Level):
        scale = low.scale_of(result)
    elif maker.name != "sc.argmax":
        while maker is not None and maker.result not in low.units and maker.operands:
            maker = maker.operands[0].op
        assert maker is not None and maker.result is not None
        scale = low.units[maker.result]
    layer = result.op.attributes.get("layer", "")  # type: ignore[union-attr]
    low.lowered.append(
        "sc.output",
        [result],
        {"name": op.attributes["name"], "scale": scale, "post": post, "layer": layer},
        origin=op.origin,
        location=op.location,
    )


def _argmax(low: _Lowering, op: Operation) -> None:
    assert op.result is not None
    total = low.values[op.operands[0]]
    layer = total.op.attributes.get("layer", "") if total.op else ""
    low.values[op.result] = low.add(op, "sc.argmax", [total], op.result.name, layer=layer)


def _result(op: Operation) -> Value:
    assert op.result is not None
    return op.result


_HANDLERS: dict[str, Callable[[_Lowering, Operation], None]] = {
    "nn.input": _input,
    "nn.affine": _same,  # only in front of the first layer (fuse-layers), where the input's levels do its work
    "nn.layer": _layer,
    "nn.conv_layer": _layer,
    "nn.add_layer": _add_layer,
    "nn.max_pool": _max_pool,
    "nn.avg_pool": _avg_pool,
    "nn.softmax": _same,
    "nn.argmax": _argmax,
    "nn.output": _output,
    **dict.fromkeys(("nn.reshape", "nn.transpose", "nn.slice", "nn.pad", "nn.upsample", "nn.concat"), _layout),
}
