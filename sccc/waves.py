"""Values of a run over time, as text or as a VCD file (IEEE 1364-2005, clause 18) that GTKWave opens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.files import write_files
from sccc.ir import Module, Operation, Value
from sccc.schedule import schedule
from sccc.types import Count, Encoding, Level, Random, Stream, Total, signed_width

LOW, HIGH = "▁", "█"

LANES, CYCLES = 8, 64
"""How much is shown as text when nothing is said."""

PERIOD = 10
"""Time units of a clock cycle in a VCD file."""


def trace(module: Module, x: np.ndarray, names: Iterable[str] | str = "all") -> dict[str, np.ndarray]:
    """What each operation makes of x [samples, *input shape], real units, by the result's name.

    Of hardware: streams uint8 and counts [samples, *lanes, cycles], totals and levels [samples, *lanes], as integers. Of a float
    network: real numbers [samples, *shape]. names: "all" is all that depends on the input. Raises SccError.
    """
    if any(op.dialect == "nn" for op in module):
        found: dict[str, np.ndarray] = {}

        def watch(op: Operation, value: np.ndarray) -> None:
            if op.result is not None and (names == "all" or op.result.name in names):
                found[op.result.name] = value

        evaluate(module, np.asarray(x), watch)
        return found
    from sccc.backends.simulator import simulate

    return simulate(module, x, trace=names).trace


def waveform(
    module: Module,
    x: np.ndarray,
    names: Iterable[str] | str = (),
    *,
    sample: int = 0,
    lanes: int = LANES,
    cycles: int = CYCLES,
    vcd: str | Path | None = None,
) -> str:
    """Streams, counts and numbers of one sample of x, one line per lane: the first `lanes` of each value, `cycles` of it.

    Behind a stream stands the number that its bits make, of signed streams the magnitude: their signs go beside them.

    names: values, or none for all streams and counts that depend on the input. vcd: also write all lanes and cycles of them to
    this file, at the clock cycles in which the hardware shows them (0: start is high). Raises SccError.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    if not 0 <= sample < len(x):
        raise SccError(f"sample {sample} is outside 0 .. {len(x) - 1}", advice="count from 0")
    data = np.asarray(x)[sample : sample + 1]
    chosen = trace(module, data, wanted or "all")
    values = [v for v in module.values() if v.name in chosen and not isinstance(v.type, Random)]
    if not wanted:
        values = [v for v in values if isinstance(v.type, Stream | Count)]
    arrays = {v.name: chosen[v.name][0].reshape(v.type.lanes, -1) for v in values}
    if vcd is not None:
        write_files({Path(vcd): vcd_text(module, values, arrays)})
    return "\n".join(line for value in values for line in _lines(value, arrays[value.name], lanes, cycles))


def _lines(value: Value, array: np.ndarray, lanes: int, cycles: int) -> Iterator[str]:
    yield f"%{value.name} : {value.type}"
    for lane in range(min(lanes, len(array))):
        row = array[lane, :cycles]
        more = " ..." if array.shape[1] > cycles else ""
        if isinstance(value.type, Stream):
            mean = value.type.encoding.decode(array[lane].mean(), 0)
            number = f"|{mean:.3f}|" if value.type.encoding is Encoding.SIGNED else f"{mean:+.3f}"
            yield f"  [{lane}] {''.join(HIGH if bit else LOW for bit in row)}{more}  {number}"
        else:
            width = max(len(str(int(v))) for v in row)
            yield f"  [{lane}] {' '.join(f'{int(v):{width}d}' for v in row)}{more}"
    if len(array) > lanes:
        yield f"  ... {len(array) - lanes} more lanes"


# -- VCD --------------------------------------------------------------------------------------------------------------


def vcd_text(module: Module, values: list[Value], arrays: dict[str, np.ndarray]) -> str:
    """A VCD file: a scope per layer, a variable per lane. Outside its window a value is unknown (x)."""
    plan = schedule(module)
    variables = [(value, lane) for value in values for lane in range(value.type.lanes)]
    codes = {key: _code(number + 1) for number, key in enumerate(variables)}
    changes: dict[int, list[str]] = {}
    last = 0
    for value, lane in variables:
        first, width, code = plan.first_cycle(value), _width(value), codes[value, lane]
        row = arrays[value.name][lane]
        shown: str | None = None
        for t, number in enumerate(row.tolist()):
            text = _change(int(number), width, code)
            if text != shown:
                changes.setdefault(first + t, []).append(text)
            shown = text
        if isinstance(value.type, Stream | Count):
            changes.setdefault(first + len(row), []).append(f"x{code}" if width == 1 else f"bx {code}")
        last = max(last, first + len(row))
    head = ["$version sccc $end", "$timescale 1ns $end", f"$scope module {_word(module.name)} $end"]
    head += [f"$var wire 1 {_code(0)} clk $end", *_scopes(variables, codes), "$upscope $end", "$enddefinitions $end"]
    unknown = [f"x{codes[key]}" if _width(key[0]) == 1 else f"bx {codes[key]}" for key in variables]
    body = ["#0", "$dumpvars", *unknown, "$end"]
    for cycle in range(last + 1):
        body += [f"#{cycle * PERIOD}", f"1{_code(0)}", *changes.get(cycle, [])]
        body += [f"#{cycle * PERIOD + PERIOD // 2}", f"0{_code(0)}"]
    return "\n".join([*head, *body, f"#{(last + 1) * PERIOD}", ""])


def _scopes(variables: list[tuple[Value, int]], codes: dict[tuple[Value, int], str]) -> Iterator[str]:
    layers: dict[str, list[tuple[Value, int]]] = {}
    for value, lane in variables:
        assert value.op is not None
        layers.setdefault(str(value.op.attributes.get("layer", "")) or "ports", []).append((value, lane))
    for layer, members in layers.items():
        yield f"$scope module {_word(layer)} $end"
        for value, lane in members:
            kind, width = ("wire", 1) if _width(value) == 1 else ("integer", _width(value))
            index = f"[{lane}]" if value.type.lanes > 1 else ""
            yield f"$var {kind} {width} {codes[value, lane]} {_word(value.name)}{index} $end"
        yield "$upscope $end"


def _width(value: Value) -> int:
    kind = value.type
    if isinstance(kind, Count | Total):
        return max(2, signed_width(kind.lo, kind.hi))
    if isinstance(kind, Level):
        return kind.bits + 1 + (kind.encoding is Encoding.SIGNED)
    return 1


def _change(number: int, width: int, code: str) -> str:
    if width == 1:
        return f"{number}{code}"
    return f"b{number & ((1 << width) - 1):b} {code}"


def _code(number: int) -> str:
    """An identifier of printable characters, ! to ~."""
    text = ""
    while True:
        number, digit = divmod(number, 94)
        text += chr(33 + digit)
        if number == 0:
            return text


def _word(text: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in text) or "_"
