"""What the ops of a network that learns refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.text import parse_module
from sccc.verify import verify

Learning = Callable[..., Module]


@pytest.mark.parametrize("sources", ["per-layer", "per-lane"])
def test_one_source_for_error_and_input_is_refused(sources: str, learning: Learning) -> None:
    module = learning(sources=sources)
    count = module.ops_named("train.count")[0]
    delta, x = (v.op for v in count.operands[1:])
    assert delta is not None and x is not None
    source = x.operands[1].op
    other = delta.operands[1].op
    assert source is not None and other is not None
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
