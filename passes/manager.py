"""Passes, and the manager that runs a pipeline of them.

A pass is a frozen dataclass: its fields are its options, in Python and in the pipeline text
(`quantize{weights=per-channel},share-sngs`). The module is verified before the first pass and after each one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sccc.config import OPTION_FIELDS, Config, Options
from sccc.diagnostics import Collector, Location, SccError, caret_excerpt, nearest
from sccc.ir import Module, Operation
from sccc.verify import verify


@dataclass
class PassContext:
    """What passes may look at besides the module.

    `calibration`: input samples [samples, *input shape] in real units, or None. `simulate(module, x, names)` gives the
    traced values of a module (the public API puts the simulator in here, so that no pass imports a backend). `warnings`
    collects what the user should know.
    """

    config: Config = field(default_factory=Config)
    calibration: np.ndarray | None = None
    simulate: Callable[[Module, np.ndarray, list[str]], dict[str, np.ndarray]] | None = None
    warnings: list[str] = field(default_factory=list)

    def layer_options(self, op: Operation) -> Options:
        """The options of the layer that an op is or belongs to, with the length that shorten-streams has given an nn op."""
        a = op.attributes
        name = str(a["layer"]) if "layer" in a else op.result.name if op.result is not None else ""
        options = self.config.for_layer(name, op.origin, str(a.get("activation_origin", "")))
        length = int(a.get("length", 0)) if op.dialect == "nn" and options.style != "fixed" else 0
        return dataclasses.replace(options, length=length) if length else options


@dataclass(frozen=True)
class Pass:
    """Base of all passes. The docstring's first line is its description in `sccc passes`."""

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """An option that is called like one of the compilation takes the same values; '' leaves it to those."""
        problems = Collector()
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if value != f.default and f.name in OPTION_FIELDS:
                with problems.catching():
                    Options(**{f.name: value})
        problems.raise_if_any()

    def run(self, module: Module, context: PassContext) -> Module:
        """The transformed module, which may be the one given, changed. Raises SccError where the input does not permit it."""
        raise NotImplementedError(self.name)

    def __str__(self) -> str:
        options = [
            f"{f.name.replace('_', '-')}={getattr(self, f.name)}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        ]
        return self.name + (f"{{{' '.join(options)}}}" if options else "")


class PassRegistry:
    """Passes by name."""

    def __init__(self) -> None:
        self._passes: dict[str, type[Pass]] = {}

    def register(self, cls: type[Pass]) -> type[Pass]:
        if cls.name in self._passes:
            raise ValueError(f"pass {cls.name} is registered twice")
        self._passes[cls.name] = cls
        return cls

    def __contains__(self, name: str) -> bool:
        return name in self._passes

    def __getitem__(self, name: str) -> type[Pass]:
        return self._passes[name]

    def __iter__(self) -> Any:
        return iter(self._passes.values())

    def names(self) -> list[str]:
        return list(self._passes)


PASSES = PassRegistry()
register = PASSES.register

_ITEM = re.compile(r"\s*(?P<name>[A-Za-z][\w-]*)\s*(?:\{(?P<options>[^{}]*)\})?\s*(?P<end>,|$)")
_OPTION = re.compile(r"\s*(?P<key>[A-Za-z][\w-]*)\s*=\s*(?P<value>[^\s,=]+)\s*,?")


def parse_pipeline(text: str) -> list[Pass]:
    """The passes of a pipeline text, `name{option=value option=value},name`. Raises SccError with a caret at the fault."""
    passes: list[Pass] = []
    position = 0
    while position < len(text) or not passes:
        match = _ITEM.match(text, position)
        if match is None:
            raise _pipeline_error(
                text, _fault(text, position), "expected a pass, as name{option=value} with commas between passes"
            )
        name = match["name"]
        if name not in PASSES:
            raise _pipeline_error(text, match.start("name"), f"unknown pass '{name}'", nearest(name, PASSES.names()))
        options = _parse_options(text, match, PASSES[name])
        passes.append(PASSES[name](**options))
        position = match.end()
        if match["end"] == "," and not text[position:].strip():
            raise _pipeline_error(text, position, "expected a pass after the comma")
    return passes


def _parse_options(text: str, match: re.Match[str], cls: type[Pass]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if match["options"] is None:
        return options
    fields = {f.name.replace("_", "-"): f for f in dataclasses.fields(cls)}
    position, end = match.start("options"), match.end("options")
    while text[position:end].strip():
        item = _OPTION.match(text, position, end)
        if item is None:
            raise _pipeline_error(text, position, "expected option=value")
        key = item["key"].replace("_", "-")
        if key in fields and fields[key].name in options:
            raise _pipeline_error(text, item.start("key"), f"option '{key}' is given twice")
        if key not in fields:
            raise _pipeline_error(
                text, item.start("key"), f"pass '{cls.name}' has no option '{key}'", nearest(key, fields)
            )
        convert: Callable[[str], Any] = _converter(type(fields[key].default))
        try:
            options[fields[key].name] = convert(item["value"])
            cls(**{fields[key].name: options[fields[key].name]})
        except ValueError:
            wanted = type(fields[key].default).__name__
            raise _pipeline_error(text, item.start("value"), f"'{item['value']}' is not a {wanted}") from None
        except SccError as error:
            problem = error.diagnostics[0]
            raise _pipeline_error(text, item.start("value"), problem.message, problem.advice) from None
        position = item.end()
    return options


def _converter(kind: type) -> Callable[[str], Any]:
    def to_bool(text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"

    return to_bool if kind is bool else kind


def _fault(text: str, position: int) -> int:
    """Where what should be a pass at `position` ceases to look like one."""
    begun = re.compile(r"\s*([A-Za-z][\w-]*\s*)?").match(text, position)
    return begun.end() if begun else position


def _pipeline_error(text: str, position: int, message: str, advice: str = "") -> SccError:
    advice = advice or "see `sccc passes`"
    line, begin = text.count("\n", 0, position) + 1, text.rfind("\n", 0, position) + 1
    return SccError(message, Location(option="--passes"), advice, caret_excerpt(text, line, position - begin + 1))


def run_passes(
    module: Module, passes: list[Pass], context: PassContext, watch: Callable[[Pass, Module], None] | None = None
) -> Module:
    """Run passes in order, verifying the module before the first and after each, then showing it to `watch`. Raises SccError."""
    verify(module)
    for each in passes:
        module = each.run(module, context)
        verify(module)
        if watch is not None:
            watch(each, module)
    return module
