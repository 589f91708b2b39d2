"""Pictures of modules, traces and waveforms."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from image_nets import data as images
from image_nets import lenet_like
from nets import Spec, build, compiled, data
from training_nets import small_cnn

import sccc
from sccc.evaluate import evaluate
from sccc.graph_layout import Box, draw
from sccc.graph_view import layers_svg, svg
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters
from sccc.schedule import layer_origin, schedule
from sccc.types import signed_width

SVG = "{http://www.w3.org/2000/svg}"


def boxes(module):
    tree = ElementTree.fromstring(svg(module))
    found = [{k: float(r.get(k)) for k in ("x", "y", "width", "height")} for r in tree.iter(f"{SVG}rect")]
    return tree, found


@pytest.mark.parametrize("style", ("accumulate", "streaming"))
def test_a_module_is_a_picture_with_a_box_for_each_operation(style):
    module = compiled(Spec(sizes=(5, 4, 3), options={"length": 16, "style": style}))
    tree, found = boxes(module)
    assert len(found) == len(module)
    texts = [t.text for t in tree.iter(f"{SVG}text")]
    for value in module.values():
        assert f"%{value.name}" in texts and str(value.type) in texts
    edges = [p for p in tree.iter(f"{SVG}path") if p.get("class") == "edge"]
    assert len(edges) == sum(len(op.operands) for op in module)


def test_boxes_do_not_overlap_and_lie_inside_and_edges_go_down():
    module = compiled(Spec(sizes=(5, 4, 4, 3), options={"length": 32, "style": "streaming"}))
    tree, found = boxes(module)
    width, height = float(tree.get("width")), float(tree.get("height"))
    for i, a in enumerate(found):
        assert a["x"] >= 0 and a["y"] >= 0 and a["x"] + a["width"] <= width and a["y"] + a["height"] <= height
        for b in found[:i]:
            apart = a["x"] >= b["x"] + b["width"] or b["x"] >= a["x"] + a["width"]
            assert apart or a["y"] >= b["y"] + b["height"] or b["y"] >= a["y"] + a["height"]
    for path in tree.iter(f"{SVG}path"):
        if path.get("class") == "edge":
            numbers = [float(n) for n in re.findall(r"[\d.]+", path.get("d"))]
            assert numbers[1] < numbers[-1]


def test_an_arrow_over_several_ranks_goes_round_the_boxes_between():
    chain = [Box((f"box {i}", "a second line")) for i in range(5)]
    tree = ElementTree.fromstring(draw("chain", chain, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]))
    rects = [{k: float(r.get(k)) for k in ("x", "y", "width", "height")} for r in tree.iter(f"{SVG}rect")]
    path = [p.get("d") for p in tree.iter(f"{SVG}path") if p.get("class") == "edge"][-1]
    bends = re.findall(r"([\d.]+) ([\d.]+) V([\d.]+)", path)
    assert len(bends) == 3
    for rect, (x, top, bottom) in zip(rects[1:4], bends, strict=True):
        assert float(x) < rect["x"] or float(x) > rect["x"] + rect["width"]
        assert float(top) <= rect["y"] and float(bottom) >= rect["y"] + rect["height"]


def test_names_are_escaped_and_shortened():
    module = build(Spec(sizes=(3, 2)))
    module.ops[1].origin = "<script>&\x1b\ud800" + "long" * 100
    picture = svg(module)
    assert "<script>" not in picture and "&lt;script&gt;&amp;\ufffd\ufffd" in picture
    ElementTree.fromstring(picture)
    tree = ElementTree.fromstring(draw("one", [Box(("n" * 500,))], []))
    assert float(tree.get("width")) < 600 and next(tree.iter(f"{SVG}title")).text == "n" * 500


def test_layers_are_a_picture_with_their_encodings_styles_and_sources():
    module = compiled(Spec(sizes=(5, 4, 3), options={"length": 16, "style": "streaming"}))
    tree = ElementTree.fromstring(layers_svg(module))
    boxes = [[t.text for t in g.iter(f"{SVG}text")] for g in tree.iter(f"{SVG}g")]
    assert [box[0] for box in boxes] == ["%x", "fc0, from /fc0/Gemm", "fc1, from /fc1/Gemm", "sc.output"]
    assert "x: unipolar, sobol 0" in boxes[1] and "w: signed, sobol 1, masked" in boxes[1]
    assert "streaming (btanh), N = 16" in boxes[1] and "accumulate, N = 16" in boxes[2]
    assert "x: bipolar, from sc.btanh %fc0_stream" in boxes[2]
    assert len([p for p in tree.iter(f"{SVG}path") if p.get("class") == "edge"]) == 3


def test_notebooks_show_the_picture_and_of_what_is_too_large_the_layers_or_the_name(monkeypatch):
    spec = Spec(sizes=(3, 2), options={"length": 16})
    module, hardware = build(spec), compiled(spec)
    assert "<svg" in module._repr_html_() and "sc.dot<" in hardware._repr_html_()
    monkeypatch.setattr("sccc.graph_view.MOST_OPERATIONS", 2)
    assert module._repr_html_() == f"<pre>&lt;Module net: {len(module)} ops&gt;</pre>"
    assert "<svg" in hardware._repr_html_() and "sc.dot, sc.accumulate<" in hardware._repr_html_()


def test_a_trace_has_an_array_for_each_operation():
    spec = Spec(sizes=(5, 4, 3), options={"length": 16})
    module, x = compiled(spec), data(spec, 4)
    traced = module.trace(x)
    static = sccc.simulate(module, x, trace="all").trace
    assert traced.keys() == static.keys() and all(np.array_equal(traced[k], static[k]) for k in traced)
    assert traced["fc0_count"].shape == (4, 4, 16)
    assert list(module.trace(x, ["fc1_total"])) == ["fc1_total"]


def test_a_float_network_is_traced_in_reals():
    spec = Spec(sizes=(5, 4, 3))
    module, x = build(spec), data(spec, 4)
    traced = module.trace(x)
    assert set(traced) == {v.name for v in module.values()}
    assert np.allclose(traced[module.outputs[0].operands[0].name], evaluate(module, x))


def test_a_trace_takes_one_name_and_refuses_unknown_ones():
    spec = Spec(sizes=(5, 4, 3), options={"length": 16})
    for module, name in ((build(spec), "fc1"), (compiled(spec), "fc1_total")):
        assert list(module.trace(data(spec, 2), name)) == [name]
        with pytest.raises(sccc.SccError, match=f"no value '{name}x' to trace\n.*did you mean '{name}'"):
            module.trace(data(spec, 2), [name + "x"])


def test_a_waveform_shows_the_bits():
    spec = Spec(sizes=(5, 4, 3), options={"length": 16, "encoding": "bipolar"})
    module, x = compiled(spec), data(spec, 2)
    text = sccc.waveform(module, x, ["fc0_x", "fc0_count"], sample=1, lanes=2, cycles=12)
    traced = module.trace(x)
    lines = text.splitlines()
    assert lines[0].startswith("%fc0_x : stream<5, bipolar")
    bits = traced["fc0_x"][1, 1]
    assert lines[2] == f"  [1] {''.join('█' if b else '▁' for b in bits[:12])} ...  {2 * bits.mean() - 1:+.3f}"
    assert lines[3] == "  ... 3 more lanes"
    assert [int(n) for n in lines[5].split("]")[1].replace("...", "").split()] == traced["fc0_count"][
        1, 0, :12
    ].tolist()


def read_vcd(text: str) -> tuple[dict[str, str], dict[int, dict[str, str]]]:
    """A reader of its own: codes by name, and the values of all codes at each time."""
    head, body = text.split("$enddefinitions $end")
    codes, scope = {}, []
    for line in head.splitlines():
        words = line.split()
        if words[:1] == ["$scope"]:
            scope.append(words[2])
        elif words[:1] == ["$upscope"]:
            scope.pop()
        elif words[:1] == ["$var"]:
            codes["/".join([*scope[1:], words[4]])] = words[3]
    now, time, states = {}, 0, {}
    pending = ""
    for word in body.replace("$dumpvars", "").replace("$end", "").split():
        if pending:
            now[word] = pending[1:]
            pending = ""
        elif word[0] == "#":
            states[time] = dict(now)
            time = int(word[1:])
        elif word[0] == "b":
            pending = word
        else:
            now[word[1:]] = word[0]
    states[time] = dict(now)
    return codes, states


@pytest.mark.parametrize("style", ("accumulate", "streaming"))
def test_a_vcd_file_holds_every_value_at_its_cycle(style, tmp_path):
    spec = Spec(sizes=(5, 4, 3), options={"length": 16, "style": style})
    module, x = compiled(spec), data(spec, 2)
    names = ["fc0_x", "fc0_count", "fc1_count", "fc1_total"]
    sccc.waveform(module, x, names, vcd=tmp_path / "w.vcd")
    codes, states = read_vcd((tmp_path / "w.vcd").read_text())
    plan, traced = schedule(module), module.trace(x[:1], names)
    assert "clk" in codes
    for name in names:
        value = module.value(name)
        rows = traced[name][0].reshape(value.type.lanes, -1)
        for lane, row in enumerate(rows):
            code = codes[f"{value.op.attributes['layer']}/{name}[{lane}]"]
            for t, number in enumerate(row.tolist()):
                shown = states[(plan.first_cycle(value) + t) * 10][code]
                assert shown == (str(number) if name == "fc0_x" else f"{unsigned(number, value):b}")
            assert "x" in states[0][code]


def unsigned(number: int, value: sccc.Value) -> int:
    """The two's complement bits of a number, as wide as its variable is."""
    return number & ((1 << signed_width(value.type.lo, value.type.hi)) - 1)


