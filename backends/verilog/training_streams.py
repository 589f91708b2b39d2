"""The forward pass of a network that learns, where it runs on streams: SNGs that read the counters, counts, totals.

Layers run one after the other, each for a window of `length` cycles, in which the sources begin anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sccc.backends.verilog import cell_modules, library
from sccc.backends.verilog.render import packed
from sccc.backends.verilog.training_products import dot_module
from sccc.ir import Module, Operation
from sccc.learning import StreamProduct, stream_windows
from sccc.ops.arithmetic import product_of
from sccc.ops.geometry import geometry_of
from sccc.ops.source import source_lanes
from sccc.sources import CounterSource
from sccc.types import Count, Encoding, Fixed, Level, Random, Stream, Total, signed_width

if TYPE_CHECKING:
    from sccc.backends.verilog.training import Emitter


def cycles_per_sample(module: Module) -> int:
    """From a sample's `start` to the end of the cycle in which its counters learn; 1 without streams."""
    windows = stream_windows(module)
    return len(windows) * StreamProduct.behind(windows[0]).length + 2 if windows else 1


def emit_window(e: Emitter) -> list[str]:
    """The controller: `running` and `t` through the windows of all layers, then `done`, in which everything is known."""
    e.used.setdefault("sccc_window", library.WINDOW)
    total = cycles_per_sample(e.module) - 2
    bits = max(1, (total - 1).bit_length())
    return [
        "  wire running;",
        f"  wire [{bits - 1}:0] t;",
        f"  sccc_window #(.LENGTH({total}), .T_BITS({bits})) window (",
        "    .clk(clk), .rst(rst), .go(start), .stop(1'b0), .running(running), .t(t), .done(done)",
        "  );",
    ]


def emit_stream_op(e: Emitter, op: Operation) -> None:
    """One of `sccc.learning.STREAM_OPS`, or a number that becomes a level."""
    writers = {
        "sc.source": _source,
        "sc.sng": _sng,
        "sc.dot": _count,
        "sc.conv": _count,
        "sc.accumulate": _accumulate,
        "train.level": _level,
    }
    writers[op.name](e, op)


def _level(e: Emitter, op: Operation) -> None:
    assert op.result is not None and isinstance(op.result.type, Level)
    kind, source = op.result.type, op.operands[0].type
    assert isinstance(source, Fixed)
    e.used.setdefault("sccc_levels", library.LEVELS)
    width, name = signed_width(source.lo, source.hi), e.signals[op.result]
    parameters: dict[str, object] = {
        "LANES": kind.lanes,
        "W": width,
        "BITS": kind.bits,
        "SIGN": int(kind.encoding is Encoding.SIGNED),
    }
    e.instance("sccc_levels", parameters, f"{name}_levels", {"total": e.signals[op.operands[0]], "level": name})


def _source(e: Emitter, op: Operation) -> None:
    (source,) = source_lanes(op)
    assert op.result is not None and isinstance(op.result.type, Random) and isinstance(source, CounterSource)
    masks = [sum(1 << k for k in row) for row in source.rows()]
    bits, name = op.result.type.bits, e.signals[op.result]
    e.used.setdefault("sccc_counter_sources", library.COUNTER_SOURCES)
    parameters: dict[str, object] = {"LANES": 1, "BITS": bits, "ROWS": packed(masks, bits)}
    e.instance("sccc_counter_sources", parameters, f"{name}_source", {"t": f"t[{bits - 1}:0]", "random": name})


def _sng(e: Emitter, op: Operation) -> None:
    """Comparators; of signed levels the signs stay beside the stream, on a wire of their own."""
    level, random = op.operands
    assert op.result is not None and isinstance(level.type, Level)
    kind, name, source = level.type, e.signals[op.result], e.signals[level]
    sizes: dict[str, object] = {"LANES": kind.lanes, "BITS": kind.bits}
    if kind.encoding is Encoding.SIGNED:
        e.used.setdefault("sccc_split_levels", library.SPLIT_LEVELS)
        sign, magnitude = e.names.make(f"{name}_sign"), e.names.make(f"{name}_magnitude")
        e.lines += [
            f"  wire [{kind.lanes - 1}:0] {sign};",
            f"  wire [{kind.lanes * (kind.bits + 1) - 1}:0] {magnitude};",
        ]
        e.instance("sccc_split_levels", sizes, f"{name}_split", {"level": source, "sign": sign, "magnitude": magnitude})
        e.signs[op.result], source = sign, magnitude
    module, text = library.sng(shared=True)
    e.used.setdefault(module, text)
    e.instance(module, sizes, f"{name}_sng", {"level": source, "random": e.signals[random], "bits": name})


def _count(e: Emitter, op: Operation) -> None:
    """Of an image's streams, each made once, wires take the bits under the window to each position."""
    x, w = op.operands
    assert op.result is not None and isinstance(op.result.type, Count)
    assert isinstance(x.type, Stream) and isinstance(w.type, Stream)
    module, text = dot_module(product_of(op), x.type.encoding.value, w.type.encoding.value)
    e.used.setdefault(module, text)
    geometry, kind, name = geometry_of(op), op.result.type, e.signals[op.result]
    sizes: dict[str, object] = {
        "G": geometry.groups,
        "M": geometry.outputs,
        "N": geometry.taps,
        "P": geometry.positions,
    }
    signs = [e.signs.get(v, f"{{{v.type.lanes}{{1'b0}}}}") for v in (x, w)]
    ports = {"x": e.signals[x], "xs": signs[0], "w": e.signals[w], "ws": signs[1], "result": name}
    if geometry.window is not None:
        for port, part in (("x", "bits"), ("xs", "signs")):
            under = e.names.make(f"{name}_{part}")
            e.lines.append(f"  wire [{geometry.lanes().size - 1}:0] {under};")
            e.gather(ports[port], under, geometry.lanes().reshape(-1), x.type.lanes, 1)
            ports[port] = under
    e.instance(module, {**sizes, "R_W": signed_width(kind.lo, kind.hi)}, f"{name}_count", ports)


def _accumulate(e: Emitter, op: Operation) -> None:
    """The layer's own window: its part of the count of cycles."""
    assert op.result is not None and isinstance(op.result.type, Total)
    kind, count, name = op.result.type, op.operands[0].type, e.signals[op.result]
    assert isinstance(count, Count)
    number = stream_windows(e.module).index(op)
    own = e.names.make(f"{name}_running")
    first, last = number * count.length, (number + 1) * count.length - 1
    bounds = [f"t >= {first}"] if first else []
    bounds += [f"t <= {last}"] if number + 1 < len(stream_windows(e.module)) else []
    e.lines.append(f"  wire {own} = {' && '.join(['running', *bounds])};")
    e.used.setdefault(cell_modules.module_name(op.name), cell_modules.fsm_module(op.name))
    width = signed_width(kind.lo, kind.hi)
    start = packed(np.broadcast_to(np.asarray(op.attributes["initial"]), kind.shape).reshape(-1), width)
    sizes: dict[str, object] = {"LANES": kind.lanes, "W": width, "CW": signed_width(count.lo, count.hi), "PW": 1}
    ports = {"clk": "clk", "go": "start", "running": own, "count": e.signals[op.operands[0]], "states": name}
    e.instance(cell_modules.module_name(op.name), {**sizes, "START": start}, f"{name}_totals", ports)
