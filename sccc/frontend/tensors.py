"""Constant tensors: from a TensorProto, or from a file beside the model. Sizes are checked before memory is taken."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from sccc.diagnostics import SccError
from sccc.frontend.names import shown

LARGEST_TENSOR = 1 << 31
LARGEST_TOTAL = 1 << 32
LARGEST_COMPUTED = 1 << 30

PACKED_BITS = {
    getattr(TensorProto, name): bits
    for name, bits in {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}.items()
    if hasattr(TensorProto, name)
}


class TensorReader:
    """Turns TensorProtos of one model into arrays, and keeps count of the bytes they take together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.total = 0
        self.computed = 0

    def read(self, tensor: TensorProto) -> np.ndarray:
        """The array. Raises SccError (without a location) when sizes, type or file are not in order."""
        label = f"tensor '{shown(tensor.name)}'" if tensor.name else "a constant tensor"
        if tensor.HasField("segment"):
            raise SccError(f"{label} is stored in segments, which is not supported")
        if tensor.data_type == TensorProto.STRING:
            return self._decode(tensor, label)
        expected = byte_size(tensor, label)
        self.reserve(expected, label)
        if tensor.data_location == TensorProto.EXTERNAL:
            inline = TensorProto(dims=tensor.dims, data_type=tensor.data_type, name=tensor.name)
            inline.raw_data = self._read_external(tensor, expected, label)
            return self._decode(inline, label)
        if tensor.HasField("raw_data") and len(tensor.raw_data) != expected:
            raise SccError(f"{label} holds {len(tensor.raw_data):,} bytes, its shape needs {expected:,}")
        return self._decode(tensor, label)

    def reserve(self, size: int, label: str) -> None:
        """Count `size` more bytes. Raises SccError when a tensor, or all of them, would be too large."""
        if size > LARGEST_TENSOR:
            raise SccError(f"{label} needs {size:,} bytes; at most {LARGEST_TENSOR:,} are read")
        self.total += size
        if self.total > LARGEST_TOTAL:
            raise SccError(f"with {label} the constants need {self.total:,} bytes; at most {LARGEST_TOTAL:,} are read")

    def reserve_computed(self, size: int) -> None:
        """Count `size` more bytes for results of constant folding. Raises SccError when they would be too many."""
        if self.computed + size > LARGEST_COMPUTED:
            raise SccError(
                f"computing constants would take {self.computed + size:,} bytes; at most {LARGEST_COMPUTED:,} are spent",
                advice="store large constants as initializers",
            )
        self.computed += size

    @staticmethod
    def _decode(tensor: TensorProto, label: str) -> np.ndarray:
        try:
            return np.asarray(numpy_helper.to_array(tensor))
        except (ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise SccError(f"{label} cannot be decoded: {shown(str(error))}") from error

    def _read_external(self, tensor: TensorProto, expected: int, label: str) -> bytes:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        offset = _whole_number(entries.get("offset", "0"), "offset", label)
        path = self._inside(entries.get("location", ""), label)
        try:
            with open(path, "rb", opener=_without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise SccError(f"the external data of {label} is not in a regular file: '{shown(path.name)}'")
                length = status.st_size - offset
                if "length" in entries:
                    length = _whole_number(entries["length"], "length", label)
                if length != expected:
                    raise SccError(f"{label} has {length:,} bytes of external data, its shape needs {expected:,}")
                if offset + length > status.st_size:
                    raise SccError(
                        f"the external data of {label} ends at byte {offset + length:,} of '{shown(path.name)}', "
                        f"which has {status.st_size:,}",
                        advice="the data file is truncated, or belongs to another model",
                    )
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise SccError(
                f"the external data of {label} cannot be read from '{shown(path.name)}': {error.strerror}",
                advice="keep the data file in the model's folder, under the name it was exported with",
            ) from error

    def _inside(self, location: str, label: str) -> Path:
        """The path of a data file, which must lie in the model's folder once every link is followed."""
        parts = PurePosixPath(location).parts + PureWindowsPath(location).parts
        absolute = PurePosixPath(location).is_absolute() or bool(PureWindowsPath(location).anchor)
        escapes = not location or "\0" in location or absolute or ".." in parts
        path = self.folder if escapes else Path(os.path.realpath(self.folder / location))
        if escapes or not path.is_relative_to(self.folder):
            raise SccError(
                f"the external data of {label} is outside the model's folder: '{shown(location)}'",
                advice="external data is read from the model's own folder only",
            )
        return path


def byte_size(tensor: TensorProto, label: str) -> int:
    """How many bytes the shape and type of a tensor stand for."""
    if any(dim < 0 for dim in tensor.dims):
        raise SccError(f"{label} has a negative dimension: {list(tensor.dims)}")
    count = math.prod(tensor.dims)
    if tensor.data_type in PACKED_BITS:
        return -(-count * PACKED_BITS[tensor.data_type] // 8)
    try:
        return count * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError, TypeError) as error:
        raise SccError(f"{label} has an unknown element type ({tensor.data_type})") from error


def _without_waiting(path: str, flags: int) -> int:
    """Opens a pipe without waiting for its writer, so that it can be refused."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _whole_number(text: str, what: str, label: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise SccError(f"the {what} of the external data of {label} is not a whole number: '{shown(text)}'")
    return int(text)
