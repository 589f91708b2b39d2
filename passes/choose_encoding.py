"""choose-encoding: style, length, bits and encodings of each layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sccc.config import Options
from sccc.diagnostics import Collector
from sccc.ir import Module, Operation
from sccc.moments import lane_moments
from sccc.ops.arithmetic import PRODUCTS
from sccc.ops.layer import LAYERS, PRODUCT_LAYERS
from sccc.passes.forms import FormClass, Forms
from sccc.passes.manager import Pass, PassContext, register
from sccc.types import Encoding

FSM_OUTPUT = {"tanh": Encoding.BIPOLAR, "sigmoid": Encoding.UNIPOLAR, "relu": Encoding.UNIPOLAR}
"""Functions that a state machine computes on streams, with the encoding of its output."""

TYPICAL_INPUT = 0.5
"""Magnitude of an input, in units of its scale, at which encodings are compared when there is nothing better to go by."""


@register
@dataclass(frozen=True)
class ChooseEncoding(Pass):
    """Decide style, length and encodings per layer; auto takes the encoding with the smallest predicted variance."""

    name: ClassVar[str] = "choose-encoding"
    encoding: str = ""
    style: str = ""

    def run(self, module: Module, context: PassContext) -> Module:
        problems = Collector()
        forms = Forms(module)
        for op in module.ops_named(*LAYERS):
            assert op.result is not None
            options = context.layer_options(op)
            options = replace(options, style=self.style) if self.style else options
            if op.name == "nn.add_layer":
                _decide_addition(op, options, forms, problems)
            else:
                self._decide(op, options, context, forms, problems)
        _decide_pools(module, context, forms, problems)
        problems.raise_if_any()
        return module

    def _decide(self, op: Operation, options: Options, context: PassContext, forms: Forms, problems: Collector) -> None:
        a: dict[str, Any] = op.attributes
        a["length"] = options.length if options.style != "fixed" else 1
        a["bits"], a["weight_bits"] = options.fraction_bits(a["in_signed"]), options.fraction_bits(True)
        encoding = self.encoding or options.encoding
        kind = forms[op.operands[0]]
        previous = next((m for m in kind.makers if m.attributes.get("style") == "streaming"), None)
        incoming = FSM_OUTPUT.get(str(previous.attributes["function"])) if previous is not None else None
        if incoming is not None and options.style == "fixed":
            problems.add(
                "a layer streams into this one, which wants numbers",
                op.place(),
                "give the layer before it style = 'accumulate' or 'fixed'",
            )
        elif incoming is not None and previous is not None and previous.attributes["length"] != a["length"]:
            problems.add(
                f"length {a['length']} differs from the {previous.attributes['length']} of the layer that streams into it",
                op.place(),
                "give both layers the same length, or the first one the accumulate style",
            )
        a["style"] = _style(op, options.style, forms, problems)
        _encode(op, encoding, incoming, kind, problems)
        if a["style"] == "streaming" and a["function"] == "relu":
            _align_relu_scale(op, forms)
        _check_streamed(op, encoding, problems)
        _choose_adder(op, options, problems)
        _choose_sng(op, options, context, problems)


def _choose_adder(op: Operation, options: Options, problems: Collector) -> None:
    a: dict[str, Any] = op.attributes
    if options.adder == "apc" or a["style"] == "fixed":
        return
    a["adder"], a["adder_inputs"] = options.adder, options.adder_inputs
    refusals = {
        "are for dense layers": op.name != "nn.layer",
        "are for the accumulate style": a["style"] != "accumulate",
        "want signed weights": options.adder == "or" and a["w_encoding"] == "bipolar",
        f"of {options.adder_inputs} inputs are none: a MUX has a power of two": options.adder == "mux"
        and options.adder_inputs & (options.adder_inputs - 1) != 0,
    }
    for reason, holds in refusals.items():
        if holds:
            problems.add(f"{options.adder.upper()} adders {reason}", op.place(), "give this layer adder = 'apc'")


def _choose_sng(op: Operation, options: Options, context: PassContext, problems: Collector) -> None:
    """A weighted binary generator takes fewer gates wherever it can stand: see `sccc.cost`. Not where lanes have random numbers of
    their own, streams are pooled by OR (which compares them), or hardware is folded."""
    a: dict[str, Any] = op.attributes
    refusals = {
        "share one random number, and a state machine's lanes have one each": a["style"] == "streaming",
        "share one random number": options.sharing == "none",
        "make no streams that OR can pool": options.pooling == "streams",
        "have no folded form": bool(options.multipliers or context.config.options.cycles),
    }
    reasons = [reason for reason, holds in refusals.items() if holds]
    if options.sng == "comparator" or a["style"] == "fixed" or (options.sng == "smaller" and reasons):
        return
    for reason in reasons:
        problems.add(f"weighted binary generators {reason}", op.place(), "use --sng comparator or smaller")
    a["sng"] = "sc.wbg"


EXTRA_BITS = 3
"""Bits that levels which are only added have more than those that become streams: they cost no cycles."""


def _decide_addition(op: Operation, options: Options, forms: Forms, problems: Collector) -> None:
    a: dict[str, Any] = op.attributes
    a["style"] = "fixed" if options.style == "fixed" else "accumulate"
    a["bits"] = options.fraction_bits(a["out_signed"])
    for operand in dict.fromkeys(op.operands):
        _refuse_streams(op, forms[operand], problems)


def _decide_pools(module: Module, context: PassContext, forms: Forms, problems: Collector) -> None:
    """Pooling compares and averages levels; or, in streams, what the layers behind it read must be streams without a sign."""
    for op in module.ops_named("nn.max_pool", "nn.avg_pool"):
        assert op.result is not None
        _refuse_streams(op, forms[op.operands[0]], problems)
        op.attributes["pooling"] = context.config.for_layer(op.result.name, op.origin).pooling
        kind = forms[op.result if op.name == "nn.max_pool" else op.operands[0]]
        if op.attributes["pooling"] != "streams":
            continue
        signed = any(r.attributes["x_encoding"] == "signed" or r.attributes["style"] == "fixed" for r in kind.readers)
        if op.name == "nn.max_pool" and (signed or not _only_multiplied(module, op)):
            problems.add(
                "the maximum of streams is their OR only where streams without a sign are multiplied next",
                op.place(),
                "give this pooling layer pooling = 'counting', or a ReLU, sigmoid or encoding = 'bipolar' before it",
            )


def _only_multiplied(module: Module, op: Operation) -> bool:
    """Whether nothing but layers that multiply read a value, perhaps reshaped or pooled again."""
    assert op.result is not None
    readers = module.uses()[op.result]
    return all(
        reader.name in PRODUCT_LAYERS
        or (reader.name in ("nn.reshape", "nn.max_pool") and _only_multiplied(module, reader))
        for reader in readers
    )


def _refuse_streams(op: Operation, kind: FormClass, problems: Collector) -> None:
    for maker in kind.makers:
        if maker.attributes.get("style") == "streaming":
            problems.add(
                f"'{maker.origin}' streams into this op, which works on levels",
                op.place(),
                "give that layer style = 'accumulate'",
            )


def _style(op: Operation, wanted: str, forms: Forms, problems: Collector) -> str:
    """auto: accumulate, which is more exact at every length; the last layer always accumulates its result."""
    assert op.result is not None
    if wanted == "fixed":
        return "fixed"
    if forms[op.result].ends or wanted != "streaming":
        return "accumulate"
    function = op.attributes["function"]
    if function not in FSM_OUTPUT:
        problems.add(
            f"there is no state machine for the activation '{function}'",
            op.place(),
            "streaming knows " + ", ".join(FSM_OUTPUT) + "; give this layer style = 'accumulate'",
        )
    return "streaming"


def _align_relu_scale(op: Operation, forms: Forms) -> None:
    """Make a streaming ReLU's output scale a whole number of counts, which is what its threshold can be."""
    a: dict[str, Any] = op.attributes
    unit = float(np.mean(np.asarray(a["in_scale"]) * np.asarray(a["weight_scale"])))
    a["out_scale"] = max(1, round(a["out_scale"] / unit)) * unit
    assert op.result is not None
    for reader in forms[op.result].readers:
        reader.attributes["in_scale"] = a["out_scale"]


