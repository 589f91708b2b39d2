"""What cannot be compiled is reported all at once, each with node, op type, reason and advice."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sccc.diagnostics import SccError
from sccc.frontend import load_onnx
from sccc.frontend.names import identifier, shown


def problems(load) -> list[str]:
    with pytest.raises(SccError) as error:
        load()
    return [d.render() for d in error.value.diagnostics]


def test_all_problems_are_reported_together_with_their_nodes(graph):
    """Also behind a node that was refused: shape inference lets the check go on."""
    g = graph(shape=("N", 4))
    g.const(np.array([[np.nan] * 4] * 4, np.float32), name="broken")
    g.node("Elu", name="first")
    g.node("MatMul", g.last, "broken", name="second")
    g.node("Softsign", name="third")
    g.node("MatMul", g.last, g.weight(5, 5), name="fourth")
    g.node("Mystery", name="fifth", domain="com.example")
    g.node("LeakyRelu", name="sixth", slope=0.1)
    g.node("Gelu", name="seventh")
    found = problems(g.load)
    path = str(g.path)
    assert found == [
        f"error: {path}: initializer 'broken' holds 16 NaN or infinite elements of 16\n"
        "  = training diverged, or the file is damaged: retrain, or export again",
        f"error: {path}, node 'first': Elu: operator not supported\n"
        "  = train with Relu, LeakyRelu, Clip, Tanh, Sigmoid, HardSigmoid or HardSwish instead",
        f"error: {path}, node 'third': Softsign: operator not supported\n"
        "  = train with Relu, LeakyRelu, Clip, Tanh, Sigmoid, HardSigmoid or HardSwish instead",
        f"error: {path}, node 'fourth': MatMul: a weight of 5 inputs does not fit [N, 4]",
        f"error: {path}, node 'fifth': Mystery: operator not supported: its domain 'com.example' is unknown\n"
        "  = export with standard ONNX operators only; model-local functions are inlined by onnx.inliner",
        f"error: {path}, node 'sixth': LeakyRelu: the attribute 'slope' is not honoured\n  = export without it",
        f"error: {path}, node 'seventh': Gelu: operator not supported\n"
        "  = train with Relu, LeakyRelu, Clip, Tanh, Sigmoid, HardSigmoid or HardSwish instead",
    ]


def test_nodes_without_a_name_are_called_by_type_and_number(graph):
    g = graph()
    g.node("Relu", name="")
    g.node("Elu", name="")
    assert "node 'Elu_1': Elu: operator not supported" in problems(g.load)[0]


@pytest.mark.parametrize(
    ("op", "advice"),
    [
        ("LogSoftmax", "end the network at the scores"),
        ("ConvTranspose", "enlarge images with Resize"),
        ("LRN", "train with BatchNormalization"),
        ("ReduceMax", "pool with MaxPool"),
        ("LSTM", "recurrent"),
        ("Relx", "Relu"),
    ],
)
def test_advice_fits_the_op_type(graph, op, advice):
    g = graph()
    g.node(op)
    assert advice in problems(g.load)[0]


def test_control_flow_is_refused(graph):
    g = graph()
    branch = helper.make_graph([], "b", [], [])
    g.node("If", g.const(True), then_branch=branch, else_branch=branch, name="cond")
    g.node("Loop", "", g.const(True), body=branch, name="loop")
    found = problems(g.output("v0").output("v1").load)
    assert ["If" in found[0], "Loop" in found[1]] == [True, True]
    assert all("control flow has no hardware" in problem for problem in found)


@pytest.mark.parametrize("opset", [1, 7, 8, 999])
def test_opsets_that_are_too_old_or_too_new_are_refused(graph, opset):
    g = graph(opset)
    g.node("Relu")
    (problem,) = problems(g.load)
    assert f"opset {opset} is not supported, only 9 to {onnx.defs.onnx_opset_version()}" in problem


def test_a_model_without_opset_or_with_a_newer_ir_is_refused(graph):
    g = graph()
    g.node("Relu")
    model = g.model()
    del model.opset_import[:]
    model.ir_version = 1000
    g.path.write_bytes(model.SerializeToString())
    found = problems(lambda: load_onnx(g.path))
    assert "imports no operator set" in found[0]
    assert "IR version 1000 is newer" in found[1]


def test_a_domain_that_is_used_must_be_imported(graph):
    g = graph()
    g.node("Scaler", domain="ai.onnx.ml", offset=[0.0], scale=[1.0])
    assert "its operator set 'ai.onnx.ml' is not imported" in problems(g.load)[0]


def test_several_inputs_are_refused_with_their_names(graph):
    g = graph()
    g.extra_inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", 4]))
    g.node("Relu")
    (problem,) = problems(g.load)
    assert "2 inputs ('x', 'mask')" in problem
    assert "extract_model" in problem


def test_initializers_that_are_listed_as_inputs_are_constants(graph):
    """As files of IR version 3 have them."""
    g = graph(opset=9)
    g.node("MatMul", "x", g.weight(4, 3))
    g.extra_inputs.append(helper.make_tensor_value_info("c0", TensorProto.FLOAT, [4, 3]))
    g.check()


@pytest.mark.parametrize("shape", [("N", "M"), ("N",), ("N", 4, "T")])
def test_dynamic_dimensions_other_than_the_batch_are_refused(graph, shape):
    g = graph(shape=shape)
    g.node("Relu")
    assert "only the batch may be dynamic" in problems(g.load)[0]


def test_an_input_without_shape_or_of_text_is_refused(graph):
    g = graph(type=TensorProto.STRING)
    g.node("Identity")
    assert "holds STRING" in problems(g.load)[0]
    g = graph()
    g.node("Relu")
    model = g.model()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    g.path.write_bytes(model.SerializeToString())
    assert "has no shape" in problems(lambda: load_onnx(g.path))[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_numbers_are_reported_by_name(graph, value):
    g = graph()
    weights = np.ones((4, 3), np.float32)
    weights[1, 2] = value
    g.const(weights, name="fc.weight")
    g.node("MatMul", "x", "fc.weight")
    (problem,) = problems(g.load)
    assert "initializer 'fc.weight' holds 1 NaN or infinite elements of 12" in problem


def test_constant_nodes_and_folded_weights_that_are_not_numbers_are_reported(graph):
    g = graph()
    g.node("Div", g.weight(4, 3), g.const(0.0, np.float32))
    g.node("MatMul", "x", g.last, name="layer")
    assert "'layer': MatMul: the weight 'v0' has 12 NaN or infinite elements" in problems(g.load)[0]


def test_a_value_that_nothing_defines_is_reported(graph):
    g = graph()
    g.node("Add", "x", "ghost", name="haunted")
    assert "'haunted': Add: reads 'ghost', which nothing before it defines" in problems(g.load)[0]


def test_a_value_that_is_written_twice_is_reported(graph):
    g = graph()
    g.node("Relu", outputs=["y"])
    g.node("Tanh", outputs=["y"], name="again")
    assert "'again': Tanh: writes 'y', which is defined already" in problems(g.load)[0]


def test_outputs_must_be_computed_from_the_input(graph):
    g = graph()
    g.node("Relu")
    assert "output 'nothing' is computed by no node" in problems(g.output("nothing").load)[0]
    g = graph()
    g.node("Relu", g.weight(3))
    assert "does not depend on the network's input" in problems(g.load)[0]


def test_an_output_of_another_shape_than_declared_is_reported(graph):
    g = graph()
    g.node("MatMul", "x", g.weight(4, 3))
    (problem,) = problems(g.output(shape=["N", 7]).load)
    assert "declared with shape [?, 7], and is computed with [N, 3]" in problem


def test_malformed_nodes_are_reported_by_onnx_own_check(graph):
    g = graph()
    g.node("Relu", "x", "x", name="two")
    assert "'two': Relu: is malformed" in problems(g.load)[0]
    g = graph()
    g.node("LeakyRelu", alpha="steep", name="text")
    assert "'text': LeakyRelu" in problems(g.load)[0]


@pytest.mark.parametrize("value", [{"value": 1.5}, {"value_floats": "text"}, {"value_int": "text"}, {"value": [1, 2]}])
def test_constants_of_the_wrong_type_are_reported(graph, value):
    g = graph()
    g.nodes.append(helper.make_node("Constant", [], ["k"], name="odd", **value))
    g.node("Add", "x", "k")
    assert "node 'odd': Constant: the attribute" in problems(g.load)[0]


def test_dead_nodes_are_not_looked_at(graph):
    g = graph()
    g.node("Elu", "x", outputs=["dead"])
    g.node("Relu", "x")
    g.check()


def test_an_empty_graph_is_refused(graph):
    g = graph()
    assert "the graph is empty" in problems(g.output("x").load)[0]


def test_files_that_are_no_models(tmp_path, graph):
    g = graph()
    g.node("MatMul", "x", g.weight(4, 3))
    whole = g.save().read_bytes()
    file = tmp_path / "other.onnx"
    assert "no such file" in problems(lambda: load_onnx(file))[0]
    assert "is a folder" in problems(lambda: load_onnx(tmp_path))[0]
    assert "no such file" in problems(lambda: load_onnx("nul\0byte"))[0]
    file.write_bytes(b"")
    assert "the file is empty" in problems(lambda: load_onnx(str(file)))[0]
    for junk in (b"hello world, this is text", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04" + bytes(100), bytes(64)):
        file.write_bytes(junk)
        assert "not an ONNX model" in problems(lambda: load_onnx(file))[0]
    for end in range(1, len(whole)):
        file.write_bytes(whole[:end])
        with pytest.raises(SccError):
            load_onnx(file)


HOSTILE = [
    "x; endmodule $finish",
    "/0/Gemm:0",
    "model/dense/BiasAdd;",
    '*/ `include "x"',
    "ünï cödé",
    "1",
    "",
    "a" * 5000,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_accepted_and_becomes_an_identifier(graph, name):
    g = graph(input=name or "x")
    g.node("Relu", name or "x", name=name, outputs=["out" + name])
    module = g.check()
    assert module.ops[1].origin == (shown(name) or "Relu_0")
    assert all(value.name.isascii() and value.name.isidentifier() and len(value.name) < 80 for value in module.values())


def test_control_characters_are_escaped_where_names_are_shown(graph):
    g = graph()
    g.node("Elu", name="a\n\x1b[31mb\u202ec")
    (problem,) = problems(g.load)
    assert r"node 'a\n\x1b[31mb\u202ec': Elu" in problem
    assert shown("plain; endmodule $finish") == "plain; endmodule $finish"
    assert len(shown("y" * 1000)) <= 120
    assert identifier("/0/Gemm:0") == "v0_Gemm_0"


def test_operations_remember_their_node_and_are_named_after_it(graph):
    g = graph()
    g.node("Gemm", "x", g.weight(4, 3), g.weight(3), name="/fc1/Gemm")
    g.node("Relu", name="")
    module = g.check()
    assert [(op.origin, op.result.name) for op in module if op.result] == [
        ("x", "x"),
        ("/fc1/Gemm", "fc1_Gemm"),
        ("Relu_1", "Relu_1"),
    ]
