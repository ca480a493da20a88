"""Where labels are known: is the onset of a concept at the clock's time, and in its layer?

    python benchmarks/concepts.py --out DIR [--seeds 8] [--first 9400] [--workers 2]

The three testbeds with hidden latents (`switch`, `weights`, `uncovered`), each latent given to the recorder as a
concept of its 256 probe samples. The clock reads the same latent by a ridge of its own, fitted anew at every
measurement on 1,024 other samples, from what the block adds that is to form it; an event is a latent whose accuracy
there comes to .8, and where two blocks are to form one latent, the first of the two. Found: the ranker's transition of
that concept peaks within 5 % of the run of the clock's t50; right layer: the first layer that the transition names is
that block. Beside it how many latents without an event have an onset. Prints and writes DIR/concepts.csv: means over
runs with 95 % intervals by a bootstrap over runs within each testbed.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from more_beds import done

from geophone.point.find import transitions
from geophone.point.reading import run_signals
from geophone.prove.recording import record
from geophone.prove.trials import GROUPS, Trial, setting_of
from geophone.signals import ADDED
from geophone.stats.clusters import stratified_interval
from geophone.store.run import Run
from geophone.workers import Job

NEAR = 0.05  # of the run
CLOCK = "clock.csv"


def trained(trial: Trial, out: str, *, tell: Callable[[int, int], None]) -> None:
    """Train one trial with its concepts, unless it is there; the clock's readings beside it."""
    torch.set_num_threads(1)
    folder, setting = Path(out) / trial.name, setting_of(trial)
    if (folder / CLOCK).is_file():
        return
    readings: list[dict[str, float]] = []

    def look(step: int) -> None:
        readings.append({"step": step, **setting.clock.curves()})

    record(setting, folder, name=trial.bed, seed=trial.seed, look=look, concepts=True)
    pd.DataFrame(readings).to_csv(folder / CLOCK, index=False)


def told(folder: Path, trial: Trial) -> list[dict[str, object]]:
    """A row per latent: whether it has an event, whether its onset is there, near the clock, in its layer."""
    run = Run(folder)
    clock = pd.read_csv(folder / CLOCK).set_index("step")
    setting = setting_of(trial)
    events = {event.name: event for event in setting.clock.events(clock)}
    listing = transitions(run_signals(run), rng=np.random.default_rng(0))
    onsets = {there.concept: there for there in listing.of("concept")}
    alike: dict[bytes, list[str]] = {}
    for name, labels in setting.concepts.items():
        alike.setdefault(labels.tobytes(), []).append(name)
    rows = []
    for names in alike.values():
        name, onset = names[0], onsets.get(names[0])
        event = min((events[each] for each in names if each in events), key=lambda one: one.t50, default=None)
        off = np.nan if event is None or onset is None else (onset.peak - event.t50) / clock.index[-1]
        layer = "" if onset is None else onset.layers[0].layer.removesuffix(ADDED)
        rows.append(
            {"bed": trial.bed, "seed": trial.seed, "latent": name, "event": event is not None,
             "onset": onset is not None, "off": off, "near": bool(abs(off) <= NEAR),
             "layer": event is not None and layer == event.layer}
        )  # fmt: skip
    return rows


def share(rows: pd.DataFrame, column: str) -> str:
    """The mean over runs of the share of their rows, and its interval."""
    runs = rows.groupby(["bed", "seed"])[column].mean()
    found = stratified_interval([part.to_numpy(float) for _, part in runs.groupby("bed")], rng=np.random.default_rng(0))
    return f"{found.statistic:.2f} [{found.low:.2f}, {found.high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=9400)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    wanted = [Trial(bed, given.first + i) for i in range(given.seeds) for bed in GROUPS["hidden"]]
    jobs = [Job(trial.name, trained, {"trial": trial, "out": str(given.out)}) for trial in wanted]
    done(jobs, given.workers)
    table = pd.DataFrame([row for trial in wanted for row in told(given.out / trial.name, trial)])
    table.to_csv(given.out / "concepts.csv", index=False, float_format="%.3g")
    for name, rows in [*table.groupby("bed", sort=False), ("all", table)]:
        events, others = rows[rows["event"]], rows[~rows["event"]]
        print(
            f"{name}: {len(events)} events; near the clock {share(events, 'near')}, right layer "
            f"{share(events, 'layer')}; median off {events['off'].median():+.3f} of the run; of {len(others)} latents "
            f"without an event {others['onset'].sum()} have an onset"
        )


if __name__ == "__main__":
    main()
