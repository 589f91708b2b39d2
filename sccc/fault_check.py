"""Faults in RTL against the simulator: the same bits flip in both, and every cycle of every value must be the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from sccc.backends.simulator import Simulator
from sccc.backends.simulator.flip_sites import FlipSite
from sccc.backends.simulator.flips import PRODUCT, STATE, FlipSource, W, X, flip_positions
from sccc.backends.verilog import Netlist, emit_netlist
from sccc.backends.verilog.icarus import require_icarus, run_icarus
from sccc.backends.verilog.injection import Injection, fault_text, mask_words
from sccc.backends.verilog.testbench import Testbench, emit_testbench
from sccc.cells import Race
from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.ops import REGISTRY
from sccc.ops.source import input_levels
from sccc.rtl_check import CheckResult, read_result

PLACES = {"x": X, "w": W, "product": PRODUCT, "state": STATE}


def fault_testbench(
    module: Module,
    x: np.ndarray,
    stem: str,
    *,
    flip_rate: float = 0.0,
    flips: Iterable[str] = ("operand",),
    flip_sites: Iterable[FlipSite] = (),
    seed: int = 1,
) -> tuple[Netlist, Testbench]:
    """A netlist with places for faults, and a self-checking testbench that flips bits in it as the simulator does.

    The options are those of `Simulator`. Raises SccError where the netlist or the module cannot have such faults.
    """
    netlist = emit_netlist(module, injectable=True)
    assert isinstance(netlist, Netlist)
    names = [seen.value.name for seen in netlist.observables]
    simulator = Simulator(
        module, trace=names, flip_rate=flip_rate, flips=flips, flip_sites=flip_sites, seed=seed
    )  # fmt: skip
    source = simulator.builder.flips
    if source is None:
        raise SccError("no bits are to flip", advice="give a rate above 0, or sites")
    result = simulator.run(x)
    number = simulator.builder.number
    used = [each for each in netlist.injections if source.touches(number[each.op], PLACES[each.what])]
    (op,) = module.inputs
    levels = input_levels(op, np.asarray(x, dtype=np.float64).reshape(len(x), *op.attributes["shape"]))
    text = fault_text(used, stem, len(x))
    bench = emit_testbench(netlist, stem, levels.reshape(len(x), -1), result.trace, result.cycles, text)
    masks = {
        f"{stem}_flips_{k}.hex": mask_words(_masks(source, each, number[each.op], len(x), result.cycles))
        for k, each in enumerate(used)
    }
    return netlist, Testbench({**bench.files, **masks}, bench.main, bench.cycles)


def _masks(source: FlipSource, each: Injection, number: int, samples: int, taken: np.ndarray | None) -> np.ndarray:
    """Which bits flip: uint8 [samples, cycles, width]. taken: cycles [samples] of windows that a sum of sc.race may end."""
    masks = np.zeros((samples, each.cycles, each.width), dtype=np.uint8)
    for sample in range(samples):
        drawn = source.draw(sample, number, PLACES[each.what], each.width, each.cycles)
        for lane, cycle in flip_positions(drawn, each.cycles):
            masks[sample, cycle, lane] ^= 1
        if taken is not None and isinstance(REGISTRY[each.op.name].cell, Race):
            masks[sample, taken[sample] :] = 0
    return masks


def check_faults(
    module: Module, x: np.ndarray, *, alter: Callable[[str], str] | None = None, **options: object
) -> CheckResult:
    """Run the netlist with flipped bits in Icarus and compare every cycle; options of `fault_testbench`.

    `alter` may change the netlist's text: that is how tests plant other faults. Raises SccError, also when Icarus is missing.
    """
    require_icarus()
    netlist, bench = fault_testbench(module, x, "tb", **options)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="sccc_faults_") as temporary:
        text = alter(netlist.text) if alter else netlist.text
        for name, content in {"net.v": text, **bench.files}.items():
            (Path(temporary) / name).write_text(content, encoding="ascii")
        output = run_icarus(Path(temporary), [bench.main, "net.v"])
    return read_result(output, netlist, len(x), bench.cycles)
