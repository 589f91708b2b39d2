"""Buses and parameters: how values lie packed in Verilog, lane 0 in the least significant bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sccc.backends.verilog.render import packed, sized
from sccc.types import Encoding, Level, Type, lane_width, signed_width


def bus_width(kind: Type) -> int:
    """Bits of a value, all lanes."""
    return kind.lanes * lane_width(kind)


def sign_magnitude(level: int, kind: Level) -> int:
    """The bits in which the hardware holds a level."""
    if kind.encoding is Encoding.SIGNED:
        return abs(level) | (1 << (kind.bits + 1) if level < 0 else 0)
    return level


def parameter_width(values: Mapping[str, np.ndarray]) -> int:
    """Bits of the narrowest two's complement number that holds every one of the integers."""
    return max([2, *(signed_width(int(np.min(v)), int(np.max(v))) for v in values.values())])


def per_lane(values: np.ndarray, width: int, shape: tuple[int, ...]) -> str:
    """Integers, one per lane, packed; a replication where all are equal."""
    flat = np.broadcast_to(values, shape).reshape(-1)
    if np.all(flat == flat[0]):
        return f"{{{flat.size}{{{sized(int(flat[0]), width)}}}}}"
    return packed(flat, width)
