"""Options and Config: checked when made, with every problem; layers override the network."""

from __future__ import annotations

import dataclasses
import math

import pytest

from sccc.config import OPTION_FIELDS, Config, Options, load_config, make_config
from sccc.diagnostics import SccError


def problems(make) -> list[str]:
    with pytest.raises(SccError) as error:
        make()
    return [d.render() for d in error.value.diagnostics]


@pytest.mark.parametrize("field", OPTION_FIELDS.values(), ids=OPTION_FIELDS)
def test_every_option_is_described_and_bounded(field):
    """And its default is legal, its bounds are, and what lies beyond them is not."""
    assert field.metadata["doc"]
    assert getattr(Options(), field.name) == field.default
    lo, hi, choices = (field.metadata[key] for key in ("lo", "hi", "choices"))
    for legal in [*choices, *(bound for bound in (lo, hi) if bound is not None)]:
        assert getattr(Options(**{field.name: legal}), field.name) == legal
    beyond = ["nonsense"] if choices else [lo - 1, *([hi + 1] if hi is not None else [])]
    for value in [*beyond, None, True, [1], math.nan, math.inf]:
        place = f"error: option {field.name.replace('_', '-')}: "
        assert problems(lambda value=value: Options(**{field.name: value}))[0].startswith(place)


def test_all_problems_are_found_at_once():
    found = problems(lambda: Options(length=0, style="x", seed=-1))
    assert [p.split(":")[1] for p in found] == [" option length", " option style", " option seed"]


def test_options_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().length = 3


@pytest.mark.parametrize(
    ("length", "bits", "level_bits"),
    [(1, 0, 3), (8, 0, 3), (9, 0, 4), (64, 0, 6), (100, 0, 7), (64, 4, 4), (64, 2, 2), (1 << 20, 0, 20)],
)
def test_bits_of_levels_follow_the_length(length, bits, level_bits):
    assert Options(length=length, bits=bits).level_bits == level_bits


def test_a_whole_number_serves_where_any_number_is_wanted():
    assert make_config({"coverage": 1, "input-range": 2}).options.input_range == 2


def test_layers_override_the_network_and_only_in_what_they_name():
    config = make_config({"length": 32, "style": "streaming"}, {"fc1": {"length": 8}, "/fc/2": {"style": "accumulate"}})
    assert config.for_layer("fc1") == Options(length=8, style="streaming")
    assert config.for_layer("fc2", "/fc/2") == Options(length=32, style="accumulate")
    assert config.for_layer("other") == config.options == Options(length=32, style="streaming")


def test_a_config_file_says_the_same_as_python(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('length = 32\ninput-range = 2.0\n[layer."/fc/2"]\nstyle = "streaming"\n')
    assert load_config(path) == make_config({"length": 32, "input_range": 2.0}, {"/fc/2": {"style": "streaming"}})
    assert load_config(path, {"length": 8}).options.length == 8


def test_layers_must_exist():
    config = make_config({}, {"fc1": {}, "fcx": {"length": 8}, "out": {}})
    config_of_known = Config(config.options, {"fc1": {}})
    config_of_known.check_layers(["fc1", "fc2"])
    found = problems(lambda: config.check_layers(["fc1", "fc2"]))
    assert len(found) == 2
    assert "names a layer 'fcx'" in found[0]
    assert "did you mean 'fc" in found[0]
    assert "known: fc1, fc2" in found[1]
