"""Netlists with and without every saving: the same bits in every cycle, and each saving saves something."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from nets import Spec, compiled, data, one_layer

from sccc.backends.verilog import emit_netlist
from sccc.counting import ALL_SAVINGS, NO_SAVINGS, Counting, Savings
from sccc.counting_gates import cheapest, flipflops, gates
from sccc.ir import Module
from sccc.neurons import constant_streams, root_source
from sccc.ops.arithmetic import PRODUCTS, product_of
from sccc.rtl_check import check

NETS = {
    "signed-tanh": Spec((24, 10, 6), "tanh", "argmax", {"length": 16, "encoding": "signed"}, True, seed=1),
    "unsigned-tanh": Spec((30, 12, 5), "tanh", "none", {"length": 8}, seed=2),
    "bipolar-tanh": Spec((16, 9, 5), "tanh", "argmax", {"length": 16, "encoding": "bipolar"}, True, seed=3),
    "bipolar-relu": Spec((14, 8, 4), "relu", "none", {"length": 16, "encoding": "bipolar"}, seed=4),
    "unipolar-sigmoid": Spec((14, 8, 4), "sigmoid", "none", {"length": 8, "encoding": "unipolar"}, False, True, seed=5),
    "lfsr-clip": Spec((12, 8, 4), "clip", "relu", {"length": 20, "source": "lfsr"}, True, seed=6),
    "none-tanh": Spec((12, 7, 4), "tanh", "none", {"length": 16, "sharing": "none"}, True, seed=7),
    "streaming-tanh": Spec((20, 12, 5), "tanh", "argmax", {"length": 32, "style": "streaming"}, seed=8),
    "streaming-relu": Spec((20, 9, 5), "relu", "none", {"length": 32, "style": "streaming"}, seed=9),
    "streaming-bipolar": Spec(
        (12, 8, 4), "tanh", "none", {"length": 24, "style": "streaming", "encoding": "bipolar"}, True, seed=10
    ),
}
EACH = {
    "none": NO_SAVINGS,
    "all": ALL_SAVINGS,
    **{f"no {f.name}": replace(ALL_SAVINGS, **{f.name: False}) for f in fields(Savings)},
}


def plans(module: Module, savings: Savings = ALL_SAVINGS) -> list[Counting]:
    found = []
    for dot in module.ops_named("sc.dot"):
        sng = dot.operands[1].op
        random = root_source(sng.operands[1]).result.type
        found.append(cheapest(product_of(dot), constant_streams(sng), random, savings))
    return found


@pytest.fixture(scope="module", params=NETS, ids=list(NETS))
def net(request) -> tuple[Module, np.ndarray]:
    spec = NETS[request.param]
    return compiled(spec), data(spec, 3)


def test_the_same_bits_with_and_without_every_saving(net):
    module, x = net
    texts = {}
    for name, savings in EACH.items():
        netlist = emit_netlist(module, savings)
        result = check(module, x, netlist=netlist)
        assert (result.mismatches, result.first) == (0, None), name
        texts[name] = netlist.text
    assert texts["all"] != texts["none"]
    assert texts["all"] == emit_netlist(module).text


def test_no_saving_costs_area(net):
    """The plan with every saving is at most as large as any without one of them."""
    module, _ = net
    best, plain = ([gates(p) + 3.6 * flipflops(p) for p in plans(module, s)] for s in (ALL_SAVINGS, NO_SAVINGS))
    assert sum(best) < sum(plain)
    for field in ("products", "signs", "subtotals"):
        for all_on, without in zip(best, plans(module, replace(ALL_SAVINGS, **{field: False})), strict=True):
            assert all_on <= gates(without) + 3.6 * flipflops(without)


def test_the_networks_have_everything_that_can_be_saved():
    found = [plan for spec in NETS.values() for plan in plans(compiled(spec))]
    assert {plan.offset for plan in found} >= {"", "xs", "w"}
    assert {plan.scale for plan in found} == {1, 2}
    assert any(plan.subtotals and not plan.offset for plan in found)
    assert any(plan.subtotals and plan.offset for plan in found)
    text = emit_netlist(compiled(NETS["unsigned-tanh"])).text
    assert (
        "_complete = " in text
        and "_complete = "
        not in emit_netlist(compiled(NETS["unsigned-tanh"]), replace(ALL_SAVINGS, isolation=False)).text
    )


@pytest.mark.parametrize("pair", PRODUCTS, ids=lambda pair: "-".join(e.value for e in pair))
def test_every_multiplier_with_many_equal_weights(pair):
    """Five outputs alike but for some weights: large subtotals, also where signs differ, and offsets of all kinds."""
    x, w = (each.value for each in pair)
    rng = np.random.default_rng(4)
    levels = np.tile(rng.integers(0, 9, 40), (5, 1))
    levels[rng.random(levels.shape) < 0.2] = 8
    if w == "signed":
        levels *= np.where(rng.random(levels.shape) < 0.3, -1, 1)
    module = one_layer(x, w, levels, 8, 3)
    samples = rng.uniform(0 if x == "unipolar" else -1, 1, (3, 40))
    (plan,) = plans(module)
    special = {("unipolar", "bipolar"): "x", ("bipolar", "bipolar"): ""}
    assert plan.offset == special.get((x, w), {"signed": "xs", "bipolar": "w", "unipolar": ""}[x])
    assert max(map(len, plan.subtotals)) >= 7
    for savings in EACH.values():
        assert check(module, samples, netlist=emit_netlist(module, savings)).mismatches == 0
