"""The measures of a layer's units at a moment: each declared here, once, and iterated over everywhere else."""

from dataclasses import dataclass

SHARE, SIGNED = "0 ... 1", "-1 ... 1"
LEVEL, SINCE, ALONE = "level", "since", "alone"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure.

    `name` is its column, `label` how a sentence calls it, `says` what it is, `unit` its unit. `change` is the rule by
    which its change over a window is had: LEVEL, after minus before; SINCE, it is a change since the earlier moment
    already, so its value after counts; ALONE, it is not compared. `source` is the table of a dig that it is read from.
    `tested`: its change beyond the control is tested over all runs; `outcome`: so is its correlation with the size of
    a jump; `noted`: it stands in the table of a dig's field notes.
    """

    name: str
    label: str
    says: str
    unit: str
    change: str = LEVEL
    source: str = "moments"
    tested: bool = False
    outcome: bool = False
    noted: bool = False


MEASURES: tuple[Measure, ...] = (
    Measure("selectivity", "class selectivity",
            "class selectivity, mean over live units, minus its label-permutation null", SIGNED,
            outcome=True, noted=True),
    Measure("selectivity_raw", "class selectivity without its null",
            "the same without the null taken off (the naive form)", SHARE),
    Measure("d_prime", "d′", "d' of a unit's preferred class against the rest, mean over units", "deviations",
            ALONE, noted=True),
    Measure("sparsity", "share of inputs that a unit answers to",
            "fraction of inputs that a unit answers to, mean over units", SHARE, tested=True, noted=True),
    Measure("dead", "dead units", "units that answer to no input", "units", ALONE, noted=True),
    Measure("patterns", "number of binary patterns",
            "diversity: different binary patterns over the inputs (saturates)", "patterns"),
    Measure("pattern_pr", "participation ratio of the binary code",
            "diversity: participation ratio of the binarised code", "dimensions", tested=True, outcome=True),
    Measure("types", "number of feature types", "feature types that at least one unit has", "types",
            tested=True, outcome=True, noted=True),
    Measure("typed", "number of units with a feature type", "units that have a feature type", "units",
            tested=True, noted=True),
    Measure("hill", "diversity of feature types (Hill number)",
            "diversity of feature types: exp of the entropy over typed units", "types", tested=True),
    Measure("class_units", "number of units that answer to one class",
            "units that answer to one class (cross-fitted d')", "units", noted=True),
    Measure("probe_accuracy", "accuracy of a linear probe", "accuracy of a linear probe on the layer", SHARE,
            tested=True, noted=True),
    Measure("silhouette", "silhouette by class", "how far activations cluster by class", SIGNED, tested=True),
    Measure("accuracy", "accuracy of the network", "accuracy of the network", SHARE, noted=True),
    Measure("loss", "loss of the network", "loss of the network", "nats a sample"),
    Measure("turnover", "share of units whose tuning changed",
            "share of units whose tuning correlates below 0.5 with their own of the earlier moment", SHARE, SINCE,
            tested=True, outcome=True, noted=True),
    Measure("new_units", "number of units with a new feature",
            "units with a feature that they did not have at the earlier moment", "units", SINCE),
    Measure("new_types", "number of new feature types",
            "new feature types: types that no unit had at the earlier moment", "types", SINCE,
            tested=True, outcome=True),
    Measure("compositional_depth", "compositional depth",
            "longest path in the graph of significant ablation effects", "edges", source="composition",
            tested=True, outcome=True),
    Measure("ablation_impact", "accuracy lost when the layer is resampled",
            "accuracy lost when the layer is resampled", SIGNED, source="ablation, kind resample", tested=True),
    Measure("ablation_impact_zero", "accuracy lost when the layer is set to zero",
            "accuracy lost when the layer is set to zero (the naive form)", SIGNED, source="ablation, kind zero"),
    Measure("ablation_loss", "loss gained when the layer is resampled", "loss gained when the layer is resampled",
            "nats a sample", source="ablation, kind resample"),
    Measure("recovery_deficit", "accuracy missing after training on",
            "accuracy missing beside the sham at the longest horizon, layer ablated at that moment", SIGNED,
            source="recovery, arm ablated"),
)  # fmt: skip
BY_NAME = {measure.name: measure for measure in MEASURES}
SIZES = {"log_magnitude": "log ratio of the jump", "size": "absolute log ratio of the jump"}


def label(name: str) -> str:
    """A measure, or a size of a jump, as a sentence calls it."""
    return BY_NAME[name].label if name in BY_NAME else SIZES.get(name, name.replace("_", " "))
