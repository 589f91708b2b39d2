"""VGG16, ResNet18 and MobileNetV2 for 32x32 images as folded hardware: compile, lint and simulate the full ones, check narrow ones.

The full networks are made by `examples/cifar10/export.py -o FOLDER` (which needs torch); without them only the narrow ones are
checked. Times are those of `sccc` as a process: CPU seconds (user and system) beside what a clock says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sccc.report import console, table

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "cifar10"
IMAGES = str(EXAMPLE / "images.npz")
NETWORKS = ("vgg16", "resnet18", "mobilenetv2")

WAIVED = ("-Wno-DECLFILENAME", "-Wno-UNUSEDSIGNAL", "-Wno-VARHIDDEN")
"""As in the tests of small netlists: modules lie in one file, guard bits of sums are not all read, names may be used again."""


@dataclass(frozen=True)
class Run:
    """A process that has ended: seconds of the processor and of the clock, largest memory in bytes, what it printed."""

    cpu: float
    wall: float
    memory: int
    output: str

    def __str__(self) -> str:
        return f"{self.cpu:.1f} ({self.wall:.0f})"


def run(*command: str, folder: str | Path = ".") -> Run:
    """Raises CalledProcessError when the command fails. Prints what it took."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    cpu, wall = usage.ru_utime + usage.ru_stime, time.perf_counter() - started
    print(f"{cpu:.1f} CPU s, {wall:.0f} s, {usage.ru_maxrss / 1e6:.2f} GB: {' '.join(command)[:200]}", flush=True)
    return Run(cpu, wall, usage.ru_maxrss << 10, text)


def sccc(*arguments: str) -> Run:
    return run(sys.executable, "-m", "sccc.cli", *arguments)


def full(model: Path, multipliers: int, length: int, calibrated: bool) -> list[Any]:
    """Compile, lint, and simulate one image: a row of the table."""
    options = ["--length", str(length), "--multipliers", str(multipliers)]
    options += ["--calibrate", IMAGES] if calibrated else []
    with tempfile.TemporaryDirectory() as folder:
        compiled = sccc(str(model), "-o", f"{folder}/net.v", "--json", f"{folder}/bill.json", *options)
        bill = json.loads(Path(folder, "bill.json").read_text(encoding="utf-8"))
        # A warning is an error: verilator stops with it.
        lint = run("verilator", "--lint-only", "-Wall", *WAIVED, "--top-module", model.stem, "net.v", folder=folder)
        simulated = sccc("simulate", str(model), "--data", IMAGES, "--limit", "1", *options)
    figures = [bill[key] for key in ("multipliers", "interval", "cycles", "memory_bits")]
    busy = sum(row["multipliers"] * row["utilisation"] for row in bill["layers"]) / bill["multipliers"]
    memory = f"{compiled.memory / 1e9:.2f} GB"
    name = model.stem + (", calibrated" if calibrated else "")
    return [name, *figures, f"{100 * busy:.0f} %", compiled, memory, lint, simulated]


def narrow(name: str, multipliers: int, length: int) -> list[Any]:
    """Every value of every layer of the 1/8 wide network, Verilator against the simulator, one image: a row of the table."""
    options = ["--length", str(length), "--multipliers", str(multipliers), "--calibrate", IMAGES]
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/check.json"
        model = str(EXAMPLE / f"{name}_narrow.onnx")
        done = sccc(
            "check", model, "--data", IMAGES, "--samples", "1", "--simulator", "verilator", "--json", place, *options
        )
        found = json.loads(Path(place).read_text(encoding="utf-8"))
    return [name, multipliers, found["cycles"], found["compared"], found["mismatches"], done]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=str(ROOT / "build" / "cifar10"), help="folder of the full networks")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--multipliers", type=int, default=4096)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--skip-narrow", action="store_true", help="compile and simulate the full ones only")
    args = parser.parse_args(argv)
    names = args.networks.split(",")
    models = [path for name in names if (path := Path(args.models, f"{name}.onnx")).exists()]
    if models:
        headings = ["network", "multipliers", "cycles per image", "until the first result", "memory bits", "busy"]
        headings += ["compile, CPU s (clock)", "memory", "lint, s", "simulate 1 image, s"]
        rows = [full(model, args.multipliers, args.length, c) for c in (True, False) for model in models]
        console().print(table(f"full size, N = {args.length}", headings, rows))
    else:
        print(f"no full networks in {args.models}: make them with {EXAMPLE / 'export.py'} -o {args.models}")
    if not args.skip_narrow:
        headings = ["network, width 1/8", "multipliers", "cycles", "values compared", "different", "CPU s (clock)"]
        rows = [narrow(name, args.multipliers, args.length) for name in names]
        console().print(table(f"checked in Verilator, N = {args.length}", headings, rows))


if __name__ == "__main__":
    main()
