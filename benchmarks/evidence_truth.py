"""The statistics of evidence on simulated studies whose truth is known.

    python benchmarks/evidence_truth.py [--studies 200] [--runs 12] [--draws 199] [--seed 0]
    python benchmarks/evidence_truth.py --windows [--networks 15]
    python benchmarks/evidence_truth.py --intervals

Prints the tables of docs/evidence.md: how often each test rejects, how often each interval covers the truth, how often
an effect of the size that a study says it can see is found, and on which list a finding lands. With --windows, the
same for what goes with what over all windows, with three seeds of each network and with one. With --intervals, how
often three kinds of interval of a correlation cover it, by number of runs.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy import stats

from geophone.evidence import statistics
from geophone.evidence.association import association
from geophone.evidence.numbers import Random
from geophone.evidence.synthetic import (
    ARCHITECTURES,
    PlantedAssociation,
    PlantedEffects,
    simulated,
    simulated_windows,
)
from geophone.stats.clusters import fisher, studentised, sums

LISTS = ("holds_in_all", "specific_to_one", "undecided", "not_enough_data")
CORRELATION = "correlation/log_magnitude/new_types"


@dataclass(frozen=True)
class Scenario:
    name: str
    truth: PlantedEffects
    runs: int

    @property
    def share(self) -> float:
        """Of the runs, how many carry the effect."""
        return 1 / len(ARCHITECTURES) if self.truth.only else 1.0


def scenarios(runs: int, seen: tuple[float, float]) -> list[Scenario]:
    rise, r = seen
    return [
        Scenario("nothing", PlantedEffects(), runs),
        Scenario("drift only", PlantedEffects(drift=0.02), runs),
        Scenario("r = 0.5, rise 0.03, drift", PlantedEffects(drift=0.02, rise=0.03, r=0.5), runs),
        Scenario("in CNNs only: r = 0.8, rise 0.06", PlantedEffects(rise=0.06, r=0.8, only="cnn"), runs),
        Scenario("strong nesting", PlantedEffects(drift=0.02, nesting=2.0), runs),
        Scenario("strong nesting, r = 0.5, rise 0.03", PlantedEffects(drift=0.02, rise=0.03, r=0.5, nesting=2.0), runs),
        Scenario("a third of the runs, drift", PlantedEffects(drift=0.02), max(runs // 3, 2)),
        Scenario("a third of the runs, r = 0.5, rise 0.03", PlantedEffects(rise=0.03, r=0.5), max(runs // 3, 2)),
        Scenario(f"what it can see: r = {r:.2f}, rise {rise:.3f}", PlantedEffects(rise=rise, r=r), runs),
    ]


def studied(scenario: Scenario, studies: int, draws: int, seed: int) -> list[dict]:
    rng = np.random.default_rng([seed, sum(scenario.name.encode())])
    found = []
    for study in range(studies):
        made = simulated(scenario.truth, rng=rng, runs=scenario.runs)
        found.append(statistics(made.table, order=made.order, detection=made.detection, seed=study, draws=draws))
    return found


def number(found: dict, name: str) -> dict:
    return next(n for n in found["numbers"] if n["id"] == name)


def rejected(studies: list[dict], name: str) -> str:
    ps = [number(s, name)["p"] for s in studies]
    return f"{100 * np.mean([p is not None and p < 0.05 for p in ps]):.1f}"


def covered(studies: list[dict], name: str, truth: float) -> str:
    rows = [number(s, name) for s in studies]
    hits = [n["low"] <= truth <= n["high"] for n in rows if n["low"] is not None and n["high"] is not None]
    return f"{100 * np.mean(hits):.1f}"


def listed(studies: list[dict], finding: str, where: str) -> str:
    hits = [any(row["finding"] == finding for row in s["architectures"][where]) for s in studies]
    return f"{100 * np.mean(hits):.1f}"


def rejections(results: list[tuple[Scenario, list[dict]]]) -> None:
    tests = {
        "paired t (seed)": "selectivity/naive", "DiD, sign flips": "selectivity/did",
        "DiD, Wilcoxon": "selectivity/did-wilcoxon", "DiD, mixed": "selectivity/mixed", "r (seed)": "diversity/naive",
        "r, score flips": "diversity/pearson", "r, mixed": "diversity/mixed", "R^2, F (seed)": "depth/naive",
        "R^2, score flips": "depth/in-sample",
    }  # fmt: skip
    print("\n| rejects, % of studies | " + " | ".join(tests) + " |\n|---|" + "---:|" * len(tests))
    for scenario, studies in results:
        print(f"| {scenario.name} | " + " | ".join(rejected(studies, name) for name in tests.values()) + " |")


def coverages(results: list[tuple[Scenario, list[dict]]]) -> None:
    heads = ("drift", "DiD", "DiD, mixed", "r, over runs", "r, rows (seed)", "R^2 in-sample")
    print("\n| covers the truth, % | " + " | ".join(heads) + " |\n|---|" + "---:|" * len(heads))
    for scenario, studies in results:
        truth, share = scenario.truth, scenario.share
        r, rise = truth.r * share, truth.rise * share
        row = [
            covered(studies, "selectivity/drift", truth.drift), covered(studies, "selectivity/did", rise),
            covered(studies, "selectivity/mixed", rise), covered(studies, "diversity/pearson", r),
            covered(studies, "diversity/naive", r), covered(studies, "depth/in-sample", r**2),
        ]  # fmt: skip
        print(f"| {scenario.name} | " + " | ".join(row) + " |")


def lists(results: list[tuple[Scenario, list[dict]]]) -> None:
    for finding, says in (("selectivity", "selectivity"), (CORRELATION, "correlation with new types")):
        print(f"\n| {says}, % of studies | all | one | undecided | not enough data |\n|---|---:|---:|---:|---:|")
        for scenario, studies in results:
            print(f"| {scenario.name} | " + " | ".join(listed(studies, finding, where) for where in LISTS) + " |")
    print("\nOf the one-architecture findings under 'in CNNs only', the architecture named:")
    for scenario, studies in results:
        if scenario.truth.only:
            named = [row["only"] for s in studies for row in s["architectures"]["specific_to_one"]]
            print({kind: named.count(kind) for kind in ARCHITECTURES})


def intervals(seed: int, studies: int = 400) -> None:
    """Bootstrap percentiles, jackknife with Student's t, and the bootstrap-t in use, on rows nested in runs."""
    rng = np.random.default_rng(seed)
    print("| runs | r | variance between runs | percentile | jackknife, t | bootstrap-t |\n" + "|---:" * 6 + "|")
    for runs in (6, 12, 24, 44):
        for r, nesting in ((0.0, 0.0), (0.0, 2.0), (0.5, 1.0), (0.8, 0.5)):
            hits = np.zeros(3)
            for _ in range(studies):
                of = np.repeat(np.arange(runs), rng.integers(2, 9, runs))
                mix = np.array([[1, 0], [r, np.sqrt(1 - r**2)]])
                rows, levels = rng.normal(size=(len(of), 2)) @ mix.T, rng.normal(size=(runs, 2)) @ mix.T
                x, y = (rows + np.sqrt(nesting) * levels[of]).T
                shares = sums(of, np.ones_like(x), x, y, x * x, y * y, x * y)
                low, high, error = studentised(shares, fisher, rng=rng, draws=499)
                drawn = fisher(rng.multinomial(runs, np.full(runs, 1 / runs), size=499).astype(float) @ shares)
                middle, half = fisher(shares.sum(axis=0)), stats.t.ppf(0.975, runs - 1) * error
                ends = (np.quantile(drawn, [0.025, 0.975]), (middle - half, middle + half), (low, high))
                hits += [a <= np.arctanh(r) <= b for a, b in ends]
            print(
                f"| {runs} | {r} | {nesting} | " + " | ".join(f"{100 * h / studies:.1f}" for h in hits) + " |",
                flush=True,
            )


