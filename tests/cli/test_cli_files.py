"""write_files: all files or none, and nothing else left behind."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from cli_common import contents

from sccc.diagnostics import SccError
from sccc.files import check_writable, write_files

NEW = {Path("a"): "new a\n", Path("b"): "new b\n", Path("c"): "new c\n"}


@pytest.fixture
def old(folder):
    Path("a").write_text("old a")
    Path("b").write_text("old b")
    return folder


def failing(monkeypatch, name: str, when: int, error: BaseException) -> None:
    """Let the call number `when` of os.NAME fail."""
    real, calls = getattr(os, name), []

    def replaced(*args, **options):
        calls.append(args)
        if len(calls) == when:
            raise error
        return real(*args, **options)

    monkeypatch.setattr(os, name, replaced)


def test_files_are_written_as_they_are(old):
    write_files({**NEW, Path("d"): "é\r\n\x00"})
    assert contents(old) == {"a": b"new a\n", "b": b"new b\n", "c": b"new c\n", "d": "é\r\n\x00".encode()}


def test_files_have_the_permissions_that_the_user_wants(folder):
    mask = os.umask(0o027)
    try:
        write_files({Path("a"): ""})
    finally:
        os.umask(mask)
    assert stat.S_IMODE(Path("a").stat().st_mode) == 0o640


@pytest.mark.parametrize("when", [1, 2, 3])
@pytest.mark.parametrize("name", ["replace", "fdopen", "chmod"])
def test_a_failure_in_the_middle_leaves_everything_as_it_was(old, monkeypatch, name, when):
    before = contents(old)
    failing(monkeypatch, name, when, OSError(5, "Input/output error"))
    with pytest.raises(SccError, match=f"{'abc'[when - 1]}: cannot write: Input/output error") as error:
        write_files(NEW)
    assert error.value.diagnostics[0].advice
    assert contents(old) == before


@pytest.mark.parametrize("when", [1, 2, 3])
def test_an_interruption_leaves_everything_as_it_was(old, monkeypatch, when):
    before = contents(old)
    failing(monkeypatch, "replace", when, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write_files(NEW)
    assert contents(old) == before


def test_old_content_comes_back_where_there_are_no_hard_links(old, monkeypatch):
    before = contents(old)
    monkeypatch.setattr(os, "link", lambda *args: (_ for _ in ()).throw(OSError(1, "Operation not permitted")))
    failing(monkeypatch, "replace", 3, OSError(5, "Input/output error"))
    with pytest.raises(SccError):
        write_files(NEW)
    assert contents(old) == before


def test_text_that_cannot_be_encoded_leaves_everything_as_it_was(old):
    before = contents(old)
    with pytest.raises(SccError, match=r"b: cannot write: .*surrogates not allowed"):
        write_files({Path("a"): "new", Path("b"): "\udcff"})
    assert contents(old) == before


def test_one_impossible_place_stops_all(old):
    before = contents(old)
    Path("d").mkdir()
    with pytest.raises(SccError) as error:
        write_files({**NEW, Path("d"): "", Path("no/e"): ""})
    assert [d.location.file for d in error.value.diagnostics] == ["d", "no/e"]
    assert contents(old) == {**before, "d": b""}


def test_names_may_be_as_long_as_the_system_allows(folder):
    write_files({Path("n" * 255): "x"})
    assert Path("n" * 255).read_text() == "x"


def test_links_are_followed(old):
    Path("link").symlink_to("a")
    Path("new").symlink_to("made")
    write_files({Path("link"): "1", Path("new"): "2"})
    assert Path("link").is_symlink()
    assert (Path("a").read_text(), Path("made").read_text()) == ("1", "2")


def test_pipes_are_written_to(old):
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()))
    reader.start()
    write_files({Path("pipe"): "through"})
    reader.join(5)
    assert read == ["through"]
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_writable_places_are_accepted(old):
    check_writable([Path("a"), Path("new"), Path("/dev/null")])
