"""Values of a run over time: as arrays, as text, or as a VCD file that GTKWave opens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from sccc.diagnostics import Location, SccError, nearest
from sccc.evaluate import evaluate
from sccc.files import write_files
from sccc.ir import Module, Operation, Value
from sccc.types import Count, Encoding, Random, Stream

LOW, HIGH = "▁", "█"

LANES, CYCLES = 8, 64
"""How much is shown as text when nothing is said."""


def trace(module: Module, x: np.ndarray, names: Iterable[str] | str = "all") -> dict[str, np.ndarray]:
    """What each operation makes of x [samples, *input shape], real units, by the result's name.

    Of hardware: streams uint8 and counts [samples, *lanes, cycles], totals and levels [samples, *lanes], as integers. Of a float
    network: real numbers [samples, *shape]. names: one or several values, or "all" that depend on the input. Raises SccError.
    """
    if any(op.dialect == "train" for op in module):
        raise SccError(
            f"module '{module.name}' learns, and has no run of its own to trace", advice="train it: `sccc train`"
        )
    if not _is_float(module):
        from sccc.backends.simulator import simulate

        return simulate(module, x, trace=names).trace
    known = {value.name for value in module.values()}
    wanted = known if names == "all" else {names} if isinstance(names, str) else set(names)
    for name in sorted(wanted - known):
        raise SccError(f"the module has no value '{name}' to trace", advice=nearest(name, known))
    found: dict[str, np.ndarray] = {}

    def watch(op: Operation, value: np.ndarray) -> None:
        if op.result is not None and op.result.name in wanted:
            found[op.result.name] = value

    evaluate(module, np.asarray(x), watch)
    return found


def _is_float(module: Module) -> bool:
    return any(op.dialect == "nn" for op in module)


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

    Behind a stream stands the number that its bits make, of signed streams the magnitude: their signs go beside them. names:
    values, or none for all streams and counts that depend on the input (of fixed point, which has none, for its numbers). vcd: also
    write all lanes and cycles of them to this file, at the clock cycles in which the hardware shows them (cycle 0: start is high).
    Raises SccError.
    """
    if _is_float(module):
        raise SccError(f"module '{module.name}' is a float network and has no streams", advice="compile it first")
    if not 0 <= sample < len(x):
        raise SccError(f"sample {sample} is outside 0 .. {len(x) - 1}", Location(option="sample"), "count from 0")
    wanted = [names] if isinstance(names, str) else list(names)
    chosen = trace(module, np.asarray(x)[sample : sample + 1], wanted or "all")
    values = [v for v in module.values() if v.name in chosen and not isinstance(v.type, Random)]
    if not wanted:
        values = [v for v in values if isinstance(v.type, Stream | Count)] or values
    arrays = {v.name: chosen[v.name][0].reshape(v.type.lanes, -1) for v in values}
    if vcd is not None:
        from sccc.vcd_file import vcd_text

        write_files({Path(vcd): vcd_text(module, {v: arrays[v.name] for v in values})})
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
