"""The bill of folded hardware: engines, multipliers, utilisation, cycles and memories add up, and refusals say what to do."""

from __future__ import annotations

import pytest
from cli_common import write_images
from image_nets import data, lenet_like

import sccc
from sccc.bill_tables import estimated
from sccc.cli import EXIT_USER_ERROR, main
from sccc.folded_cost import folded_bill


def made(**options: object) -> sccc.Module:
    network = lenet_like()
    return sccc.compile(network, calibration=data(network, 8), length=16, **options)  # type: ignore[arg-type]


def test_engines_add_up_and_the_slowest_is_always_at_work():
    module = made(multipliers=40)
    bill = folded_bill(module)
    assert [engine.kind for engine in bill.engines] == ["product", "pool", "product", "pool", "product"]
    assert sum(engine.multipliers for engine in bill.engines) <= 40
    assert max(engine.utilisation for engine in bill.engines) == pytest.approx(1.0)
    assert bill.interval >= max(engine.cycles for engine in bill.engines) and bill.latency >= bill.interval / 2
    result = estimated(module)
    for key in ("gates", "flipflops", "memory_bits", "multipliers"):
        assert result[key] == pytest.approx(sum(layer[key] for layer in result["layers"]), abs=3)


def test_more_multipliers_cost_more_gates_and_fewer_cycles():
    bills = [folded_bill(made(multipliers=n)) for n in (4, 12, 40)]
    gates, intervals = [b.total.gates for b in bills], [b.interval for b in bills]
    assert gates == sorted(gates) and len(set(gates)) == 3
    assert intervals == sorted(intervals, reverse=True) and len(set(intervals)) == 3


def test_weights_fill_the_memory_that_is_told():
    module = made(multipliers=5)
    (fc,) = [e for e in folded_bill(module).engines if e.name.endswith("fc")]
    weights = 5 * module.ops_named("sc.dot")[0].operands[0].type.lanes
    assert fc.memory_bits >= weights * 6  # magnitude of 5 bits and a sign


def test_the_report_shows_utilisation_and_memory(folder, capsys):
    model = str(write_images(folder / "net.onnx"))
    assert main(["report", model, "--multipliers", "4", "--length", "8"]) == 0
    out = capsys.readouterr().out
    assert "utilisation" in out and "memory bits" in out


def test_synthesis_of_memories_is_refused_with_what_to_do(folder, capsys):
    model = str(write_images(folder / "net.onnx"))
    assert main(["report", model, "--multipliers", "4", "--synth"]) == EXIT_USER_ERROR
    err = capsys.readouterr().err
    assert "memories" in err and "memory compiler" in err
