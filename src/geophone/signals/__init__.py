"""What a measurement says beside dimensions: behaviour per sample, change of representation, concepts, norms.

Pure functions of arrays and tensors; `LayerChanges` alone remembers, and only the last 8 measurements of its layer.
"""

from geophone._lazy import lazy

_HOME = {
    "ADDED": "geophone.records",
    "CHANGES": "geophone.signals.layer",
    "FINE_RIDGE": "geophone.signals.representation",
    "LAGS": "geophone.signals.layer",
    "LAYER_NORMS": "geophone.signals.norms",
    "NORMS": "geophone.signals.norms",
    "RIDGE": "geophone.signals.representation",
    "Comparison": "geophone.signals.representation",
    "Concept": "geophone.signals.concepts",
    "Decodability": "geophone.signals.concepts",
    "LayerChanges": "geophone.signals.layer",
    "OutputSketch": "geophone.signals.outputs",
    "Positions": "geophone.signals.behaviour",
    "Representation": "geophone.signals.representation",
    "is_updated": "geophone.signals.blocks",
    "cka_change": "geophone.signals.representation",
    "class_probability": "geophone.signals.behaviour",
    "compare": "geophone.signals.representation",
    "components": "geophone.signals.components",
    "concept": "geophone.signals.concepts",
    "decodability": "geophone.signals.concepts",
    "by_group": "geophone.signals.norms",
    "each_norm": "geophone.signals.norms",
    "grouped_norms": "geophone.signals.norms",
    "next_token_positions": "geophone.signals.behaviour",
    "next_token_probability": "geophone.signals.behaviour",
    "owners": "geophone.signals.norms",
    "readable_change": "geophone.signals.representation",
    "readable_gain": "geophone.signals.representation",
    "regression_error": "geophone.signals.behaviour",
    "right_probability": "geophone.signals.behaviour",
    "represent": "geophone.signals.representation",
    "subspace_change": "geophone.signals.representation",
    "total_norm": "geophone.signals.norms",
}
__all__ = list(_HOME)
__getattr__, __dir__ = lazy(globals(), _HOME)
