"""A naive evaluator of sc modules: plain Python, sample by sample, cycle by cycle, lane by lane.

It shares no code with sccc: not the sources (Sobol comes from scipy, LFSRs and scramblings are stated again), not the
cells or their expressions, not the rounding. Of a module it only reads names, operands, attributes and types. A bit of
a stream is the number that it stands for (0 or 1, -1 or 1, 0 or +-1), and a product is a product of numbers: whatever
gates compute it, and however wide their wires are, the result has to be this.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
from scipy.stats import qmc

SOBOL_DIMENSIONS = 16

# Exponents of a primitive polynomial of each degree, without the constant term (Xilinx XAPP 052).
POLYNOMIALS = {
    3: [3, 2], 4: [4, 3], 5: [5, 3], 6: [6, 5], 7: [7, 6], 8: [8, 6, 5, 4], 9: [9, 5], 10: [10, 7], 11: [11, 9],
    12: [12, 6, 4, 1], 13: [13, 4, 3, 1], 14: [14, 5, 3, 1], 15: [15, 14], 16: [16, 15, 13, 4], 17: [17, 14],
    18: [18, 11], 19: [19, 6, 2, 1], 20: [20, 17],
}  # fmt: skip


# -- random numbers --------------------------------------------------------------------------------------------------


@cache
def sobol_points(bits: int) -> list[list[int]]:
    """The first 2**bits points of 16 Sobol dimensions in natural order, as integers of `bits` bits: [point][dimension]."""
    with np.errstate(all="ignore"):
        drawn = qmc.Sobol(SOBOL_DIMENSIONS, scramble=False).random(1 << bits)
    points = [[]] * (1 << bits)
    for i, point in enumerate(drawn):  # scipy goes in Gray-code order: its point i is the natural point gray(i)
        points[i ^ (i >> 1)] = [math.floor(coordinate * (1 << bits)) for coordinate in point]
    return points


def reversed_bits(t: int, bits: int) -> int:
    return int(format(t, f"0{bits}b")[::-1], 2)


def mixed(state: int) -> int:
    """One output of SplitMix64."""
    wrap = 1 << 64
    z = (state + 0x9E3779B97F4A7C15) % wrap
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) % wrap
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) % wrap
    return z ^ z >> 31


def scrambled_number(number: int, bits: int, index: int) -> int:
    """Each bit XORed with the parity of a random choice of the bits above it."""
    if index // SOBOL_DIMENSIONS == 0:
        return number
    result, state = 0, mixed(index)
    for bit in range(bits):
        parity = number >> bit & 1
        for above in range(bit + 1, bits):
            if (state >> 20) >> above & 1:
                parity ^= number >> above & 1
        result |= parity << bit
        state = mixed(state)
    return result


def lfsr_numbers(bits: int, width: int, index: int, length: int, taps: int = 0) -> list[int]:
    width = width or max(3, bits)
    register = [index % 2**width >> i & 1 for i in range(width)]
    numbers = []
    for _ in range(length):
        numbers.append(sum(register[width - bits + i] << i for i in range(bits)))
        feedback = 0
        for exponent in [k for k in range(1, width + 1) if taps >> (k - 1) & 1] or POLYNOMIALS[width]:
            feedback ^= register[exponent - 1]
        if sum(register[:-1]) == 0:  # between 10...0 and 0...01 lies the state of all zeros
            feedback = 1 - feedback
        register = [feedback, *register[:-1]]
    return numbers


def source_numbers(kind: str, bits: int, width: int, index: int, length: int, taps: int = 0) -> list[int]:
    if kind == "lfsr":
        return lfsr_numbers(bits, width, index, length, taps)
    times = [t % (1 << bits) for t in range(length)]
    if kind == "ramp":
        return times
    if index == 0:
        return [reversed_bits(t, bits) for t in times]
    points = sobol_points(bits)
    if kind == "sobol":
        return [points[t][index] for t in times]
    return [scrambled_number(points[t][index % SOBOL_DIMENSIONS], bits, index) for t in times]


# -- operations ------------------------------------------------------------------------------------------------------


class Naive:
    """The values of a module for samples x: `values[name]` is an int64 array.

    Streams and counts are [samples, *lanes, cycles], levels and totals [samples, *lanes], random numbers
    [cycles, *lanes]. What does not depend on the input has one sample. `raw` is the value that leaves.
    """

    def __init__(self, module, x: np.ndarray) -> None:
        self.x = np.asarray(x, dtype=float).reshape(len(x), -1).tolist()
        self.length = max((op.attributes["length"] for op in module.ops if op.name == "sc.sng"), default=1)
        self.values: dict[str, np.ndarray] = {}
        self.signs: dict[str, np.ndarray] = {}
        for op in module.ops:
            result = getattr(self, op.name.replace("sc.", "do_"))(op, *op.operands)
            if op.result is not None:
                self.values[op.result.name] = np.asarray(result, dtype=np.int64)

    def of(self, value) -> np.ndarray:
        return self.values[value.name]

    # levels

    def do_input(self, op) -> list:
        a, n = op.attributes, math.prod(op.attributes["shape"])
        scales = np.broadcast_to(np.asarray(a["scale"], dtype=float), a["shape"]).reshape(-1).tolist()
        one = 2 ** a["bits"]
        samples = []
        for row in self.x:
            levels = []
            for i in range(n):
                number = row[i] / scales[i]
                scaled = (number + 1) / 2 * one if a["encoding"] == "bipolar" else number * one
                lowest = -one if a["encoding"] == "signed" else 0
                levels.append(min(max(round(min(max(scaled, -2.0 * one), 2.0 * one)), lowest), one))
            samples.append(np.reshape(levels, a["shape"]))
        return samples

    def do_constant(self, op) -> list:
        return [op.attributes["levels"]]

    # random numbers

    def do_source(self, op) -> np.ndarray:
        a = op.attributes
        index = np.asarray(a["index"])
        lanes = [
            source_numbers(a["kind"], a["bits"], a.get("width", 16), i, self.length, a.get("taps", 0))
            for i in index.reshape(-1).tolist()
        ]
        return np.array(lanes).T.reshape(self.length, *index.shape)

    def do_mask(self, op, random) -> np.ndarray:
        numbers, masks = self.of(random), np.asarray(op.attributes["masks"])
        shape = op.result.type.shape
        result = np.zeros((self.length, *shape), dtype=np.int64)
        for t in range(self.length):
            spread = np.broadcast_to(numbers[t], shape)
            for lane in np.ndindex(*shape):
                result[(t, *lane)] = int(spread[lane]) ^ int(np.broadcast_to(masks, shape)[lane])
        return result

    # streams

    def do_sng(self, op, level, random) -> np.ndarray:
        levels, numbers, cycles = self.of(level), self.of(random), op.attributes["length"]
        shape = levels.shape[1:]
        bits = np.zeros((*levels.shape, cycles), dtype=np.int64)
        for t in range(cycles):
            spread = np.broadcast_to(numbers[t], shape)
            for lane in np.ndindex(*levels.shape):
                bits[(*lane, t)] = abs(int(levels[lane])) > int(spread[lane[1:]])
        if level.type.encoding.value == "signed":
            self.signs[op.result.name] = np.where(levels < 0, -1, 1)
        return bits

    def do_wbg(self, op, level, random) -> np.ndarray:
        """Digit k of the level in binary, where k is the number of digits of the random number, less one."""
        levels, numbers, cycles = self.of(level), self.of(random), op.attributes["length"]
        bits = np.zeros((*levels.shape, cycles), dtype=np.int64)
        for t in range(cycles):
            digits = len(format(int(numbers[t]), "b")) if numbers[t] else 0
            for lane in np.ndindex(*levels.shape):
                number = abs(int(levels[lane]))
                full = number == 2**level.type.bits
                bits[(*lane, t)] = full or (digits > 0 and format(number, "b").zfill(digits)[-digits] == "1")
        if level.type.encoding.value == "signed":
            self.signs[op.result.name] = np.where(levels < 0, -1, 1)
        return bits

    def numbers(self, stream) -> np.ndarray:
        """What the bits of a stream stand for, cycle by cycle."""
        bits = self.of(stream)
        if stream.type.encoding.value == "bipolar":
            return 2 * bits - 1
        if stream.type.encoding.value == "signed":
            return bits * self.signs[stream.name][..., None]
        return bits

    def do_dot(self, op, x, w) -> np.ndarray:
        inputs, weights = self.numbers(x).tolist(), self.numbers(w)[0].tolist()
        cycles = op.result.type.length
        return np.array([
            [
                [sum(row[i] [t] * weight[i][t] for i in range(len(row))) for t in range(cycles)]
                for weight in weights
            ]
            for row in inputs
        ])  # fmt: skip

    def joined(self, op, x, w, select=None) -> np.ndarray:
        """Counts behind OR and MUX adders. A place is a lane's number modulo g; groups are dealt place by place, by sign."""
        g = op.attributes["inputs"]
        inputs, weights, levels = (
            self.numbers(x).tolist(),
            self.numbers(w)[0].tolist(),
            self.of(w.op.operands[0])[0].tolist(),
        )
        zeros_matter = w.type.encoding.value == "bipolar"
        counts = np.zeros((len(inputs), len(weights), op.result.type.length), dtype=np.int64)
        for j, row in enumerate(levels):
            groups: dict[tuple, list[int]] = {}
            taken: dict[tuple, int] = {}
            for lane, level in enumerate(row):
                if level != 0 or zeros_matter:
                    side = level < 0, lane % g
                    groups.setdefault((side[0], taken.get(side, 0)), []).append(lane)
                    taken[side] = taken.get(side, 0) + 1
            for (s, t), _ in np.ndenumerate(counts[:, j]):
                for lanes in groups.values():
                    made = [(lane % g, inputs[s][lane][t] * weights[j][lane][t]) for lane in lanes]
                    if select is not None:
                        place = int(self.of(select)[t]) * g // 2**select.type.bits
                        counts[s, j, t] += g * sum(number for where, number in made if where == place)
                    else:
                        numbers = [number for _, number in made]
                        counts[s, j, t] += (1 in numbers) - (-1 in numbers)
        return counts

    do_or_dot = do_mux_dot = joined

    def do_offset(self, op, count, fraction) -> np.ndarray:
        whole = np.broadcast_to(op.attributes["whole"], count.type.shape)
        parts = self.numbers(fraction)[0]
        result = self.of(count).copy()
        for sample, *lane, t in np.ndindex(*result.shape):
            result[(sample, *lane, t)] += int(whole[tuple(lane)]) + int(parts[(*lane, t)])
        return result

    # state machines

    def walk(self, op, count, step) -> np.ndarray:
        """Bits of `step(lane, state or None, count) -> (state, bit)`, called for every cycle; state None loads."""
        values = self.of(count)
        counts = values.reshape(len(values), -1, values.shape[-1]).tolist()
        samples = []
        for row in counts:
            lanes = []
            for lane, cycles in enumerate(row):
                state, bits = None, []
                for each in cycles:
                    state, bit = step(lane, state, each)
                    bits.append(bit)
                lanes.append(bits)
            samples.append(lanes)
        return np.array(samples).reshape(values.shape)

    def per_lane(self, op, name: str) -> list[int]:
        return np.broadcast_to(op.attributes[name], op.operands[0].type.shape).reshape(-1).tolist()

    def do_btanh(self, op, count) -> np.ndarray:
        states = self.per_lane(op, "states")

        def step(lane: int, state: int | None, added: int) -> tuple[int, int]:
            state = states[lane] // 2 if state is None else state
            state = sorted((0, state + added, states[lane] - 1))[1]
            return state, int(2 * state >= states[lane])

        return self.walk(op, count, step)

    do_sigmoid = do_btanh

    def do_relu(self, op, count) -> np.ndarray:
        thresholds, depths = self.per_lane(op, "threshold"), self.per_lane(op, "depth")

        def step(lane: int, state: int | None, added: int) -> tuple[int, int]:
            threshold = thresholds[lane]
            state = (threshold // 2 if state is None else state) + added
            bit = int(state >= threshold)
            return sorted((-depths[lane], state - bit * threshold, 2 * threshold - 1))[1], bit

        return self.walk(op, count, step)

    # totals

    def do_accumulate(self, op, count) -> list:
        initial = self.per_lane(op, "initial")
        return [[initial[lane] + sum(cycles) for lane, cycles in enumerate(row)] for row in self.of(count).tolist()]

    def do_rescale(self, op, total) -> list:
        a, mult = op.attributes, self.per_lane(op, "mult")
        half = Fraction(1, 2)
        return [
            [
                min(max(math.floor(Fraction(number * mult[lane], 2 ** a["shift"]) + half), a["lo"]), a["hi"])
                for lane, number in enumerate(row)
            ]
            for row in self.of(total).tolist()
        ]

    def do_level(self, op, total) -> np.ndarray:
        return self.of(total)

    def do_lookup(self, op, total) -> list:
        table = np.asarray(op.attributes["table"]).tolist()
        return [[table[number - total.type.lo] for number in row] for row in self.of(total).tolist()]

    def do_argmax(self, op, total) -> list:
        return [row.index(max(row)) for row in self.of(total).tolist()]

    def do_output(self, op, value) -> None:
        self.raw = self.of(value)
