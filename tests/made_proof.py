"""Tables of a proving ground whose answer is known: made of runs on which the ranker's recall is 0.7 plus a gain."""

from pathlib import Path

import numpy as np
import pandas as pd

from geophone.prove.choice import frozen
from geophone.prove.evaluate import BEST, CEILING
from geophone.prove.ranker import PRINTED
from geophone.prove.tables import (
    RANKER,
    comparison_table,
    layer_table,
    method_table,
    trust_table,
    verdict,
    verdict_table,
)  # fmt: skip
from geophone.prove.targeting import CURVE
from geophone.prove.trials import GROUPS

BEDS = tuple(dict.fromkeys(bed for members in GROUPS.values() for bed in members))
# Of each group two, for tables: an interval of each testbed is computed for every method and endpoint.
FEW = tuple(dict.fromkeys(bed for members in GROUPS.values() for bed in members[:2]))
METHODS = (RANKER, PRINTED, BEST, CEILING, "loss", "dimensions", "cka_change_4", "random", "log_uniform")


def made_rows(gain: float, *, runs: int = 20, spread: float = 0.1, seed: int = 0, beds=BEDS) -> pd.DataFrame:
    """Rows as `evaluate` gives them; what all methods of a run have in common has a deviation of 0.2, each method its
    own of `spread`."""
    rng, found = np.random.default_rng(seed), []
    for bed in beds:
        for run in range(runs):
            shared = rng.normal(0, 0.2)
            for method in METHODS:
                recall = 0.7 + shared + rng.normal(0, spread) + (gain if method == RANKER else 0)
                row = {"bed": bed, "seed": run, "method": method, "events": 4, "recall": recall, "net": recall - 0.2}
                row |= dict.fromkeys(["f1", "precision", "found", "layer_rate", "sample_auc", "strict", "other"], 0.5)
                row |= dict.fromkeys((f"curve_{i + 1}" for i in range(len(CURVE))), 0.5)
                found.append(row | {"chance": 0.35, "shocked": 0.25})
    return pd.DataFrame(found)


def made_tables(gain: float) -> dict[str, pd.DataFrame]:
    """All tables, by the names of their files."""
    rng, rows = np.random.default_rng(1), made_rows(gain, beds=FEW)
    named = [
        {"bed": "v_layer", "seed": seed, "way": way, "found": right, "true": right}
        for seed in range(8)
        for way, right in (("method", 0.8), ("layer_update_norm", 0.6), ("one layer", 0.25), ("swap test", 1.0))
    ]
    alarms = [
        {"nuisance": nuisance, "method": method, "runs": 8, "alarm": 0.25, "plain": 0.125}
        for nuisance in ("lr3", "batch4")
        for method in METHODS
    ]
    comparisons, methods = comparison_table(rows, rng=rng), method_table(rows, rng=rng)
    return {
        "methods": methods,
        "comparisons": comparisons,
        "layers": layer_table(pd.DataFrame(named), rng=rng),
        "nuisances": pd.DataFrame(alarms),
        "trust": trust_table(methods, frozen()),
        "examples": _examples(),
        "verdict": verdict_table(verdict(comparisons)),
    }


def _examples() -> pd.DataFrame:
    series = [{"kind": "series", "step": 10.0 * i, "layer": "layer1", "value": 3.0 + i} for i in range(20)]
    event = {"kind": "event", "step": 80.0, "start": 60.0, "stop": 110.0, "name": "task0", "layer": "any"}
    moment = {"kind": "moment", "step": 90.0, "layer": "layer1", "rank": 1}
    return pd.concat([pd.DataFrame([*series, event, moment]).assign(bed=bed, seed=1) for bed in ("v_deep", "switch")])


def write_proof(folder: Path, gain: float) -> Path:
    """The tables as CSV in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in made_tables(gain).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder
