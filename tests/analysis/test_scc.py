"""SCC: the definition's corner cases, predicted against measured, and measured in a network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nets import Spec, compiled, data

from sccc.backends.simulator import simulate
from sccc.correlation import Randomness
from sccc.joint import predicted_scc, scc
from sccc.scc import measured_scc
from sccc.sources import lfsr, sobol


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    (
        ("11110000", "11110000", 1.0),
        ("11110000", "11000000", 1.0),
        ("11110000", "00001111", -1.0),
        ("11111100", "00111111", -1.0),
        ("11110000", "11001100", 0.0),
        ("11110000", "11101000", 0.5),
        ("11111111", "11001100", 0.0),
        ("00000000", "11001100", 0.0),
    ),
)
def test_examples(a, b, expected):
    """The first five as in Alaghi & Hayes (2013), table I; constant streams have none."""
    bits = [np.array(list(map(int, text))) for text in (a, b)]
    assert scc(*bits) == pytest.approx(expected)
    assert scc(*bits[::-1]) == pytest.approx(expected)


def test_predicted_is_measured_for_all_levels():
    for a, b in (
        (Randomness(sobol(4, 0)), Randomness(sobol(4, 3), 6)),
        (Randomness(lfsr(4, 4, 3)), Randomness(lfsr(4, 4, 7))),
    ):
        for length in (16, 11):
            ra, rb = a.sequence(length), b.sequence(length)
            lx, lw = np.mgrid[0:17, 0:17]
            measured = scc(lx[..., None] > ra, lw[..., None] > rb)
            np.testing.assert_allclose(predicted_scc(a, b, lx, lw, 4, length), measured, atol=1e-12)
    assert predicted_scc(a, a, 5, 9, 4, 16) == pytest.approx(1.0)


@pytest.mark.parametrize("style", ("accumulate", "streaming"))
def test_of_the_worst_pairs_of_a_network(style):
    spec = Spec((5, 4, 3), "tanh", "none", {"length": 16, "style": style})
    module, x = compiled(spec), data(spec, 12)
    rows = measured_scc(module, x, worst=3)
    assert [row["layer"] for row in rows] == ["/fc0/Gemm", "/fc1/Gemm"]
    for dot, row in zip(module.ops_named("sc.dot"), rows, strict=True):
        names = [v.name for v in dot.operands]
        trace = simulate(module, x, trace=names).trace
        xb, wb = (
            trace[names[0]].astype(float),
            np.broadcast_to(trace[names[1]], (len(x), *dot.operands[1].type.shape, 16)),
        )
        d = (xb[:, None] * wb).mean(axis=-1) - xb.mean(axis=-1)[:, None] * wb.mean(axis=-1)
        assert len(row["worst"]) == 3
        assert abs(row["worst"][0]["deviation"]) == pytest.approx(np.abs(d.mean(axis=0)).max(), abs=1e-6)
        for pair in row["worst"]:
            assert pair["deviation"] == pytest.approx(d[:, pair["output"], pair["x"]].mean(), abs=1e-6)
            if style == "accumulate" or dot is module.ops_named("sc.dot")[0]:
                assert pair["predicted"] == pytest.approx(pair["measured"], abs=1e-6)
            else:
                assert pair["predicted"] is None


def test_identical_sources_are_seen(monkeypatch):
    """A planted fault: the same source on both sides gives an SCC of 1 everywhere."""
    spec = Spec((5, 4), options={"length": 16})
    module = compiled(spec)
    (dot,) = module.ops_named("sc.dot")
    dot.operands[1].op.operands[1].op.attributes["index"] = 0
    (row,) = measured_scc(module, data(spec, 12))
    assert row["rms"] == pytest.approx(1.0)
    assert all(pair["measured"] == pytest.approx(1.0) == pair["predicted"] for pair in row["worst"])


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    from cli_common import samples, write_model

    from sccc.cli import main

    monkeypatch.chdir(tmp_path)
    write_model(Path("net.onnx"))
    x, y = samples()
    np.savez("d.npz", x=x, y=y)
    assert main(["simulate", "net.onnx", "--data", "d.npz", "--length", "16", "--scc", "--json", "r.json"]) == 0
    assert "correlation of the streams that are multiplied" in capsys.readouterr().out
    rows = json.loads(Path("r.json").read_text())["scc"]
    assert [row["layer"] for row in rows] == ["fc1", "fc2"]
    assert set(rows[0]["worst"][0]) == {"x", "output", "weight", "deviation", "measured", "predicted"}
