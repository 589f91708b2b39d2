"""Passes: importing this package registers all of them; `DEFAULT_PIPELINE` is what `sccc compile` runs."""

from sccc.passes import (
    absorb_quantizers,
    choose_encoding,
    compensate_flips,
    correct_bias,
    early_exit,
    fold_constants,
    fold_layers,
    fuse_layers,
    insert_gradient_counters,
    lower,
    map_activations,
    quantize,
    share_sngs,
    shorten_streams,
)
from sccc.passes.manager import PASSES, Pass, PassContext, parse_pipeline, run_passes

DEFAULT_PIPELINE = (
    "absorb-quantizers,fold-constants,fuse-layers,shorten-streams,quantize,choose-encoding,"
    "lower,share-sngs,map-activations,correct-bias,fold-layers"
)

__all__ = [
    "DEFAULT_PIPELINE",
    "PASSES",
    "Pass",
    "PassContext",
    "absorb_quantizers",
    "choose_encoding",
    "compensate_flips",
    "correct_bias",
    "early_exit",
    "fold_constants",
    "fold_layers",
    "fuse_layers",
    "insert_gradient_counters",
    "lower",
    "map_activations",
    "parse_pipeline",
    "quantize",
    "run_passes",
    "share_sngs",
    "shorten_streams",
]
