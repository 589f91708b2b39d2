"""Between levels, streams, counts and totals."""

from __future__ import annotations

import math

import numpy as np

from sccc.cells import Comb, Fsm, Memory, Wire
from sccc.expr import Var, clamp
from sccc.ir import Operation
from sccc.ops.registry import REGISTRY, Attr, Op, expect, per_lane, refuse
from sccc.ops.source import BITS_ATTR, ENCODING_ATTR, LAYER_ATTR, SCALE_ATTR, bits_of, encoding_of
from sccc.types import Count, Level, Random, Stream, Total, Type

MAX_LENGTH = 1 << 24

SNGS = ("sc.sng", "sc.wbg")
"""Ops that make streams of levels and random numbers."""

LEVEL, RANDOM = Var("level"), Var("random")


def _infer_sng(op: Operation) -> Type:
    level, random = expect(op, 0, Level), expect(op, 1, Random)
    length = op.attributes["length"]
    if not 1 <= length <= MAX_LENGTH:
        raise refuse(op, f"length = {length} is outside 1 .. {MAX_LENGTH}", "a stream has at least one bit")
    if level.bits != random.bits:
        raise refuse(op, f"a level of {level.bits} bits is compared with random numbers of {random.bits}")
    try:
        fits = np.broadcast_shapes(level.shape, random.shape) == level.shape
    except ValueError:
        fits = False
    if not fits:
        raise refuse(op, f"random numbers of shape {random.shape} do not fit levels of shape {level.shape}")
    return Stream(level.shape, level.encoding, length)


def _infer_wbg(op: Operation) -> Type:
    kind, random = _infer_sng(op), expect(op, 1, Random)
    if random.shape != ():
        raise refuse(op, "the weights of a binary generator are made once, for all lanes", "take sc.sng")
    if op.attributes["bits"] != random.bits:
        raise refuse(op, f"bits = {op.attributes['bits']}, and the random numbers have {random.bits}")
    return kind


def _infer_accumulate(op: Operation) -> Type:
    count = expect(op, 0, Count)
    initial = per_lane(op, "initial", count.shape)
    lo, hi = int(initial.min()), int(initial.max())
    return Total(count.shape, count.length * count.lo + min(lo, 0), count.length * count.hi + max(hi, 0))


def _infer_rescale(op: Operation) -> Type:
    total = expect(op, 0, Total)
    a = op.attributes
    if a["lo"] > a["hi"]:
        raise refuse(op, f"lo = {a['lo']} is greater than hi = {a['hi']}")
    if not 0 <= a["shift"] <= 40:
        raise refuse(op, f"shift = {a['shift']} is outside 0 .. 40")
    mult = int(per_lane(op, "mult", total.shape, 0).max())
    if 2 * mult * max(-total.lo, total.hi) >= 1 << 63:
        raise refuse(op, f"{total.lo}..{total.hi} times {mult} needs more than 64 bits", "use fewer bits")
    return Total(total.shape, a["lo"], a["hi"])


def _rescale_value(op: Operation, total: np.ndarray) -> np.ndarray:
    a = op.attributes
    rounded = np.floor(total * np.asarray(a["mult"]) / 2.0 ** a["shift"] + 0.5)
    return np.clip(rounded, a["lo"], a["hi"])


def _infer_level(op: Operation) -> Type:
    total = expect(op, 0, Total)
    encoding, bits = encoding_of(op), bits_of(op)
    if total.lo < encoding.minimum_level(bits) or total.hi > encoding.maximum_level(bits):
        raise refuse(op, f"{total.lo}..{total.hi} does not fit {encoding.value} levels of {bits} bits")
    return Level(total.shape, encoding, bits)


def _infer_lookup(op: Operation) -> Type:
    total = expect(op, 0, Total)
    encoding, bits = encoding_of(op), bits_of(op)
    table = np.asarray(op.attributes["table"])
    if table.shape != (total.hi - total.lo + 1,) or table.dtype.kind not in "iu":
        raise refuse(
            op, f"the table must hold {total.hi - total.lo + 1} integers, one for each of {total.lo}..{total.hi}"
        )
    if table.min() < encoding.minimum_level(bits) or table.max() > encoding.maximum_level(bits):
        raise refuse(op, f"the table's entries do not fit {encoding.value} levels of {bits} bits")
    return Level(total.shape, encoding, bits)


