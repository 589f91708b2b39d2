"""The public API: compile, load, parse, simulate, check, emit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sccc.config import Config, Options, make_config
from sccc.diagnostics import Location, SccError
from sccc.ir import Module
from sccc.passes import DEFAULT_PIPELINE, Pass, PassContext, parse_pipeline, run_passes


def load(path: str | Path) -> Module:
    """Read a model: an .onnx file as an nn module, a .sc file as whatever it holds. Raises SccError."""
    path = Path(path)
    if path.suffix == ".sc":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SccError(
                f"cannot read the file: {reason}", Location(file=str(path)), "give the path of a .sc file"
            ) from error
        return parse(text, str(path))
    from sccc.frontend import load_onnx

    return load_onnx(path)


def parse(text: str, filename: str = "<text>") -> Module:
    """A module from its text form, verified. Raises SccError with line, column and caret."""
    from sccc.text import parse_module
    from sccc.verify import verify

    module = parse_module(text, filename)
    verify(module)
    return module


def compile(
    model: str | Path | Module,
    *,
    calibration: np.ndarray | None = None,
    config: Config | None = None,
    passes: str | list[Pass] = "",
    layers: Mapping[str, Mapping[str, Any]] | None = None,
    warnings: list[str] | None = None,
    watch: Callable[[Pass, Module], None] | None = None,
    **options: Any,
) -> Module:
    """Compile a model to an sc module, ready to simulate and emit.

    model: a path (.onnx or .sc) or an nn module. calibration: input samples [samples, *input shape] in real units, from which
    activation ranges and variances are measured. options: see `sccc.config.Options` (length=64, style="streaming", ...);
    `layers` overrides them per layer. passes: a pipeline instead of the default one. An sc module is returned as it is unless
    `passes` says otherwise. `warnings` receives what the user should know; `watch` sees the module after each pass. Raises
    SccError with every problem.
    """
    if config is not None and (options or layers):
        raise SccError("options are given twice: as a config and by name", advice="put all of them into the config")
    config = config or make_config(options, layers)
    module = load(model) if not isinstance(model, Module) else model.clone()
    context = PassContext(config, calibration, _traced, warnings if warnings is not None else [])
    if isinstance(passes, str):
        is_nn = any(op.dialect == "nn" for op in module)
        if not (passes or is_nn) and (config.layers or replace(config.options, seed=Options().seed) != Options()):
            context.warnings.append(f"module '{module.name}' is hardware already: compilation options do not change it")
        passes = parse_pipeline(passes or DEFAULT_PIPELINE) if passes or is_nn else []
    return run_passes(module, passes, context, watch)


def _traced(module: Module, x: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    from sccc.backends.simulator import simulate

    return simulate(module, x, trace=names).trace


def emit(module: Module) -> str:
    """The module as Verilog-2005 text. Raises SccError when it is not all hardware."""
    return emit_files(module, "")[""]


def emit_files(module: Module, name: str) -> dict[str, str]:
    """The module as Verilog-2005 text under `name`, and the memories that it reads when it runs (those of folded hardware)."""
    if module.ops_named("train.input"):
        from sccc.backends.verilog.training import emit_training

        return {name: emit_training(module).text}
    from sccc.backends.verilog import emit_netlist

    netlist = emit_netlist(module)
    return {name: netlist.text, **netlist.files}