def _check_streamed(op: Operation, wanted: str, problems: Collector) -> None:
    """The encoding in which a layer streams its result must be the wanted one."""
    a: dict[str, Any] = op.attributes
    if a["style"] == "streaming" and wanted == "bipolar" and FSM_OUTPUT.get(a["function"]) is Encoding.UNIPOLAR:
        problems.add(
            f"the state machine of '{a['function']}' gives a unipolar stream",
            op.place(),
            "use encoding auto or signed, or style accumulate",
        )


def _encode(op: Operation, wanted: str, incoming: Encoding | None, kind: FormClass, problems: Collector) -> None:
    a: dict[str, Any] = op.attributes
    x_natural = Encoding.SIGNED if a["in_signed"] else Encoding.UNIPOLAR
    negative_weights = bool(np.any(np.asarray(a["weight"]) < 0))
    if wanted == "bipolar" and kind.joins:
        problems.add(
            "its input is added or averaged elsewhere, which bipolar levels are not",
            op.place(),
            "use encoding auto or signed",
        )
    if wanted == "bipolar" and a["style"] == "fixed":
        problems.add("fixed-point numbers are not bipolar", op.place(), "use encoding auto or signed")
    if wanted == "unipolar":
        if negative_weights or a["in_signed"]:
            what = " and ".join(w for w, is_so in (("weights", negative_weights), ("inputs", a["in_signed"])) if is_so)
            problems.add(
                f"unipolar streams cannot hold negative {what}", op.place(), "use encoding signed, bipolar or auto"
            )
        x, w = Encoding.UNIPOLAR, Encoding.UNIPOLAR
    elif wanted == "bipolar":
        x, w = Encoding.BIPOLAR, Encoding.BIPOLAR
    elif wanted == "signed" or a["style"] == "fixed" or not kind.private:
        x, w = incoming or x_natural, Encoding.SIGNED
    else:
        x = incoming or x_natural
        w = min((Encoding.SIGNED, Encoding.BIPOLAR), key=lambda e: predicted_variance(op, incoming or x_natural, e))
        if w is Encoding.BIPOLAR and incoming is None:
            x = Encoding.BIPOLAR
    a["x_encoding"], a["w_encoding"] = (incoming or x).value, w.value


def predicted_variance(op: Operation, x: Encoding, w: Encoding) -> float:
    """Variance per cycle of a layer's count, mean over its outputs, if its x and weight streams had these encodings."""
    if w is Encoding.BIPOLAR and x is not Encoding.BIPOLAR:
        x = Encoding.BIPOLAR
    weight = np.asarray(op.attributes["weight"])
    weight = weight.reshape(len(weight), -1) / np.reshape(op.attributes["weight_scale"], (-1, 1))
    _, variance = lane_moments(PRODUCTS[x, w], TYPICAL_INPUT, np.clip(weight, -1, 1), x, w)
    return float(variance.sum(axis=1).mean())
