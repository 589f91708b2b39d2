"""sccc ops and sccc passes are printed from the registries; help tells of every command and option."""

from __future__ import annotations

import dataclasses

import pytest

from sccc.config import OPTION_FIELDS
from sccc.ops import REGISTRY
from sccc.passes import DEFAULT_PIPELINE, PASSES


def test_every_operation_is_listed_with_its_description(ok):
    out = ok("ops").out
    assert len(out.splitlines()) == len(list(REGISTRY)) > 20
    for op in REGISTRY:
        assert f"\n{op.name}(" in "\n" + out
        assert op.doc in out


def test_one_operation_is_shown_in_full(ok):
    for op in REGISTRY:
        out = ok("ops", op.name).out
        assert out.startswith(f"{op.name}(")
        assert all(f"    {name} (" in out for name in op.attributes)
        assert f"latency {op.latency}" in out
    assert "needs: uncorrelated %x, %w" in ok("ops", "sc.dot").out


def test_every_pass_is_listed_with_its_description_and_options(ok):
    out = ok("passes").out
    for each in PASSES:
        block = out.split(f"{each.name}: ")[1]
        assert block.startswith(each.__doc__.splitlines()[0])
        for field in dataclasses.fields(each):
            assert f"    {field.name.replace('_', '-')}=" in block
    assert f"default pipeline: {DEFAULT_PIPELINE}" in out


def test_one_pass_is_shown_alone(ok):
    out = ok("passes", "quantize").out
    assert out.startswith("quantize: ")
    assert "share-sngs" not in out


@pytest.mark.parametrize("kind", ["ops", "passes"])
def test_an_unknown_name_is_told_with_the_nearest(refused, kind):
    name, near = {"ops": ("sc.dott", "sc.dot"), "passes": ("quantise", "quantize")}[kind]
    result = refused(kind, name)
    assert f"'{name}'" in result.err
    assert f"did you mean '{near}'?" in result.err


@pytest.mark.parametrize("command", ["compile", "simulate", "check"])
def test_help_tells_of_every_option(command, capsys):
    from sccc.cli import main

    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in OPTION_FIELDS.items():
        assert "--" + name.replace("_", "-") in text
        assert " ".join(field.metadata["doc"].split()[:3]) in text
    for option in ("--config", "--calibrate", "--passes", "--json", "--verbose"):
        assert option in text


def test_without_arguments_the_help_is_shown(ok, capsys):
    assert "usage: sccc" in ok().out
