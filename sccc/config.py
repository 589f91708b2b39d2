"""Options: every option, its default, its doc line and its legal values, stated once.

The command line, the TOML file and the Python API are all read from `Options`. A `Config` is one `Options` for the whole
network and overrides per layer, keyed by the layer's ONNX node name.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sccc.diagnostics import Collector, Location, SccError, nearest


def option(
    default: Any,
    doc: str,
    choices: tuple[str, ...] = (),
    lo: float | None = None,
    hi: float | None = None,
    per_layer: bool = True,
) -> Any:
    """A field of `Options`: `lo` and `hi` bound numbers, `choices` words; `per_layer` options may differ by layer."""
    return field(default=default, metadata={"doc": doc, "choices": choices, "lo": lo, "hi": hi, "per_layer": per_layer})


@dataclass(frozen=True)
class Options:
    """How a network is compiled. Values are checked on construction; raises SccError with every problem."""

    length: int = option(64, "cycles per window (the stream length N)", lo=1, hi=1 << 20)
    bits: int = option(
        0, "fractional bits of levels and random numbers; 0: log2 of the length, at least 3", lo=0, hi=20
    )
    style: str = option(
        "auto",
        "activation in binary after each window, or streaming through an FSM",
        ("auto", "accumulate", "streaming"),
    )
    encoding: str = option(
        "auto", "what a stream means; auto picks by predicted error", ("auto", "bipolar", "unipolar", "signed")
    )
    source: str = option("auto", "random sources; auto: sobol", ("auto", "sobol", "lfsr", "ramp"))
    sharing: str = option(
        "auto", "auto: one low-discrepancy pair per layer; none: a source for every SNG", ("auto", "none")
    )
    weights: str = option(
        "per-tensor", "one weight scale per layer, or one per output channel", ("per-tensor", "per-channel")
    )
    scales: str = option("any", "let weight scales be any number, or only powers of two", ("any", "power-of-two"))
    coverage: float = option(
        0.98, "share of an unbounded activation's calibrated values that its range covers; the rest saturate", lo=0.5, hi=1.0
    )
    input_range: float = option(
        0.0, "largest magnitude of the input; 0: from calibration data, else 1", lo=0.0, per_layer=False
    )
    seed: int = option(1, "seed of everything random", lo=0, hi=2**31 - 1, per_layer=False)

    def __post_init__(self) -> None:
        problems = Collector()
        for f in dataclasses.fields(self):
            _check(f, getattr(self, f.name), problems)
        problems.raise_if_any()

    @property
    def level_bits(self) -> int:
        """Fractional bits of the levels: those given, or what the length resolves, ceil(log2 N), but at least 3."""
        return self.bits or max(3, (self.length - 1).bit_length())


OPTION_FIELDS = {f.name: f for f in dataclasses.fields(Options)}


def _check(f: dataclasses.Field[Any], value: Any, problems: Collector) -> None:
    place = Location(option=f.name.replace("_", "-"))
    wanted = type(f.default)
    if isinstance(value, bool) or not isinstance(value, (int, float) if wanted is float else wanted):
        problems.add(f"'{value}' is not a {wanted.__name__}", place)
        return
    choices, lo, hi = (f.metadata[k] for k in ("choices", "lo", "hi"))
    if choices and value not in choices:
        problems.add(f"unknown value '{value}'", place, nearest(value, choices))
    if (lo is not None and not value >= lo) or (hi is not None and not value <= hi):
        problems.add(f"{value} is outside {lo} .. {hi if hi is not None else 'any'}", place, f.metadata["doc"])


@dataclass(frozen=True)
class Config:
    """Options for the network, and what differs for single layers: layer name -> option -> value."""

    options: Options = field(default_factory=Options)
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def for_layer(self, *names: str) -> Options:
        """The options of the layer that goes by any of these names."""
        overrides: dict[str, Any] = {}
        for name in names:
            overrides.update(self.layers.get(name, {}))
        return dataclasses.replace(self.options, **overrides) if overrides else self.options

    def check_layers(self, known: Iterable[str]) -> None:
        """Every layer named in the configuration must exist. Raises SccError naming the nearest for each that does not."""
        known = set(known)
        problems = Collector()
        for name in self.layers:
            if name not in known:
                problems.add(
                    f"the configuration names a layer '{name}' that the model does not have",
                    advice=nearest(name, known),
                )
        problems.raise_if_any()


def load_config(path: str | Path, base: Mapping[str, Any] | None = None) -> Config:
    """Read a TOML file: options at the top level, then a table `[layer."NAME"]` for each layer that differs.

    `base` holds options given otherwise (the command line): they win over the file's global ones. Raises SccError with every problem.
    """
    place = Location(file=str(path))
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SccError(f"cannot read the configuration: {error.strerror}", place) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SccError(f"not a TOML file: {error}", place) from error
    return make_config(
        {**{k: v for k, v in data.items() if k != "layer"}, **(base or {})}, data.get("layer", {}), place
    )


def make_config(options: Mapping[str, Any], layers: Any = None, place: Location | None = None) -> Config:
    """A Config from plain dictionaries, names with - or _. Raises SccError with every unknown or ill-valued option."""
    problems = Collector()
    checked = _known_options(options, problems, place, per_layer=False)
    layers = layers or {}
    if not isinstance(layers, Mapping) or not all(isinstance(v, Mapping) for v in layers.values()):
        problems.add("'layer' must be tables: [layer.NAME]", place)
        layers = {}
    checked_layers = {name: _known_options(values, problems, place, per_layer=True) for name, values in layers.items()}
    result = Options()
    with problems.catching():
        result = Options(**checked)
    for overrides in checked_layers.values():
        with problems.catching():
            Options(**overrides)
    problems.raise_if_any()
    return Config(result, checked_layers)


def _known_options(
    values: Mapping[str, Any], problems: Collector, place: Location | None, per_layer: bool
) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in values.items():
        key = name.replace("-", "_")
        if key not in OPTION_FIELDS:
            problems.add(f"unknown option '{name}'", place, nearest(key, OPTION_FIELDS))
        elif per_layer and not OPTION_FIELDS[key].metadata["per_layer"]:
            problems.add(f"option '{name}' holds for the whole network, not for a layer", place)
        else:
            known[key] = value
    return known
