"""ONNX's own tests of single nodes: each network agrees with ONNX, or is refused for the reason that refused.txt states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_backend.cases import NODE_MODULES, PYTORCH, agrees, cases_of, outcomes, reason

LINES = (Path(__file__).parent / "refused.txt").read_text().splitlines()
REFUSED = dict(line.split(": ", 1) for line in LINES)


@pytest.mark.parametrize("group", [*NODE_MODULES, *PYTORCH])
def test_every_case_agrees_with_onnx_or_is_refused(group, tmp_path):
    cases = cases_of(group)
    assert cases
    for case in cases:
        results = outcomes(case, tmp_path)
        for result in results:
            assert isinstance(result, str) or agrees(case, result), case.name
        assert reason(results) == REFUSED.get(case.name), case.name


def test_every_refused_case_is_one_of_them():
    names = {case.name for group in (*NODE_MODULES, *PYTORCH) for case in cases_of(group)}
    assert set(REFUSED) <= names
    assert len(REFUSED) == len(LINES)


@pytest.mark.parametrize("group", ["conv", "maxpool", "transpose", "concat"])
def test_a_wrong_result_would_be_seen(group, tmp_path):
    for case in cases_of(group):
        for result in outcomes(case, tmp_path):
            if isinstance(result, np.ndarray):
                assert agrees(case, result)
                first = np.arange(result.size).reshape(result.shape) == 0
                assert not agrees(case, result + 0.05 * np.abs(result).max() * first)
                assert not agrees(case, result[..., :-1])
