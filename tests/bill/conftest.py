"""Fixtures: the Liberty library, and small compiled networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from sccc.backends.synthesis.liberty import Library, read_liberty
from sccc.backends.synthesis.tools import find_liberty


@pytest.fixture(scope="session")
def liberty() -> Path:
    return find_liberty()


@pytest.fixture(scope="session")
def library(liberty: Path) -> Library:
    return read_liberty(liberty)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
