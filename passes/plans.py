"""Which random sources a layer's SNGs may be given: the fixed plans, and how a plan is written into a module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.correlation import generator_of
from sccc.diagnostics import Location, SccError
from sccc.ir import Module, Operation, Value
from sccc.ops.conversion import SNGS
from sccc.sources import SOBOL_DIMENSIONS, splitmix64
from sccc.types import Encoding, Stream

MASK_BITS = 8
"""Most significant bits of a random number that masks change."""


@dataclass(frozen=True)
class Plan:
    """What one layer's SNGs are to compare with: kind and indices of the x and the w source, and the w lanes' masks.

    `taps`: LFSR polynomials, 0 for the table's.
    """

    kind: tuple[str, str]
    index: tuple[Any, Any]
    masks: tuple[Any, Any]
    taps: tuple[int, int] = (0, 0)


def feeds_fsm(module: Module, dot: Operation) -> bool:
    """Whether the count becomes a stream in a state machine, so that its variance per cycle matters."""
    assert dot.result is not None
    readers = module.uses()[dot.result]
    return any(
        r.attributes.get("style") == "streaming" or r.name in ("sc.offset", "sc.btanh", "sc.sigmoid", "sc.relu")
        for r in readers
    )


def spread_masks(lanes: int, bits: int) -> np.ndarray:
    """One mask per lane, evenly spread over 0 .. 2**bits - 1, neighbours and lanes at regular strides far apart.

    Multiplicative hashing with the golden ratio (Knuth); at most 2**MASK_BITS different masks, in the most significant bits,
    where they decorrelate (measured: neighbouring pixels that differ only in low bits of the mask double the variance).
    """
    used = min(bits, MASK_BITS)
    hashed = np.arange(lanes, dtype=np.uint64) * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    return (hashed >> np.uint64(32 - used)).astype(np.int64) << (bits - used)


def reversed_masks(lanes: int, bits: int) -> np.ndarray:
    """Another even spread, for the operand that meets one with `spread_masks`: the lane's number with its bits reversed."""
    number = np.arange(lanes) % (1 << bits)
    masks = np.zeros(lanes, dtype=np.int64)
    for k in range(bits):
        masks |= (number >> k & 1) << (bits - 1 - k)
    return masks


def lane_masks(x: Value, w: Value, bits: int) -> tuple[Any, Any]:
    """Masks of the x lanes, and of the w lanes of one output, where a state machine follows.

    Bipolar x streams need masks too: a zero is a stream of probability 1/2, the same in all lanes that share a source.
    """
    assert isinstance(x.type, Stream)
    taps = w.type.shape[1:]
    lanes = int(np.prod(taps))
    if x.type.encoding is Encoding.BIPOLAR and x.op is not None and x.op.name in SNGS:
        return spread_masks(x.type.lanes, bits).reshape(x.type.shape), reversed_masks(lanes, bits).reshape(taps)
    return None, spread_masks(lanes, bits).reshape(taps)


def plan_shared(dot: Operation, source: str, position: int, seed: int, fsm: bool, attempt: int) -> Plan:
    x, w = operands(dot)
    bits = bits_of(w)
    masks = lane_masks(x, w, bits) if fsm else (None, None)
    generator = generator_of(x)
    if source == "sobol" and generator is not None and generator.name == "sc.wbg":
        # Of the numbers counted up, the most significant one is spread as evenly as numbers of dimension 0 are.
        return Plan(("ramp", "sobol"), (0, 1), masks)
    if source == "sobol":
        # Dimensions 0 and 1 are the most even pair. A streaming layer's input depends on the sources of the layer before it, so
        # that its w dimension must be another one than there.
        return Plan(("sobol", "sobol"), (0, 1 + position % (SOBOL_DIMENSIONS - 1) if fsm else 1), masks)
    if source == "ramp":
        return Plan(("ramp", "sobol"), (0, 0), masks)
    first = splitmix64(seed * 1_000_003 + position)
    pair = [splitmix64(first + 2 * attempt + k) % (1 << 31) for k in (1, 2)]
    return Plan(("lfsr", "lfsr"), (pair[0], pair[1]), masks)


