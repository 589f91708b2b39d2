"""Prints what refused.txt should hold now: `python tests/onnx_backend/list_refused.py`; read the difference before you keep it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cases import NODE_MODULES, PYTORCH, cases_of, outcomes, reason

with tempfile.TemporaryDirectory() as folder:
    for group in (*NODE_MODULES, *PYTORCH):
        for case in cases_of(group):
            refusal = reason(outcomes(case, Path(folder)))
            if refusal is not None:
                print(f"{case.name}: {refusal}")
