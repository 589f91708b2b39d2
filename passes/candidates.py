"""Candidates for random sources: what they cost, and which pairs are legal and worth judging on data.

Counters (the ramp and the Sobol dimensions; one counter per layer feeds them, so that each costs only its XOR gates) and LFSRs
(seeds and polynomials). Costs are those of `sccc.cost`: gates and flip-flops of sources, comparators of distinct constant streams
(masks make more of these distinct, and cost nothing else).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sccc.correlation import DEPENDENCE_LIMIT, Randomness, joint_deviation
from sccc.cost import op_cost
from sccc.ir import Module, Operation
from sccc.joint import pair_error
from sccc.ops.source import source_lanes
from sccc.sources import MAX_SEARCHED_WIDTH, SOBOL_DIMENSIONS, Source, maximal_taps, splitmix64

PAIRS_KEPT, CHEAP_PAIRS_KEPT = 24, 8
"""Pairs of sources that are judged on data: so many of the best by `pair_error`, and of the cheapest."""

QUICK_BITS, QUICK_MASKED_BITS = 8, 6
"""Bits of level up to which a judgement takes a fraction of a second, without and with masks. Beyond, a quarter as many pairs
are judged, and masks are not tried where no state machine needs them (they change a total's error by some per cent only)."""

LFSR_SEEDS, LFSR_POLYNOMIALS = 8, 6
"""Size of the search among LFSRs."""

FLIPFLOP_GATES = 6
"""Two-input gates that one flip-flop counts for when costs are compared (about its area in standard-cell libraries)."""


@dataclass(frozen=True)
class Spec:
    """One random source for all lanes, as the attributes of an sc.source; `masked`: another mask for each weight lane."""

    kind: str
    index: int = 0
    taps: int = 0
    masked: bool = False

    @property
    def unmasked(self) -> Spec:
        return Spec(self.kind, self.index, self.taps)


@lru_cache(maxsize=4096)
def _source_op(spec: Spec, bits: int) -> Operation:
    attributes: dict[str, Any] = {"kind": spec.kind, "index": spec.index, "taps": spec.taps, "bits": bits}
    return Module("scratch").append("sc.source", [], attributes)


def source_of(spec: Spec, bits: int) -> Source:
    return source_lanes(_source_op(spec, bits))[0]


@lru_cache(maxsize=4096)
def source_area(spec: Spec, bits: int) -> float:
    """A source's cost in gates, flip-flops counted as FLIPFLOP_GATES."""
    cost = op_cost(_source_op(spec, bits))
    return cost.gates + FLIPFLOP_GATES * cost.flipflops


def specs(source: str, bits: int, seed: int) -> list[Spec]:
    """Candidates for an option `source`, the cheapest first."""
    sobol = [Spec("sobol", dimension) for dimension in range(SOBOL_DIMENSIONS)]
    found = {"sobol": sobol, "ramp": [Spec("ramp"), *sobol], "lfsr": [], "auto": [Spec("ramp"), *sobol]}[source]
    width = max(3, bits)
    if source in ("lfsr", "auto") and width <= MAX_SEARCHED_WIDTH:
        polynomials = (0, *maximal_taps(width, LFSR_POLYNOMIALS if source == "lfsr" else 2)[1:])
        seeds = dict.fromkeys(splitmix64(seed * 7919 + k) % (1 << width) for k in range(LFSR_SEEDS))
        found = found + [Spec("lfsr", s, taps) for taps, s in itertools.product(polynomials, seeds)]
    return sorted(found, key=lambda spec: source_area(spec, bits))


def legal(a: Spec, b: Spec, bits: int, length: int) -> bool:
    """Whether streams that share these sources may be multiplied: like the verifier, and as strict as for any pair of all lanes."""
    return a != b and joint_deviation(*randomness_pair(a, b, bits), bits, length) <= DEPENDENCE_LIMIT / 2


def randomness_pair(a: Spec, b: Spec, bits: int) -> tuple[Randomness, Randomness]:
    return Randomness(source_of(a, bits)), Randomness(source_of(b, bits))


@lru_cache(maxsize=64)
def promising(found: tuple[Spec, ...], bits: int, length: int) -> tuple[tuple[Spec, Spec], ...]:
    """Legal pairs that are worth judging on data, the likeliest to err little first. `found`: unmasked candidates."""
    family = {"sobol": 0, "ramp": 0, "lfsr": 1}
    pairs = [p for p in itertools.combinations(found, 2) if family[p[0].kind] == family[p[1].kind]]
    ranked = sorted(pairs, key=lambda p: pair_error(*randomness_pair(p[0], p[1], bits), bits, length))
    cheapest = sorted(pairs, key=lambda p: source_area(p[0], bits) + source_area(p[1], bits))
    kept: dict[tuple[Spec, Spec], None] = {}
    part = 1 if bits <= QUICK_BITS else 4
    for order, count in ((ranked, PAIRS_KEPT // part), (cheapest, CHEAP_PAIRS_KEPT // part)):
        good = (p for p in order if legal(p[0], p[1], bits, length))
        kept |= dict.fromkeys(itertools.islice(good, count))
    return tuple(kept)
