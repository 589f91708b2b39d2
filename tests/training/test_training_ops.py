"""What the ops of a network that learns refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.ops.training_updates import sources_of
from sccc.passes.training_builder import lane_masks
from sccc.text import parse_module
from sccc.verify import verify

Learning = Callable[..., Module]


@pytest.mark.parametrize("sources", ["per-layer", "per-lane", "scrambled"])
def test_one_source_for_error_and_input_is_refused(sources: str, learning: Learning) -> None:
    module = learning(sources=sources)
    count = module.ops_named("train.count")[0]
    (other,), (source,) = (sources_of(v) for v in count.operands[1:])
    verify(module)
    source.attributes["seeds"] = np.asarray(other.attributes["seeds"]).reshape(-1)[0]
    with pytest.raises(SccError, match="compare with the same random numbers"):
        verify(module)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train.count %fc1_w, %fc1_qdelta, %fc1_qx {", "train.count %fc1_w, %fc1_qdelta, %x {", "must be -1, 0 or 1"),
        ("train.count %fc1_w, %fc1_qdelta, %fc1_qx {", "train.count %fc1_sum, %fc1_qdelta, %fc1_qx {", "no register"),
        ("train.count %fc1_w, %fc1_qdelta, %fc1_qx {", "train.count %fc1_w, %fc1_qdelta, %fc1_qx {move = 2, ", "must be 2"),
        ("train.count %fc1_w, %fc1_qdelta, %fc1_qx {hi", "train.count %fc1_w, %fc1_qdelta, %fc2_qx {hi", "do not fit"),
        ("train.label {classes = 10}", "train.label {classes = 1}", "at least 2"),
    ],
)  # fmt: skip
def test_misuse_is_refused_with_its_place(old: str, new: str, message: str, learning: Learning) -> None:
    text = str(learning())
    assert old in text
    with pytest.raises(SccError, match=message):
        verify(parse_module(text.replace(old, new), "net.sc"))


def test_sources_never_start_in_the_state_that_stays(learning: Learning) -> None:
    text = str(learning())
    start = text.index("seeds = int64<scalar> [") + len("seeds = int64<scalar> [")
    broken = text[:start] + "0" + text[text.index("]", start) :]
    with pytest.raises(SccError, match="the state 0 never changes"):
        parse_module(broken)


def test_masks_that_do_not_fit_the_random_numbers_are_refused(learning: Learning) -> None:
    module = learning(sources="scrambled")
    scramble = module.ops_named("train.scramble")[0]
    masks = scramble.operands[1]
    assert masks.op is not None
    verify(module)
    masks.op.attributes["value"] = np.asarray(masks.op.attributes["value"]) << 2
    masks.type = replace(masks.type, hi=masks.type.hi << 2)
    with pytest.raises(SccError, match="must be integers of at most"):
        verify(module)


@pytest.mark.parametrize("bits", [3, 8, 16])
def test_lane_masks_spread_any_run_of_lanes_over_the_upper_bits(bits: int) -> None:
    masks = lane_masks(200, bits)
    assert masks.min() >= 0 and masks.max() < 1 << bits
    for start in range(0, 192, 8):
        assert sorted(masks[start : start + 8] >> (bits - 3)) == list(range(8))
