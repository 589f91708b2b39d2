"""Data files: an .npz with x and y, or x_test and y_test (x_train and y_train), as a batch that fits a model."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sccc.diagnostics import Location, SccError
from sccc.ir import Module

MAX_BYTES = 8 << 30
"""Largest array that is read, in bytes."""

SPLITS = ("test", "train")


@dataclass(frozen=True)
class Data:
    """Samples in real units, [samples, *input shape] float32 or float64, and their classes [samples] (None when not given)."""

    x: np.ndarray
    y: np.ndarray | None


def load_data(path: str | Path, module: Module, *, split: str = "test", limit: int = 0, need_y: bool = False) -> Data:
    """Read `x` and `y` (else `x_SPLIT`, `y_SPLIT`) from an .npz and shape x for the module's input.

    uint8 is scaled by 1/255. `limit` > 0 keeps the first samples. Raises SccError naming what is wrong with the file.
    """
    place = Location(file=str(path))
    with _open(path, place) as archive:
        names = list(archive.files)
        x_name = next((n for n in ("x", f"x_{split}") if n in names), None)
        if x_name is None:
            raise SccError(f"no 'x' and no 'x_{split}' in the file", place, "it holds: " + ", ".join(names))
        y_name = "y" if x_name == "x" else f"y_{split}"
        if need_y and y_name not in names:
            raise SccError(f"no '{y_name}' in the file", place, "accuracy needs the classes; it holds: " + ", ".join(names))
        x = _array(archive, x_name, place)
        y = _array(archive, y_name, place) if y_name in names else None
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y is not None and (y.ndim != 1 or len(y) != len(x)):
        raise SccError(f"'{y_name}' has the shape {y.shape}, and '{x_name}' holds {len(x)} samples", place)
    if limit:
        x, y = x[:limit], y[:limit] if y is not None else None
    return Data(_fit(x, module, x_name, place), y)


def load_calibration(path: str | Path, module: Module) -> np.ndarray:
    """Input samples to calibrate on: `x_calib`, else `x_train`, else `x`, else `x_test`; at most 500 of them."""
    place = Location(file=str(path))
    with _open(path, place) as archive:
        for name in ("x_calib", "x_train", "x", "x_test"):
            if name in archive.files:
                return _fit(_array(archive, name, place)[:500], module, name, place)
        raise SccError("no 'x_calib', 'x_train', 'x' or 'x_test' in the file", place, "it holds: " + ", ".join(archive.files))


def _open(path: str | Path, place: Location) -> np.lib.npyio.NpzFile:
    try:
        archive = np.load(path, allow_pickle=False)
    except OSError as error:
        raise SccError(f"cannot read the data: {error.strerror or error}", place) from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise SccError("not an .npz file", place, "write one with numpy.savez_compressed(path, x=..., y=...)") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise SccError("not an .npz file but a single array", place, "write one with numpy.savez_compressed(path, x=..., y=...)")
    return archive


def _array(archive: np.lib.npyio.NpzFile, name: str, place: Location) -> np.ndarray:
    size = archive.zip.getinfo(name + ".npy").file_size
    if size > MAX_BYTES:
        raise SccError(f"'{name}' holds {size} bytes, more than {MAX_BYTES}", place)
    try:
        array = archive[name]
    except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise SccError(f"'{name}' cannot be read: {error}", place) from error
    if array.dtype.kind not in "biuf":
        raise SccError(f"'{name}' holds {array.dtype}, and must hold numbers", place)
    return array


def _fit(x: np.ndarray, module: Module, name: str, place: Location) -> np.ndarray:
    (source,) = module.inputs
    assert source.result is not None
    shape = source.result.type.shape
    if x.ndim == 0 or len(x) == 0:
        raise SccError(f"'{name}' holds no samples", place)
    if math.prod(x.shape[1:]) != math.prod(shape):
        raise SccError(
            f"a sample of '{name}' has the shape {x.shape[1:]}, and the model's input '{source.attributes['name']}' {shape}",
            place,
            "the number of elements must be the same",
        )
    x = x.reshape(len(x), *shape)
    if x.dtype == np.uint8:
        return x.astype(np.float32) / np.float32(255.0)
    x = x.astype(np.float32 if x.dtype != np.float64 else np.float64)
    if not np.isfinite(x).all():
        raise SccError(f"'{name}' holds numbers that are not finite", place)
    return x
