"""Sums over lanes of a table's entries, looked up by two levels: compiled, and the same in numpy. Importing this imports numba."""

from __future__ import annotations

import numpy as np

from sccc.jit import njit


@njit(boundscheck=False)
def add_entries(total, table, rows, columns, taps):  # type: ignore[no-untyped-def]
    """Add to total[s, p, g, o], for all (p, g, t) of taps [n, 3], table[rows[s, p, g, t], columns[g, t, o]]."""
    for s in range(rows.shape[0]):
        for k in range(taps.shape[0]):
            p, g, t = taps[k, 0], taps[k, 1], taps[k, 2]
            r = rows[s, p, g, t]
            for o in range(columns.shape[2]):
                total[s, p, g, o] += table[r, columns[g, t, o]]


def add_entries_numpy(
    total: np.ndarray, table: np.ndarray, rows: np.ndarray, columns: np.ndarray, taps: np.ndarray
) -> None:
    """The same: what `add_entries` is tested against."""
    for p, g, t in taps.tolist():
        total[:, p, g] += table[rows[:, p, g, t][:, None], columns[g, t]]
