"""Values of a run as a VCD file (IEEE 1364-2005, clause 18): a scope per layer, a variable per lane."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from vcd import VCDWriter

from sccc.backends.verilog.names import Names
from sccc.dataflow import is_folded
from sccc.diagnostics import SccError
from sccc.ir import Module, Value
from sccc.schedule import schedule
from sccc.types import Count, Stream, lane_width

PERIOD = 10
"""Time units (ns) of a clock cycle."""


def vcd_text(module: Module, arrays: Mapping[Value, np.ndarray]) -> str:
    """The text of the file, with a clock.

    arrays: integers [lanes, cycles], or [lanes, 1] of totals and levels. A stream or count is x outside its window, a total or
    level until it is valid. Raises SccError for folded hardware, whose links have no fixed cycles.
    """
    if is_folded(module):
        advice = "run `sccc check --keep FOLDER` and dump the waves of its testbench"
        raise SccError(
            "values of folded hardware appear when their engines are ready, not in given cycles", advice=advice
        )
    plan, stream = schedule(module), io.StringIO()
    last = max((plan.first_cycle(v) + rows.shape[1] for v, rows in arrays.items()), default=0)
    with VCDWriter(stream, timescale="1 ns", date="", version="sccc") as writer:
        clock = writer.register_var((Names().make(module.name),), "clk", "wire", size=1, init=0)
        events: list[tuple[int, Any, int | str]] = []
        for cycle in range(last + 1):
            events += [(cycle * PERIOD, clock, 1), (cycle * PERIOD + PERIOD // 2, clock, 0)]
        for variable, value, row in _variables(writer, module, arrays):
            first = plan.first_cycle(value)
            events += [((first + t) * PERIOD, variable, number) for t, number in enumerate(row.tolist())]
            if isinstance(value.type, Stream | Count):
                events.append(((first + len(row)) * PERIOD, variable, "x"))
        for time, variable, number in sorted(events, key=lambda event: event[0]):
            writer.change(variable, time, number)
    return stream.getvalue()


def _variables(
    writer: VCDWriter, module: Module, arrays: Mapping[Value, np.ndarray]
) -> Iterator[tuple[Any, Value, np.ndarray]]:
    """Each lane as a variable of its layer's scope."""
    names, scopes, top = Names(), dict[str, str](), Names().make(module.name)
    for value, rows in arrays.items():
        assert value.op is not None
        layer, width = str(value.op.attributes.get("layer", "")) or "ports", lane_width(value.type)
        scope = scopes.get(layer) or scopes.setdefault(layer, names.make(layer))
        name = names.make(value.name)
        for lane, row in enumerate(rows):
            index = f"[{lane}]" if value.type.lanes > 1 else ""
            yield writer.register_var((top, scope), name + index, "wire", size=width), value, row
