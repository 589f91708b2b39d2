"""The manager verifies before the first pass and after each: a pass that breaks a module is caught at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from nets import Spec, build, context, data

from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.passes import DEFAULT_PIPELINE, Pass, parse_pipeline, run_passes


def pipeline_with(broken: Pass, behind: str):
    passes = parse_pipeline(DEFAULT_PIPELINE)
    position = next(i for i, each in enumerate(passes) if each.name == behind)
    return [*passes[: position + 1], broken, *passes[position + 1 :]]


def breaking(damage) -> Pass:
    @dataclass(frozen=True)
    class Broken(Pass):
        name: ClassVar[str] = "broken"

        def run(self, module: Module, context) -> Module:
            damage(module)
            return module

    return Broken()


def same_source(module):
    for dot in module.ops_named("sc.dot"):
        dot.operands[1].op.operands[1].op.attributes["index"] = 0


def wrong_order(module):
    module.ops.reverse()


def wrong_type(module):
    sng = module.ops_named("sc.sng")[0]
    sng.attributes["length"] += 1


def unknown_attribute(module):
    module.ops_named("sc.dot")[0].attributes["colour"] = "blue"


def no_attribute(module):
    del module.ops_named("sc.constant")[0].attributes["levels"]


def levels_too_large(module):
    constant = module.ops_named("sc.constant")[0]
    constant.attributes["levels"] = constant.attributes["levels"] * 100


def twice_the_same_name(module):
    a, b = list(module.values())[:2]
    b.name = a.name


@pytest.mark.parametrize(
    ("damage", "message"),
    (
        (same_source, "correlated"),
        (wrong_order, "which no operation before it defines"),
        (wrong_type, "its operands make it"),
        (unknown_attribute, "unknown attribute 'colour'"),
        (no_attribute, "attribute 'levels' is missing"),
        (levels_too_large, "levels must lie in"),
        (twice_the_same_name, "is defined twice"),
    ),
)
def test_a_pass_that_breaks_the_module(damage, message):
    spec = Spec((4, 3, 2))
    after = []

    @dataclass(frozen=True)
    class Witness(Pass):
        name: ClassVar[str] = "witness"

        def run(self, module, context):
            after.append(module)
            return module

    passes = pipeline_with(breaking(damage), "share-sngs")
    position = next(i for i, each in enumerate(passes) if each.name == "broken")
    passes.insert(position + 1, Witness())
    with pytest.raises(SccError, match=message):
        run_passes(build(spec), passes, context({}, data(spec, 9)))
    assert not after


def test_what_comes_in_is_verified_too():
    module = build(Spec((4, 3, 2)))
    module.ops_named("nn.dense")[0].attributes["weight"] = np.ones((3, 5))
    with pytest.raises(SccError, match="does not fit an input"):
        run_passes(module, [], context({}))


def test_an_empty_pipeline_changes_nothing():
    module = build(Spec((4, 3, 2)))
    assert run_passes(module, [], context({})) is module


def test_broken_ops_are_told_without_those_that_follow_from_them():
    """The dot product behind a constant without levels is not a second problem."""
    spec = Spec((4, 3, 2))
    with pytest.raises(SccError) as caught:
        run_passes(build(spec), pipeline_with(breaking(no_attribute), "share-sngs"), context({}, data(spec, 9)))
    assert len(caught.value.diagnostics) == 1
