"""Running Yosys: emitted Verilog in; gates counted and mapped modules out.

Hierarchical, nothing is flattened: a population count is synthesised once per width, a lane of a library module once. ABC's
default script is not used: its `fraig` stalls on neurons that count the same inputs. The library's full adders stay unused: ABC
cannot map cells of two outputs, and Yosys 0.23's `extract_fa` changes what a netlist computes (our check of the gates found it).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sccc.backends.synthesis.liberty import Library
from sccc.backends.synthesis.prepare import prepare
from sccc.backends.synthesis.tools import require_tools
from sccc.diagnostics import InternalError


class Emitted(Protocol):
    """Verilog text and the name of its top module."""

    @property
    def text(self) -> str: ...
    @property
    def top(self) -> str: ...


Progress = Callable[[int, int], None]

ABC_SCRIPT = "+strash;dch;amap;buffer,-c"
"""Area first, then fan-out. On a population count of 376 lanes: 52,500 um^2 in 0.3 s where `map` gives 70,100."""

ABC_SIZES = ";upsize;dnsize"
"""Sizes for speed, where there are few gates: it doubles ABC's time."""

PROCESSES = 4
"""At most so many Yosys run at a time, and no more than there are processors."""

COARSE = """
proc; opt_expr; opt_clean; opt -nodffe -nosdff; wreduce; peepopt; opt_clean; alumacc; opt; memory -nomap; opt_clean
opt -fast -full; memory_map; opt -undriven -fine; techmap; opt -fast; opt_clean
"""
"""What Yosys' own `synth` does, without its state machine and resource sharing passes."""

LIGHT = "proc; opt_expr; opt_clean; wreduce; alumacc; opt_clean; simplemap; techmap; opt_merge; opt_clean"
"""For modules of gates and sums: 266 neurons and their population counts need no more."""

FLIPFLOPS = re.compile(r"^\$_(?:S?DFF|ALDFF|SR|DLATCH)")
"""Yosys' generic flip-flops; every other `$_..._` cell is a gate."""


@dataclass(frozen=True)
class Synthesis:
    """`gates[m]`: generic cells of module m by type (instances of other modules among them). `modules`: Yosys' JSON, mapped."""

    top: str
    gates: dict[str, Counter[str]]
    modules: dict[str, Any]

    def gate_count(self, module: str = "") -> tuple[int, int]:
        """(gates, flip-flops) of a module and all below it: the top when none is named."""
        return _total(self.gates, module or self.top, {})


def _total(gates: dict[str, Counter[str]], module: str, known: dict[str, tuple[int, int]]) -> tuple[int, int]:
    if module not in known:
        combinational = flops = 0
        for kind, number in gates[module].items():
            if kind in gates:
                inner = _total(gates, kind, known)
                combinational, flops = combinational + number * inner[0], flops + number * inner[1]
            elif FLIPFLOPS.match(kind):
                flops += number
            else:
                combinational += number
        known[module] = combinational, flops
    return known[module]


def run_yosys(netlist: Emitted, library: Library | None, progress: Progress | None = None) -> Synthesis:
    """Synthesise; without a library only count generic gates.

    A gate is a cell of Yosys' default gate library (`abc -fast`: two-input gates, inverters, multiplexers), as `synth` ends with.
    """
    require_tools("yosys")
    text = prepare(netlist.text)
    processes = min(PROCESSES, os.cpu_count() or 1)
    parts = _parts(text.light, 2 * processes)
    steps = _Steps((1 + (library is not None)) * (len(text.light) + text.full.count("\nmodule ")), progress)
    gates: dict[str, Counter[str]] = {}
    modules: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="sccc_synthesis_") as temporary,
        ThreadPoolExecutor(processes) as pool,
    ):
        folder = Path(temporary)
        _write(
            folder,
            "full",
            text.full,
            text.stubs.values(),
            f"hierarchy -top {netlist.top}; {COARSE}",
            library,
            ABC_SIZES,
        )
        for number, part in enumerate(parts):
            stubs = [stub for name, stub in text.stubs.items() if name not in part]
            _write(folder, f"light_{number}", "\n".join(part.values()), stubs, LIGHT, library, "")
        names = ["full", *(f"light_{number}" for number in range(len(parts)))]
        try:
            for done in [pool.submit(_run, folder, name, steps) for name in names]:
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            steps.stop()
            raise
        for name in names:
            gates |= {m: c for m, c in _read_stat(folder / f"{name}.stat").items() if c or m not in gates}
            if library is not None:
                found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["modules"]
                modules |= {m: v for m, v in found.items() if not int(v["attributes"].get("blackbox", "0"), 2)}
    return Synthesis(netlist.top, gates, modules)


def _parts(modules: dict[str, str], number: int) -> list[dict[str, str]]:
    """The modules in so many parts of about equal length of text, the largest dealt first."""
    parts: list[dict[str, str]] = [{} for _ in range(number)]
    sizes = [0] * number
    for name, body in sorted(modules.items(), key=lambda item: -len(item[1])):
        least = sizes.index(min(sizes))
        parts[least][name] = body
        sizes[least] += len(body)
    return [part for part in parts if part]


@dataclass
class _Steps:
    """Counts the modules that ABC has taken up, in all processes, and the processes themselves, to end them."""

    total: int
    progress: Progress | None
    done: int = 0
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """End every Yosys and the ABC it has started."""
        for process in self.running:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def step(self) -> None:
        with self.lock:
            self.done += 1
            if self.progress:
                self.progress(min(self.done, self.total), self.total)


def _write(
    folder: Path, name: str, text: str, stubs: Iterable[str], script: str, library: Library | None, sizes: str
) -> None:
    (folder / f"{name}.v").write_text(text + "\n", encoding="ascii")
    (folder / f"{name}_stubs.v").write_text("\n".join(stubs) + "\n", encoding="ascii")
    lines = [f"read_verilog -lib {name}_stubs.v", f"read_verilog {name}.v", script, *_mapping(name, library, sizes)]
    (folder / f"{name}.ys").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _mapping(name: str, library: Library | None, sizes: str) -> list[str]:
    count = ["design -save gates", "abc -fast", "opt_clean", f"tee -q -o {name}.stat stat"]
    if library is None:
        return count
    liberty = os.path.realpath(library.path)
    return [
        *count,
        "design -load gates",
        f'dfflibmap -liberty "{liberty}"',
        f'abc -liberty "{liberty}" -script {ABC_SCRIPT}{sizes}',
        "opt_clean -purge",
        f"write_json {name}.json",
    ]


def _run(folder: Path, name: str, steps: _Steps) -> None:
    """Run a script; each module that ABC takes up is a step of the progress."""
    process = subprocess.Popen(
        ["yosys", "-s", f"{name}.ys"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    steps.running.append(process)
    tail: deque[str] = deque(maxlen=30)
    assert process.stdout is not None
    for line in process.stdout:
        tail.append(line)
        if "Extracting gate netlist" in line:
            steps.step()
    if process.wait():
        raise InternalError("Yosys refuses the netlist:\n" + "".join(tail))


_STAT_MODULE = re.compile(r"^=== (.+) ===$")
_STAT_CELL = re.compile(r"^\s+(\S+)\s+(\d+)$")


def _read_stat(path: Path) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    current: Counter[str] | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if module := _STAT_MODULE.match(line):
            current = None if module[1] == "design hierarchy" else found.setdefault(module[1], Counter())
        elif current is not None and (cell := _STAT_CELL.match(line)):
            current[cell[1]] += int(cell[2])
    return found
