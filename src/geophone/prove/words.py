"""The tables of the proving ground in sentences."""

from collections.abc import Mapping

import pandas as pd

from geophone.prove.choice import DIMENSIONS_ONLY, GEOPHONE, WITHOUT_SCALARS
from geophone.prove.evaluate import CAUSAL, OFFLINE
from geophone.prove.tables import AIM_GAIN, AIM_GAIN_BEDS, AIM_RECALL, AIM_RECALL_BEDS, POOLED


def said(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What the tables say, a sentence or two a line: the primary answer first, then the scores, the rivals, the control
    of other runs, the causal track, false alarms and what was aimed at."""
    methods, found = tables["methods"], tables["verdict"].iloc[0]
    offline = methods[methods["track"] == OFFLINE].set_index(["bed", "method"])
    lines = [
        f"Recall at k = E over the main testbeds: {_value(offline, POOLED, GEOPHONE)} for {GEOPHONE}, "
        f"{_value(offline, POOLED, found['rival'])} for the best rival ({found['rival']}). The difference is "
        f"{found['difference_mean']:+.2f} [{found['difference_low']:+.2f}, {found['difference_high']:+.2f}]: "
        f"{found['answer']}.",
        f"Without losses and norms ({WITHOUT_SCALARS}): {_value(offline, POOLED, WITHOUT_SCALARS)}; dimensions alone: "
        f"{_value(offline, POOLED, DIMENSIONS_ONLY)}; 1 - CKA: {_value(offline, POOLED, 'turn4')}; weight norm: "
        f"{_value(offline, POOLED, 'weight_norm')}; random: {offline.loc[(POOLED, 'random'), 'recall']:.2f}.",
        f"The moments of another run of the same testbed hit {offline.loc[(POOLED, GEOPHONE), 'other_run']:.2f}: so "
        "much is the testbed's usual course, not this run.",
    ]
    for bed in [b for b in dict.fromkeys(methods["bed"]) if b != POOLED]:
        row = offline.loc[(bed, GEOPHONE)]
        lines.append(
            f"{bed}: {_value(offline, bed, GEOPHONE)} where {row['chance']:.2f} is chance and the best rival has "
            f"{_value(offline, bed, found['rival'])} ({int(row['runs'])} runs)."
        )
    causal = methods[(methods["track"] == CAUSAL)].set_index(["bed", "method"])
    lines.append(f"From the past alone: {_value(causal, POOLED, GEOPHONE)} over the main testbeds.")
    return [*lines, *_alarms(tables["nuisances"]), _aims(found)]


def _value(table: pd.DataFrame, bed: str, method: str) -> str:
    row = table.loc[(bed, method)]
    return f"{row['recall']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _alarms(nuisances: pd.DataFrame) -> list[str]:
    rate = nuisances.set_index(["nuisance", "method"])
    return [
        f"{nuisance}: it is among the first 3 moments in {rate.loc[(nuisance, GEOPHONE), 'alarm']:.0%} of "
        f"{int(rate.loc[(nuisance, GEOPHONE), 'runs'])} runs by {GEOPHONE}, in "
        f"{rate.loc[(nuisance, DIMENSIONS_ONLY), 'alarm']:.0%} by dimensions alone, in "
        f"{rate.loc[(nuisance, 'stable_rank_uncentred'), 'alarm']:.0%} by the uncentred stable rank."
        for nuisance in dict.fromkeys(nuisances["nuisance"])
        if rate.loc[(nuisance, GEOPHONE), "runs"]
    ]


def _aims(found: pd.Series) -> str:
    reached, gained = (
        str(found[name]).split() if isinstance(found[name], str) else [] for name in ("reached", "gained")
    )
    there, more = (", ".join(names) or "none" for names in (reached, gained))
    return (
        f"Aim: recall of {AIM_RECALL} on {AIM_RECALL_BEDS} main testbeds: {len(reached)} ({there}). "
        f"Aim: a gain of {AIM_GAIN} on the best rival on {AIM_GAIN_BEDS}: {len(gained)} ({more})."
    )
