"""fold-constants changes no output, and leaves no affine op where a dense op can take it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nets import lower

from sccc.evaluate import evaluate
from sccc.ir import Module


def chain(kinds: list[str], rng: np.random.Generator) -> Module:
    """nn ops one behind the other."""
    module = Module("net")
    value = module.append("nn.input", [], {"shape": [2, 3], "name": "x"}).result
    for kind in kinds:
        shape = value.type.shape
        if kind == "dense":
            weight = rng.normal(size=(int(rng.integers(1, 5)), shape[-1]))
            bias = rng.normal(size=len(weight)) if rng.random() < 0.7 else 0.5
            attributes = {"weight": weight, "bias": bias}
        elif kind == "affine":
            part = shape[int(rng.integers(0, len(shape) + 1)) :]
            attributes = {"scale": rng.normal(size=part), "shift": rng.normal(size=shape[-1:])}
        elif kind == "reshape":
            attributes = {"shape": [value.type.lanes]}
        else:
            attributes = {}
        value = module.append(f"nn.{kind}", [value], attributes, origin=kind).result
    module.append("nn.output", [value], {"name": "y"})
    return module


@given(st.lists(st.sampled_from(("dense", "affine", "reshape", "tanh")), max_size=7), st.integers(0, 999))
def test_the_value_is_kept(kinds, seed):
    rng = np.random.default_rng(seed)
    module, x = chain(kinds, rng), rng.normal(size=(4, 2, 3))
    before = evaluate(module, x)
    folded = lower(module, {}, pipeline="fold-constants")
    np.testing.assert_allclose(evaluate(folded, x), before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        (["reshape", "affine", "dense", "affine"], ["reshape", "dense"]),
        (["dense", "dense"], ["dense"]),
        (["affine", "affine"], ["affine"]),
        (["affine", "reshape", "dense"], ["reshape", "dense"]),
        (["reshape", "dense", "tanh", "affine", "dense"], ["reshape", "dense", "tanh", "dense"]),
        (["tanh", "affine", "tanh"], ["tanh", "affine", "tanh"]),
    ],
)
def test_what_is_left(kinds, left):
    folded = lower(chain(kinds, np.random.default_rng(1)), {}, pipeline="fold-constants")
    assert [op.name.removeprefix("nn.") for op in folded.ops[1:-1]] == left


def test_a_value_that_others_read_too_stays():
    module = chain(["dense", "affine"], np.random.default_rng(1))
    dense = module.ops[1].result
    module.append("nn.output", [dense], {"name": "also"})
    assert [op.name for op in lower(module, {}, pipeline="fold-constants").ops[1:3]] == ["nn.dense", "nn.affine"]


def test_the_layer_keeps_the_name_of_its_dense_op():
    module = chain(["reshape", "affine", "dense", "affine"], np.random.default_rng(1))
    module.ops_named("nn.dense")[0].result.name = "fc1"
    (dense,) = lower(module, {}, pipeline="fold-constants").ops_named("nn.dense")
    assert (dense.result.name, dense.origin) == ("fc1", "dense")
