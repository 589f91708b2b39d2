"""share-sngs: which random source each SNG compares with.

Sharing two sources per layer is not only cheaper than a source for every SNG, it is better when they are jointly low-discrepancy
(shared/notes/sc-facts.md, section 2). Where a state machine follows, each lane's weight source gets a mask of its own, which
brings the variance of a cycle's count down to that of independent streams at no cost in registers. With an error budget, or when
the fewest sources are wanted, sources are searched for (`sccc.passes.choose_sources`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sccc.correlation import DEPENDENCE_LIMIT, dependent_pair, dependent_select
from sccc.ir import Module, Operation
from sccc.ops.adders import ADDERS
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.passes.choose_sources import cheapest_within, fewest_sources, is_within
from sccc.passes.judge import Judge
from sccc.passes.manager import Pass, PassContext, register
from sccc.passes.plans import assign, feeds_fsm, length_of, operands, plan_none, plan_shared
from sccc.sources import SOBOL_DIMENSIONS

FIRST_SELECT = 2
"""The Sobol dimension that MUX adders try first: those of x and of the weights are mostly 0 and 1."""

ATTEMPTS = 100
"""How often random sources are drawn before the verifier has to refuse them."""


@register
@dataclass(frozen=True)
class ShareSngs(Pass):
    """Choose random sources: per layer one low-discrepancy pair (auto), a source for every SNG (none), or the fewest (max)."""

    name: ClassVar[str] = "share-sngs"
    sharing: str = ""
    source: str = ""
    error_budget: float = 0.0

    def run(self, module: Module, context: PassContext) -> Module:
        judge: Judge | None = None
        fewest: dict[Operation, tuple[str, float]] = {}
        seed = context.config.options.seed
        for position, dot in enumerate(module.ops_named(*PRODUCT_SUMS)):
            options = context.layer_options(dot)
            sharing, source = self.sharing or options.sharing, self.source or options.source
            budget = self.error_budget or options.error_budget
            if budget and judge is None:
                judge = Judge(module, context)
            if sharing == "max":
                fewest[dot] = source, budget
            elif sharing == "auto" and budget and judge is not None:
                assign(module, dot, cheapest_within(judge, dot, source, seed, budget))
            else:
                _draw(module, dot, sharing, source, position, seed)
                if budget and judge is not None and (error := judge.of(dot)) > budget:
                    raise judge.refuse(dot, budget, error)
        if fewest:
            _share_most(module, judge, fewest, context)
        for op in module.ops_named(*ADDERS.values()):
            _free_select(op)
        _tell_adders(module, judge, context)
        return module


def keeps_budget(module: Module, judge: Judge, position: int, dot: Operation, context: PassContext) -> bool:
    """Whether the pass would find sources within the budget for a layer by itself; `position`: its number among the layers.

    Sources may be written into the module.
    """
    options = context.layer_options(dot)
    if options.sharing == "none":
        _draw(module, dot, options.sharing, options.source, position, context.config.options.seed)
        return judge.of(dot) <= options.error_budget
    seed = context.config.options.seed
    return is_within(judge, dot, options.source, seed, options.error_budget, masks=options.sharing == "auto")


def _free_select(op: Operation) -> None:
    """Let a MUX adder choose by a Sobol dimension on which neither of its streams depends."""
    for random in op.operands[2:]:
        assert random.op is not None
        for dimension in range(FIRST_SELECT, SOBOL_DIMENSIONS):
            random.op.attributes["index"] = dimension
            inputs, length = int(op.attributes["inputs"]), length_of(op)
            if all(dependent_select(random, stream, length, inputs) is None for stream in op.operands[:2]):
                break


def _tell_adders(module: Module, judge: Judge | None, context: PassContext) -> None:
    """Say what OR and MUX adders are predicted to err by, where there are data to predict on."""
    approximate = module.ops_named(*ADDERS.values())
    if not approximate or context.calibration is None:
        return
    judge = judge or Judge(module, context)
    for op in approximate:
        kind = next(name for name, made in ADDERS.items() if made == op.name)
        context.warnings.append(
            f"layer '{op.origin or op.attributes['layer']}': {kind.upper()} adders of {op.attributes['inputs']} inputs err by "
            f"{judge.of(op):.3g} standard deviations of the layer's output (RMS, predicted)"
        )


def _draw(module: Module, dot: Operation, sharing: str, source: str, position: int, seed: int) -> None:
    """Sources by rule. Random ones may happen to be dependent: draw again. One pair for all lanes must be better than that."""
    source = "sobol" if source == "auto" else source
    fsm = feeds_fsm(module, dot)
    for attempt in range(ATTEMPTS):
        if sharing == "none":
            plan, limit = plan_none(dot, source, position, seed, attempt), DEPENDENCE_LIMIT
        else:
            plan, limit = plan_shared(dot, source, position, seed, fsm, attempt), DEPENDENCE_LIMIT / 2
        assign(module, dot, plan)
        if source != "lfsr" or dependent_pair(*operands(dot), length_of(dot), limit, dot) is None:
            break


def _share_most(
    module: Module, judge: Judge | None, wishes: dict[Operation, tuple[str, float]], context: PassContext
) -> None:
    for dot, plan in fewest_sources(module, judge, wishes, context.config.options.seed).items():
        assign(module, dot, plan)
        if feeds_fsm(module, dot):
            context.warnings.append(
                f"layer '{dot.origin or dot.attributes['layer']}': its lanes share sources without masks, so that its count varies "
                "more than its state machine is made for (--sharing auto gives each lane a mask)"
            )
