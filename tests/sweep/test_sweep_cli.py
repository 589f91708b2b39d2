"""`sccc sweep`: table, JSON, plots and errors."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from sccc.cli import main


@pytest.fixture
def run(model, data_file, tmp_path, capsys):
    def call(*more: str) -> tuple[int, str, str]:
        base = ["sweep", str(model), "--data", str(data_file), "--cache", str(tmp_path / "cache"), "--jobs", "1"]
        code = main([*base, *more])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def test_table_json_and_plots(run, tmp_path):
    stem = tmp_path / "plot"
    options = ("--lengths", "8,16", "--flip-rates", "0,0.1", "--encodings", "signed,unipolar")
    code, out, _ = run(*options, "--plots", str(stem), "--json", str(tmp_path / "s.json"))
    assert code == 0 and "95 % interval" in out and "refused" in out
    found = json.loads((tmp_path / "s.json").read_text())
    assert len(found["points"]) == 8 and found["float"] == 1.0
    png, svg = (stem.with_suffix(e).read_bytes() for e in (".png", ".svg"))
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    run(*options, "--plots", str(tmp_path / "again"))
    assert (tmp_path / "again.svg").read_bytes() == svg and (tmp_path / "again.png").read_bytes() == png


def test_all_mistakes_are_told_at_once(run):
    code, _, err = run("--lengths", "8,x", "--flip-rates", "0.7", "--encodings", "sgned", "--flips", "bits")
    assert code == 2
    for part in ("'x' is not a number", "0.7 is outside", "unknown value 'sgned'", "unknown kind 'bits'"):
        assert part in err


def test_nobody_answers(run, monkeypatch):
    code, _, err = run("--lengths", "8", "--cluster", "nonsense://here")
    assert code == 2 and "no dask scheduler answers" in err
