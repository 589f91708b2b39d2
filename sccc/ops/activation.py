"""Activation functions: not yet mapped (`sc.activate`), or state machines that turn a count into a stream."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sccc.cells import Fsm
from sccc.expr import ZERO, Var, clamp, select
from sccc.ir import Operation
from sccc.ops.registry import REGISTRY, Attr, Op, expect, per_lane, refuse
from sccc.ops.source import (
    BITS_ATTR,
    ENCODING_ATTR,
    LARGEST_ATTR,
    LAYER_ATTR,
    SCALE_ATTR,
    bits_of,
    encode_level,
    encoding_of,
    largest_of,
)
from sccc.types import Count, Encoding, Level, Stream, Total, Type

STATE, STEP, COUNT = Var("state"), Var("step"), Var("count")

STYLES = ("accumulate", "streaming", "fixed")

WALK_END_CORRECTION = 1.17
"""States, in units of the count's standard deviation, that the clamped ends of the walk add to a Btanh counter
(overshoot of a Gaussian walk at a reflecting barrier, 2 * 0.583; Siegmund 1985; measured in shared/notes, section 3)."""


def btanh_states(gain: Any, variance: Any) -> np.ndarray:
    """The even number of states (int64, at least 2) of a saturating counter whose output is tanh(gain * mean count).

    The counter's walk, reflected at 0 and S-1, is stationary with P(k) ~ exp(2 mean k / variance), whence gain =
    S / (2 variance); Brown & Card (IEEE TC 2001) for one bit, Kim et al. (DAC 2016) for counts. `variance` is per cycle
    and includes the covariances of the lanes.
    """
    variance = np.maximum(np.asarray(variance, dtype=np.float64), 1e-9)
    states = 2.0 * np.asarray(gain) * variance - WALK_END_CORRECTION * np.sqrt(variance)
    return np.maximum(2 * np.rint(states / 2.0), 2).astype(np.int64)


def btanh_gain(states: Any, variance: Any) -> np.ndarray:
    """The gain that a counter of `states` states has: the inverse of `btanh_states`."""
    variance = np.maximum(np.asarray(variance, dtype=np.float64), 1e-9)
    return (np.asarray(states) + WALK_END_CORRECTION * np.sqrt(variance)) / (2.0 * variance)


def activation(op: Operation, z: np.ndarray) -> np.ndarray:
    """The real function that an `sc.activate` stands for: the nn op of that name, with the same attributes."""
    function = op.attributes["function"]
    if function == "identity":
        return z
    definition = REGISTRY[f"nn.{function}"]
    assert definition.value is not None
    return definition.value(op, z)


def _activate_value(op: Operation, count: np.ndarray) -> np.ndarray:
    a = op.attributes
    encoding, bits = encoding_of(op), bits_of(op)
    y = activation(op, count * np.asarray(a["in_scale"]) + np.asarray(a["bias"])) / a["out_scale"]
    if a["style"] != "streaming":
        return encoding.decode(encode_level(op, y), bits)
    return np.clip(y, 0.0 if encoding is Encoding.UNIPOLAR else -1.0, 1.0)


def _infer_activate(op: Operation) -> Type:
    a = op.attributes
    if a["style"] not in STYLES:
        raise refuse(op, f"unknown style '{a['style']}'", "known: " + ", ".join(STYLES))
    count = expect(op, 0, *{"fixed": (Total,), "streaming": (Count,)}.get(a["style"], (Count, Total)))
    largest_of(op)
    if a["function"] != "identity" and f"nn.{a['function']}" not in REGISTRY:
        raise refuse(op, f"unknown function '{a['function']}'")
    if a["style"] != "streaming":
        return Level(count.shape, encoding_of(op), bits_of(op))
    return Stream(count.shape, encoding_of(op), count.length)


def _infer_counter(encoding: Encoding) -> Any:
    def infer(op: Operation) -> Type:
        count = expect(op, 0, Count)
        per_lane(op, "states", count.shape, 2)
        return Stream(count.shape, encoding, count.length)

    return infer


def _infer_relu(op: Operation) -> Type:
    count = expect(op, 0, Count)
    per_lane(op, "threshold", count.shape, 1)
    per_lane(op, "depth", count.shape, 0)
    return Stream(count.shape, Encoding.UNIPOLAR, count.length)


def _btanh_value(op: Operation, count: np.ndarray) -> np.ndarray:
    return np.tanh(btanh_gain(op.attributes["states"], op.attributes["variance"]) * count)


SATURATING_COUNTER = Fsm(
    initial=Var("states") >> 1,
    step=clamp(STATE + COUNT, 0, Var("states") - 1),
    next=STEP,
    out=Var("states") <= (STATE + STATE),
    lowest=ZERO,
    highest=Var("states") - 1,
)
"""State 0 .. states-1, starting in the middle; the output is the upper half."""

_COUNTER_ATTRIBUTES = {
    "states": Attr("tensor", "number of states (even), one for all lanes or one per lane"),
    "variance": Attr("tensor", "variance of the count per cycle that the states were derived for", 1.0),
    "scale": SCALE_ATTR,
    "layer": LAYER_ATTR,
}

REGISTRY.add(
    Op(
        "sc.activate",
        "An activation that is not mapped to hardware yet: function(count * in_scale + bias) / out_scale, of a count or a total.",
        ("count",),
        _activate_value,
        _infer_activate,
        {
            "function": Attr("str", "tanh, sigmoid, relu, leaky_relu, clip, hard_sigmoid or identity"),
            "style": Attr("str", "accumulate, streaming or fixed"),
            "in_scale": Attr(
                "tensor", "real units of a count of 1 per cycle (of a total of 1), for all lanes or per lane"
            ),
            "bias": Attr("tensor", "real number added before the function, one per lane", 0.0),
            "out_scale": Attr("float", "the real number that an encoded 1.0 stands for"),
            "alpha": Attr("float", "as in the nn op", 0.0),
            "beta": Attr("float", "as in the nn op", 0.0),
            "lo": Attr("float", "as in the nn op", -math.inf),
            "hi": Attr("float", "as in the nn op", math.inf),
            "encoding": ENCODING_ATTR,
            "bits": BITS_ATTR,
            "largest": LARGEST_ATTR,
            "layer": LAYER_ATTR,
        },
    ),
    Op(
        "sc.btanh",
        "Btanh: a saturating up/down counter; its upper half is a bipolar stream of tanh(gain * mean count). With one "
        "bipolar stream as the count it is stanh.",
        ("count",),
        _btanh_value,
        _infer_counter(Encoding.BIPOLAR),
        _COUNTER_ATTRIBUTES,
        cell=SATURATING_COUNTER,
        latency=1,
    ),
    Op(
        "sc.sigmoid",
        "The same counter with its output read as unipolar: (1 + tanh(gain * mean count)) / 2.",
        ("count",),
        lambda op, count: (1.0 + _btanh_value(op, count)) / 2.0,
        _infer_counter(Encoding.UNIPOLAR),
        _COUNTER_ATTRIBUTES,
        cell=SATURATING_COUNTER,
        latency=1,
    ),
    Op(
        "sc.relu",
        "ReLU by error feedback: counts add up, and each time they reach `threshold` a one goes out and `threshold` is "
        "taken back; the state is limited to -depth .. 2 threshold - 1. Mean output: mean count / threshold, within 0 .. 1.",
        ("count",),
        lambda op, count: np.clip(count / np.asarray(op.attributes["threshold"]), 0.0, 1.0),
        _infer_relu,
        {
            "threshold": Attr("tensor", "count that one output bit stands for"),
            "depth": Attr("tensor", "how far below 0 the state may fall; bounds the bias at zero"),
            "scale": SCALE_ATTR,
            "layer": LAYER_ATTR,
        },
        cell=Fsm(
            initial=Var("threshold") >> 1,
            step=STATE + COUNT,
            next=clamp(
                select(Var("threshold") <= STEP, STEP - Var("threshold"), STEP),
                ZERO - Var("depth"),
                Var("threshold") + Var("threshold") - 1,
            ),
            out=Var("threshold") <= STEP,
            lowest=ZERO - Var("depth"),
            highest=Var("threshold") + Var("threshold") - 1,
        ),
        latency=1,
    ),
)
