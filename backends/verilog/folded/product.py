"""Sums of products as engines: line buffer, weight memory, SNGs, multipliers, counters, accumulators, activation."""

from __future__ import annotations

import numpy as np

from sccc.backends.verilog import library as base
from sccc.backends.verilog.folded import cells, datapath, memories, storage
from sccc.backends.verilog.folded.engines import (
    EngineText,
    is_signed,
    line_buffer,
    number_width,
    numbers,
    tail,
)
from sccc.backends.verilog.render import sized
from sccc.engines import ProductEngine, constant_of
from sccc.ir import Value
from sccc.neurons import root_source
from sccc.ops.arithmetic import product_of
from sccc.ops.source import source_lanes
from sccc.sources import CounterSource
from sccc.types import Level, Stream, Total, lane_width, signed_width


def product_engine(text: EngineText, engine: ProductEngine) -> None:
    """Windows of products, one after the other; `sccc.folding` says in what order."""
    f, x = engine.folding, engine.inputs[0].value.type
    assert isinstance(x, Level) and engine.totals is not None and isinstance(engine.totals.type, Total)
    streams = isinstance(engine.op.operands[0].type, Stream)
    slot = line_buffer(text, f.buffer, f.walk, x)
    masked = streams and cells.needs_mask(product_of(engine.op))
    _taps(text, engine, x, slot, masked)
    time_bits = _control(text, engine)
    count_bits = _streams(text, engine, x, masked, time_bits) if streams else _numbers(text, engine, x)
    width = lane_width(engine.totals.type)
    _totals(text, engine, width, count_bits)
    tail(text)


def _taps(text: EngineText, engine: ProductEngine, x: Level, slot: int, masked: bool) -> None:
    """The levels of a step, 0 where there is no image; above each a bit that says so where its product needs to know."""
    f, lw = engine.folding, lane_width(x)
    text.lines.append("\n  // The levels that are multiplied.")
    lanes = [f"word[{i * lw} +: {lw}]" for i in reversed(range(f.word))]
    with_live = f"{{{', '.join(f'1{chr(39)}b1, {lane}' for lane in lanes)}}}" if masked else "word"
    bits = f.word * (lw + masked)
    text.assign("live_word", bits, f"live ? {with_live} : {bits}'d0")
    parameters = {"W": bits, "WORDS": f.walk.step_words, "SLOT": slot}
    held = text.wire("taps" if f.groups == 1 else "taps_of_channels", f.slots * (lw + masked))
    ports = {"word": "live_word", "slot": "slot", "arrived": "arrived", "taken": "taken", "held": held}
    ports = {"clk": "clk", **ports}
    text.instance(text.use("sccc_taps", datapath.TAPS), "levels_held", parameters, ports)
    if f.groups > 1:
        text.wire("taps", f.slots * (lw + masked))
        parameters = {"W": lw + masked, "TAPS": f.taps, "GROUPS": f.groups}
        text.instance(text.use("sccc_regroup", datapath.REGROUP), "by_group", parameters, {"in": held, "out": "taps"})


def _control(text: EngineText, engine: ProductEngine) -> int:
    """Wires go, first, running, t, finish, room. Returns the bits of t."""
    f = engine.folding
    bits = [value.type.bits for value in _sources(engine)]  # type: ignore[attr-defined]
    time_bits = max(1, (f.length - 1).bit_length(), *bits)
    text.lines.append("\n  // When the multipliers work.")
    for name in ("go", "first", "running", "finish", "room"):
        text.wire(name)
    text.wire("t", time_bits)
    parameters = {"LENGTH": f.length, "T_BITS": time_bits, "STEPS": f.tap_blocks, "USES": f.uses}
    ports = {k: k for k in ("step", "taken", "go", "first", "running", "t", "finish", "room")}
    text.clocked(text.use("sccc_fold_control", datapath.CONTROL), "control", parameters, ports)
    return time_bits


def _sources(engine: ProductEngine) -> list[Value]:
    """The random numbers of x and of the weights; none in fixed point."""
    makers = [v.op for v in engine.op.operands if isinstance(v.type, Stream)]
    return [root_source(op.operands[1]).result for op in makers if op is not None]  # type: ignore[misc]


def _weights(text: EngineText, words: int, width: int, content: str) -> None:
    file = text.memory("weights", content)
    text.lines.append("\n  // The weights of a window.")
    text.wire("weights", width)
    parameters = {"W": width, "DEPTH": words, "FILE": file}
    text.clocked(
        text.use("sccc_weights", storage.WEIGHTS), "weight_memory", parameters, {"go": "go", "word": "weights"}
    )


