"""Does the frozen ranker hold where it was not made: hidden learning with SGD, or in two blocks at a time, and language
models?

    pip install 'geophone[hf]'; python benchmarks/more_beds.py --out DIR [--seeds 8] [--workers 2]

The testbeds `switch` and `weights` as they are (adam: a block a latent) and with every latent trained in two blocks
(shared); `switch` with SGD (sgd: momentum .9, a rate log-uniform in [.06, .12], three times as long, since products of
two bits come slowly; in `weights` the weak ones never come); and `v_language`, GPT-NeoX networks on text and repeats
(language). Seeds 9300 on, which no choice has seen; ranker and rivals are the package's frozen ones, the ranker
asked for the kind of events that there is. Nothing was preregistered: an exploration. Prints and writes DIR/beds.csv:
recall at k = E and net of other runs' moments, the mean over a variant's testbeds, with intervals of 95 % by a
bootstrap over runs within each, how many events there are a run, chance, and the share of layers named right.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from geophone.prove.bed import Setting, log_uniform
from geophone.prove.choice import frozen
from geophone.prove.evaluate import BEST, CEILING, evaluate, frozen_methods
from geophone.prove.ranker import ranked
from geophone.prove.recording import record
from geophone.prove.testbeds import attached
from geophone.prove.trials import LANGUAGE, Trial, read_run, setting_of
from geophone.prove.truth import TRUTH
from geophone.stats.clusters import stratified_interval
from geophone.workers import Job, Workers

VARIANTS = {"adam": ("switch", "weights"), "sgd": ("switch",), "shared": ("switch", "weights"),
            "language": (LANGUAGE,)}  # fmt: skip
FIRST = 9300
SHOWN = (
    BEST, "readable_change", "readable_gain", "cka_change_4", "subspace_change", "layer_update_norm",
    "layer_gradient_norm", "loss_falls", "output_speed", "mean_p_weight_norm", "gradient_norm", "dimensions",
)  # fmt: skip


def setting(trial: Trial, variant: str) -> Setting:
    """The testbed of `trial`, as it is or in another form."""
    if variant == "language":
        return setting_of(trial)
    made: Setting = getattr(attached, trial.bed)(trial.seed, sharing=2 if variant == "shared" else 1)
    if variant != "sgd":
        return made
    rate = float(log_uniform(np.random.default_rng([211, trial.seed]), 0.06, 0.12))
    weights = made.optimizer.param_groups[0]["params"]
    optimizer = torch.optim.SGD(weights, lr=rate, momentum=0.9)
    return replace(made, optimizer=optimizer, steps=3 * made.steps, every=3 * made.every)


def trained(variant: str, trial: Trial, out: str, *, tell: Callable[[int, int], None]) -> None:
    """Train one trial, unless it is there."""
    torch.set_num_threads(1)
    folder = Path(out) / variant / trial.name
    if not (folder / TRUTH).is_file():
        record(setting(trial, variant), folder, name=trial.bed, seed=trial.seed)


def done(jobs: Sequence[Job], workers: int) -> None:
    """Have `jobs` done, telling of each; the first that failed ends it all, after the others have ended."""
    outcomes = Workers(workers).map(jobs, on_end=lambda outcome: print(outcome.name, outcome.error or "", flush=True))
    if failed := next((outcome for outcome in outcomes if outcome.error), None):
        raise SystemExit(f"{failed.name}: {failed.error}")


def told(out: Path, seeds: int) -> pd.DataFrame:
    """A row per variant and method."""
    choice, made, rng = frozen(), [], np.random.default_rng(0)
    methods = {"geophone": ranked, **{k: v for k, v in frozen_methods(choice).items() if k in SHOWN}}
    for variant, beds in VARIANTS.items():
        runs = [read_run(out / variant / Trial(bed, FIRST + i).name) for bed in beds for i in range(seeds)]
        rows = evaluate([run for run in runs if run.truth.events], methods, rng=np.random.default_rng(0))
        for name in [*methods, CEILING]:
            mine = rows[rows["method"] == name]
            net = stratified_interval([part["net"].to_numpy() for _, part in mine.groupby("bed")], rng=rng)
            made.append(
                {"variant": variant, "method": name, "runs": len(mine), "events": mine["events"].mean(),
                 "chance": _mean(mine, "chance"), "recall": _mean(mine, "recall"), "net": net.statistic, "low": net.low,
                 "high": net.high, "layers": _mean(mine, "layer_rate")}
            )  # fmt: skip
    return pd.DataFrame(made)


def _mean(rows: pd.DataFrame, column: str) -> float:
    return float(rows.groupby("bed")[column].mean().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    tasks = [(v, Trial(bed, FIRST + i)) for i in range(given.seeds) for v, beds in VARIANTS.items() for bed in beds]
    jobs = [Job(f"{v} {t.name}", trained, {"variant": v, "trial": t, "out": str(given.out)}) for v, t in tasks]
    done(jobs, given.workers)
    table = told(given.out, given.seeds)
    table.to_csv(given.out / "beds.csv", index=False, float_format="%.3g")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))


if __name__ == "__main__":
    main()
