"""Inputs, constants and random sources."""

from __future__ import annotations

import numpy as np

from sccc import sources
from sccc.cells import Comb, SourceCell, Wire
from sccc.expr import Var
from sccc.ir import Operation
from sccc.ops.registry import REGISTRY, Attr, Op, expect, refuse
from sccc.types import Encoding, Level, Random, Type

ENCODING_ATTR = Attr("str", "unipolar, bipolar or signed")
BITS_ATTR = Attr("int", "fractional bits of a level, and of the random numbers that it is compared with")
SCALE_ATTR = Attr("float", "the real number that an encoded 1.0 stands for", 1.0)
LARGEST_ATTR = Attr("int", "largest level, where values saturate; 0: 2**bits", 0)
LAYER_ATTR = Attr("str", "the layer that the op belongs to: one Verilog module", "")


def encoding_of(op: Operation) -> Encoding:
    """The `encoding` attribute. Raises SccError."""
    try:
        return Encoding(op.attributes["encoding"])
    except ValueError:
        known = ", ".join(e.value for e in Encoding)
        raise refuse(op, f"unknown encoding '{op.attributes['encoding']}'", f"known: {known}") from None


def bits_of(op: Operation) -> int:
    """The `bits` attribute, checked. Raises SccError."""
    bits = op.attributes["bits"]
    if not 1 <= bits <= sources.MAX_BITS:
        raise refuse(op, f"bits = {bits} is outside 1 .. {sources.MAX_BITS}")
    return int(bits)


def largest_of(op: Operation) -> int:
    """The largest level that an op's `largest` attribute leaves. Raises SccError."""
    largest, most = int(op.attributes["largest"]), encoding_of(op).maximum_level(bits_of(op))
    if not 0 <= largest <= most:
        raise refuse(op, f"largest = {largest} is outside 0 .. {most}")
    return largest or most


def encode_level(op: Operation, value: np.ndarray) -> np.ndarray:
    """The levels (int64) nearest to values in [-1, 1], saturated, in the encoding that an op's attributes state."""
    return np.minimum(encoding_of(op).encode(value, bits_of(op)), largest_of(op))


def _infer_input(op: Operation) -> Type:
    if not op.attributes["shape"] or min(op.attributes["shape"]) < 1:
        raise refuse(op, f"shape {op.attributes['shape']} must be a list of positive sizes")
    largest_of(op)
    shape = tuple(op.attributes["shape"])
    for name in ("scale", "offset"):
        values = np.asarray(op.attributes[name])
        if values.shape not in ((), shape) or not np.isfinite(values).all() or (name == "scale" and not values.all()):
            raise refuse(
                op, f"{name} must be one finite number, or one for each input{' (not 0)' if name == 'scale' else ''}"
            )
    return Level(shape, encoding_of(op), bits_of(op))


def input_levels(op: Operation, x: np.ndarray) -> np.ndarray:
    """The levels (int64) that the hardware is given for real inputs x: (x - offset) / scale, encoded and saturated."""
    return encode_level(op, (x - np.asarray(op.attributes["offset"])) / np.asarray(op.attributes["scale"]))


def _input_value(op: Operation, x: np.ndarray) -> np.ndarray:
    return encoding_of(op).decode(input_levels(op, x), bits_of(op))


def _infer_constant(op: Operation) -> Type:
    encoding, bits = encoding_of(op), bits_of(op)
    levels = np.asarray(op.attributes["levels"])
    if levels.dtype.kind not in "iu":
        raise refuse(op, f"levels must be integers, and are {levels.dtype}")
    lo, hi = encoding.minimum_level(bits), encoding.maximum_level(bits)
    if levels.size and (levels.min() < lo or levels.max() > hi):
        raise refuse(op, f"levels must lie in {lo} .. {hi} ({encoding.value}, {bits} bits)")
    return Level(levels.shape, encoding, bits)


KINDS = ("sobol", "ramp", "lfsr", "scrambled")


def source_lanes(op: Operation) -> list[sources.Source]:
    """The source of each lane of an `sc.source` (one when it is shared by all lanes)."""
    bits, kind = bits_of(op), op.attributes["kind"]
    index = np.asarray(op.attributes["index"]).reshape(-1).tolist()
    if kind == "sobol":
        return [sources.sobol(bits, i) for i in index]
    if kind == "ramp":
        return [sources.ramp(bits) for _ in index]
    if kind == "scrambled":
        return [sources.scrambled(bits, i) for i in index]
    return [sources.lfsr(bits, lfsr_width(op), i, int(op.attributes["taps"])) for i in index]


