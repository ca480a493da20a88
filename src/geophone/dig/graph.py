"""The graph of units that carry one another: its depth, and which types draw on which."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pandas as pd
from scipy import stats

from geophone.errors import InputError


def compositional_depth(edges: pd.DataFrame) -> int:
    """The greatest number of edges in a row: 0 without an edge, 3 when a unit of the fourth layer rests on a chain of
    one in each layer before.

    `edges` has columns early, early_unit, late, late_unit (layer names and unit numbers), a row an edge; where it has a
    column `edge`, only rows with True there count. Raises InputError when the edges go round in a circle.
    """
    if "edge" in edges:
        edges = edges[edges["edge"].astype(bool)]
    sources: dict[tuple, set[tuple]] = {}
    for row in edges[["early", "early_unit", "late", "late_unit"]].itertuples(index=False):
        sources.setdefault((row.late, row.late_unit), set()).add((row.early, row.early_unit))
    depth: dict[tuple, int] = {}
    try:
        for node in TopologicalSorter(sources).static_order():
            depth[node] = max((depth[source] + 1 for source in sources.get(node, ())), default=0)
    except CycleError as error:
        raise InputError("the edges go round in a circle; give edges from early layers to late ones.") from error
    return max(depth.values(), default=0)


def which_types(
    edges: pd.DataFrame,
    early_types: Sequence[str],
    late_types: Sequence[str],
    *,
    rng: np.random.Generator,
    draws: int = 999,
) -> pd.DataFrame:
    """Whether late units of a type draw on early units of a type more than chance: a row a pair of types.

    `edges` are those of one pair of layers (columns early_unit, late_unit; as in `compositional_depth`), `early_types`
    and `late_types` the type of each unit by its number. Chance is a permutation of the early units' types, which
    keeps how many late units each early unit feeds. Columns: early_type, late_type, edges, expected (their mean under
    it), ratio, p (one-sided, (1 + draws that reach it) / (1 + draws)), q (Benjamini-Hochberg over the rows). More
    edges than chance do not say that one type is built from the other, only where to look. Raises InputError for a
    unit without a type.
    """
    if "edge" in edges:
        edges = edges[edges["edge"].astype(bool)]
    early, late = np.asarray(early_types, dtype=object), np.asarray(late_types, dtype=object)
    units = [edges[column].to_numpy(dtype=int) for column in ("early_unit", "late_unit")]
    if any(len(u) and u.max() >= len(t) for u, t in zip(units, (early, late), strict=True)):
        raise InputError(f"{len(early)} early and {len(late)} late types do not cover every unit that has an edge.")
    kinds = [sorted(set(types), key=str) for types in (early, late)]
    codes = [np.array([k.index(t) for t in types], dtype=int) for k, types in zip(kinds, (early, late), strict=True)]
    # fed[i, b]: how many late units of type b early unit i feeds.
    fed = np.zeros((len(early), len(kinds[1])), dtype=int)
    np.add.at(fed, (units[0], codes[1][units[1]]), 1)
    found = _counted(fed, codes[0], len(kinds[0]))
    drawn = np.stack([_counted(fed, rng.permutation(codes[0]), len(kinds[0])) for _ in range(draws)])
    p = (1 + (drawn >= found).sum(0)) / (1 + draws)
    table = pd.DataFrame([(a, b) for a in kinds[0] for b in kinds[1]], columns=["early_type", "late_type"]).assign(
        edges=found.ravel(), expected=drawn.mean(0).ravel(), p=p.ravel()
    )
    table["ratio"] = table["edges"] / table["expected"].where(table["expected"] > 0)
    table["q"] = stats.false_discovery_control(table["p"]) if len(table) else []
    return table[["early_type", "late_type", "edges", "expected", "ratio", "p", "q"]]


def _counted(fed: np.ndarray, codes: np.ndarray, kinds: int) -> np.ndarray:
    total = np.zeros((kinds, fed.shape[1]), dtype=int)
    np.add.at(total, codes, fed)
    return total