def _lookup_value(op: Operation, total: np.ndarray) -> np.ndarray:
    source = op.operands[0].type
    assert isinstance(source, Total)
    entries = np.asarray(op.attributes["table"])[np.rint(total).astype(np.int64) - source.lo]
    return encoding_of(op).decode(entries, bits_of(op))


def _infer_output(op: Operation) -> Type:
    return expect(op, 0, Level, Stream, Count, Total)


REGISTRY.add(
    Op(
        "sc.sng",
        "A stochastic number generator: bit = (level > random number). Of a signed level the magnitude is compared, and the "
        "sign goes beside the stream. Level 0 never gives a one and level 2**bits always does.",
        ("level", "random"),
        lambda op, level, random: level,
        _infer_sng,
        {"length": Attr("int", "cycles in a window"), "layer": LAYER_ATTR},
        cell=Comb(LEVEL > RANDOM),
    ),
    Op(
        "sc.wbg",
        "A weighted binary generator (Gupta & Kumaresan 1988): bit k of the level, where k is the place of the random number's "
        "most significant one; all lanes share that. Half of a comparator: the level's bits are ANDed with weights, and ORed. "
        "Streams of one random number are no subsets of each other, as those of sc.sng are.",
        ("level", "random"),
        lambda op, level, random: level,
        _infer_wbg,
        {"length": Attr("int", "cycles in a window"), "bits": BITS_ATTR, "layer": LAYER_ATTR},
        # The ones that level and random share are more than random's other ones just when the most significant is among them.
        cell=Comb(((LEVEL & RANDOM) > (RANDOM & ~LEVEL)) | (LEVEL >> Var("bits"))),
    ),
    Op(
        "sc.accumulate",
        "The sum of a count over the window, starting from a constant (the bias).",
        ("count",),
        lambda op, count: count * op.operands[0].type.length + op.attributes["initial"],
        _infer_accumulate,
        {
            "initial": Attr("tensor", "integer start values, one per lane", 0),
            "exact": Attr("tensor", "what initial rounds, where that is known; correct-bias adds to it", math.nan),
            "scale": Attr("tensor", "the real number that a total of 1 stands for, for all lanes or per lane", 1.0),
            "layer": LAYER_ATTR,
        },
        cell=Fsm(
            initial=Var("initial"),
            step=Var("state") + Var("count"),
            next=Var("step"),
            out=None,
            lowest=Var("lowest"),
            highest=Var("highest"),
        ),
    ),
    Op(
        "sc.rescale",
        "Scale, shift, round: total * mult / 2**shift, rounded to the nearest integer, limited to lo .. hi.",
        ("total",),
        _rescale_value,
        _infer_rescale,
        {
            "mult": Attr("tensor", "integer multipliers, one for all lanes or one per lane", 1),
            "shift": Attr("int", "bits to shift right"),
            "lo": Attr("int", "smallest result"),
            "hi": Attr("int", "largest result"),
            "layer": LAYER_ATTR,
        },
        cell=Comb(clamp((((Var("total") * Var("mult") * 2) >> Var("shift")) + 1) >> 1, Var("lo"), Var("hi"))),
    ),
    Op(
        "sc.level",
        "A total taken as levels for the next layer; held until the next window ends.",
        ("total",),
        lambda op, total: encoding_of(op).decode(total, bits_of(op)),
        _infer_level,
        {"encoding": ENCODING_ATTR, "bits": BITS_ATTR, "scale": SCALE_ATTR, "layer": LAYER_ATTR},
        cell=Wire(),
        latency=1,
    ),
    Op(
        "sc.lookup",
        "A table from totals to levels (a nonlinear activation); the level is held until the next window ends.",
        ("total",),
        _lookup_value,
        _infer_lookup,
        {
            "table": Attr("tensor", "levels, one for each value of the total from its lo to its hi"),
            "encoding": ENCODING_ATTR,
            "bits": BITS_ATTR,
            "scale": SCALE_ATTR,
            "layer": LAYER_ATTR,
        },
        cell=Memory(),
        latency=1,
    ),
    Op(
        "sc.output",
        "The network's output. Real units: value * scale, through softmax when `post` says so (outside the hardware).",
        ("x",),
        lambda op, x: x * op.attributes["scale"],
        _infer_output,
        {
            "name": Attr("str", "the ONNX output's name"),
            "scale": Attr("float", "the real number that 1 stands for", 1.0),
            "post": Attr("str", "what the user's side applies: none or softmax", "none"),
            "layer": LAYER_ATTR,
        },
        cell=Wire(),
        has_result=False,
    ),
)
