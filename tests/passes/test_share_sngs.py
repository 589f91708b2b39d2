"""share-sngs: which source each SNG compares with, and that no two that meet are dependent."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Spec, compiled, data

from sccc.correlation import dependent_pair, lanes_of, meeting_pairs
from sccc.diagnostics import SccError


def made(sharing="auto", source="auto", style="accumulate", sizes=(6, 5, 4, 3), activation="tanh", **options):
    spec = Spec(sizes, activation, "none", {"sharing": sharing, "source": source, "style": style, **options})
    return compiled(spec)


def sources(module, dot) -> list:
    """The root sources of x and w; None for a stream of a state machine."""
    found = []
    for stream in dot.operands:
        value = stream.op.operands[1] if stream.op.name == "sc.sng" else None
        while value is not None and value.op.name == "sc.mask":
            value = value.op.operands[0]
        found.append(value.op if value is not None else None)
    return found


@pytest.mark.parametrize(
    ("source", "kinds"),
    (
        ("auto", ("sobol", "sobol")),
        ("sobol", ("sobol", "sobol")),
        ("lfsr", ("lfsr", "lfsr")),
        ("ramp", ("ramp", "sobol")),
    ),
)
def test_auto_shares_one_pair_per_layer(source, kinds):
    module = made(source=source)
    assert len(module.ops_named("sc.source")) == 6
    for dot in module.ops_named("sc.dot"):
        pair = sources(module, dot)
        assert tuple(op.attributes["kind"] for op in pair) == kinds
        assert all(np.ndim(op.attributes["index"]) == 0 for op in pair)
        assert pair[0].attributes["kind"] == "ramp" or pair[0].attributes["index"] != pair[1].attributes["index"]


def test_accumulating_layers_need_no_masks():
    assert not made().ops_named("sc.mask")


@pytest.mark.parametrize("source", ("sobol", "lfsr", "ramp"))
def test_every_weight_lane_has_a_mask_of_its_own_where_a_state_machine_follows(source):
    module = made(source=source, style="streaming", length=64)
    first, second, last = (dot.operands[1].op.operands[1] for dot in module.ops_named("sc.dot"))
    assert last.op.name == "sc.source"
    for value, lanes in ((first, 6), (second, 5)):
        assert value.op.name == "sc.mask" and len(set(value.op.attributes["masks"].ravel().tolist())) == lanes


@pytest.mark.parametrize("source", ("sobol", "lfsr"))
def test_none_gives_every_sng_a_source(source):
    module = made("none", source, sizes=(6, 5, 3), length=256)
    for dot in module.ops_named("sc.dot"):
        x, w = (lanes_of(stream.op.operands[1]) for stream in dot.operands)
        assert (len(x), len(w)) == (dot.operands[0].type.lanes, dot.operands[1].type.lanes)
        assert len(set(x + w)) > 0.9 * len(x + w)
        assert all(a != b for a, b in meeting_pairs(*dot.operands))


def test_a_ramp_for_every_sng_is_refused():
    with pytest.raises(SccError, match="all ramps are the same") as caught:
        made("none", "ramp")
    assert "--sharing auto" in caught.value.diagnostics[0].advice
    assert caught.value.diagnostics[0].location.node == "/fc0/Gemm"


@pytest.mark.parametrize("sharing", ("auto", "none"))
@pytest.mark.parametrize("style", ("accumulate", "streaming"))
@pytest.mark.parametrize("length", (3, 8, 20, 64, 256))
def test_lfsrs_that_meet_are_independent(sharing, style, length):
    """For any seed: pairs that happen to be dependent are drawn again, so that the verifier has nothing to refuse."""
    for seed in range(4):
        module = made(sharing, "lfsr", style, sizes=(5, 4, 2), length=length, seed=seed)
        for dot in module.ops_named("sc.dot"):
            assert dependent_pair(*dot.operands, length) is None
            limit = 1.0 if sharing == "auto" else 2.0
            assert dependent_pair(*dot.operands, length, limit) is None


def test_the_seed_decides_and_nothing_else():
    index = lambda seed: [op.attributes["index"] for op in made("auto", "lfsr", seed=seed).ops_named("sc.source")]  # noqa: E731
    assert index(3) == index(3) != index(4)


def test_layers_may_differ():
    from nets import build, lower

    module = lower(build(Spec((4, 5, 3))), {}, data(Spec((4, 5, 3)), 9), layers={"fc0": {"source": "lfsr"}})
    kinds = [[op.attributes["kind"] for op in sources(module, dot)] for dot in module.ops_named("sc.dot")]
    assert kinds == [["lfsr", "lfsr"], ["sobol", "sobol"]]