def lfsr_width(op: Operation) -> int:
    """Register bits of an LFSR source."""
    return int(op.attributes["width"] or max(3, op.attributes["bits"]))


def _infer_source(op: Operation) -> Type:
    a = op.attributes
    bits, index = bits_of(op), np.asarray(a["index"])
    if a["kind"] not in KINDS:
        raise refuse(op, f"unknown kind of source '{a['kind']}'", "known: " + ", ".join(KINDS))
    if index.dtype.kind not in "iu" or (index.size and index.min() < 0):
        raise refuse(op, "index must hold integers that are not negative")
    if a["kind"] == "sobol" and index.size and index.max() >= sources.SOBOL_DIMENSIONS:
        raise refuse(
            op, f"there are Sobol dimensions 0 .. {sources.SOBOL_DIMENSIONS - 1}", "use kind scrambled for more"
        )
    if a["kind"] == "lfsr" and not max(3, bits) <= lfsr_width(op) <= 32:
        raise refuse(op, f"an LFSR's width must lie in {max(3, bits)} .. 32, and is {a['width']}")
    if a["taps"] and (a["kind"] != "lfsr" or not sources.is_maximal(lfsr_width(op), a["taps"])):
        raise refuse(
            op, f"taps = {a['taps']} make no LFSR of {lfsr_width(op)} bits with the longest period", "0: a good one"
        )
    return Random(index.shape, bits)


def _infer_mask(op: Operation) -> Type:
    random = expect(op, 0, Random)
    masks = np.asarray(op.attributes["masks"])
    if masks.dtype.kind not in "iu" or (masks.size and (masks.min() < 0 or masks.max() >= 1 << random.bits)):
        raise refuse(op, f"masks must be integers in 0 .. {(1 << random.bits) - 1}")
    try:
        return Random(np.broadcast_shapes(random.shape, masks.shape), random.bits)
    except ValueError:
        raise refuse(op, f"masks of shape {masks.shape} do not fit random numbers of shape {random.shape}") from None


def _no_value(op: Operation, *operands: np.ndarray) -> np.ndarray:
    """A random number stands for nothing by itself."""
    return np.zeros(1)


REGISTRY.add(
    Op(
        "sc.input",
        "The network's input: levels that the user's logic holds for a window, level = round(x / scale * 2**bits).",
        (),
        _input_value,
        _infer_input,
        {
            "shape": Attr("ints", "shape without the batch axis"),
            "name": Attr("str", "the ONNX input's name"),
            "scale": Attr("tensor", "the real number that an encoded 1.0 stands for, for all inputs or for each", 1.0),
            "offset": Attr("tensor", "the real number that an encoded 0 stands for, for all inputs or for each", 0.0),
            "encoding": ENCODING_ATTR,
            "bits": BITS_ATTR,
            "largest": LARGEST_ATTR,
            "layer": LAYER_ATTR,
        },
        cell=Wire(),
    ),
    Op(
        "sc.constant",
        "Constant levels (weights).",
        (),
        lambda op: encoding_of(op).decode(op.attributes["levels"], bits_of(op))[None],
        _infer_constant,
        {
            "levels": Attr("tensor", "integer levels"),
            "encoding": ENCODING_ATTR,
            "bits": BITS_ATTR,
            "layer": LAYER_ATTR,
        },
        cell=Wire(),
    ),
    Op(
        "sc.source",
        "A random source, restarted with every window: Sobol dimension `index`, a ramp, an LFSR with seed `index`, or a "
        "scrambled Sobol dimension (number = index // 16, dimension = index % 16). A tensor `index` makes one source per lane.",
        (),
        _no_value,
        _infer_source,
        {
            "kind": Attr("str", "sobol, ramp, lfsr or scrambled"),
            "index": Attr("tensor", "Sobol dimension, seed or number; a scalar is shared by all lanes", 0),
            "width": Attr("int", "register bits of an LFSR; 0: as many as `bits`, at least 3", 0),
            "taps": Attr("int", "an LFSR's polynomial: the bits whose parity is shifted in; 0: one from a table", 0),
            "bits": BITS_ATTR,
            "layer": LAYER_ATTR,
        },
        cell=SourceCell(),
    ),
    Op(
        "sc.mask",
        "A digital shift: the source's number XOR a constant, another one for each lane. Costs no registers.",
        ("random",),
        _no_value,
        _infer_mask,
        {"masks": Attr("tensor", "constants, broadcast against the source's lanes"), "layer": LAYER_ATTR},
        cell=Comb(Var("random") ^ Var("masks")),
    ),
)
