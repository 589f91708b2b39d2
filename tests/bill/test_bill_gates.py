"""After synthesis: the mapped gates compute what the simulator does, and their energy is what Liberty and OpenSTA say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from nets import Spec, build, data

from sccc.api import compile
from sccc.backends.synthesis.bill import synthesize
from sccc.backends.synthesis.energy import energy, measure_activity
from sccc.backends.synthesis.flat import Flat, Group, flatten, repair_fanout
from sccc.backends.synthesis.liberty import compiled, read_liberty
from sccc.backends.synthesis.prepare import one_lane, prepare
from sccc.backends.synthesis.timing import critical_path, uniform_power
from sccc.backends.synthesis.yosys import run_yosys
from sccc.backends.verilog import emit_netlist
from sccc.diagnostics import InternalError, SccError

SPEC = Spec(sizes=(10, 6, 4), seed=21)


@pytest.fixture(scope="module")
def mapped(library):
    """A network, its netlist and Yosys' result, for each style."""
    found = {}
    for style in ("accumulate", "streaming", "fixed"):
        module = compile(build(SPEC), calibration=data(SPEC, 40), length=16, style=style, bits=4)
        netlist = emit_netlist(module)
        found[style] = module, netlist, run_yosys(netlist, library)
    return found


# -- Liberty ----------------------------------------------------------------------------------------------------------


def test_liberty_is_read_with_its_units(library):
    inverter, flop = library.cells["INVX1"], library.cells["DFFPOSX1"]
    assert (inverter.area, library.voltage, library.buffer.name) == (16, 1.8, "BUFX4")
    assert inverter.leakage == pytest.approx(0.0221741, rel=0.5)  # nW
    assert library.cells["NAND2X1"].pins["A"].capacitance == pytest.approx(0.0125)  # pF
    assert (flop.clocked_on, flop.next_state, flop.pins["Q"].function) == ("CLK", "D", flop.state)
    tables = library.cells["NAND2X1"].transition_energy("Y", np.array([0.005]), slew=0.06)
    assert tables == pytest.approx((0.010032 + 0.044515 + 0.010201 + 0.034) / 4, rel=0.1)  # pJ


@pytest.mark.parametrize(
    ("function", "expected"),
    [("!(A B)", 0b0111), ("(A+B)'", 0b0001), ("A^B", 0b0110), ("!A * B + A & !B", 0b0110), ("(!((A+B) B))", 0b0011)],
)
def test_liberty_functions(function, expected):
    logic = compiled(function, ["A", "B"])
    assert sum((logic(k & 1, k >> 1) & 1) << k for k in range(4)) == expected


def test_what_is_not_liberty_is_refused(tmp_path):
    (tmp_path / "x.lib").write_text("module x; endmodule")
    with pytest.raises(SccError, match="not a Liberty file"):
        read_liberty(tmp_path / "x.lib")


# -- what is synthesised ------------------------------------------------------------------------------------------------


def test_modules_without_a_clock_are_split_into_lanes(mapped):
    text = prepare(mapped["accumulate"][1].text)
    (instance,) = (line for line in text.full.splitlines() if line.strip().startswith("sccc_rescale_lane #("))
    assert ".LANES(1)" in instance and ".PW(PW)" in instance and ".MULT(MULT[g*(PW) +: (PW)])" in instance
    assert ".total(total[g*(IW) +: (IW)])" in instance and ".result(result[g*(OW) +: (OW)])" in instance
    assert all("posedge" not in body and "for (" not in body for body in text.light.values())
    assert any(name.startswith("sccc_popcount") for name in text.light)


def test_a_module_that_mixes_its_lanes_is_left_alone():
    body = "module m #(\n  parameter LANES = 4\n) (\n  input  wire [LANES-1:0] a,\n  output wire [1:0] y\n);\nendmodule"
    assert one_lane(body) == body


@pytest.mark.parametrize("style", ["accumulate", "streaming", "fixed"])
def test_the_gates_compute_what_the_simulator_does(mapped, library, style):
    module, netlist, synthesis = mapped[style]
    flat = flatten(synthesis.modules, synthesis.top, library)
    x = data(SPEC, 50)
    plain = measure_activity(flat, module, netlist, x)
    assert plain.checked >= 100
    glitchy = measure_activity(flat, module, netlist, x, glitches=True)
    assert glitchy.checked == plain.checked
    assert np.all(glitchy.toggles >= plain.toggles - 1e-9)
    assert glitchy.toggles.sum() > 1.2 * plain.toggles.sum()


