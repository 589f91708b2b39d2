"""What the ops and the verifier refuse: with the op's place, the reason, and never with another exception."""

from __future__ import annotations

import numpy as np
import pytest
from nets import one_layer

from sccc.diagnostics import SccError
from sccc.ir import Module, Operation, Value
from sccc.types import Stream
from sccc.verify import verify

LEVELS = [[3, -4], [5, 16]]


def made(**options) -> Module:
    return one_layer("unipolar", "signed", LEVELS, 16, 4, **options)


@pytest.mark.parametrize(
    "sources",
    (
        ({"index": 3}, {"index": 3}),
        ({"kind": "ramp"}, {"kind": "ramp"}),
        ({"kind": "lfsr", "index": 5}, {"kind": "lfsr", "index": 5}),
        ({"kind": "lfsr", "index": 5}, {"kind": "lfsr", "index": 21}),
        ({"index": 0}, {"kind": "scrambled", "index": 0}),
        ({"index": np.array([0, 4])}, {"index": np.array([[1, 2], [2, 4]])}),
    ),
    ids=("sobol", "ramp", "lfsr", "lfsr-equal-mod-period", "the-same-by-another-name", "one-lane"),
)
@pytest.mark.parametrize("length", (1, 3, 16))
def test_the_same_source_for_both_operands(sources, length):
    module = one_layer("unipolar", "signed", LEVELS, length, 4, sources=sources)
    with pytest.raises(SccError, match="both compare with the same random numbers") as caught:
        verify(module)
    (diagnostic,) = caught.value.diagnostics
    assert "%x and %w are correlated" in diagnostic.message and "sc.dot" in str(diagnostic.location)
    assert diagnostic.advice


def test_sources_that_only_look_different():
    """A mask over the same source is no independent source, unless it is long enough ago: it is measured."""
    module = one_layer("unipolar", "signed", LEVELS, 64, 6)
    rw = module.value("w").op.operands[1]
    rw.op.attributes["index"] = 0
    masked = module.append("sc.mask", [rw], {"masks": np.array(1), "layer": "one"}, before=module.value("w").op)
    module.value("w").op.operands[1] = masked.result
    with pytest.raises(SccError, match="times as much from a product as independent streams do"):
        verify(module)


def broken(change) -> Module:
    module = made()
    change(module)
    return module


def attribute(name: str, **attributes):
    return lambda module: module.value(name).op.attributes.update(attributes)


@pytest.mark.parametrize(
    ("change", "message"),
    (
        (attribute("x", length=8), "its operands make it"),
        (attribute("weights", bits=5), "its operands make it"),
        (attribute("weights", encoding="octal"), "unknown encoding 'octal'"),
        (attribute("weights", levels=np.array([[17, 0], [0, 0]])), r"levels must lie in -16 \.\. 16"),
        (attribute("weights", levels=np.array([[0.5, 0], [0, 0]])), "levels must be integers"),
        (attribute("weights", levels="none"), "must be of kind tensor"),
        (attribute("weights", levels=np.array([1, 2])), "its operands make it"),
        (attribute("x", length=0), "outside 1"),
        (attribute("x", length=True), "must be of kind int"),
        (attribute("y", initial=np.array([1, 2, 3])), "initial must hold one integer, or 2 of them"),
        (attribute("y", initial=np.array([], dtype=int)), "initial must hold one integer"),
        (attribute("y", initial=np.array([0.5, 1.0])), "initial must hold one integer"),
        (attribute("level", bits=99), r"bits = 99 is outside"),
        (attribute("level", shape=[]), "must be a list of positive sizes"),
        (attribute("y", colour=1), "unknown attribute 'colour'"),
        (lambda m: m.value("y").op.operands.append(m.value("count")), "takes 1 operands and has 2"),
        (lambda m: m.value("y").op.operands.__setitem__(0, m.value("x")), "must be a count, and is stream"),
    ),
)
def test_bad_attributes_and_operands(change, message):
    with pytest.raises(SccError, match=message):
        verify(broken(change))


def test_streams_of_different_lengths():
    module = made()
    w = module.value("w")
    w.op.attributes["length"] = 8
    w.type = Stream(w.type.shape, w.type.encoding, 8)
    with pytest.raises(SccError, match="streams of 16 and of 8 cycles meet"):
        verify(module)


