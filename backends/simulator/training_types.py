"""How the training kernel stores numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.types import Fixed, Level, Random, Total, Type


def narrowest(limit: int) -> Any:
    """The narrowest numpy integer that holds -limit .. limit - 1."""
    return next(t for t in (np.int8, np.int16, np.int32, np.int64) if limit <= -int(np.iinfo(t).min))


def storage(kind: Type) -> Any:
    """The narrowest numpy integer that holds a value's lanes."""
    if isinstance(kind, Fixed | Total):
        return narrowest(max(-kind.lo, kind.hi + 1))
    assert isinstance(kind, Level | Random)
    return narrowest((1 << kind.bits) + 1)
