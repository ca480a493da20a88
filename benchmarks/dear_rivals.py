"""Rivals that need more than a pass of the probe, or other seeds, beside the ranker: recall at equal k, and the price.

    pip install 'geophone[bench]'; python benchmarks/dear_rivals.py --out DIR [--beds ...] [--workers 2]

Trains the testbeds with `geophone prove`'s recorder and reads besides, at every measurement, layer-wise tangent kernels
and gradient noise of 64 samples of the probe and the statistics of the weights, and at every twelfth the local learning
coefficient of the whole and of every layer (SGLD on the training's own loss: 1 chain, 30 steps thrown away, 100 kept).
Development seeds (7000 on, two of each) choose the form of each, and train the hidden Markov model of the training map;
fresh ones (9100 on, four) tell. Nothing was preregistered: an exploration. Prices are forward passes of the probe.

Prints and writes DIR/dear.csv: of each method the price of a run, recall at k = E, that net of the moments of other
runs, and the share of layers named right; `same price` is its recall where it may spend no more than the ranker does,
one pass a measurement (fewer looks, evenly), "-" where that buys fewer than three; and the difference of net recall,
paired by run, with an interval of 95 %.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hmmlearn.hmm import GaussianHMM
from more_beds import done
from torch import nn

from geophone.point.kernels import Kernel
from geophone.point.moments import pick
from geophone.point.signals import RunSignals
from geophone.prove.bed import Setting
from geophone.prove.choice import by_bed, frozen
from geophone.prove.evaluate import BEST, evaluate, frozen_methods
from geophone.prove.landscape import (
    kernel_change,
    llc,
    noise_scale,
    sample_gradients,
    tangent_kernels,
    weight_statistics,
)
from geophone.prove.ranker import ranked
from geophone.prove.recording import record
from geophone.prove.rivals import Part, Rival, rival_moments, rival_score
from geophone.prove.tables import POOLED, comparison_table
from geophone.prove.targeting import Moments, recall
from geophone.prove.trials import Trial, TrialRun, read_run, setting_of
from geophone.prove.truth import TRUTH
from geophone.store.tables import read_table, write_table
from geophone.workers import Job

BEDS = ("v_classes", "v_layer", "v_parity", "switch", "uncovered")
FIRST_DEVELOPMENT, FIRST_FRESH = 7000, 9100
SAMPLES, LAG, LLC_EVERY = 64, 4, 12
SGLD = {"samples": 1000, "step": 3e-5, "pull": 100.0, "draws": 100, "burn_in": 30}
TRAINING_BATCH = 128
STATES = range(2, 9)
KERNELS = tuple(Kernel("step", width) for width in (1.0, 2.0, 4.0, 8.0, 16.0))
POOLS = ("mean", "max", "contrast")
WHOLE = ""


@dataclass
class Looks:
    """What is read of one training besides what the recorder reads: rows of step, layer ("" for the whole), name,
    value."""

    setting: Setting
    rng: np.random.Generator
    rows: list[dict[str, object]] = field(default_factory=list)
    kernels: list[dict[str, np.ndarray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = [name for name, _ in self.setting.model.named_parameters()]
        every = {layer: [n for n in names if n.startswith(f"{layer}.")] for layer in self.setting.layers}
        self.owners = {WHOLE: names} | {layer: mine for layer, mine in every.items() if mine}
        x, y = self.setting.probe
        self.x, self.y = x[:SAMPLES], y[:SAMPLES]
        out = self.setting.model(self.x[:1])
        signs = torch.randint(2, out.shape, generator=torch.Generator().manual_seed(0))
        self.direction = (2.0 * signs - 1).to(out.dtype)

    def __call__(self, step: int) -> None:
        model = self.setting.model
        outputs = sample_gradients(model, self.x, self.y, lambda out, _: (out * self.direction).sum())
        losses = sample_gradients(model, self.x, self.y, _loss)
        self.kernels = [*self.kernels[-LAG:], tangent_kernels(outputs, self.owners)]
        for layer, names in self.owners.items():
            self._add(step, layer, "noise_scale", noise_scale([losses[name] for name in names]))
            change = np.nan
            if len(self.kernels) > LAG:
                change = kernel_change(self.kernels[0][layer], self.kernels[-1][layer])
            self._add(step, layer, "kernel_change", change)
        for name, value in weight_statistics(model).items():
            self._add(step, WHOLE, f"map:{name}", value)
        if (step // self.setting.every) % LLC_EVERY == 1:
            weights = dict(model.named_parameters())
            for layer, names in self.owners.items():
                moved = [weights[name] for name in names]
                self._add(step, layer, "llc", llc(moved, partial(self._trained_on, step), rng=self.rng, **SGLD))

    def _trained_on(self, step: int, rng: np.random.Generator) -> torch.Tensor:
        return self.setting.objective(rng, step).total

    def _add(self, step: int, layer: str, name: str, value: float) -> None:
        self.rows.append({"step": step, "layer": layer, "name": name, "value": value})


def _loss(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if y.is_floating_point():
        return (out.reshape(y.shape) - y).square().mean()
    return nn.functional.cross_entropy(out.flatten(0, -2), y.flatten())


def trained(trial: Trial, out: str, *, tell: Callable[[int, int], None]) -> None:
    """Train one trial with its looks, unless it is there."""
    torch.set_num_threads(1)
    folder = Path(out) / "runs" / trial.name
    if (folder / "looks.parquet").is_file() and (folder / TRUTH).is_file():
        return
    setting = setting_of(trial)
    looks = Looks(setting, np.random.default_rng([trial.seed, 17]))
    record(setting, folder, name=trial.bed, seed=trial.seed, look=looks)
    write_table(folder / "looks.parquet", pd.DataFrame(looks.rows))


def looked(run: TrialRun, *, llc_looks: int | None = None) -> TrialRun:
    """The run with what was looked at among its signals; between looks, on a line. `llc_looks`: so few of them."""
    table, signals = read_table(run.folder / "looks.parquet"), run.signals
    scalars, series = dict(signals.scalars), dict(signals.series)
    for name, rows in table.groupby("name"):
        wide = rows.pivot(index="step", columns="layer", values="value")
        if name == "llc" and llc_looks is not None:
            wide = wide.iloc[np.unique(np.linspace(0, len(wide) - 1, llc_looks).round().astype(int))]
        at = {layer: _on(signals.steps, wide[layer].dropna()) for layer in wide}
        scalars[str(name)] = at.pop(WHOLE)
        if at:
            nothing = np.full(len(signals.steps), np.nan)
            series[f"layer_{name}"] = np.stack([at.get(layer, nothing) for layer in signals.layers], axis=1)
    return replace(run, signals=replace(signals, scalars=scalars, series=series))


def _on(steps: np.ndarray, known: pd.Series) -> np.ndarray:
    return np.interp(steps, known.index.to_numpy(float), known.to_numpy(float))


def maps(development: list[TrialRun], fresh: list[TrialRun]) -> dict[str, np.ndarray]:
    """The expected number of state changes from one measurement to the next in the training map of every run, by name:
    a Gaussian hidden Markov model of z-scored weight statistics, trained on the development seeds, with as many states
    as the Bayesian information criterion takes."""

    def features(run: TrialRun) -> np.ndarray:
        return np.stack([v for k, v in sorted(run.signals.scalars.items()) if k.startswith("map:")], axis=1)

    rows = [features(run) for run in development]
    every = np.concatenate(rows)
    mean, deviation = every.mean(0), every.std(0) + 1e-12
    known = (every - mean) / deviation
    lengths = [len(row) for row in rows]
    models = []
    for states in STATES:
        model = GaussianHMM(states, "diag", n_iter=60, random_state=0).fit(known, lengths)
        models.append((model.bic(known, lengths), states, model))
    _, _, best = min(models, key=lambda each: each[:2])
    found = {}
    for run in [*development, *fresh]:
        states = best.predict_proba((features(run) - mean) / deviation)
        stays = (states[1:] * states[:-1]).sum(1)
        found[run.signals.name] = np.concatenate([[0.0], 1 - stays]) + 1e-6
    return found


def forms() -> dict[str, list[Part]]:
    """What development seeds choose from."""
    return {
        "LLC": [Part("llc", "slope", kernel) for kernel in KERNELS],
        "refined LLC": [Part("layer_llc", "slope", kernel, pool=pool) for kernel in KERNELS for pool in POOLS],
        "tangent kernel": [Part("kernel_change", "level", kernel) for kernel in KERNELS],
        "layer-wise tangent kernels": [
            Part("layer_kernel_change", "level", kernel, pool=pool) for kernel in KERNELS for pool in POOLS
        ],
        "gradient noise scale": [Part("noise_scale", "speed", kernel) for kernel in KERNELS],
        "layer-wise noise scale": [
            Part("layer_noise_scale", "speed", kernel, pool=pool) for kernel in KERNELS for pool in POOLS
        ],
        "training map (HMM)": [Part("map_change", "level", kernel) for kernel in KERNELS],
    }


def prices(run: TrialRun) -> dict[str, float]:
    """Forward passes of the probe for one run: a step of SGLD is 4 of its batch, gradients of samples 3 of those."""
    measured, probe = len(run.signals.steps), len(setting_of(run.trial).probe[0])
    walk = 4 * TRAINING_BATCH / probe * (SGLD["draws"] + SGLD["burn_in"]) * len(range(1, measured + 1, LLC_EVERY))
    layers = np.isfinite(run.signals.series["layer_llc"]).any(0).sum()
    gradients = 3 * SAMPLES / probe * measured
    return {
        "LLC": walk, "refined LLC": walk * layers, "training map (HMM)": 0.0,
        **dict.fromkeys(("tangent kernel", "layer-wise tangent kernels"), gradients),
        **dict.fromkeys(("gradient noise scale", "layer-wise noise scale"), gradients),
    }  # fmt: skip


def chosen(runs: list[TrialRun]) -> dict[str, Rival]:
    """Of every rival the form with the greatest recall at k = E on these runs."""

    def value(part: Part) -> float:
        rival = Rival("", (part,))
        moments = (Moments(pick(rival_score(run.signals, rival), run.signals.steps)) for run in runs)
        return by_bed(runs, (recall(m, run.truth) for m, run in zip(moments, runs, strict=True)))

    return {name: Rival(name, (max(parts, key=value),)) for name, parts in forms().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--beds", nargs="+", default=BEDS)
    parser.add_argument("--development", type=int, default=2)
    parser.add_argument("--fresh", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    seeds = {True: FIRST_DEVELOPMENT, False: FIRST_FRESH}
    counts = {True: given.development, False: given.fresh}
    trials = {d: [Trial(bed, first + i) for i in range(counts[d]) for bed in given.beds] for d, first in seeds.items()}
    wanted = [*trials[True], *trials[False]]
    done([Job(trial.name, trained, {"trial": trial, "out": str(given.out)}) for trial in wanted], given.workers)
    runs = {d: [looked(read_run(given.out / "runs" / t.name)) for t in these] for d, these in trials.items()}
    runs = _with_maps(runs)
    table = told(runs[True], runs[False])
    table.to_csv(given.out / "dear.csv", index=False, float_format="%.3g")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}", na_rep="-"))


def _with_maps(runs: dict[bool, list[TrialRun]]) -> dict[bool, list[TrialRun]]:
    changes: dict[str, np.ndarray] = {}
    for bed in dict.fromkeys(run.bed for run in runs[True]):
        changes |= maps(*([run for run in runs[d] if run.bed == bed] for d in (True, False)))

    def added(run: TrialRun) -> TrialRun:
        scalars = {**run.signals.scalars, "map_change": changes[run.signals.name]}
        return replace(run, signals=replace(run.signals, scalars=scalars))

    return {d: [added(run) for run in these] for d, these in runs.items()}


def told(development: list[TrialRun], fresh: list[TrialRun]) -> pd.DataFrame:
    """The table of the fresh runs: of all of them, and of each kind of events."""
    rivals = chosen([run for run in development if run.truth.events])
    fresh = [run for run in fresh if run.truth.events]

    def method(rival: Rival):
        return lambda signals, kind: rival_moments(signals, rival, share=0.1)

    frozen_ones = frozen_methods(frozen())
    methods = {"geophone": ranked, BEST: frozen_ones[BEST]} | {name: method(r) for name, r in rivals.items()}
    rows = evaluate(fresh, methods, rng=np.random.default_rng(0))
    kinds = {run.bed: run.trial.kind for run in fresh}
    cost = pd.DataFrame([prices(run) for run in fresh]).mean()
    measured = float(np.mean([len(run.signals.steps) for run in fresh]))
    same = {name: _at_price(fresh, rivals[name], measured / cost[name]) for name in ("LLC", "refined LLC")}
    paired = comparison_table(rows, rng=np.random.default_rng(0))
    paired = paired[(paired["bed"] == POOLED) & (paired["endpoint"] == "net")].set_index("rival")
    made = []
    for name in methods:
        mine = rows[rows["method"] == name].assign(kind=lambda table: table["bed"].map(kinds))
        row = {"method": name, "passes": cost.get(name, measured), "form": _form(rivals.get(name))}
        for kind, part in {"all": mine, **dict(list(mine.groupby("kind")))}.items():
            means = part.groupby("bed")[["recall", "net", "layer_rate"]].mean().mean()
            row |= {f"{column}, {kind}": means[column] for column in ("recall", "net", "layer_rate")}
            if name in rivals and not rivals[name].parts[0].pool:
                row[f"layer_rate, {kind}"] = np.nan  # it has no layers
        row |= {"same price": same.get(name, row["recall, all"])}
        if name in paired.index:
            row |= {f"geophone less it, {k}": paired.loc[name, k] for k in ("difference", "low", "high")}
        made.append(row)
    return pd.DataFrame(made)


def _form(rival: Rival | None) -> str:
    if rival is None:
        return "frozen"
    part: Part = rival.parts[0]
    return f"{part.how}, {part.kernel.width:g}, {part.pool or 'whole'}"


def _at_price(fresh: list[TrialRun], rival: Rival, share: float) -> float:
    """Recall of a rival that may take only `share` of its looks; NaN where that leaves fewer than three."""
    signals: RunSignals = fresh[0].signals
    looks = int(share * len(range(1, len(signals.steps) + 1, LLC_EVERY)))
    if looks < 3:
        return float("nan")
    fewer = [looked(read_run(run.folder), llc_looks=looks) for run in fresh]
    found = (rival_moments(run.signals, rival, share=0.1) for run in fewer)
    return by_bed(fewer, (recall(moments, run.truth) for moments, run in zip(found, fewer, strict=True)))


if __name__ == "__main__":
    main()
