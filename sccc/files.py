"""Output files appear whole or not at all: written aside, then renamed; what stood there comes back if that fails."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sccc.diagnostics import Collector, Location, SccError


def write_files(files: Mapping[Path, str] | Mapping[Path, str | bytes]) -> None:
    """Write all files or none. Raises SccError naming the file that cannot be written.

    Links are followed. Devices and pipes (/dev/null, /dev/stdout) are written to, not replaced.
    """
    check_writable(files)
    temporaries: list[str] = []
    replaced: list[tuple[Path, str | None]] = []  # what was written, and where its old content is
    try:
        pending: list[tuple[str, Path]] = []
        for path, text in files.items():
            if not _special(path):
                with _naming(path):
                    pending.append((_write_aside(path, text, temporaries), Path(os.path.realpath(path))))
        for temporary, target in pending:
            with _naming(target):
                backup = _backup(target, temporaries) if target.exists() and len(files) > 1 else None
                os.replace(temporary, target)
                replaced.append((target, backup))
        for path, text in files.items():
            if _special(path):
                with _naming(path), path.open("wb") as stream:
                    stream.write(_encoded(text))
    except BaseException:
        for target, backup in replaced:
            if backup is None:
                target.unlink()
            else:
                os.replace(backup, target)
        raise
    finally:
        for name in temporaries:
            Path(name).unlink(missing_ok=True)


def check_writable(paths: Iterable[Path]) -> None:
    """Refuse places where no file can be written, before any work is done. Raises SccError with all of them."""
    problems = Collector()
    for path in paths:
        place = Location(file=str(path))
        folder = Path(os.path.realpath(path)).parent
        if path.is_dir():
            problems.add("cannot write: it is a folder", place, "give the name of a file")
        elif path.exists() and not os.access(path, os.W_OK):
            problems.add("cannot write: the file is read-only", place, "choose another name, or change its permissions")
        elif not folder.is_dir() and not _special(path):
            problems.add(f"cannot write: there is no folder '{folder}'", place, "make it, or choose another name")
    problems.raise_if_any()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what the system says about a file into an SccError that names it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SccError(f"cannot write: {reason}", Location(file=str(path)), "choose another place") from error


def _special(path: Path) -> bool:
    """Whether there is something at the path that is neither a file nor a folder."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _temporary(folder: Path, temporaries: list[str]) -> tuple[int, str]:
    handle, name = tempfile.mkstemp(dir=folder, prefix=".sccc.")
    temporaries.append(name)
    return handle, name


def _encoded(content: str | bytes) -> bytes:
    return content.encode("utf-8") if isinstance(content, str) else content


def _write_aside(path: Path, content: str | bytes, temporaries: list[str]) -> str:
    handle, name = _temporary(Path(os.path.realpath(path)).parent, temporaries)
    with os.fdopen(handle, "wb") as stream:
        stream.write(_encoded(content))
    os.chmod(name, 0o666 & ~_umask())
    return name


def _backup(target: Path, temporaries: list[str]) -> str:
    """A second name for what is there (a copy where there are no hard links), so that it can come back."""
    handle, name = _temporary(target.parent, temporaries)
    os.close(handle)
    os.unlink(name)
    with suppress(OSError):
        os.link(target, name)
        return name
    shutil.copy2(target, name)
    return name


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
