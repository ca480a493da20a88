"""The tables of targets and of a dig."""

from typing import Any

from geophone.records import Target, Window
from geophone.rows.measures import MEASURES
from geophone.rows.model import Row, row_model

NAN = float("nan")
_ENDS = ("before", "step", "after")


class TargetRow(Row):
    """A `records.Target`, its windows laid out flat: the three moments of a control stand in `earlier_*` and `later_*`,
    all three missing where there is none."""

    rank: int
    run: str
    layer: str
    depth: int
    dimension: str
    step: int
    before: int
    after: int
    method: str
    kind: str = "jump"
    score: float
    reason: str
    earlier_step: int | None
    earlier_before: int | None
    earlier_after: int | None
    later_step: int | None
    later_before: int | None
    later_after: int | None

    @classmethod
    def of(cls, target: Target) -> dict[str, Any]:
        """The row of `target`, by column."""
        fields = ("rank", "run", "layer", "depth", "dimension", "method", "kind", "score", "reason")
        row = {name: getattr(target, name) for name in fields} | _flat(target.window, "")
        row |= _flat(target.earlier, "earlier_") | _flat(target.later, "later_")
        return {name: row[name] for name in cls.model_fields if name in row}

    def target(self) -> Target:
        """The target in this row."""
        return Target(
            self.rank, self.run, self.layer, self.depth, self.dimension, Window(self.before, self.step, self.after),
            _window(self.earlier_before, self.earlier_step, self.earlier_after),
            _window(self.later_before, self.later_step, self.later_after),
            self.method, self.score, self.reason, self.kind,
        )  # fmt: skip


class ChosenRow(TargetRow):
    """A target that is to be dug: `why`, and whether recovery is measured there."""

    why: str
    recovery: bool


CHOSEN = "digs/chosen"


def _flat(window: Window | None, prefix: str) -> dict[str, int | None]:
    return {f"{prefix}{end}": None if window is None else getattr(window, end) for end in _ENDS}


def _window(before: int | None, step: int | None, after: int | None) -> Window | None:
    return None if before is None or step is None or after is None else Window(before, step, after)


class PlaceRow(Row):
    """A role ("target" or "control"), a moment of its window, and the step that this is."""

    role: str
    moment: str
    step: int


MomentRow = row_model(
    "MomentRow",
    PlaceRow,
    {measure.name: (float, NAN) for measure in MEASURES if measure.source == "moments"},
    "The target's layer at one moment: the measures that are read there, and others besides.",
)


class UnitRow(Row):
    """One unit of the target's layer at one moment."""

    role: str
    moment: str
    step: int = -1
    unit: int = -1
    preferred: float = NAN
    selectivity: float = NAN
    d_prime: float = NAN
    mutual_information: float = NAN
    sparsity: float = NAN
    type: str = "untyped"
    angle: float = NAN


class CompositionRow(Row):
    """How the units of two layers hang together at one moment (see `dig.composition`)."""

    role: str
    moment: str
    step: int = -1
    early: str = ""
    late: str = ""
    pairs: int = 0
    naive_edges: float = NAN
    partial_edges: float = NAN
    path_strength: float = NAN
    effect_edges: float = NAN
    effect_null: float = NAN
    compositional_depth: float = NAN


class EdgeRow(Row):
    """Two units that are linked, at one moment."""

    role: str
    moment: str
    step: int
    early: str
    early_unit: int
    late: str
    late_unit: int
    pearson: float
    partial: float
    path: float
    effect: float
    q: float
    edge: bool


class AblationRow(Row):
    """The network at one moment with `layer` replaced, in the way `kind`, beside itself whole."""

    role: str
    moment: str
    step: int = -1
    layer: str
    kind: str
    accuracy: float
    loss: float = NAN
    baseline_accuracy: float
    baseline_loss: float = NAN


class HeadRow(Row):
    """One head of attention at one moment."""

    role: str
    moment: str
    layer: str
    head: int
    previous: float = NAN
    duplicate: float = NAN
    induction: float = NAN
    copying: float = NAN
    position: float = NAN
    type: str = "untyped"


class RecoveryRow(Row):
    """An arm that trained on after an ablation at a moment, at one horizon, beside its sham."""

    role: str = "target"
    moment: str
    arm: str
    horizon: str
    deficit: float
    accuracy: float = NAN
    loss: float = NAN
    start: float = NAN
    total_deficit: float = NAN
    recovery_steps: float = NAN
    recovered: bool = False


class RecoveryCurveRow(Row):
    """A point of the course behind a row of recovery."""

    role: str = "target"
    moment: str
    arm: str
    step: int
    since: int
    accuracy: float
    loss: float = NAN


class SwapRow(Row):
    """A part with its weights of a window's start in the network of its end, beside the network whole (see
    `dig.swap`)."""

    window: str
    part: str
    kind: str
    samples: int
    gain: float
    share: float
    spill: float
    reverse: float
    control: float
    together: bool
    apart: float = NAN


class MoverRow(Row):
    """A sample that moved between before and after at the target (see `dig.learned`)."""

    group: int
    sample: int
    row: int = -1
    position: int
    label: int
    before: float
    during: float = NAN
    after: float
    kl: float = NAN
    lens_before: float = NAN
    lens_after: float = NAN
    raised: float = NAN


DUG: dict[str, type[Row]] = {
    "swap": SwapRow,
    "movers": MoverRow,
    "moments": MomentRow,
    "units": UnitRow,
    "composition": CompositionRow,
    "edges": EdgeRow,
    "ablation": AblationRow,
    "heads": HeadRow,
    "recovery": RecoveryRow,
    "recovery_curves": RecoveryCurveRow,
}
