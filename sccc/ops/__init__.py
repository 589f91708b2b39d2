"""All ops, registered on import: one file per family."""

from sccc.ops.registry import REGISTRY, Attr, Op, Uncorrelated

from sccc.ops import activation, arithmetic, conversion, fixed, images, layer, layout, nn, source, spatial  # noqa: F401 isort: skip

from sccc.ops import adders, race, training, training_images, training_streams, training_updates  # noqa: F401 isort: skip

__all__ = ["REGISTRY", "Attr", "Op", "Uncorrelated"]
