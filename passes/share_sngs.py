"""share-sngs: which random source each SNG compares with.

Sharing two sources per layer is not only cheaper than a source for every SNG, it is better when they are jointly low-discrepancy
(shared/notes/sc-facts.md, section 2). Where a state machine follows, each lane's weight source gets a mask of its own, which
brings the variance of a cycle's count down to that of independent streams at no cost in registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sccc.passes.manager import Pass, PassContext, register

from sccc.correlation import DEPENDENCE_LIMIT, Randomness, joint_deviation
from sccc.diagnostics import InternalError, Location, SccError
from sccc.ir import Module, Operation, Value
from sccc.sources import SOBOL_DIMENSIONS, lfsr, splitmix64
from sccc.types import Stream

LFSR_WIDTH = 16
"""Bits of LFSRs, or 4 more than a level has when that is wider: the zero state that an LFSR lacks biases a stream by at
most 2**-4 levels."""


@dataclass(frozen=True)
class Plan:
    """What one layer's SNGs are to compare with: kind and indices of the x and the w source, and the w lanes' masks."""

    kind: tuple[str, str]
    index: tuple[Any, Any]
    masks: tuple[Any, Any]
    width: int = LFSR_WIDTH


@register
@dataclass(frozen=True)
class ShareSngs(Pass):
    """Choose random sources: per layer one low-discrepancy pair (auto), or a source for every SNG (none)."""

    name: ClassVar[str] = "share-sngs"
    sharing: str = ""
    source: str = ""

    def run(self, module: Module, context: PassContext) -> Module:
        for position, dot in enumerate(module.ops_named("sc.dot")):
            layer = str(dot.attributes["layer"])
            options = context.config.for_layer(layer, dot.origin)
            sharing, source = self.sharing or options.sharing, self.source or options.source
            if source == "auto":
                source = "sobol"
            if sharing == "none":
                plan = _plan_none(dot, source, position, options.seed)
            else:
                plan = _plan_shared(dot, source, position, options.seed, _feeds_fsm(module, dot))
            _assign(module, dot, plan)
        return module


def _feeds_fsm(module: Module, dot: Operation) -> bool:
    """Whether the count becomes a stream in a state machine, so that its variance per cycle matters."""
    assert dot.result is not None
    readers = module.uses()[dot.result]
    return any(
        r.attributes.get("style") == "streaming" or r.name in ("sc.offset", "sc.btanh", "sc.sigmoid", "sc.relu")
        for r in readers
    )


def spread_masks(lanes: int, bits: int) -> np.ndarray:
    """One mask per lane, as evenly spread over 0 .. 2**bits - 1 as they can be, neighbours far apart (van der Corput)."""
    number = np.arange(lanes) % (1 << bits)
    masks = np.zeros(lanes, dtype=np.int64)
    for k in range(bits):
        masks |= (number >> k & 1) << (bits - 1 - k)
    return masks


def _plan_shared(dot: Operation, source: str, position: int, seed: int, fsm: bool) -> Plan:
    x, w = _operands(dot)
    bits = _bits(w)
    masks = spread_masks(w.type.shape[1], bits) if fsm else None
    if source == "sobol":
        # The w dimension changes from layer to layer: a streaming layer's input depends on the sources of the layer before it.
        return Plan(("sobol", "sobol"), (0, 1 + position % (SOBOL_DIMENSIONS - 1)), (None, masks))
    if source == "ramp":
        return Plan(("ramp", "sobol"), (0, 0), (None, masks))
    width = max(LFSR_WIDTH, bits + 4)
    length = x.type.length
    first = splitmix64(seed * 1_000_003 + position)
    for attempt in range(1000):
        pair = [splitmix64(first + 2 * attempt + k) % (1 << 31) for k in (1, 2)]
        sources = [Randomness(lfsr(bits, width, s)) for s in pair]
        if joint_deviation(*sources, bits, length) <= DEPENDENCE_LIMIT / 2:
            return Plan(("lfsr", "lfsr"), (pair[0], pair[1]), (None, masks), width)
    raise InternalError("no pair of LFSR seeds is independent enough")


def _plan_none(dot: Operation, source: str, position: int, seed: int) -> Plan:
    x, w = _operands(dot)
    bits = _bits(w)
    base = splitmix64(seed * 1_000_003 + position) % (1 << 24)
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
        masks = numbers * 2654435761 >> 7 & ((1 << bits) - 1)
    else:
        index = (numbers[: x.type.lanes], numbers[x.type.lanes :])
        masks = np.zeros(lanes, dtype=np.int64)
    shaped = [part.reshape(v.type.shape) for part, v in zip(index, (x, w), strict=True)]
    mask_parts = [masks[: x.type.lanes].reshape(x.type.shape), masks[x.type.lanes :].reshape(w.type.shape)]
    kind = "scrambled" if source == "sobol" else "lfsr"
    return Plan(
        (kind, kind),
        (shaped[0], shaped[1]),
        (mask_parts[0], mask_parts[1]) if source == "sobol" else (None, None),
        max(LFSR_WIDTH, bits + 4),
    )


def _operands(dot: Operation) -> tuple[Value, Value]:
    return dot.operands[0], dot.operands[1]


def _bits(stream: Value) -> int:
    assert stream.op is not None
    return int(stream.op.operands[0].type.bits)  # type: ignore[attr-defined]


def _assign(module: Module, dot: Operation, plan: Plan) -> None:
    """Give the SNGs of a dot's operands new sources; streams that come from state machines stay as they are."""
    for side, stream in enumerate(_operands(dot)):
        sng = stream.op
        if sng is None or sng.name != "sc.sng":
            continue
        assert isinstance(stream.type, Stream)
        layer, suffix = str(dot.attributes["layer"]), ("rx", "rw")[side]
        common: dict[str, Any] = {"origin": sng.origin, "location": sng.location, "before": sng}
        attributes: dict[str, Any] = {
            "kind": plan.kind[side],
            "index": plan.index[side],
            "bits": _bits(stream),
            "layer": layer,
        }
        if plan.kind[side] == "lfsr":
            attributes["width"] = plan.width
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
