"""What a measurement says beside dimensions: behaviour per sample, change of representation, concepts, norms.

Pure functions of arrays and tensors; `LayerChanges` alone remembers, and only the last 8 measurements of its layer.
"""

from geophone.signals.behaviour import (
    Positions,
    class_probability,
    next_token_positions,
    next_token_probability,
    regression_error,
)
from geophone.signals.blocks import ADDED, block_update
from geophone.signals.concepts import Concept, Decodability, concept, decodability
from geophone.signals.layer import CHANGES, LAGS, LayerChanges
from geophone.signals.norms import LAYER_NORMS, NORMS, grouped_norms, owners, total_norm
from geophone.signals.outputs import OutputSketch, components
from geophone.signals.representation import (
    FINE_RIDGE,
    RIDGE,
    Comparison,
    Representation,
    cka_change,
    compare,
    readable_change,
    readable_gain,
    represent,
    subspace_change,
)

__all__ = [
    "ADDED",
    "CHANGES",
    "FINE_RIDGE",
    "LAGS",
    "LAYER_NORMS",
    "NORMS",
    "RIDGE",
    "Comparison",
    "Concept",
    "Decodability",
    "LayerChanges",
    "OutputSketch",
    "Positions",
    "Representation",
    "block_update",
    "cka_change",
    "class_probability",
    "compare",
    "components",
    "concept",
    "decodability",
    "grouped_norms",
    "next_token_positions",
    "next_token_probability",
    "owners",
    "readable_change",
    "readable_gain",
    "regression_error",
    "represent",
    "subspace_change",
    "total_norm",
]
