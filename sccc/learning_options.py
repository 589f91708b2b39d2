"""Options of networks that learn on chip, each stated once, for pass, training, command line and documentation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sccc.config import check_fields, option
from sccc.diagnostics import Collector, Location, SccError

COUNTER_RULES = ("gdc", "gdm", "fixed")
FLOAT_RULES = ("float", "float-momentum")
FIRST_WEIGHTS = ("auto", "glorot", "he", "lsuv")

MOST_HALVINGS = 12
"""Of a step while a network learns."""

VALUE_BITS, RELU_RANGE = (8, 10), (4, 16)
"""Of dense networks, and of those with convolutions, whose sums of nonnegative numbers grow larger (measured: LeNet's maps, which
nothing holds back once they saturate at 4, do so within 8,000 samples)."""


@dataclass(frozen=True)
class CounterOptions:
    """How a network with gradient counters computes. Values are checked on construction; raises SccError with every problem."""

    rule: str = option(
        "gdc",
        "gdc: gradient counters; gdm: with momentum; fixed: the rival, a multiplier, an adder and a register per weight",
        COUNTER_RULES,
    )
    step_bits: int = option(
        10, "a counter's step, and the float rules' learning rate, is 2 to the power of -BITS", lo=2, hi=20
    )
    sources: str = option(
        "auto",
        "random sources: one for all error lanes of a layer, or one per lane (inputs share one either way), or scrambled: one, "
        "XORed with a mask for each lane, of inputs too; auto: scrambled where there are convolutions, else per-layer",
        ("auto", "per-layer", "per-lane", "scrambled"),
    )
    loss: str = option("cross-entropy", "what is made small", ("cross-entropy", "squared-error"))
    weight_range: int = option(
        0, "weights saturate at + and - this power of two; 0: what holds them, at least 1", lo=0, hi=64, power=True
    )
    value_bits: int = option(
        0, f"bits of inputs and activations; 0: {VALUE_BITS[0]}, with convolutions {VALUE_BITS[1]}", lo=0, hi=16
    )
    delta_bits: int = option(16, "fractional bits of errors", lo=4, hi=16)
    decay_bits: int = option(3, "momentum: beta = 1 - 2 to the power of -BITS", lo=1, hi=12)
    momentum_bits: int = option(4, "momentum counters saturate at 2 to the power of BITS", lo=1, hi=12)
    input_range: float = option(
        0.0, "inputs saturate at the power of two from here on; 0: measured on calibration data, else 1", lo=0.0
    )
    gradient_range: int = option(
        4,
        "a convolution's gradients, sums over positions, are limited to + and - this power of two",
        lo=1,
        hi=64,
        power=True,
    )
    update_range: int = option(
        2,
        "a dense layer's inputs are, where its gradients are formed, limited to this power of two",
        lo=1,
        hi=64,
        power=True,
    )
    relu_range: int = option(
        0,
        f"outputs of ReLU saturate at this power of two; 0: {RELU_RANGE[0]}, with convolutions {RELU_RANGE[1]}",
        lo=0,
        hi=64,
        power=True,
    )
    forward: str = option("fixed", "forward pass in fixed point or on streams", ("fixed", "streams"))
    length: int = option(256, "cycles of a window of forward streams", lo=16, hi=1024, power=True)
    halvings: int = option(
        0,
        "how often the step can halve while the network learns: counters have so many bits more, and the netlist an input",
        lo=0,
        hi=MOST_HALVINGS,
    )

    def __post_init__(self) -> None:
        problems = Collector()
        check_fields(self, problems)
        most = 1 << (self.value_bits or VALUE_BITS[0]) if isinstance(self.value_bits, int) else 0
        if isinstance(self.input_range, (int, float)) and self.input_range >= most > 0:
            problems.add(f"input_range = {self.input_range} is not less than {most}", advice="take more value_bits")
        problems.raise_if_any()


@dataclass(frozen=True)
class TrainingOptions(CounterOptions):
    """How to train: with which counters, or in float, from where and for how long."""

    rule: str = option("gdc", "gradient counters, with momentum, or a rival", COUNTER_RULES + FLOAT_RULES)
    epochs: int = option(20, "passes over the samples", lo=1)
    halve_after: int = option(
        0, "the step halves after this epoch and after each that follows, as often as it can; 0: never", lo=0
    )
    from_scratch: bool = False
    first_weights: str = option(
        "auto",
        "kind of the new weights; lsuv: fitted, so that each layer's sums of training samples have a variance of 1; auto: he in "
        "networks of more than 8 layers, else glorot",
        FIRST_WEIGHTS,
    )
    seed: int = option(1, "of the samples' order, the random sources and new weights", lo=0, hi=2**31 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.halvings > 0) != (self.halve_after > 0):
            raise SccError(
                f"halvings = {self.halvings} and halve_after = {self.halve_after}: a step that halves wants both",
                Location(option="halve-after"),
                "give how often it halves, and the epoch after which it does so first",
            )

    def halved(self, epoch: int) -> int:
        """How often the step has been halved in an epoch, counted from 0."""
        return min(self.halvings, max(0, epoch - self.halve_after + 1)) if self.halve_after else 0

    def counters(self) -> dict[str, Any]:
        """The options of the counters alone. Rules in float have those of gdc, of which they take the formats."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(CounterOptions)}
        return {**values, "rule": self.rule if self.rule in COUNTER_RULES else "gdc"}


TRAINING_FIELDS = {f.name: f for f in dataclasses.fields(TrainingOptions)}