def test_bits_of_levels_and_random_numbers_must_agree():
    module = made()
    random = module.append("sc.source", [], {"kind": "sobol", "bits": 7, "layer": "one"}).result
    with pytest.raises(SccError, match="a level of 4 bits is compared with random numbers of 7"):
        module.append("sc.sng", [module.value("level"), random], {"length": 16})


def append(name: str, operands, **attributes):
    module = made()
    return module.append(name, [module.value(v) for v in operands], attributes)


@pytest.mark.parametrize(
    ("name", "operands", "attributes", "message"),
    (
        ("sc.mask", ["source"], {"masks": np.array([16])}, "masks must be integers in 0 .. 15"),
        ("sc.mask", ["source"], {"masks": np.array([-1])}, "masks must be integers in 0 .. 15"),
        ("sc.mask", ["x"], {"masks": 1}, "must be a random, and is stream"),
        ("sc.source", [], {"kind": "dice", "bits": 4}, "unknown kind of source 'dice'"),
        ("sc.source", [], {"kind": "sobol", "index": 16, "bits": 4}, "use kind scrambled"),
        ("sc.source", [], {"kind": "lfsr", "index": -1, "bits": 4}, "not negative"),
        ("sc.source", [], {"kind": "lfsr", "width": 2, "bits": 4}, r"must lie in 4 \.\. 32"),
        ("sc.source", [], {"kind": "lfsr", "width": 40, "bits": 4}, r"must lie in 4 \.\. 32"),
        ("sc.btanh", ["count"], {"states": 1}, "states must be at least 2"),
        ("sc.btanh", ["count"], {"states": np.array([2, 2, 2])}, "states must hold one integer, or 2 of them"),
        ("sc.btanh", ["count"], {"states": 2.5}, "states must hold"),
        ("sc.relu", ["count"], {"threshold": 0, "depth": 1}, "threshold must be at least 1"),
        ("sc.relu", ["count"], {"threshold": 1, "depth": -1}, "depth must be at least 0"),
        ("sc.rescale", ["y"], {"mult": -1, "shift": 0, "lo": 0, "hi": 1}, "mult must be at least 0"),
        ("sc.rescale", ["y"], {"mult": 1, "shift": 41, "lo": 0, "hi": 1}, "shift = 41 is outside"),
        ("sc.rescale", ["y"], {"mult": 1, "shift": 0, "lo": 2, "hi": 1}, "lo = 2 is greater than hi = 1"),
        ("sc.level", ["y"], {"encoding": "unipolar", "bits": 4}, "does not fit unipolar levels of 4 bits"),
        ("sc.lookup", ["y"], {"table": np.zeros(3, dtype=int), "encoding": "signed", "bits": 4}, "the table must hold"),
        ("sc.dot", ["x", "x"], {}, "do not fit"),
        ("sc.offset", ["count", "w"], {}, "cannot be added"),
    ),
)
def test_ops_refuse_what_they_cannot_mean(name, operands, attributes, message):
    with pytest.raises(SccError, match=message):
        append(name, operands, **attributes)


def test_masks_that_do_not_broadcast():
    module = Module()
    source = module.append("sc.source", [], {"kind": "sobol", "index": np.array([1, 2, 3]), "bits": 4}).result
    with pytest.raises(SccError, match=r"masks of shape \(2,\) do not fit random numbers of shape \(3,\)"):
        module.append("sc.mask", [source], {"masks": np.array([1, 2])})


def test_a_dot_product_of_hand_made_operations_with_a_broken_constant():
    """Type inference looks at the constant behind the weights: a broken one is told once, and breaks nothing else."""
    module = made()
    for levels in (np.array(3), np.array([1, 2]), np.zeros((2, 2, 2), dtype=int), None):
        module.value("weights").op.attributes["levels"] = levels
        with pytest.raises(SccError) as caught:
            verify(module)
        assert [d.location.op for d in caught.value.diagnostics] == ["%weights = sc.constant"]


def test_multipliers_that_do_not_exist():
    with pytest.raises(SccError, match="no multiplier for signed times bipolar"):
        one_layer("signed", "bipolar", [[1, 2]], 16, 4)


def test_reading_what_is_not_defined():
    module = made()
    stray = Value("stray", module.value("count").type, Operation("sc.dot"))
    module.value("y").op.operands[0] = stray
    with pytest.raises(SccError, match="reads %stray, which no operation before it defines"):
        verify(module)
