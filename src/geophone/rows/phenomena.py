"""The tables of phenomena, by kind: what was detected in every series, and what only many runs can say."""

from pydantic import Field

from geophone.rows.model import Row

NAN = float("nan")


class SeriesRow(Row):
    """Where a row of phenomena is: one dimension of one layer of a run, and the form of the detector."""

    run: str
    layer: str
    depth: int
    dimension: str
    mode: str


class StabilizationRow(SeriesRow):
    """As `records.Stabilization`."""

    index: int | None
    step: int | None
    status: str


class OrderRow(Row):
    """As `records.ConvergenceOrder`."""

    run: str
    dimension: str
    mode: str
    rho: float
    p: float
    verdict: str
    tau: float
    layers: float
    chance: float = NAN


class JumpRow(SeriesRow):
    """As `records.Jump`; `layers` of the run, `log_phase` = ln step / ln total steps, `relative_depth` = depth /
    (layers - 1), `expected_false`: jumps that the null alone yields in the series."""

    index: int
    step: int
    magnitude: float = NAN
    log_ratio: float
    speed: float = NAN
    phase: float = NAN
    sign: int = 0
    score: float
    p: float = NAN
    layers: float = NAN
    log_phase: float = NAN
    relative_depth: float = NAN
    expected_false: float = NAN


class CriticalRow(SeriesRow):
    """As `records.CriticalPeriod`; `expected_false` is missing for the naive form, which is a tenth of any run."""

    start: int
    stop: int
    peak: int
    expected_false: float = NAN


class AccelerationRow(SeriesRow):
    """As `records.AccelerationPeak`; `expected_false` as in critical periods."""

    index: int
    step: int
    acceleration: float
    expected_false: float


class DetectionRow(SeriesRow):
    """Every series and jump detector, also where nothing was detected."""

    detected: int
    expected_false: float
    status: str


class OrderTestRow(Row):
    """Whether rho differs by architecture, how many runs have each verdict, and how many would by chance."""

    dimension: str
    mode: str
    test: str
    statistic: float
    p: float
    runs: int
    status: str
    bottom_up: int = Field(alias="bottom-up")
    top_down: int = Field(alias="top-down")
    simultaneous: int
    weak: int
    undefined: int
    expected_bottom_up: float


class DistributionRow(Row):
    """Jumps per series by architecture and one more property, `by`."""

    mode: str
    dimension: str
    architecture: str
    by: str
    bin: str
    jumps: int
    series: int
    rate: float
    expected_false: float


class BestPeriodsRow(Row):
    """Runs with the best-defined critical periods."""

    dimension: str
    run: str
    score: float
    layers_share: float = NAN
    covered_share: float = NAN


class TypeRow(Row):
    """A type of jump: its name and centroid, over `jumps` of the `of` there are; type -1 where there is none."""

    dimension: str
    mode: str
    type: int
    name: str
    jumps: int = 0
    phase: float = NAN
    magnitude: float = NAN
    depth: float = NAN
    status: str = "ok"
    stability: float = NAN
    of: int = 0


class TypeMemberRow(Row):
    """A jump and the type that it is of."""

    run: str
    layer: str
    depth: int
    step: int
    type: int
    representative: bool
    dimension: str
    mode: str


class TypeTestRow(Row):
    """Whether the mix of types differs by architecture or by task."""

    dimension: str
    mode: str
    test: str
    statistic: float
    p: float
    runs: int
    status: str


class CoordinationRow(Row):
    """Whether layers move together, for a group of runs of one configuration."""

    dimension: str
    group: str
    overlap: float
    expected: float
    p: float
    runs: int
    layers: int
    status: str


class LagRow(Row):
    """By how many measurements layer `second` follows layer `first`."""

    dimension: str
    group: str
    first: int
    second: int
    lag: int
    correlation: float
    p: float


class CouplingRow(Row):
    """Whether the loss falls faster around jumps, for a group of runs."""

    dimension: str
    mode: str
    group: str
    grouped_by: str
    p: float
    runs: int
    events: int
    status: str


class CouplingCurveRow(Row):
    """The average course behind a row of coupling."""

    dimension: str
    mode: str
    group: str
    grouped_by: str
    lag: int
    average: float
    expected: float


PHENOMENA: dict[str, type[Row]] = {
    "stabilization": StabilizationRow,
    "order": OrderRow,
    "bottom_up": OrderRow,
    "jumps": JumpRow,
    "critical": CriticalRow,
    "acceleration_peaks": AccelerationRow,
    "detection": DetectionRow,
    "order_tests": OrderTestRow,
    "distribution": DistributionRow,
    "best_periods": BestPeriodsRow,
    "types": TypeRow,
    "type_members": TypeMemberRow,
    "type_tests": TypeTestRow,
    "coordination": CoordinationRow,
    "lags": LagRow,
    "coupling": CouplingRow,
    "coupling_curves": CouplingCurveRow,
}