def test_a_sample_that_is_not_there_is_refused():
    spec = Spec(sizes=(5, 3), options={"length": 16})
    with pytest.raises(sccc.SccError, match="sample 2 is outside"):
        sccc.waveform(compiled(spec), data(spec, 2), sample=2)


def test_what_has_no_waveform_is_refused(tmp_path):
    spec = Spec(sizes=(5, 3), options={"length": 16, "multipliers": 5})
    with pytest.raises(sccc.SccError, match="is a float network"):
        sccc.waveform(build(spec), data(spec, 2))
    folded = compiled(spec)
    assert "count<3" in sccc.waveform(folded, data(spec, 2))
    with pytest.raises(sccc.SccError, match="folded hardware"):
        sccc.waveform(folded, data(spec, 2), vcd=tmp_path / "w.vcd")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("options", ({"length": 16}, {"length": 16, "multipliers": 16}, {"style": "fixed"}), ids=str)
def test_convolutional_folded_and_fixed_modules_show_themselves(options):
    network = lenet_like()
    x = images(network, 2)
    module = sccc.compile(network, calibration=x, **options)
    assert "conv2" in module._repr_html_()
    made = module.trace(x)
    assert made["conv1_total"].shape == (2, 3, 10, 10)
    text = sccc.waveform(module, x)
    assert ("conv1_total" if options.get("style") == "fixed" else "conv1_count") in text


def test_training_modules_show_themselves_and_say_why_they_are_not_traced():
    module = run_passes(small_cnn(), [InsertGradientCounters(rule="gdm")], PassContext())
    assert "train.gradient" in module._repr_html_()
    for look in (module.trace, lambda x: sccc.waveform(module, x)):
        with pytest.raises(sccc.SccError, match="learns"):
            look(np.zeros((1, 1, 6, 6)))


def test_a_layer_is_named_after_the_node_that_most_of_its_ops_come_from():
    ops = compiled(Spec(sizes=(5, 4, 3), options={"length": 16})).ops
    layer = [op for op in ops if op.attributes.get("layer") == ops[-1].attributes["layer"]]
    for op, origin in zip(layer, ["/flatten", *["/fc"] * len(layer)], strict=False):
        op.origin = origin
    assert layer_origin(layer) == "/fc"
    assert layer_origin(layer[:1]) == "/flatten"
    assert layer_origin([]) == ""