PLANTED = {
    "no association": PlantedAssociation(),
    "through time alone": PlantedAssociation(time=2.0),
    "r = .3 within runs, and time": PlantedAssociation(time=2.0, r=0.3),
    "r = .3 in CNNs only, and time": PlantedAssociation(time=2.0, r=0.3, only="cnn"),
}
WINDOWS = "windows/stable_rank/new_types"


def over_windows(studies: int, networks: int, draws: int, seed: int) -> None:
    """How often windows say that two columns go together, and whether the interval covers by how much."""
    heads = ("all networks", "covers", "CNNs", "covers", "MLPs", "covers", "mixed model", "in all", "in one", "named")
    print("| planted | seeds | " + " | ".join(heads) + " |\n|---|" + "---:|" * (len(heads) + 1))
    for seeds in (3, 1):
        for number, (name, truth) in enumerate(PLANTED.items()):
            rng = np.random.default_rng([seed, seeds, number])
            found = [
                association(simulated_windows(truth, rng=rng, networks=networks, seeds=seeds), Random(study, draws))
                for study in range(studies)
            ]
            in_cnn, in_mlp = truth.r, 0.0 if truth.only else truth.r
            whole = truth.r / len(ARCHITECTURES) if truth.only else truth.r
            row: list[str] = []
            for place, value in ((WINDOWS, whole), (f"{WINDOWS}/cnn", in_cnn), (f"{WINDOWS}/mlp", in_mlp)):
                numbers = [_number(f, place) for f in found]
                row.append(f"{100 * np.mean([n.p < 0.05 for n in numbers]):.1f}")
                row.append(f"{100 * np.mean([n.low <= value <= n.high for n in numbers]):.1f}")
            row.append(f"{100 * np.mean([_number(f, 'windows/mixed/new_types').p < 0.05 for f in found]):.1f}")
            ones = [
                [r["only"] for r in f["architectures"]["specific_to_one"] if r["finding"] == WINDOWS] for f in found
            ]
            alls = [any(r["finding"] == WINDOWS for r in f["architectures"]["holds_in_all"]) for f in found]
            named = [only for each in ones for only in each]
            row += [f"{100 * np.mean(alls):.1f}", f"{100 * np.mean([bool(one) for one in ones]):.1f}"]
            row.append(", ".join(f"{kind} {named.count(kind)}" for kind in sorted(set(named))) or "-")
            print(f"| {name} | {seeds} | " + " | ".join(row) + " |", flush=True)


