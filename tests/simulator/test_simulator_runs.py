"""How a simulation is run: batches, threads, options, errors, the cache of kernels."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from sccc.backends.simulator import Simulator, simulate
from sccc.backends.simulator.randoms import counter_numbers, lfsr_numbers
from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.sources import lfsr, ramp, scrambled
from sccc.types import Encoding

UNIPOLAR, SIGNED = Encoding.UNIPOLAR, Encoding.SIGNED


@pytest.fixture(scope="module")
def net(make_net):
    return make_net(UNIPOLAR, SIGNED, "relu", "masked", n=9, m=5, length=48)


@pytest.mark.parametrize("kernels", ("numba", "numpy"))
@pytest.mark.parametrize("flip_rate", (0.0, 0.1))
def test_results_do_not_depend_on_the_batch(build_deep, net, kernels, flip_rate):
    module, x = build_deep(net), net.data(11)
    whole = simulate(module, x, trace="all", kernels=kernels, flip_rate=flip_rate, batch=11)
    for batch, threads in ((1, 1), (3, 2), (0, 1), (100, 3)):
        simulator = Simulator(module, trace="all", kernels=kernels, flip_rate=flip_rate, batch=batch, threads=threads)
        for _ in range(2):
            result = simulator.run(x)
            assert np.array_equal(result.raw, whole.raw)
            assert result.trace.keys() == whole.trace.keys()
            assert all(np.array_equal(result.trace[name], whole.trace[name]) for name in whole.trace)


@pytest.mark.parametrize("flip_rate", (0.0, 0.1))
def test_buffers_of_an_earlier_run_do_not_show(build_deep, net, flip_rate):
    module, x = build_deep(net), net.data(40)
    simulator = Simulator(module, threads=1, flip_rate=flip_rate)
    expected = simulate(module, x[:3], flip_rate=flip_rate).raw
    simulator.run(x[::-1].copy())
    assert np.array_equal(simulator.run(x[:3]).raw, expected)


def test_a_part_of_the_data_has_the_same_flips(build_deep, net):
    simulator = Simulator(build_deep(net), flip_rate=0.1)
    x = net.data(8)
    assert np.array_equal(simulator.run(x).raw[5:], simulator.run(x[5:], first=5).raw)


def test_shapes_of_the_data(build, net):
    x = net.data(4)
    expected = simulate(build(net), x).raw
    assert np.array_equal(simulate(build(net), x.reshape(4, 3, 3)).raw, expected)
    with pytest.raises(SccError, match=r"\(4, 8\).*\[samples, 9\]"):
        simulate(build(net), x[:, :8])
    with pytest.raises(SccError, match=r"\(0, 9\)"):
        simulate(build(net), x[:0])
    with pytest.raises(SccError, match="nan"):
        simulate(build(net), x * np.nan)


def test_progress(build, net):
    seen = []
    simulate(build(net), net.data(7), batch=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernels": "nunba"}, "did you mean 'numba'"),
        ({"flip_rate": 0.6}, "outside 0 .. 0.5"),
        ({"flip_rate": float("nan")}, "outside 0 .. 0.5"),
        ({"batch": -1}, "negative"),
        ({"trace": ["cuont"]}, "did you mean 'count'"),
    ],
)
def test_options_that_cannot_be_honoured(build, net, options, message):
    with pytest.raises(SccError, match=message):
        simulate(build(net), net.data(1), **options)


def test_a_module_that_is_not_hardware_yet(build, net):
    module = build(net)
    count = module.value("count")
    attributes = {"function": "relu", "style": "accumulate", "in_scale": 1.0, "out_scale": 1.0}
    new = module.append(
        "sc.activate", [count], {**attributes, "encoding": "unipolar", "bits": 5}, before=module.ops[-1]
    )
    module.outputs[0].operands[0] = new.result
    with pytest.raises(SccError, match="map-activations"):
        simulate(module, net.data(1))
    with pytest.raises(SccError, match=r"0 sc\.input"):
        simulate(Module("empty"), net.data(1))


def test_random_numbers_are_those_of_the_sources():
    for bits in (3, 6, 12):
        counters = [ramp(bits), *(scrambled(bits, i) for i in range(40))]
        for length in (1, 5, 64, 100):
            expected = [s.sequence(length) for s in counters]
            assert np.array_equal(counter_numbers(counters, length), expected)
    registers = [lfsr(5, 9, seed) for seed in range(30)]
    for length in (1, 100, 600):
        assert np.array_equal(lfsr_numbers(registers, length), [r.sequence(length) for r in registers])


def test_a_source_for_every_lane_of_a_large_layer_is_made_in_pieces(make_net, build, monkeypatch):
    from sccc.backends.simulator import streams

    net = make_net(SIGNED, SIGNED, "accumulate", "scrambled", n=33, m=20, length=100)
    expected = simulate(build(net), net.data(9)).raw
    monkeypatch.setattr(streams, "CHUNK_NUMBERS", 700)
    monkeypatch.setattr(streams, "CHUNK_BITS", 1500)
    assert np.array_equal(simulate(build(net), net.data(9)).raw, expected)
    monkeypatch.setattr(streams, "TABLE_BITS", 10)
    shared = make_net(SIGNED, SIGNED, "accumulate", "sobol", n=33, m=20, length=100)
    assert np.array_equal(
        simulate(build(shared), shared.data(9)).raw, simulate(build(shared), shared.data(9), kernels="numpy").raw
    )


def test_importing_the_simulator_does_not_import_numba():
    program = "import sys, sccc.backends.simulator; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


CACHE_PROGRAM = """
import numpy as np
from sccc.backends.simulator.codegen import KERNEL, load
kernel = load(KERNEL + "\\ndef ones(a):\\n    return pop(a[0])\\n").ones
assert kernel(np.array([7], dtype=np.uint64)) == 3
print(sum(kernel.stats.cache_hits.values()) if hasattr(kernel.stats, "cache_hits") else -1)
"""


def test_kernels_are_kept_on_disk(tmp_path):
    def run(folder):
        environment = {**os.environ, "SCCC_CACHE": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", CACHE_PROGRAM], env=environment, text=True, capture_output=True, check=True
        )
        return done.stdout.strip()

    assert [run(tmp_path), run(tmp_path)] == ["0", "1"]
    assert run("/proc/nowhere") == "0"  # no folder can be made there: compiled in the process


def test_a_kernel_with_no_place_for_its_cache_is_compiled_all_the_same():
    """numba refuses to keep what comes from no file."""
    program = "from sccc.jit import njit\n@njit(nogil=True)\ndef double(a):\n    return 2 * a\n"
    space: dict[str, object] = {}
    exec(compile(program, "<string>", "exec"), space)
    assert space["double"](4) == 8  # type: ignore[operator]
    with pytest.raises(RuntimeError, match="cannot cache"):
        exec(compile(program.replace("sccc.jit", "numba").replace("nogil", "cache"), "<string>", "exec"), space)