def plan_none(dot: Operation, source: str, position: int, seed: int, attempt: int) -> Plan:
    x, w = operands(dot)
    bits = bits_of(w)
    base = splitmix64(seed * 1_000_003 + position + attempt * 7_368_787) % (1 << 24)
    lanes = x.type.lanes + w.type.lanes
    if source == "ramp":
        raise SccError(
            "a ramp cannot be a source of its own for every SNG: all ramps are the same",
            Location(node=dot.origin, option="--sharing"),
            "use --sharing auto, or --source sobol or lfsr",
        )
    numbers = np.array([splitmix64(base * 7919 + i) % (1 << 20) for i in range(lanes)], dtype=np.int64)
    if source == "sobol":
        # Scramblings of one dimension for x and of another for w: every pair that meets stays jointly low-discrepancy.
        split = 1 + position % (SOBOL_DIMENSIONS - 1)
        index = (numbers[: x.type.lanes] * SOBOL_DIMENSIONS, numbers[x.type.lanes :] * SOBOL_DIMENSIONS + split)
    else:
        seeds = numbers % (1 << max(3, bits))  # as many as an LFSR has states: masks tell lanes of one seed apart
        index = (seeds[: x.type.lanes], seeds[x.type.lanes :])
    masks = numbers * 2654435761 >> 7 & ((1 << bits) - 1)
    # Streams that are pooled need one source (`Shared`).
    pooled = generator_of(x) not in (None, x.op)
    shaped = [index[0][0] if pooled else index[0].reshape(x.type.shape), index[1].reshape(w.type.shape)]
    if source == "lfsr" and dot.name == "sc.conv":
        shaped = [shaped[0] & ~1, shaped[1] | 1]  # a weight meets the lanes of all positions
    elif source == "lfsr":
        same = shaped[0] == shaped[1]  # by chance an SNG has drawn the seed of the one that it meets
        shaped[1] = np.where(same, (shaped[1] + (1 << max(3, bits)) // 3) % (1 << max(3, bits)), shaped[1])
    x_masks = None if pooled else masks[: x.type.lanes].reshape(x.type.shape)
    kind = "scrambled" if source == "sobol" else "lfsr"
    return Plan(
        (kind, kind),
        (shaped[0], shaped[1]),
        (x_masks, masks[x.type.lanes :].reshape(w.type.shape)),
    )


def operands(dot: Operation) -> tuple[Value, Value]:
    return dot.operands[0], dot.operands[1]


def length_of(dot: Operation) -> int:
    kind = dot.operands[0].type
    assert isinstance(kind, Stream)
    return kind.length


def bits_of(stream: Value) -> int:
    maker = generator_of(stream)
    assert maker is not None
    return int(maker.operands[0].type.bits)  # type: ignore[attr-defined]


def sng_name(stream: Value) -> str:
    """The name of the SNG's stream that a stream is, perhaps in other lanes or pooled; its own where a state machine made it."""
    maker = generator_of(stream)
    return maker.result.name if maker is not None and maker.result is not None else stream.name


def assign(module: Module, dot: Operation, plan: Plan) -> None:
    """Give the SNGs of a dot's operands new sources; streams that come from state machines stay as they are."""
    for side, stream in enumerate(operands(dot)):
        sng = generator_of(stream)
        if sng is None:
            continue
        assert isinstance(stream.type, Stream)
        layer, suffix = str(dot.attributes["layer"]), ("rx", "rw")[side]
        common: dict[str, Any] = {"origin": sng.origin, "location": sng.location, "before": sng}
        attributes: dict[str, Any] = {
            "kind": plan.kind[side],
            "index": plan.index[side],
            "bits": bits_of(stream),
            "layer": layer,
        }
        if plan.taps[side]:
            attributes["taps"] = plan.taps[side]
        _release(module, sng.operands.pop())
        random = module.append("sc.source", [], attributes, result=f"{layer}_{suffix}", **common).result
        assert random is not None
        if plan.masks[side] is not None:
            masks = {"masks": plan.masks[side], "layer": layer}
            random = module.append("sc.mask", [random], masks, result=f"{layer}_{suffix}m", **common).result
            assert random is not None
        sng.operands.append(random)


def _release(module: Module, random: Value) -> None:
    """Erase the ops that make a random number which nobody compares with any more."""
    while random.op is not None and not any(random in op.operands for op in module.ops):
        maker = random.op
        module.erase(maker)
        if not maker.operands:
            return
        random = maker.operands[0]