def _streams(text: EngineText, engine: ProductEngine, x: Level, masked: bool, time_bits: int) -> int:
    """Streams, their products and the counts of a cycle; returns the bits of a count."""
    f, w = engine.folding, constant_of(engine.op).type
    assert isinstance(w, Level)
    lanes = f.multipliers
    words = memories.weight_words(engine)
    _weights(text, f.windows, lanes * lane_width(w), memories.weight_planes(words, w))
    text.lines.append("\n  // Random numbers and streams.")
    for name, value in zip(("random_x", "random_w"), _sources(engine), strict=True):
        _source(text, name, value, time_bits)
    planes = lane_width(x) + masked
    text.wire("planes", f.slots * planes)
    module = text.use("sccc_bit_planes", datapath.BIT_PLANES)
    text.instance(module, "by_bit", {"LANES": f.slots, "W": planes}, {"lanes": "taps", "planes": "planes"})
    text.wire("x", f.slots)
    text.wire("w", lanes)
    sng = text.use("sccc_plane_sng", cells.sng_module())
    for name, bus, count, kind in (("x", "planes", f.slots, x), ("w", "weights", lanes, w)):
        ports = {"planes": f"{bus}[{count * (kind.bits + 1) - 1}:0]", "random": f"random_{name}", "bits": name}
        text.instance(sng, f"{name}_sng", {"LANES": count, "BITS": kind.bits}, ports)
    signals = {"x": "x", "w": "w"}
    if is_signed(w):
        signals["ws"] = text.assign("ws", lanes, f"weights[{lanes * (w.bits + 1)} +: {lanes}]")
    if is_signed(x):
        signals["xs"] = text.assign("xs", f.slots, f"planes[{f.slots * (x.bits + 1)} +: {f.slots}]")
    if masked:
        signals["live"] = text.assign("live_taps", f.slots, f"planes[{f.slots * lane_width(x)} +: {f.slots}]")
    return _counts(text, engine, signals)


def _counts(text: EngineText, engine: ProductEngine, signals: dict[str, str]) -> int:
    """The products of all outputs, and what they add up to in a cycle; returns the bits of a count."""
    f, product = engine.folding, product_of(engine.op)
    x, w = (v.type for v in engine.op.operands)
    assert isinstance(x, Stream) and isinstance(w, Stream)
    width = cells.count_width(product, f.taps)
    text.lines.append("\n  // Products of all outputs, and what they add up to in a cycle.")
    text.wire("count", f.results * width)
    name = cells.counts_name(x.encoding, w.encoding, f.taps)
    module = text.use(name, cells.counts_module(name, product, f.taps))
    ports = {name: signals[name] for name in cells.count_ports(product)}
    text.instance(module, "counts", {"GROUPS": f.groups, "OUTPUTS": f.outputs}, {**ports, "count": "count"})
    return width


def _source(text: EngineText, name: str, value: Value, time_bits: int) -> None:
    """A random number, restarted with every window."""
    assert value.op is not None
    (source,) = source_lanes(value.op)
    if isinstance(source, CounterSource):
        rows = [" ^ ".join(f"t[{k}]" for k in row) or "1'b0" for row in source.rows()]
        text.assign(name, source.bits, f"{{{', '.join(reversed(rows))}}}")
        return
    text.wire(name, source.bits)
    parameters = {"WIDTH": source.width, "BITS": source.bits, "TAPS": sized(source.taps, source.width)}
    parameters["SEEDS"] = sized(source.seed, source.width)
    ports = {"clk": "clk", "go": "go", "running": "running", "random": name}
    text.instance(text.use("sccc_lfsr", base.LFSR), f"{name}_lfsr", parameters, ports)


def _numbers(text: EngineText, engine: ProductEngine, x: Level) -> int:
    """Products of numbers and their sums; returns the bits of a sum."""
    f = engine.folding
    words = memories.weight_words(engine)
    wide = signed_width(int(words.min()), int(words.max()))
    _weights(text, f.windows, f.multipliers * wide, memories.weight_numbers(words, wide))
    text.lines.append("\n  // Products of all outputs, and their sums.")
    numbers(text, "taps", x, f.slots, "x_number", number_width(x))
    width = signed_width(0, f.taps * int(np.abs(words).max() or 1) << x.bits)
    text.wire("count", f.results * width)
    parameters = {
        "GROUPS": f.groups,
        "OUTPUTS": f.outputs,
        "TAPS": f.taps,
        "XW": number_width(x),
        "WW": wide,
        "CW": width,
    }
    ports = {"x": "x_number", "w": "weights", "count": "count"}
    text.instance(text.use("sccc_multiply", datapath.MULTIPLY), "multipliers", parameters, ports)
    return width


def _totals(text: EngineText, engine: ProductEngine, width: int, count_bits: int) -> None:
    """Accumulators, and the group of totals that is handed on meanwhile."""
    f, beat = engine.folding, engine.output.beat
    text.lines.append("\n  // Totals.")
    words = memories.start_words(engine)
    if words is None:
        start = f"{{{f.results}{{{sized(int(engine.initial.reshape(-1)[0]), width)}}}}}"
    else:
        start = text.constants("starts", words, width, "first")
    text.wire("following", f.results * width)
    ports = {"clk": "clk", "first": "first", "running": "running", "start": start, "count": "count"}
    parameters = {"LANES": f.results, "W": width, "CW": count_bits}
    module = text.use("sccc_accumulators", cells.accumulators_module())
    text.instance(module, "accumulators", parameters, {**ports, "following": "following"})
    text.wire("total", beat * width)
    text.wire("total_valid")
    text.wire("total_ready")
    parameters = {
        "LANES": f.results,
        "W": width,
        "BEAT": beat,
        "BLOCKS": f.sending_blocks,
        "LAST": f.last_results // beat,
    }
    ports = {"finish": "finish", "totals": "following", "room": "room"}
    ports |= {"out_data": "total", "out_valid": "total_valid", "out_ready": "total_ready"}
    text.clocked(text.use("sccc_results", datapath.RESULTS), "results", parameters, ports)
