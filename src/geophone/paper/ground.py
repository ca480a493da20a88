"""The proving ground in the paper: what its confirmatory tables say, where they are given."""

from pathlib import Path

import pandas as pd

from geophone.errors import StoreError
from geophone.paper import figures
from geophone.paper.markup import Figure, Prose, meant
from geophone.paper.source import Source, listed
from geophone.prove.choice import DIMENSIONS_ONLY, GEOPHONE
from geophone.prove.evaluate import OFFLINE
from geophone.prove.tables import POOLED


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables "methods" and "verdict" in `folder`, or in confirmation/ within it. Raises StoreError."""
    inside = folder / "confirmation"
    folder = inside if inside.is_dir() else folder
    found = {}
    for name in ("methods", "verdict"):
        path = folder / f"{name}.csv"
        try:
            found[name] = pd.read_csv(path)
        except FileNotFoundError as error:
            raise StoreError(f"{path} is not there; give the folder of the proving ground's tables.") from error
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is damaged: {error}.") from error
    return found


def paragraph(source: Source) -> Prose:
    """The answer, the rival, dimensions alone and chance, on the main testbeds; empty without a proving ground."""
    if source.prove is None:
        return Prose("")
    found = tables(source.prove)
    verdict, n = found["verdict"].iloc[0], source.numbers
    rows = _offline(found["methods"], POOLED)
    rival = str(verdict["rival"])

    def recall(method: str) -> str:
        row = rows.loc[method]
        shown = [n.show(f"prove, {method}, {k}", row[k], ".2f", source=_source()) for k in ("recall", "low", "high")]
        return f"{shown[0]} [{shown[1]}, {shown[2]}]"

    runs = n.show("prove, runs", rows.loc[GEOPHONE, "runs"], source=_source())
    said = {
        "better": "geophone finds more than it", "worse": "geophone finds fewer than it",
        "no better": "geophone could not be shown to find more than it",
    }  # fmt: skip
    gap = [n.show(f"prove, difference, {k}", verdict[f"difference_{k}"], "+.2f", source=_source("verdict"))
           for k in ("mean", "low", "high")]  # fmt: skip
    other = n.show("prove, another run", rows.loc[GEOPHONE, "other_run"], ".2f", source=_source())
    chance = n.show("prove, random, recall", rows.loc["random", "recall"], ".2f", source=_source())
    return Prose(
        f"On {runs} fresh runs of testbeds whose events are clocked independently of any dimension, with rules and "
        f"methods fixed before they were scored, geophone’s score finds {recall(GEOPHONE)} of the events with one "
        "moment "
        f"an event; random moments find {chance}. The best combination of what a researcher already has "
        f"({meant(rival.replace('_', ' '))}: loss, gradient norm and similarity of the representation among them) "
        "finds "
        f"{recall(rival)}: {said[str(verdict['answer'])]} ({gap[0]} [{gap[1]}, {gap[2]}]). Dimensions alone find "
        f"{recall(DIMENSIONS_ONLY)}. The moments of another run of the same testbed hit {other}: so much is the usual "
        "course of such a training and not this run."
    )


def figure(source: Source, folder: Path) -> Figure | None:
    """Recall by testbed."""
    if source.prove is None:
        return None
    found = tables(source.prove)
    rival = str(found["verdict"].iloc[0]["rival"])
    methods = found["methods"]
    beds = [bed for bed in dict.fromkeys(methods["bed"]) if bed != POOLED]
    names = {GEOPHONE: "geophone", rival: "best rival", DIMENSIONS_ONLY: "dimensions alone", "random": "random moments"}
    rows = pd.concat([_offline(methods, bed).loc[list(names)].reset_index() for bed in [*beds, POOLED]])
    rows["method"] = rows["method"].map(names)
    rows["bed"] = rows["bed"].str.replace("_", " ")
    name = figures.save(figures.dumbbells(rows[["bed", "method", "recall", "low", "high"]]), folder, "proving")
    better = [
        bed.replace("_", " ") for bed in beds
        if _offline(methods, bed).loc[GEOPHONE, "recall"] > _offline(methods, bed).loc[rival, "recall"]
    ]  # fmt: skip
    count = source.numbers.share("prove, testbeds above the rival", len(better), len(beds), source=_source())
    return Figure(
        name, (name,),
        Prose(f"geophone’s recall lies above the best rival’s on {count} testbeds ({listed(map(meant, better))}). "
              "Means over fresh runs; main testbeds together at the bottom."),
    )  # fmt: skip


def _offline(methods: pd.DataFrame, bed: str) -> pd.DataFrame:
    return methods[(methods["track"] == OFFLINE) & (methods["bed"] == bed)].set_index("method")


def _source(name: str = "methods") -> str:
    return f"the proving ground's {name}.csv"
