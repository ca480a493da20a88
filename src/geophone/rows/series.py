"""The columns of a run's series and scalars that are no dimensions."""

# Euclidean norms of the whole network, by step, and of each layer, by measurement.
NORMS = ("gradient_norm", "weight_norm", "update_norm")
LAYER_NORMS = tuple(f"layer_{name}" for name in NORMS)
# How a layer's representation changed since an earlier measurement.
CHANGES = (
    "cka_change_1",
    "cka_change_4",
    "subspace_change",
    "readable_change",
    "readable_gain",
    "readable_gain_fine",
)
# How many positions of the probe were routed to an expert.
ROUTED = "routed"
# Of these single precision is enough.
SINGLE = (*CHANGES, *LAYER_NORMS, ROUTED)
