"""map-activations: each sc.activate becomes hardware, in the style that was chosen for its layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sccc.ir import Module
from sccc.passes.manager import Pass, PassContext, register
from sccc.passes.map_accumulate import map_accumulate
from sccc.passes.map_streaming import map_streaming


@register
@dataclass(frozen=True)
class MapActivations(Pass):
    """Accumulate: sum, rescale, table (fixed: no sum). Streaming: a state machine whose states follow from gain and variance."""

    name: ClassVar[str] = "map-activations"

    def run(self, module: Module, context: PassContext) -> Module:
        for op in module.ops_named("sc.activate"):
            assert op.result is not None
            style = op.attributes["style"]
            new = map_streaming(module, op, context) if style == "streaming" else map_accumulate(module, op)
            module.replace_uses(op.result, new)
            module.erase(op)
        return module