def _number(found: dict, name: str):
    numbers = [*found["numbers"], *found["architectures"]["numbers"]]
    return next(n for n in numbers if n.id == name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--runs", type=int, default=12, help="of each architecture")
    parser.add_argument("--draws", type=int, default=199)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", type=int, default=15, help="of each architecture, for --windows")
    parser.add_argument("--windows", action="store_true")
    parser.add_argument("--intervals", action="store_true")
    arguments = parser.parse_args()
    if arguments.windows:
        over_windows(arguments.studies, arguments.networks, arguments.draws, arguments.seed)
        return
    if arguments.intervals:
        intervals(arguments.seed)
        return
    began = time.monotonic()
    pilot = studied(Scenario("pilot", PlantedEffects(), arguments.runs), 20, arguments.draws, arguments.seed)
    seen = tuple(
        float(np.median([number(s, name)["smallest"] for s in pilot]))
        for name in ("selectivity/did", "diversity/pearson")
    )
    results = []
    for scenario in scenarios(arguments.runs, seen):
        results.append((scenario, studied(scenario, arguments.studies, arguments.draws, arguments.seed)))
        print(f"{scenario.name}: {time.monotonic() - began:.0f} s", flush=True)
    rejections(results)
    coverages(results)
    lists(results)


if __name__ == "__main__":
    main()
