"""choose-encoding: style, length, bits and encodings of each layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sccc.diagnostics import Collector
from sccc.ir import Module, Operation
from sccc.moments import lane_moments
from sccc.ops.arithmetic import PRODUCTS
from sccc.passes.lower import next_layer
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
        incoming: Encoding | None = None  # what the layer before streams out; None: levels
        previous: Operation | None = None
        for op in module.ops_named("nn.layer"):
            assert op.result is not None
            options = context.config.for_layer(op.result.name, op.origin, str(op.attributes["activation_origin"]))
            options = replace(options, style=self.style) if self.style else options
            a: dict[str, Any] = op.attributes
            a["length"] = options.length if options.style != "fixed" else 1
            a["bits"], a["weight_bits"] = options.fraction_bits(a["in_signed"]), options.fraction_bits(True)
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
            a["style"] = _style(module, op, options.style, problems)
            _encode(op, self.encoding or options.encoding, incoming, problems)
            if a["style"] == "streaming" and a["function"] == "relu":
                _align_relu_scale(module, op)
            incoming = _streamed(a, problems, op, self.encoding or options.encoding)
            previous = op
        problems.raise_if_any()
        return module


def _style(module: Module, op: Operation, wanted: str, problems: Collector) -> str:
    """auto: accumulate, which is more exact at every length; the last layer always accumulates its result."""
    assert op.result is not None
    if wanted == "fixed":
        return "fixed"
    if next_layer(module, op.result) is None or wanted != "streaming":
        return "accumulate"
    function = op.attributes["function"]
    if function not in FSM_OUTPUT:
        problems.add(
            f"there is no state machine for the activation '{function}'",
            op.place(),
            "streaming knows " + ", ".join(FSM_OUTPUT) + "; give this layer style = 'accumulate'",
        )
    return "streaming"


def _align_relu_scale(module: Module, op: Operation) -> None:
    """Make a streaming ReLU's output scale a whole number of counts, which is what its threshold can be."""
    a: dict[str, Any] = op.attributes
    unit = float(np.mean(np.asarray(a["in_scale"]) * np.asarray(a["weight_scale"])))
    a["out_scale"] = max(1, round(a["out_scale"] / unit)) * unit
    assert op.result is not None
    following = next_layer(module, op.result)
    if following is not None:
        following.attributes["in_scale"] = a["out_scale"]


def _streamed(a: dict[str, Any], problems: Collector, op: Operation, wanted: str) -> Encoding | None:
    """The encoding in which the layer streams its result to the next one; None when that gets levels."""
    if a["style"] != "streaming":
        return None
    encoding = FSM_OUTPUT.get(a["function"])
    if wanted == "bipolar" and encoding is Encoding.UNIPOLAR:
        problems.add(
            f"the state machine of '{a['function']}' gives a unipolar stream",
            op.place(),
            "use encoding auto or signed, or style accumulate",
        )
    return encoding


def _encode(op: Operation, wanted: str, incoming: Encoding | None, problems: Collector) -> None:
    a: dict[str, Any] = op.attributes
    x_natural = Encoding.SIGNED if a["in_signed"] else Encoding.UNIPOLAR
    negative_weights = bool(np.any(np.asarray(a["weight"]) < 0))
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
    elif wanted == "signed" or a["style"] == "fixed":
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
    weight = np.asarray(op.attributes["weight"]) / np.reshape(op.attributes["weight_scale"], (-1, 1))
    _, variance = lane_moments(PRODUCTS[x, w], TYPICAL_INPUT, np.clip(weight, -1, 1), x, w)
    return float(variance.sum(axis=1).mean())
