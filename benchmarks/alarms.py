"""Alarms of the ranker's causal form on finished trials of the proving ground: the figures of docs/online.md.

    python benchmarks/alarms.py TRIALS

TRIALS holds trials (`runs/` of `geophone prove`). Every run is played back measurement by measurement. An alarm is
right if it lies, from the middle of some event, within the event's own reach and 20 measurements before to 12 after;
the event is then heard.
"""

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from geophone.point.heard import heard
from geophone.prove.trials import TrialRun, read_run
from geophone.prove.truth import TRUTH

BEFORE, AFTER = 20, 12


def judged(run: TrialRun) -> Counter[str]:
    """How many alarms and events a run has, how many of the alarms are right and of the events heard."""
    at = run.truth.steps[[t for t, _ in heard(run.signals)]]
    away = at[:, None] - np.array([event.t50 for event in run.truth.events])
    reach, every = np.asarray(run.truth.reach), float(np.median(np.diff(run.truth.steps)))
    near = (away >= -reach - BEFORE * every) & (away <= reach + AFTER * every)
    return Counter(alarms=len(at), right=int(near.any(1).sum()), events=len(reach), heard=int(near.any(0).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=Path)
    folders = sorted(path.parent for path in parser.parse_args().trials.glob(f"*/{TRUTH}"))
    beds: dict[str, Counter[str]] = defaultdict(Counter)
    for run in map(read_run, folders):
        if run.truth.events:
            beds[run.bed] += judged(run)
            beds["all"] += judged(run)
    print("| testbed | alarms | right | events | heard |\n|---|---:|---:|---:|---:|")
    for bed in [*sorted(beds.keys() - {"all"}), "all"]:
        print(f"| {bed} | " + " | ".join(str(beds[bed][key]) for key in ("alarms", "right", "events", "heard")) + " |")


if __name__ == "__main__":
    main()
