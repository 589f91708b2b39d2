"""numba's njit for kernels that stand in the package's own files.

numba keeps compiled code beside the file, or, where that folder is read-only, in the user's cache folder (or $NUMBA_CACHE_DIR).
Where it finds no place at all it refuses; here such a kernel is compiled in each process instead. Importing this imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: numba.njit with these options, kept on disk where that can be."""

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no place for the cache
            return numba.njit(**options)(function)

    return decorate
