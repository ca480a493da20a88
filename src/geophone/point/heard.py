"""What the causal ranker hears in a run that is on disk, as its recorder would have heard it while it went on."""

import pandas as pd

from geophone.point.causal import CausalRanker, Heard
from geophone.point.moments import APART
from geophone.point.signals import FADED, RunSignals

COLUMNS = ("first", "last", "kinds", "layers")


def heard(signals: RunSignals) -> list[tuple[int, Heard]]:
    """(measurement, alarm) of a run played back; an alarm knows what was measured until then alone."""
    ranker, alarms = CausalRanker(), []
    gains, losses = signals.layered("readable_gain"), signals.layered(FADED)
    for t in range(len(signals)):
        came, went = (
            {} if part is None else dict(zip(signals.layers, part[t], strict=True)) for part in (gains, losses)
        )
        skill = None if signals.behaviour is None else signals.behaviour.skill[t]
        outputs = None if signals.outputs is None else signals.outputs[t]
        alarms += [(t, alarm) for alarm in ranker.update(skill, came, went, outputs=outputs)]
    return alarms


def grouped(signals: RunSignals) -> pd.DataFrame:
    """The alarms of a run, those within 11 measurements of the one before as one row: `first` and `last` step, `kinds`
    and `layers` that stood out (each once, in the order in which they were heard)."""
    groups: list[list[tuple[int, Heard]]] = []
    for t, alarm in heard(signals):
        if groups and t - groups[-1][-1][0] <= APART:
            groups[-1].append((t, alarm))
        else:
            groups.append([(t, alarm)])
    rows = [
        {
            "first": int(signals.steps[group[0][0]]), "last": int(signals.steps[group[-1][0]]),
            "kinds": list(dict.fromkeys(alarm.kind for _, alarm in group)),
            "layers": list(dict.fromkeys(alarm.layer for _, alarm in group if alarm.layer)),
        }
        for group in groups
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))
