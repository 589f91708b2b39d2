"""Output files appear whole or not at all: written aside, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sccc.diagnostics import Location, SccError


def write_files(files: Mapping[Path, str]) -> None:
    """Write all files or none. Raises SccError naming the file that cannot be written."""
    written: list[tuple[str, Path]] = []
    try:
        for path, text in files.items():
            try:
                if path.is_dir():
                    raise IsADirectoryError(21, "Is a directory")
                handle, temporary = tempfile.mkstemp(dir=path.parent or Path("."), prefix=f".{path.name}.")
                with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
                    stream.write(text)
                os.chmod(temporary, 0o666 & ~_umask())
            except OSError as error:
                raise SccError(f"cannot write: {error.strerror}", Location(file=str(path)), "choose another -o") from error
            written.append((temporary, path))
        while written:
            temporary, path = written[0]
            os.replace(temporary, path)
            written.pop(0)
    finally:
        for temporary, _ in written:
            os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
