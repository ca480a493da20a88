"""The tables that findings are made of, and where each number stands in them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from geophone.errors import StoreError
from geophone.evidence.numbers import ALPHA
from geophone.findings.finding import Quantity
from geophone.findings.number import STATISTICS, Number
from geophone.store.run import Run
from geophone.store.study import Study

PHENOMENA = (
    "stabilization", "order", "order_tests", "detection", "types", "critical", "coordination", "coupling",
)  # fmt: skip
RUNS = "runs/*/run.json"
AGAIN = "Run geophone evidence again."


@dataclass(frozen=True, slots=True)
class Selected:
    """Rows of a table, and the words that say which."""

    frame: pd.DataFrame
    source: str

    def __len__(self) -> int:
        return len(self.frame)

    def quantity(self, value: float, what: str, form: str = "") -> Quantity:
        """A number worked out from these rows; `what` says how: "sum of detected"."""
        return Quantity(float(value), form, f"{self.source}: {what}")


@dataclass(frozen=True)
class Tables:
    """What a study has, as findings read it.

    `runs` has a row per run that was measured: run, network, architecture, task, steps, measurements, layers, rows,
    every, forked, known (whether its manifest says which network and seed it is of), catalogued (whether that network
    is one of geophone's own), and what the manifest says of its training. `phenomena`, `targets`, `statistics`,
    `evidence` and `options` (of the digs) are empty before their stage has run.
    """

    name: str
    runs: pd.DataFrame
    dimension: str = "stable_rank"
    phenomena: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame)
    options: tuple[Mapping[str, Any], ...] = ()
    targets: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def alpha(self) -> float:
        return float(self.statistics.get("alpha", ALPHA))

    @property
    def architectures(self) -> dict[str, str]:
        """Run -> architecture."""
        return dict(zip(self.runs["run"], self.runs["architecture"], strict=True))

    @property
    def label(self) -> str:
        """The dimension in words."""
        return self.dimension.replace("_", " ")

    def of(self, kind: str, **where: str) -> Selected:
        """Rows of a table of phenomena in the study's dimension; none where the table is not there."""
        wanted = {"dimension": self.dimension} | where
        words = ", ".join(f"{column}={value}" for column, value in wanted.items())
        table = self.phenomena.get(kind, pd.DataFrame(columns=list(wanted)))
        for column, value in wanted.items():
            table = table[table[column] == value]
        return Selected(table, f"phenomena/{kind}.parquet, {words}")

    def number(self, name: str) -> Number:
        """A number of the statistics by its id. Raises StoreError where they do not have it."""
        parts = (self.statistics, self.statistics.get("architectures", {}), self.statistics.get("windows") or {})
        for row in (row for part in parts for row in part.get("numbers", ())):
            if row["id"] == name:
                return Number.of_row(row)
        raise StoreError(f"{STATISTICS} has no `{name}`: it is cut, or of another release. {AGAIN}")

    def criterion(self, number: str) -> Mapping[str, Any]:
        """The criterion that a number is judged by, with its verdict. Raises StoreError where there is none."""
        parts = (self.statistics, self.statistics.get("windows") or {})
        for row in (row for part in parts for row in part.get("criteria", ())):
            if row["number"] == number:
                return row
        raise StoreError(f"{STATISTICS} has no criterion for `{number}`: it is cut, or of another release. {AGAIN}")


def tables_of(study: Study) -> Tables:
    """Everything that findings are made of, read once. What a later stage makes is empty before it has run; what is
    there and damaged raises StoreError."""
    there = study.places.statistics.is_file()
    statistics: Mapping[str, Any] = study.statistics().plain if there else {}
    phenomena = {kind: study.phenomena(kind) for kind in PHENOMENA if kind in study.kinds}
    return Tables(
        name=study.name,
        runs=runs_of(study),
        dimension=str(statistics["study"]["dimension"]) if there else first_dimension(phenomena),
        phenomena=phenomena,
        statistics=statistics,
        evidence=study.evidence() if study.places.evidence.is_file() else pd.DataFrame(),
        options=tuple(asdict(dig.about.options) for dig in study.digs()),
        targets=study.targets() if study.is_ranked else pd.DataFrame(),
    )


def _about(run: Run) -> dict[str, Any]:
    about = run.manifest.about
    return {
        "run": run.name, "network": str(about.get("experiment", run.name)),
        **{key: str(about.get(key, "unknown")) for key in ("architecture", "task")},
        **{key: about.get(key) for key in ("optimizer", "learning_rate", "batch")},
        "steps": run.total_steps, "measurements": run.manifest.measurements, "layers": len(run.layers),
        "every": run.manifest.schedule.get("every"), "rows": max((layer.rows for layer in run.layers), default=0),
        "forked": "fork" in about, "known": "experiment" in about,
        # An experiment of the user's own is named as "module:function".
        "catalogued": ":" not in str(about.get("experiment", ":")),
    }  # fmt: skip


def runs_of(study: Study) -> pd.DataFrame:
    """The runs that were measured, as `Tables` has them."""
    return pd.DataFrame([_about(run) for run in study if run.has_series])


def first_dimension(phenomena: Mapping[str, pd.DataFrame]) -> str:
    """The dimension that the tables begin with."""
    table = phenomena.get("stabilization", pd.DataFrame())
    return str(table["dimension"].iloc[0]) if len(table) else "stable_rank"
