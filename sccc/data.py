"""Data files: an .npz with x_test and y_test (x_train and y_train), or x and y, as a batch that fits a model."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sccc.diagnostics import Location, SccError
from sccc.ir import Module
from sccc.types import Level

MAX_BYTES = 8 << 30
"""Largest array that is read, in bytes."""

CALIBRATION_SAMPLES = 500
"""As many samples are calibrated on; more do not change the ranges."""


UNREADABLE = (
    ValueError, TypeError, KeyError, EOFError, OSError, MemoryError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
"""What numpy and zipfile raise on a damaged archive."""

HOW_TO_WRITE = "write one with numpy.savez_compressed(path, x=..., y=...)"


@dataclass(frozen=True)
class Data:
    """Samples in real units, [samples, *input shape] float32 or float64, and their classes [samples] (None when not given)."""

    x: np.ndarray
    y: np.ndarray | None


def load_data(path: str | Path, module: Module, *, split: str = "test", limit: int = 0, need_y: bool = False) -> Data:
    """Read `x_SPLIT` and `y_SPLIT` (else `x` and `y`) from an .npz and shape x for the module's input.

    uint8 is scaled by 1/255. `limit` > 0 keeps the first samples. Raises SccError naming what is wrong with the file.
    """
    place = Location(file=str(path))
    with _open(path, place) as archive:
        names = list(archive.files)
        x_name = next((n for n in (f"x_{split}", "x") if n in names), None)
        if x_name is None:
            raise SccError(f"no 'x' and no 'x_{split}' in the file", place, _held(names))
        y_name = "y" if x_name == "x" else f"y_{split}"
        if need_y and y_name not in names:
            raise SccError(f"no '{y_name}' in the file", place, f"accuracy needs the classes; {_held(names)}")
        x = _array(archive, x_name, place)
        y = _array(archive, y_name, place) if y_name in names else None
    samples = len(x) if x.ndim else 0
    x = _fit(x, module, x_name, place, limit)
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y is not None and (y.ndim != 1 or len(y) != samples):
        raise SccError(
            f"'{y_name}' has the shape {y.shape}, and '{x_name}' holds {samples} samples",
            place,
            "one class number per sample is wanted, as from scores.argmax(axis=1)",
        )
    if y is not None and need_y:
        _check_classes(y, module, y_name, place)
    return Data(x, y[: len(x)] if y is not None else None)


def _check_classes(y: np.ndarray, module: Module, name: str, place: Location) -> None:
    """Each class is the index of a score; of a network with a single result any whole number may be one."""
    scores = math.prod(module.outputs[0].operands[0].type.shape)
    bad = np.flatnonzero((y < 0) | (y != np.floor(y)) | (y >= scores if scores > 1 else False))
    if bad.size:
        wanted = (
            f"classes are whole numbers, 0 .. {scores - 1} with {scores} scores"
            if scores > 1
            else "classes are 0, 1, ..."
        )
        raise SccError(f"'{name}' holds {y[bad[0]]}, first in sample {bad[0]}", place, wanted)


def saturated(module: Module, x: np.ndarray) -> float:
    """The share of the numbers in x [samples, *input shape], real units, that lie outside what a level of the input can be."""
    op = module.inputs[0]
    if op.name != "sc.input":
        return 0.0
    scaled = (x.reshape(len(x), *op.attributes["shape"]) - op.attributes["offset"]) / op.attributes["scale"]
    assert op.result is not None and isinstance(op.result.type, Level)
    encoding, bits = op.result.type.encoding, op.result.type.bits
    lo, hi = (float(encoding.decode(np.array(f(bits)), bits)) for f in (encoding.minimum_level, encoding.maximum_level))
    return float(((scaled < lo) | (scaled > hi)).mean())


def load_calibration(path: str | Path, module: Module, samples: int = CALIBRATION_SAMPLES) -> np.ndarray:
    """Input samples to calibrate on: the first `samples` of `x_calib`, else of `x_train`, `x` or `x_test`."""
    place = Location(file=str(path))
    with _open(path, place) as archive:
        for name in ("x_calib", "x_train", "x", "x_test"):
            if name in archive.files:
                return _fit(_array(archive, name, place), module, name, place, samples)
        raise SccError("no 'x_calib', 'x_train', 'x' or 'x_test' in the file", place, _held(archive.files))


def has_calibration(path: str | Path) -> bool:
    """Whether a data file has samples of its own for calibration, apart from those to test on."""
    with _open(path, Location(file=str(path))) as archive:
        return any(name in archive.files for name in ("x_calib", "x_train"))


def _held(names: list[str]) -> str:
    return "it holds: " + (", ".join(names) or "nothing")


def _open(path: str | Path, place: Location) -> np.lib.npyio.NpzFile:
    try:
        archive = np.load(path, allow_pickle=False)
    except OSError as error:
        raise SccError(
            f"cannot read the data: {error.strerror or error}", place, "give the path of an .npz file"
        ) from error
    except UNREADABLE as error:
        raise SccError("not an .npz file, or a damaged one", place, HOW_TO_WRITE) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise SccError("not an .npz file but a single array", place, HOW_TO_WRITE)
    return archive


def _array(archive: np.lib.npyio.NpzFile, name: str, place: Location) -> np.ndarray:
    try:
        assert archive.zip is not None
        size = archive.zip.getinfo(name + ".npy").file_size
        if size > MAX_BYTES:
            raise SccError(
                f"'{name}' holds {size:,} bytes; at most {MAX_BYTES:,} are read", place, "store fewer samples"
            )
        array = archive[name]
    except UNREADABLE as error:
        pickled = "allow_pickle" in str(error)
        reason = "it holds pickled Python objects, which are not loaded" if pickled else str(error)
        raise SccError(f"'{name}' cannot be read: {reason}", place, HOW_TO_WRITE) from error
    if array.dtype.kind not in "biuf":
        raise SccError(f"'{name}' holds {array.dtype}, and must hold numbers", place, "convert it with .astype")
    return array


def _fit(x: np.ndarray, module: Module, name: str, place: Location, limit: int = 0) -> np.ndarray:
    """The first samples (`limit` > 0) in the shape of the module's input."""
    if len(module.inputs) != 1:
        raise SccError(f"module '{module.name}' has {len(module.inputs)} inputs", advice="data is for exactly one")
    (source,) = module.inputs
    assert source.result is not None
    shape = source.result.type.shape
    if x.ndim == 0 or len(x) == 0:
        raise SccError(f"'{name}' holds no samples", place, "its first axis counts the samples")
    x = x[:limit] if limit else x
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
        bad = int(np.argwhere(~np.isfinite(x))[0][0])
        raise SccError(
            f"'{name}' holds numbers that are not finite, first in sample {bad}", place, "remove or replace them"
        )
    return x
