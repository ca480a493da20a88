"""The census of a run, and the windows between its moments: every column with its unit and source."""

from pydantic import Field

from geophone.rows.evidence import COLUMNS, Described
from geophone.rows.measures import LEVEL, MEASURES, SINCE
from geophone.rows.model import Row, row_model

_TYPES = {"text": str, "whole": int, "number": float}
SCORES = ("previous", "duplicate", "induction", "copying")
# The recovery from an ablation is measured at targets only.
_OF_CENSUS = tuple(m for m in MEASURES if m.name not in ("recovery_deficit", "ablation_impact_zero"))
_PLACE = tuple(c for c in COLUMNS if c.name in ("layer", "depth"))

CENSUS_COLUMNS: tuple[Described, ...] = (
    Described("step", "the moment: updates done", "training steps", "run", "whole"),
    *_PLACE,
    *(Described(m.name, m.says, m.unit, f"network at the moment; {m.source}") for m in _OF_CENSUS),
    Described("factors", "factors that can be read from the layer: token, position, answer, and those of shapes, by a "
              "ridge, held out, clearly above shuffled labels", "factors", "network at the moment"),
    *(Described(f"head_{score}", f"greatest {score} score of the layer's heads", "0 ... 1", "network at the moment")
      for score in SCORES),
)  # fmt: skip
CHANGING = (*(m.name for m in _OF_CENSUS if m.change == LEVEL), "factors", *(f"head_{s}" for s in SCORES))


SIGNALS = (
    Described("cka_change", "1 - CKA of the layer with itself one measurement earlier, mean over the window", "0 ... 1",
              "series"),
    Described("readable_change", "directions that a ridge can read and could not 8 measurements earlier, or the other "
              "way round; mean over the window", "dimensions", "series"),
    Described("readable_gain", "the new ones alone; mean over the window", "dimensions", "series"),
    Described("ranker_score", "the ranker's score of what behaviour does, mean over the window, as a share of its "
              "greatest in the run", "0 ... 1", "behaviour, outputs"),
    Described("loss_change", "ln of the loss, mean of the 5 steps up to the end less that up to the start",
              "nats", "scalars"),
    Described("weight_norm_change", "ln ratio of the norm of the layer's own weights", "nats", "series"),
    Described("gradient_norm", "ln of the norm of their gradient, mean over the window", "nats", "series"),
    Described("update_norm", "ln of the norm of their update, mean over the window", "nats", "series"),
)  # fmt: skip
PLACE = (
    *(c for c in COLUMNS if c.name in ("run", "experiment", "architecture", "seed")),
    *_PLACE,
    Described("window", "number of the window in its run, from 0", "number", "census", "whole"),
    Described("before", "its start", "training steps", "census", "whole"),
    Described("after", "its end", "training steps", "census", "whole"),
    Described("log_step", "ln of the geometric mean of its ends, each 1 greater", "nats", "census"),
)  # fmt: skip
CHANGES = (
    *(Described(name, f"{name}: at the end - at the start", f"as {name}", "census") for name in CHANGING),
    *(Described(m.name, m.says, m.unit, "census") for m in MEASURES if m.change == SINCE),
)


def described_row(name: str, columns: tuple[Described, ...]) -> type[Row]:
    """The model of a row with these columns."""
    fields = {
        c.name: (_TYPES[c.kind] if c.name != "seed" else int | None, Field(description=f"{c.says} [{c.unit}]"))
        for c in columns
    }
    return row_model(name, Row, fields, "One row; see the columns in docs/columns.md.")


CensusRow = described_row("CensusRow", CENSUS_COLUMNS)
# What every table of windows has; its dimensions are those that were recorded.
WindowRow = described_row("WindowRow", (*PLACE, *SIGNALS, *CHANGES))
