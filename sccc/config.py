"""Options: every option, its default, its doc line and its legal values, stated once.

The command line, the TOML file and the Python API are all read from `Options`. A `Config` is one `Options` for the whole
network and overrides per layer, keyed by the layer's ONNX node name.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sccc.diagnostics import Collector, Diagnostic, Location, SccError, nearest


def option(
    default: Any,
    doc: str,
    choices: tuple[str, ...] = (),
    lo: float | None = None,
    hi: float | None = None,
    per_layer: bool = True,
    power: bool = False,
) -> Any:
    """A field of options: `lo` and `hi` bound numbers, `choices` words; `per_layer` options may differ by layer; `power`: a number
    other than 0 must be a power of two."""
    facts = {"doc": doc, "choices": choices, "lo": lo, "hi": hi, "per_layer": per_layer, "power": power}
    return field(default=default, metadata=facts)


FIXED_WIDTH = 8
"""Bits of a fixed-point number when none are given."""


@dataclass(frozen=True)
class Options:
    """How a network is compiled. Values are checked on construction; raises SccError with every problem."""

    length: int = option(64, "cycles per window (the stream length N)", lo=1, hi=1 << 20)
    bits: int = option(
        0,
        "fractional bits of levels and random numbers, 0: log2 of the length, at least 3; "
        "style fixed: bits of a number with its sign, 0: 8",
        lo=0,
        hi=20,
    )
    style: str = option(
        "auto",
        "activation in binary after each window, or streaming through an FSM; fixed: no streams, but fixed-point numbers",
        ("auto", "accumulate", "streaming", "fixed"),
    )
    encoding: str = option(
        "auto", "what a stream means; auto picks by predicted error", ("auto", "bipolar", "unipolar", "signed")
    )
    sng: str = option(
        "comparator",
        "what makes the streams of levels: comparators, or weighted binary generators, which are half as large; smaller: the one "
        "with fewer gates in each layer",
        ("comparator", "wbg", "smaller"),
    )
    source: str = option("auto", "random sources; auto: sobol", ("auto", "sobol", "lfsr", "ramp"))
    sharing: str = option(
        "auto",
        "auto: one low-discrepancy pair per layer; none: a source for every SNG; max: the fewest sources in all, no masks",
        ("auto", "none", "max"),
    )
    error_budget: float = option(
        0.0,
        "largest RMS error of a layer's total, in standard deviations of its output on calibration data: "
        "the cheapest sources within it are searched for; 0: none given",
        lo=0.0,
    )
    shorten: str = option(
        "no",
        "yes: within an error budget, give each layer that accumulates the shortest window, of at most --length; "
        "the rounding of its levels is part of its error then",
        ("no", "yes"),
    )
    pooling: str = option(
        "counting",
        "images are pooled by counting (levels are compared and added), or as streams: the maximum by OR of streams that share "
        "their source, the mean by counting their ones",
        ("counting", "streams"),
    )
    adder: str = option(
        "apc",
        "what adds the products of a dense layer in a cycle: an accurate parallel counter, or a counter behind OR or MUX adders, "
        "which are smaller and err",
        ("apc", "or", "mux"),
    )
    adder_inputs: int = option(4, "lines that an OR or MUX adder joins; of a MUX a power of two", lo=2, hi=64)
    weights: str = option(
        "auto",
        "one weight scale per layer, or one per output channel; auto: per channel in convolutions",
        ("auto", "per-tensor", "per-channel"),
    )
    scales: str = option("any", "let weight scales be any number, or only powers of two", ("any", "power-of-two"))
    coverage: float = option(
        0.0,
        "range of an unbounded activation: the share of its calibrated values that is covered, while the rest saturate; "
        "0: the range with which rounding and saturating err least (mean square)",
        lo=0.0,
        hi=1.0,
    )
    multipliers: int = option(
        0,
        "folded hardware: products of bits that work at once, in all, or in a layer; 0: as many as --cycles wants, else all",
        lo=0,
    )
    cycles: int = option(
        0, "folded hardware: cycles per inference that no layer may exceed; 0: see --multipliers", lo=0, per_layer=False
    )
    input_range: float = option(
        0.0, "largest magnitude of the input; 0: from calibration data, else 1", lo=0.0, per_layer=False
    )
    seed: int = option(1, "seed of everything random", lo=0, hi=2**31 - 1, per_layer=False)

    def __post_init__(self) -> None:
        problems = Collector()
        check_fields(self, problems)
        if self.bits == 1 and self.style != "fixed":
            advice = "take at least 2 bits, or 0 for what the length resolves"
            problems.add("sources of 1 bit are all alike", Location(option="bits"), advice)
        if self.style == "fixed" and self.bits == 1:
            problems.add("1 bit is a sign and no number", Location(option="bits"), "style fixed wants at least 2 bits")
        problems.raise_if_any()

    @property
    def level_bits(self) -> int:
        """Fractional bits of the levels: those given, or what the length resolves, ceil(log2 N), but at least 3."""
        return self.bits or max(3, (self.length - 1).bit_length())

    def fraction_bits(self, signed: bool) -> int:
        """Fractional bits of a level: of fixed-point numbers their width without the sign, else `level_bits`."""
        return (self.bits or FIXED_WIDTH) - signed if self.style == "fixed" else self.level_bits


OPTION_FIELDS = {f.name: f for f in dataclasses.fields(Options)}

LAYER_ADVICE = 'write a table for each layer that differs: [layer."NAME"], the name in quotes'


def check_fields(options: Any, problems: Collector) -> None:
    """Each field of a dataclass of options that is made by `option`, against what it permits."""
    for f in dataclasses.fields(options):
        if "doc" in f.metadata:
            _check(f, getattr(options, f.name), problems)


def _check(f: dataclasses.Field[Any], value: Any, problems: Collector) -> None:
    place = Location(option=f.name.replace("_", "-"))
    wanted: Any = type(f.default)
    accepted = (int, float) if wanted is float else wanted
    if isinstance(value, bool) or not isinstance(value, accepted):
        problems.add(f"'{value}' is not {_KINDS[wanted]}", place, f.metadata["doc"])
        return
    choices, lo, hi = (f.metadata[k] for k in ("choices", "lo", "hi"))
    if choices and value not in choices:
        problems.add(f"unknown value '{value}'", place, nearest(str(value), choices))
    if wanted is float and not math.isfinite(value):
        problems.add(f"{value} is not a finite number", place, f.metadata["doc"])
    elif (lo is not None and value < lo) or (hi is not None and value > hi):
        bounds = f"outside {lo} .. {hi}" if hi is not None else f"less than {lo}"
        problems.add(f"{value} is {bounds}", place, f.metadata["doc"])
    elif f.metadata["power"] and int(value) & (int(value) - 1):
        problems.add(f"{value} is no power of two", place, f.metadata["doc"])


_KINDS: dict[type, str] = {int: "a whole number", float: "a number", str: "text"}


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
                    Location(option=f'layer."{name}"'),
                    nearest(name, known),
                )
        problems.raise_if_any()


def load_config(path: str | Path, base: Mapping[str, Any] | None = None) -> Config:
    """Read a TOML file: options at the top level, then a table `[layer."NAME"]` for each layer that differs.

    `base` holds options given otherwise (the command line): they win over the file's global ones. Raises SccError with
    every problem.
    """
    place = Location(file=str(path))
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SccError(
            f"cannot read the configuration: {error.strerror}", place, "give the path of a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SccError(f"not a TOML file: {error}", place, "write lines like: length = 64") from error
    options = {name: value for name, value in data.items() if name != "layer"}
    return make_config(options, data.get("layer", {}), place, base)


def make_config(
    options: Mapping[str, Any],
    layers: Any = None,
    place: Location | None = None,
    base: Mapping[str, Any] | None = None,
) -> Config:
    """A Config from plain dictionaries, names with - or _. Raises SccError with every unknown or ill-valued option.

    `place` is where `options` and `layers` come from. `base` holds options given elsewhere, which win over `options`.
    """
    problems = Collector()
    place = place or Location()
    over = _checked(base or {}, problems, Location(), "")
    checked = {**_checked(options, problems, place, "", shadowed=over), **over}
    layers = {} if layers is None else layers
    if not isinstance(layers, Mapping):
        problems.add(f"'{layers}' is not a table", dataclasses.replace(place, option="layer"), LAYER_ADVICE)
        layers = {}
    checked_layers = {}
    for name, values in layers.items():
        if isinstance(values, Mapping):
            checked_layers[name] = _checked(values, problems, place, name)
        else:
            problems.add(f"'{values}' is not a table", dataclasses.replace(place, option=f"layer.{name}"), LAYER_ADVICE)
    problems.raise_if_any()
    return Config(Options(**checked), checked_layers)


def _checked(
    values: Mapping[str, Any], problems: Collector, place: Location, layer: str, shadowed: Iterable[str] = ()
) -> dict[str, Any]:
    """The options in `values` that are known and well-valued, those of `layer` when it is not ''; problems at `place`."""
    known: dict[str, Any] = {}
    for name, value in values.items():
        key = name.replace("-", "_")
        where = dataclasses.replace(place, option=f'layer."{layer}".{name}' if layer else place.file and name)
        if key not in OPTION_FIELDS:
            advice = LAYER_ADVICE if layer and isinstance(value, Mapping) else nearest(key, OPTION_FIELDS)
            problems.add(f"unknown option '{name}'", where, advice)
        elif layer and not OPTION_FIELDS[key].metadata["per_layer"]:
            advice = "move it to the top of the file, before the first [layer.NAME]"
            problems.add(f"option '{name}' holds for the whole network, not for a layer", where, advice)
        elif key in known:
            problems.add(f"option '{name}' is given twice, with - and with _", where, "keep one of them")
        elif key not in shadowed:
            found = Collector()
            _check(OPTION_FIELDS[key], value, found)
            if not found.diagnostics:
                known[key] = value
            for each in found.diagnostics:
                placed = where if where.option else each.location
                problems.diagnostics.append(Diagnostic(each.message, placed, each.advice))
    return known