def test_a_fault_in_the_gates_is_found(mapped, library):
    module, netlist, synthesis = mapped["accumulate"]
    changed = json.loads(json.dumps(synthesis.modules))
    swap = {"NAND2X1": "NOR2X1", "AND2X2": "OR2X2", "OAI21X1": "AOI21X1"}
    counts = (c for n, m in changed.items() if "popcount" in n for c in m["cells"].values())
    victim = next(c for c in counts if c["type"] in swap)
    victim["type"] = swap[victim["type"]]
    flat = flatten(changed, synthesis.top, library)
    with pytest.raises(InternalError, match="something else"):
        measure_activity(flat, module, netlist, data(SPEC, 50))


def test_fanout_is_repaired_and_nothing_else_changes(mapped, library):
    module, netlist, synthesis = mapped["accumulate"]
    flat = flatten(synthesis.modules, synthesis.top, library)
    before = measure_activity(flat, module, netlist, data(SPEC, 50)).toggles.sum()
    heaviest = flat.loads()[2:].max()
    repair_fanout(flat)
    buffered = np.setdiff1d(np.arange(2, flat.nets), flat.clocks)
    assert flat.buffers > 0
    assert flat.loads()[buffered].max() < heaviest
    after = measure_activity(flat, module, netlist, data(SPEC, 50))
    assert after.checked and after.toggles.sum() > before


def test_areas_and_counts_add_up(liberty):
    module = compile(build(SPEC), calibration=data(SPEC, 40), length=8, style="accumulate")
    bill = synthesize(module, data(SPEC, 64), liberty)
    plain = bill.plain()
    assert [layer["name"] for layer in plain["layers"]] == ["fc0", "fc1", ""]
    assert plain["area_um2"] == pytest.approx(sum(layer["area_um2"] for layer in plain["layers"]))
    assert plain["interval_cycles"] == 9 and plain["latency_cycles"] > 9
    assert plain["inferences_per_second"] == pytest.approx(1e9 / (9 * plain["critical_path_ns"]))
    assert plain["power_mw"] == pytest.approx(
        plain["energy_pj_per_inference"] * plain["inferences_per_second"] * 1e-9, rel=1e-6
    )
    assert 1 < plain["critical_path_ns"] < 50 and plain["results_checked"] > 0
    assert any("accumulate" in step for step in plain["critical_path_through"])


# -- energy and time against OpenSTA ---------------------------------------------------------------------------------------


def chain(library, kind: str, length: int) -> Flat:
    """`length` cells of a type in a row, all inputs of a cell on one net; the first one's is port a."""
    cell = library.cells[kind]
    nets = np.arange(3, 3 + length + 1)  # 2 is the clock
    pins = np.zeros((length, len(cell.pins)), dtype=np.int64)
    for i, pin in enumerate(cell.pins):
        pins[:, i] = 2 if pin == cell.clocked_on else nets[1:] if pin in cell.outputs else nets[:-1]
    zero = np.zeros(length, dtype=np.int64)
    groups = {kind: Group(cell, list(cell.pins), pins, zero, zero)}
    ports = {"clk": np.array([2]), "a": nets[:1], "y": nets[-1:]}
    return Flat(library, int(nets[-1]) + 1, groups, ports, ["clk", "a"], [""], ["chain"], np.array([2]))


@pytest.mark.parametrize(
    ("kind", "activity"),
    [(kind, a) for kind in ("INVX1", "BUFX4", "NAND2X1", "XOR2X1") for a in (0.2, 1.0)] + [("DFFPOSX1", 0.0)],
)
def test_energy_is_opensta_s_at_a_uniform_activity(library, kind, activity):
    """Debian's OpenSTA (2019) adds the rise and the fall energy for each transition; later ones take the mean, as we do.

    It also halves the table of a flip-flop's D pin, and reads the clock's at slew 0: of flip-flops only the clock is compared.
    """
    flat = chain(library, kind, 20)
    toggles = np.full(flat.nets, activity)
    ours = energy(flat, toggles, cycles=1)
    theirs = {k: watts * 1e-6 * 1e12 for k, watts in uniform_power(flat, activity).items()}  # pJ in a cycle of 1000 ns
    inner = flat.loads()[4:-1].sum() * 0.5 * 1.8**2 * activity  # the ports' nets are not the cells' to drive
    assert theirs["switching"] == pytest.approx(inner, rel=0.03)
    assert ours.leakage.sum() * 1e-3 == pytest.approx(theirs["leakage"], rel=0.01)
    clock = flat.groups[kind].cell.pins["CLK"].capacitance * 0.5 * 1.8**2 * 2 * 20 if kind == "DFFPOSX1" else 0.0
    assert 2 * (ours.internal.sum() + ours.clock.sum() - clock) == pytest.approx(theirs["internal"], rel=0.2)


def test_a_longer_chain_takes_longer(library):
    short, long = (critical_path(chain(library, "INVX1", n)) for n in (10, 20))
    assert 1.5 < long.nanoseconds / short.nanoseconds < 2.5
    assert short.through == ("chain",)
