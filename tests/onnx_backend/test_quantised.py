"""ONNX's own tests of the ops on images, through the quantised value model: as ONNX says, within what rounding allows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx_backend.cases import as_one_sample, cases_of

import sccc
from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.frontend import load_onnx
from sccc.ir import Module

GROUPS = [
    "add", "averagepool", "batch_normalization", "clip", "concat", "conv", "globalaveragepool", "globalmaxpool",
    "hardswish", "maxpool", "pad", "resize", "slice", "split", "sum", "upsample",
]  # fmt: skip

BITS = 14
"""Bits of numbers; an op errs by a few steps of 2**-13 of its range, and tables of activations by 2**-10."""

TOLERANCE = 2.0**-9


def networks(group: str, tmp_path) -> Iterator[tuple[str, Module, np.ndarray]]:  # type: ignore[no-untyped-def]
    """The cases that the frontend takes, as float networks with their inputs."""
    for case in cases_of(group):
        for number, each in enumerate((case, as_one_sample(case))):
            path = tmp_path / f"{case.name}_{number}.onnx"
            onnx.save(each.model, path)
            try:
                module = load_onnx(path)
            except SccError:
                continue
            (source,) = module.inputs
            assert source.result is not None
            x = np.asarray(each.x, dtype=np.float64)
            if x.size and x.shape[1:] == source.result.type.shape:
                yield case.name, module, x


@pytest.mark.parametrize("group", GROUPS)
def test_the_quantised_network_gives_what_onnx_gives(group, tmp_path):
    compiled = 0
    for name, network, x in networks(group, tmp_path):
        try:
            module = sccc.compile(network, calibration=x, style="fixed", bits=BITS, coverage=1.0)
        except SccError as error:
            assert all(d.advice for d in error.diagnostics), name
            continue
        (source,) = module.inputs
        assert source.result is not None
        wanted = evaluate(network, x)
        got = evaluate(module, x.reshape(len(x), *source.result.type.shape)).reshape(wanted.shape)
        assert np.abs(got - wanted).max() <= TOLERANCE * max(np.abs(wanted).max(), np.abs(x).max()), name
        raw = sccc.simulate(module, x).output.reshape(wanted.shape)
        np.testing.assert_allclose(raw, got, atol=1e-9, err_msg=name)
        compiled += 1
    assert compiled, group
