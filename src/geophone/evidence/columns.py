"""The columns of windows with their dimensions, and which of them may go with a change of features."""

from dataclasses import dataclass

from geophone.dimensions.catalogue import NAMES
from geophone.rows.evidence import Described
from geophone.rows.windows import CHANGES, PLACE, SIGNALS, described_row

WINDOW_COLUMNS: tuple[Described, ...] = (
    *PLACE,
    *(Described(f"{name}_log_ratio", f"ln({name} at the end / at the start)", "nats", "series") for name in NAMES),
    *SIGNALS,
    *CHANGES,
)
OUTCOMES = tuple(column.name for column in CHANGES)


@dataclass(frozen=True, slots=True)
class Predictor:
    """What may go with a change of features: a column of the windows, or its absolute value."""

    name: str
    column: str
    absolute: bool = False


PREDICTORS = (
    *(Predictor(name, f"{name}_log_ratio") for name in NAMES),
    *(Predictor(f"|{name}|", f"{name}_log_ratio", absolute=True) for name in NAMES),
    *(Predictor(signal.name, signal.name) for signal in SIGNALS),
)
HEADLINES = ("stable_rank", "|stable_rank|", "readable_gain", "cka_change", "ranker_score", "loss_change")
MeasuredWindowRow = described_row("MeasuredWindowRow", WINDOW_COLUMNS)
