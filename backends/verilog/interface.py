"""What every netlist shows to the outside: its ports in words, and what a testbench can observe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sccc.ir import Operation, Value
from sccc.schedule import Schedule
from sccc.types import Count, Encoding, Level, Stream, Total, lane_width

if TYPE_CHECKING:
    from sccc.backends.verilog.injection import Injection


@dataclass(frozen=True)
class Observable:
    """A value of the IR as a signal of the netlist.

    From hardware cycle `first` (0: `start` is high) it shows the value's window for `cycles` cycles, lanes packed in
    `width` bits each. `stops`: it is of a layer that may end its window early, and then shows nothing more.
    """

    value: Value
    path: str
    first: int
    cycles: int
    lanes: int
    width: int
    stops: bool = False

    def __str__(self) -> str:
        """The value's name in the IR, or that of the port."""
        return f"%{self.value.name}" if "." in self.path else f"port {self.path}"


@dataclass(frozen=True)
class Netlist:
    """Verilog text and what a testbench needs to know of it. `files`: memories by name, to be written beside the text.
    `injections`: where faults can be put in."""

    text: str
    top: str
    input_value: Value
    input_port: str
    output_value: Value
    output_port: str
    schedule: Schedule
    observables: tuple[Observable, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    injections: tuple[Injection, ...] = ()


def level_of(source: Operation) -> str:
    """How a real input x becomes an encoded number."""
    scale, offset = (np.asarray(source.attributes[k]) for k in ("scale", "offset"))
    shifted = (
        "x" if offset.ndim == 0 and not offset else f"(x - {float(offset)!r})" if offset.ndim == 0 else "(x - offset)"
    )
    encoded = f"{shifted} / {float(scale)!r}" if scale.ndim == 0 else f"{shifted} / scale"
    return f"({encoded} + 1) / 2" if source.attributes["encoding"] == "bipolar" else encoded


def input_tables(source: Operation) -> list[str]:
    """Scale and offset of each input, where they differ."""
    lines = []
    for name in ("scale", "offset"):
        values = np.asarray(source.attributes[name])
        if values.ndim:
            numbers = [f"{v:.9g}" for v in values.reshape(-1)]
            rows = [" ".join(numbers[i : i + 8]) for i in range(0, len(numbers), 8)]
            lines += ["", f"{name} of each input, lane 0 first:", *(f"  {row}" for row in rows)]
    return lines


def port_bus(kind: object, largest: int = 0) -> str:
    if isinstance(kind, Level):
        form = "sign bit and magnitude" if kind.encoding is Encoding.SIGNED else "unsigned"
        size = f"{kind.lanes} levels of {lane_width(kind)} bits"
        return f"{size} ({kind.encoding.value}, {form}, 0 .. {largest or 1 << kind.bits}), lane 0 lowest"
    if isinstance(kind, Total):
        return (
            f"{kind.lanes} two's complement integers of {lane_width(kind)} bits, {kind.lo} .. {kind.hi}, lane 0 lowest"
        )
    assert isinstance(kind, Stream | Count)
    return f"{kind.lanes} lanes of {lane_width(kind)} bits each cycle"
