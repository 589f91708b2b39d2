"""Small modules for the tests of the simulator, built op by op, and a place for their kernels."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from sccc.ir import Module, Value
from sccc.types import Encoding


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(request: pytest.FixtureRequest) -> None:
    """Keep compiled kernels in pytest's own cache: a second run is fast, and the home folder stays clean."""
    os.environ.setdefault("SCCC_CACHE", str(request.config.cache.mkdir("sccc_kernels")))


@dataclass(frozen=True)
class Net:
    """One layer: n inputs, m outputs. machine: accumulate, btanh, sigmoid, relu; sources: see `_randoms`."""

    x: Encoding
    w: Encoding
    machine: str
    sources: str = "sobol"
    n: int = 5
    m: int = 3
    length: int = 64
    bits: int = 5
    offset: bool = False
    seed: int = 0

    def random(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.n, self.m, self.length])

    def data(self, samples: int) -> np.ndarray:
        return self.random().uniform(-1.0, 1.0, (samples, self.n))


def _randoms(module: Module, net: Net) -> tuple[Value, Value]:
    """The numbers that data [n] and weights [m, n] are compared with."""
    rng, bits = net.random(), net.bits

    def source(kind: str, index: object, **more: object) -> Value:
        return module.append("sc.source", [], {"kind": kind, "index": index, "bits": bits, **more}).result

    if net.sources == "lfsr":
        return source("lfsr", 1, width=10), source("lfsr", rng.integers(0, 99, (net.m, 1)), width=10)
    if net.sources == "scrambled":
        return source("scrambled", rng.integers(0, 99, net.n)), source("scrambled", rng.integers(0, 99, (net.m, net.n)))
    if net.sources == "ramp":
        return source("ramp", 0), source("sobol", 0)
    x, w = source("sobol", 0), source("sobol", 1)
    if net.sources == "masked":
        x = module.append("sc.mask", [x], {"masks": rng.integers(0, 1 << bits, net.n)}).result
        w = module.append("sc.mask", [w], {"masks": rng.integers(0, 1 << bits, (net.m, net.n))}).result
    return x, w


def _constant(module: Module, net: Net, encoding: Encoding, shape: tuple[int, ...]) -> Value:
    levels = net.random().integers(encoding.minimum_level(net.bits), encoding.maximum_level(net.bits) + 1, shape)
    attributes = {"levels": levels, "encoding": encoding.value, "bits": net.bits}
    return module.append("sc.constant", [], attributes, result="weights").result


def _offset(module: Module, net: Net, count: Value, random: Value) -> Value:
    level = _constant(module, net, Encoding.SIGNED, (net.m,))
    fraction = module.append("sc.sng", [level, random], {"length": net.length}, result="fraction").result
    whole = net.random().integers(-2, 3, net.m)
    return module.append("sc.offset", [count, fraction], {"whole": whole}, result="biased").result


def _machine(module: Module, net: Net, count: Value) -> Value:
    rng = net.random()
    attributes: dict[str, object] = {"initial": rng.integers(-9, 10, net.m)}
    if net.machine in ("btanh", "sigmoid"):
        attributes = {"states": 2 * rng.integers(1, 9, net.m)}
    elif net.machine == "relu":
        attributes = {"threshold": rng.integers(1, 9, net.m), "depth": rng.integers(0, 9, net.m)}
    return module.append(f"sc.{net.machine}", [count], attributes, result="y").result


def add_layer(module: Module, net: Net, x: Value) -> Value:
    """Streams x [n] through weights, bias and machine: the result %y."""
    shared = module.append("sc.source", [], {"kind": "sobol", "index": 2, "bits": net.bits}).result
    _, rw = _randoms(module, net)
    levels = _constant(module, net, net.w, (net.m, net.n))
    w = module.append("sc.sng", [levels, rw], {"length": net.length}, result="ws").result
    count = module.append("sc.dot", [x, w], result="count").result
    if net.offset:
        count = _offset(module, net, count, shared)
    return _machine(module, net, count)


def add_input(module: Module, net: Net) -> Value:
    """Data in -1 .. 1 as streams %xs of net.x."""
    attributes = {"shape": [net.n], "name": "in", "encoding": net.x.value, "bits": net.bits}
    level = module.append("sc.input", [], attributes, result="x").result
    rx, _ = _randoms(module, net)
    return module.append("sc.sng", [level, rx], {"length": net.length}, result="xs").result


@pytest.fixture(scope="session")
def make_net() -> type[Net]:
    return Net


@pytest.fixture(scope="session")
def build() -> Callable[[Net], Module]:
    """A function that makes the module of one layer."""

    def make(net: Net) -> Module:
        module = Module("net")
        y = add_layer(module, net, add_input(module, net))
        module.append("sc.output", [y], {"name": "out", "scale": 0.5})
        module.erase_dead()
        return module

    return make


@pytest.fixture(scope="session")
def build_deep() -> Callable[[Net], Module]:
    """A function that makes two layers: a machine, or accumulation and a table, then accumulation."""

    def make(net: Net) -> Module:
        module = Module("deep")
        y = add_layer(module, net, add_input(module, net))
        if net.machine == "accumulate":
            y = _to_streams(module, net, y)
        second = Net(
            y.type.encoding, Encoding.SIGNED, "accumulate", "sobol", net.m, 2, net.length, net.bits, False, net.seed
        )
        total = add_layer(module, second, y)
        best = module.append("sc.argmax", [total], result="best").result
        module.append("sc.output", [total], {"name": "out", "scale": 0.25})
        assert best is not None
        return module

    return make


def _to_streams(module: Module, net: Net, total: Value) -> Value:
    scaled = module.append("sc.rescale", [total], {"mult": 3, "shift": 4, "lo": -6, "hi": 7}, result="scaled").result
    table = np.linspace(-(1 << net.bits), 1 << net.bits, 14).astype(np.int64)
    attributes = {"table": table, "encoding": "signed", "bits": net.bits}
    level = module.append("sc.lookup", [scaled], attributes, result="level").result
    random = module.append("sc.source", [], {"kind": "sobol", "index": 3, "bits": net.bits}).result
    return module.append("sc.sng", [level, random], {"length": net.length}, result="hs").result
