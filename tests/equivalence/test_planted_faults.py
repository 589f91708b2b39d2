"""A check that cannot fail checks nothing: every fault planted in a netlist is found, at the right place.

Where a fault has a counterpart in the IR (a weight, a seed, a number of states), the naive evaluator computes what the
faulty hardware does, and so predicts the first mismatch: op, sample, lane, cycle and both values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from naive import Naive
from nets import Spec, compiled, data, one_layer

from sccc import check
from sccc.backends.verilog import emit_netlist
from sccc.diagnostics import InternalError
from sccc.ir import Module
from sccc.rtl_check import CheckResult, Mismatch

ACCUMULATE = Spec(
    (4, 3, 3), "tanh", "argmax", {"length": 16, "encoding": "signed", "source": "lfsr"}, negative_inputs=True
)
STREAMING = Spec((5, 4, 2), "tanh", "none", {"length": 24, "style": "streaming", "encoding": "signed"}, seed=2)
SAMPLES = np.array([[0.9, -0.8, 0.6, 0.3], [0.2, 0.5, -1.0, 0.7], [0.2, 0.5, -1.0, 0.7], [0.4, -0.1, 0.9, -0.6]])


def accumulating() -> tuple[Module, np.ndarray]:
    return compiled(ACCUMULATE), SAMPLES


def streaming() -> tuple[Module, np.ndarray]:
    """With more states than such a small network needs, so that no state is lost at once."""
    module = compiled(STREAMING)
    for op in module.ops_named("sc.btanh"):
        op.attributes["states"] = 10
    return module, data(STREAMING, 6)


def rectifying() -> tuple[Module, np.ndarray]:
    machine = ("sc.relu", {"threshold": np.array([3, 2]), "depth": np.array([6, 2])})
    levels = [[15, 32, -9, 0], [-32, 30, 20, 32]]
    bias = (np.array([0, -1]), np.array([-9, 20]))
    module = one_layer("signed", "signed", levels, 32, 5, machine, bias=bias)
    return module, np.random.default_rng(3).uniform(-1, 1, (12, 4))


def rescaling() -> tuple[Module, np.ndarray]:
    spec = Spec((4, 3, 2), "relu", "none", {"length": 32, "weights": "per-channel"}, seed=5)
    return compiled(spec), np.concatenate([data(spec), np.eye(4)])


# -- planting --------------------------------------------------------------------------------------------------------


def replacing(old: str, new: str, within: str = "", count: int = 1) -> Callable[[str], str]:
    """A fault: `old` (a regular expression) becomes `new`, the first `count` times, in the part that starts with `within`."""

    def alter(text: str) -> str:
        start = text.index(within)
        altered, found = re.subn(old, new, text[start:], count=count)
        assert found, f"the netlist has no {old!r}: nothing has been planted"
        assert altered != text[start:], "the replacement changes nothing"
        return text[:start] + altered

    return alter


def parameter(instance: str, name: str, change: Callable[[int], int]) -> Callable[[str], str]:
    """A fault: another number for a parameter of an instance."""

    def alter(text: str) -> str:
        instantiation = re.search(rf"^  \w+ #\((?:(?!^  \w+ #\().)*?\) {instance} \(", text, re.M | re.S)
        assert instantiation, f"there is no instance {instance}"
        whole = instantiation[0]
        match = re.search(rf"\.{name}\((\d+)'h([0-9a-f]+)\)", whole)
        assert match, f"{instance} has no parameter {name}"
        number = change(int(match[2], 16))
        assert 0 <= number < 1 << int(match[1]), "the altered number does not fit"
        assert number != int(match[2], 16), "the alteration changes nothing"
        return text.replace(whole, whole.replace(match[0], f".{name}({match[1]}'h{number:x})"))

    return alter


def field(position: int, width: int, change: Callable[[int], int]) -> Callable[[int], int]:
    """Changes one of the numbers that are packed into a parameter."""

    def alter(packed: int) -> int:
        value = packed >> position * width & (1 << width) - 1
        return packed + ((change(value) % (1 << width)) - value << position * width)

    return alter


def run(made: tuple[Module, np.ndarray], fault: Callable[[str], str]) -> CheckResult:
    module, x = made
    assert check(module, x).mismatches == 0
    result = check(module, x, alter=fault)
    assert result.mismatches > 0 and result.first is not None
    return result


def predicted(module: Module, x: np.ndarray, faulty: Naive) -> Mismatch:
    """The first difference between the module and a faulty evaluation, in the order in which the testbench looks."""
    right, netlist = Naive(module, x), emit_netlist(module)
    differences = []
    for number, seen in enumerate(netlist.observables):
        shape = (-1, seen.lanes, seen.cycles)
        a, b = (n.values[seen.value.name].reshape(shape) for n in (right, faulty))
        for sample, lane, cycle in np.argwhere(a != b).tolist():
            time = seen.first + sample * netlist.schedule.interval + cycle
            place = Mismatch(
                seen.value.name, sample, lane, cycle, int(b[sample, lane, cycle]), int(a[sample, lane, cycle])
            )
            differences.append((time, number, lane, place))
    return min(differences, key=lambda each: each[:3])[3]


def run_predicted(
    made: tuple[Module, np.ndarray], fault: Callable[[str], str], op: str, attribute: str, value: object
) -> Mismatch:
    """Plant a fault that is the same as another attribute of %op; the first mismatch is where the IR says."""
    module, x = made
    broken = module.clone()
    target = broken.value(op).op
    target.attributes[attribute] = value(target.attributes[attribute]) if callable(value) else value
    expected = predicted(module, x, Naive(broken, x))
    result = run(made, fault)
    assert result.first == expected
    return expected


def at(array: np.ndarray, position: object, value: int) -> np.ndarray:
    copy = np.array(array)
    copy[position] = value
    return copy


# -- no fault --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", (accumulating, streaming, rectifying, rescaling))
def test_without_a_fault_everything_is_compared_and_agrees(make):
    module, x = make()
    result = check(module, x, alter=lambda text: text + "// nothing\n")
    assert (result.mismatches, result.first, result.samples) == (0, None, len(x))
    assert result.compared > len(x) * sum(v.type.lanes for v in module.values() if v.name.endswith(("count", "total")))


def test_the_guard_against_faults_that_are_not_planted():
    module, x = accumulating()
    for fault in (
        replacing(r"no such text", "x"),
        replacing("module", "module"),
        parameter("no_such_instance", "SEEDS", lambda n: n + 1),
        parameter("fc0_rx_lfsr", "NONE", lambda n: n + 1),
        parameter("fc0_rx_lfsr", "SEEDS", lambda n: n),
    ):
        with pytest.raises(AssertionError):
            check(module, x, alter=fault)


# -- faults with a prediction ----------------------------------------------------------------------------------------


def test_a_wrong_seed():
    seed = accumulating()[0].value("fc0_rx").op.attributes["index"]
    found = run_predicted(
        accumulating(), parameter("fc0_rx_lfsr", "SEEDS", lambda n: n + 3), "fc0_rx", "index", seed + 3
    )
    assert found.op == "fc0_x"


def test_a_wrong_seed_of_the_weights():
    found = run_predicted(
        accumulating(), parameter("fc1_rw_lfsr", "SEEDS", lambda n: n - 1), "fc1_rw", "index", lambda i: i - 1
    )
    assert found.op == "fc1_count"


def test_a_wrong_row_of_a_counter_source():
    """The van der Corput source with its bits the other way round is the ramp."""
    made = streaming()
    fault = replacing(r"@\* fc0_rx = \{(.*), (.*), (.*), (.*), (.*)\};", r"@* fc0_rx = {\5, \4, \3, \2, \1};")
    assert run_predicted(made, fault, "fc0_rx", "kind", "ramp").op == "fc0_x"


@pytest.mark.parametrize("stream", (0, 2, 5))
def test_a_wrong_weight(stream):
    """One constant stream has another level: so has every weight of that magnitude."""
    module, _ = made = accumulating()
    levels = module.value("fc0_weights").op.attributes["levels"]
    magnitude = sorted({abs(v) for v in levels.ravel().tolist()} - {0, 16})[stream]
    wrong = (magnitude + 7) % 15 + 1
    levels = np.where(np.abs(levels) == magnitude, np.sign(levels) * wrong, levels)
    fault = parameter("fc0_ws_sng", "LEVELS", field(stream, 5, lambda v: wrong))
    assert run_predicted(made, fault, "fc0_weights", "levels", levels).op in ("fc0_count", "fc0_total")


def test_swapped_weights():
    module, _ = made = accumulating()
    levels = module.value("fc0_weights").op.attributes["levels"]
    a, b = sorted({abs(v) for v in levels.ravel().tolist()} - {0, 16})[1:3]
    size, sign = np.abs(levels), np.sign(levels)
    swapped = sign * np.where(size == a, b, np.where(size == b, a, size))
    fault = parameter("fc0_ws_sng", "LEVELS", lambda n: field(2, 5, lambda _: a)(field(1, 5, lambda _: b)(n)))
    assert run_predicted(made, fault, "fc0_weights", "levels", swapped).op in ("fc0_count", "fc0_total")


def test_a_wrong_mask():
    module, _ = made = streaming()
    levels = module.value("fc0_weights").op.attributes["levels"]
    masks = np.broadcast_to(module.value("fc0_rwm").op.attributes["masks"], levels.shape)
    used = [(abs(int(v)), int(m)) for v, m in zip(levels.ravel(), masks.ravel(), strict=True) if 0 < abs(v) < 32]
    stream = sorted(set(used))[3]
    matching = (np.abs(levels) == stream[0]) & (masks == stream[1])
    wrong = np.where(matching, masks ^ 1, masks)
    position = sorted(set(used)).index(stream)
    fault = parameter("fc0_ws_sng", "MASKS", field(position, 5, lambda v: v ^ 1))
    broken = module.clone()
    broken.value("fc0_rwm").op.attributes["masks"] = wrong
    broken.value("fc0_rwm").type = type(broken.value("fc0_rwm").type)(levels.shape, 5)
    expected = predicted(module, made[1], Naive(broken, made[1]))
    assert run(made, fault).first == expected
    assert expected.op == "fc0_count" and matching[expected.lane].any()


@pytest.mark.parametrize("lane", range(3))
def test_a_wrong_bias(lane):
    made = accumulating()
    width = made[0].value("fc0_total").type
    bits = max(width.hi.bit_length(), (-width.lo - 1).bit_length()) + 1
    fault = parameter("fc0_total_fsm", "START", field(lane, bits, lambda v: v - 1))
    found = run_predicted(made, fault, "fc0_total", "initial", lambda v: at(v, lane, v[lane] - 1))
    assert found == Mismatch("fc0_total", 0, lane, 0, found.simulator - 1, found.simulator)


@pytest.mark.parametrize("change", (-2, 1))
def test_a_wrong_number_of_states(change):
    """More states or less than stated, from the same start."""
    made = streaming()

    class OffByOne(Naive):
        def do_btanh(self, op, count):
            start, states = op.attributes["states"] // 2, op.attributes["states"] + change

            def step(lane, state, added):
                state = sorted((0, (start if state is None else state) + added, states - 1))[1]
                return state, int(2 * state >= states)

            return self.walk(op, count, step)

    fault = replacing(r"\.STATES\(\{4\{(\d+)'ha\}\}\)", rf".STATES({{4{{\g<1>'h{10 + change:x}}}}})")
    expected = predicted(*made, OffByOne(*made))
    assert run(made, fault).first == expected
    assert expected.op == "fc0_stream"


@pytest.mark.parametrize(("name", "change"), (("threshold", 1), ("threshold", -1), ("depth", -1), ("depth", 1)))
def test_a_wrong_threshold_or_depth(name, change):
    """In lane 1; the start, threshold // 2, has not been changed with it."""
    made = rectifying()

    class Off(Naive):
        def do_relu(self, op, count):
            thresholds, depths = self.per_lane(op, "threshold"), self.per_lane(op, "depth")
            starts = [t // 2 for t in thresholds]
            (thresholds if name == "threshold" else depths)[1] += change

            def step(lane, state, added):
                state = (starts[lane] if state is None else state) + added
                bit = int(state >= thresholds[lane])
                return sorted((-depths[lane], state - bit * thresholds[lane], 2 * thresholds[lane] - 1))[1], bit

            return self.walk(op, count, step)

    fault = parameter("y_fsm", name.upper(), field(1, 4, lambda v: v + change))
    expected = predicted(*made, Off(*made))
    assert run(made, fault).first == expected
    assert (expected.op, expected.lane) == ("y", 1)


def test_a_wrong_whole_bias():
    made = rectifying()
    text = emit_netlist(made[0]).text
    width = int(re.search(r"\.PW\((\d+)\).*\.WHOLE", text)[1])
    fault = parameter("biased_lanes", "WHOLE", field(1, width, lambda v: v + 1))
    found = run_predicted(made, fault, "biased", "whole", lambda whole: np.add(whole, [0, 1]))
    assert (found.op, found.lane, found.cycle, found.rtl) == ("biased", 1, 0, found.simulator + 1)


def test_a_wrong_sign_of_a_bias():
    made = rectifying()
    width = int(re.search(r"\.PW\((\d+)\).*\.WHOLE", emit_netlist(made[0]).text)[1])
    fault = parameter("biased_lanes", "FRACTION_SIGN", field(0, width, lambda v: 0))
    found = run_predicted(made, fault, "bias", "levels", np.array([9, 20]))
    assert (found.op, found.lane) == ("biased", 0)


def test_a_wrong_entry_of_a_table():
    module, x = made = accumulating()
    naive = Naive(module, x)
    table, scaled = module.value("fc0_level").op.attributes["table"], module.value("fc0_scaled").type
    address = int(naive.values["fc0_scaled"][0, 1])
    assert scaled.lo < address < scaled.hi
    entry = int(table[address - scaled.lo])
    wrong = entry + 1 if entry != 16 else 15
    width = int(re.search(r"reg \[(\d+):0\] a;", emit_netlist(module).text)[1]) + 1
    where = f"{width}'h{address & (1 << width) - 1:x}"
    coded = abs(wrong) | (32 if wrong < 0 else 0)
    fault = replacing(rf"{where}: entry = 6'h\w+;", f"{where}: entry = 6'h{coded:x};", "module net_fc0_lookup")
    found = run_predicted(made, fault, "fc0_level", "table", at(table, address - scaled.lo, wrong))
    assert (found.op, found.sample, found.cycle) == ("fc0_level", 0, 0)


@pytest.mark.parametrize(("name", "attribute", "change"), (("MULT", "mult", 1), ("MULT", "mult", -1)))
def test_a_wrong_multiplier(name, attribute, change):
    made = rescaling()
    width = int(re.search(r"\.PW\((\d+)\),\s+\.HI", emit_netlist(made[0]).text)[1])
    values = made[0].value("fc0_scaled").op.attributes[attribute]
    assert values.shape == (3,)
    sensitive = int(np.argmax(Naive(*made).values["fc0_scaled"].max(axis=0)))
    more = at(values, sensitive, values[sensitive] + 40 * change)
    fault = parameter("fc0_scaled_lanes", name, field(sensitive, width, lambda v: v + 40 * change))
    found = run_predicted(made, fault, "fc0_scaled", attribute, more)
    assert (found.op, found.lane) == ("fc0_scaled", sensitive)


@pytest.mark.parametrize(("attribute", "change"), (("shift", -1), ("hi", -9), ("lo", 3)))
def test_a_wrong_shift_or_limit(attribute, change):
    made = rescaling()
    wrong = made[0].value("fc0_scaled").op.attributes[attribute] + change
    fault = replacing(rf"(\.{attribute.upper()}\(.*?'h)(\w+)", rf"\g<1>{wrong:x}", "sccc_rescale #")
    assert run_predicted(made, fault, "fc0_scaled", attribute, wrong).op == "fc0_scaled"


def test_the_last_of_equal_outputs_instead_of_the_first():
    module = one_layer("unipolar", "unipolar", [[9, 9], [20, 3], [20, 3], [1, 1]], 32, 5)
    total = module.ops[-1].operands[0]
    module.append("sc.argmax", [total], {"layer": "one"}, result="best", before=module.ops[-1])
    module.ops[-1].operands = [module.value("best")]
    made = module, np.array([[0.0, 0.9], [0.9, 0.1]])
    assert Naive(*made).raw.tolist() == [0, 1]
    found = run(made, replacing("candidate > best", "candidate >= best"))
    assert found.first == Mismatch("best", 1, 0, 0, 2, 1)


def test_a_comparison_the_wrong_way_round():
    module, x = made = accumulating()

    class Reversed(Naive):
        def do_sng(self, op, level, random):
            bits = super().do_sng(op, level, random)
            if level.op.name == "sc.constant":
                return bits
            numbers = self.of(random)[:, None, None] if self.of(random).ndim == 1 else self.of(random)
            return (np.abs(self.of(level))[..., None] < np.moveaxis(numbers, 0, -1)).astype(int)

    fault = replacing(r"BITS\+1\] > \{1'b0, random\}", "BITS+1] < {1'b0, random}", "module sccc_sng #")
    expected = predicted(module, x, Reversed(module, x))
    assert run(made, fault).first == expected
    assert expected.op == "fc0_x"


# -- faults of gates and wires ---------------------------------------------------------------------------------------


def sharing() -> tuple[Module, np.ndarray]:
    """Unsigned and signed inputs, many of each: outputs have common bits, signed products are counted once."""
    spec = Spec((30, 10, 6), "tanh", "none", {"length": 8}, seed=7)
    return compiled(spec), data(spec, 12)


def taking_off(x: str) -> tuple[Module, np.ndarray]:
    """Of inputs of encoding x: counts that what depends on x or on the weights alone is taken off from."""
    levels = np.array([[3, 9, 32, 14, 7, 30, 1, 22, 17, 5], [6, 6, 11, 31, 2, 28, 19, 9, 32, 4]])
    module = one_layer(x, "bipolar" if x == "unipolar" else "unipolar", levels, 32, 5)
    return module, np.random.default_rng(5).uniform(0 if x == "unipolar" else -1, 1, (3, 10))


@pytest.mark.parametrize("lane", range(3))
@pytest.mark.parametrize(("old", "new"), ((r"_v0 = \{(\w+\[\d+\]), ", r"_v0 = {~\1, "), (r" - (?=\{)", " + ")))
def test_a_wrong_gate_in_an_output(lane, old, new):
    result = run(accumulating(), replacing(old, new, f"// output {lane} of "))
    assert (result.first.op, result.first.lane) == ("fc0_count", lane)


@pytest.mark.parametrize(
    ("old", "new"), ((r"x & \{", "x | {"), (r"& \{ws", "| {ws"), (r"& ~xs", "& xs"), (r"~\{xs", "{xs"))
)
def test_a_wrong_gate_in_the_products(old, new):
    result = run(accumulating(), replacing(old, new, "module net_fc0_dot "))
    assert result.first.op == "fc0_count"


@pytest.mark.parametrize(("old", "new"), ((" & ", " | "), (r" \^ ", " & "), (r"\[0\] & ", "[0] ^ ")))
def test_a_wrong_gate_in_a_population_count(old, new):
    text = emit_netlist(accumulating()[0]).text
    width = re.search(r"sccc_popcount_(\d+) add_up", text)[1]
    result = run(accumulating(), replacing(old, new, f"module sccc_popcount_{width} "))
    assert result.first.op.endswith("_count") and result.first.sample == 0


@pytest.mark.parametrize(("old", "new"), ((" & ", " | "), (r" \^ ", " & ")))
def test_a_wrong_gate_in_a_counter_of_common_bits(old, new):
    result = run(sharing(), replacing(old, new, "module sccc_counters_3 "))
    assert result.first.op == "fc0_count"


def test_a_common_bit_of_the_wrong_weight():
    """The sum of a subtotal goes where its carry belongs."""
    result = run(sharing(), replacing(r"_v1 = \{(.*?)common_3_0_1\[", r"_v1 = {\1common_3_0_0["))
    assert result.first.op == "fc0_count"


def test_a_common_bit_without_its_complement():
    result = run(sharing(), replacing(r"~p_", "p_", "module net_fc1_dot "))
    assert result.first.op == "fc1_count"


def test_a_sum_before_the_window_that_is_not_taken_off():
    result = run(sharing(), replacing(r"\{1'b0, start\[.*?\]\}", "0", "module sccc_from_start "))
    assert (result.first.op, result.first.sample) == ("fc1_count", 0)


def test_a_sum_before_the_window_that_is_kept_from_the_first_one():
    """Found in a later sample, where signs have changed."""
    fault = replacing(r"if \(go\) start <= sum;", "if (go && start[0] === 1'bx) start <= sum;")
    result = run(sharing(), fault)
    assert result.first.op == "fc1_count" and result.first.sample > 0


@pytest.mark.parametrize("old", (r" & \{\d+\{running\}\}", "running(?=, )"))
def test_weights_that_do_not_wait_for_the_window(old):
    """Then the sum before the window holds more than signs."""
    new = "" if "&" in old else "1'b1"
    result = run(sharing(), replacing(old, new, "module net_fc1 ("))
    assert result.first.op == "fc1_count"


def test_a_wrong_entry_in_a_table_of_offsets():
    module, x = made = taking_off("bipolar")
    number = 9
    random = module.value("w").op.operands[1].name
    cycles = np.flatnonzero(np.ravel(Naive(module, x).values[random])[:32] == number)
    result = run(
        made, replacing(rf"(5'h{number:x}: offset = \d+'h\w*)(\w);", lambda m: m[1] + f"{int(m[2], 16) ^ 1:x};")
    )
    assert (result.first.op, result.first.lane, result.first.cycle) == ("count", 0, cycles[0])


def test_ones_of_the_input_that_are_not_taken_off():
    assert run(taking_off("unipolar"), replacing(r" - \{[^;]*every\}", "")).first.op == "count"


def test_a_bipolar_product_without_its_not():
    spec = Spec((4, 3, 2), "tanh", "none", {"length": 16, "encoding": "bipolar"}, negative_inputs=True)
    result = run((compiled(spec), SAMPLES), replacing(r"p_0 = ~", "p_0 = ", "module net_fc0_dot "))
    assert result.first.op == "fc0_count"


def test_an_xor_that_is_an_or():
    spec = Spec((4, 3, 2), "tanh", "none", {"length": 16, "encoding": "bipolar"}, negative_inputs=True)
    result = run((compiled(spec), SAMPLES), replacing(r" \^ \{", " | {", "module net_fc0_dot "))
    assert result.first.op == "fc0_count"


def test_a_wire_to_the_wrong_lane():
    result = run(accumulating(), replacing(r"sum_1, sum_0\}", "sum_0, sum_1}", "module net_fc0_dot "))
    assert (result.first.op, result.first.lane) == ("fc0_count", 0)


def test_a_window_that_ends_one_cycle_early():
    """In the last cycle nothing is counted any more: totals that it would have changed are the first to differ."""
    module, x = made = accumulating()
    counts = Naive(module, x).values["fc0_count"]
    result = run(made, replacing(r"\.LENGTH\(16\)", ".LENGTH(15)", "module net_fc0 "))
    sample, lane = np.argwhere(counts[:, :, -1] != 0)[0]
    assert (result.first.op, result.first.sample, result.first.lane) == ("fc0_total", sample, lane)
    assert result.first.rtl == result.first.simulator - counts[sample, lane, -1]


def test_a_window_of_the_last_layer_that_ends_early():
    result = run(accumulating(), replacing(r"\.LENGTH\(16\)", ".LENGTH(15)", "module net_fc1 "))
    assert result.first.op == "valid"


def test_a_level_register_that_never_loads():
    result = run(accumulating(), replacing(r"if \(done\) fc0_level <=", "if (1'b0) fc0_level <="))
    assert (result.first.op, result.first.sample, result.first.lane) == ("fc0_level", 0, 0)
    assert result.first.rtl is None


def test_a_level_register_that_keeps_its_first_number():
    """Found in the second sample: one alone would not show it."""
    fault = replacing(
        r"always @\(posedge clk\) if \(done\) fc0_level <=",
        "always @(posedge clk) if (done && fc0_level[0] === 1'bx) fc0_level <=",
    )
    result = run(accumulating(), fault)
    assert (result.first.op, result.first.sample) == ("fc0_level", 1)


@pytest.mark.parametrize("make", (accumulating, streaming))
def test_a_layer_that_starts_too_early(make):
    result = run(
        make(),
        replacing(r"assign go_1 = follow_1;", "assign go_1 = " + ("done_0" if make is accumulating else "go_0") + ";"),
    )
    assert result.first.op.startswith("fc1") or result.first.op == "valid"


def test_a_state_machine_that_is_not_reloaded():
    """Found in the second window."""
    result = run(
        streaming(),
        replacing(r"if \(go\) state <= START;", "if (go && state[0] === 1'bx) state <= START;", "module sccc_btanh"),
    )
    assert (result.first.op, result.first.sample) == ("fc0_stream", 1)


def test_an_lfsr_that_is_not_restarted():
    """The samples 1 and 2 are equal, and have to give the same bits."""
    spec = replace(ACCUMULATE, options={**ACCUMULATE.options, "length": 20})  # with 16, its period would restart it
    result = run(
        (compiled(spec), SAMPLES),
        replacing(r"if \(go\) state <= SEEDS;", "if (go && state[0] === 1'bx) state <= SEEDS;", "module sccc_lfsr"),
    )
    assert result.first.sample == 1 and result.first.op in ("fc0_x", "fc0_count")


def test_an_output_port_that_shows_something_else():
    module, _ = made = streaming()
    port = emit_netlist(module).output_port
    result = run(made, replacing(rf"assign {port} = (.*);", rf"assign {port} = ~\1;"))
    assert (result.first.op, result.first.lane) == (f"port {port}", 0)


@pytest.mark.parametrize("wrong", ("done_0", "1'b0", "~done_1"))
def test_a_wrong_valid(wrong):
    assert run(accumulating(), replacing("assign valid = done_1;", f"assign valid = {wrong};")).first.op == "valid"


def test_a_netlist_that_does_not_compile_is_our_own_fault():
    module, x = accumulating()
    with pytest.raises(InternalError, match="Icarus refuses the netlist"):
        check(module, x, alter=replacing("endmodule", "endmodul"))


def test_a_netlist_that_ends_the_simulation():
    module, x = accumulating()
    with pytest.raises(InternalError, match="did not finish"):
        check(module, x, alter=replacing("endmodule", "initial #20 $finish; endmodule"))


def test_the_mismatch_in_words():
    mismatch = Mismatch("fc0_x", 2, 3, 17, None, 1)
    assert str(mismatch) == "%fc0_x, lane 3, sample 2, cycle 17: RTL x, simulator 1"
    assert str(Mismatch("port y", 0, 1, 0, 5, 4)).startswith("port y, lane 1")
