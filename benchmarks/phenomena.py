"""The calibrated detectors on series in which nothing happens and on planted jumps, and the time of a whole study.

    python benchmarks/phenomena.py [--series 1000] [--seed 0] [--study DIR] [--copies 1]

Prints the share of null series with at least one detection (the family-wise error, nominal 5 %), the share of planted
jumps found within 3 measurements, and with --study the seconds that `detect` takes on it; --copies N counts every run
N times, for the scaling.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from geophone.detect.critical import change_null
from geophone.detect.jumps import change_points, jump_null, pelt_penalty
from geophone.detect.nulls import log_series, peaks, residuals, scan
from geophone.detect.synthetic import NULLS, null_series, planted_jumps


def errors(series: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    nulls = {
        "jump": jump_null(400, rng=rng),
        **{kind: change_null(kind, 400, rng=rng) for kind in ("velocity", "acceleration")},
    }
    calm = residuals(log_series(null_series("white", series=100, rng=rng).values))
    penalty = pelt_penalty(calm, 400, rng=rng)
    print(f"thresholds: {', '.join(f'{k} {n.threshold:.2f}' for k, n in nulls.items())}; PELT penalty {penalty:.0f}\n")
    print("| null | calibrated jump | critical period | transition | PELT |\n|---|---:|---:|---:|---:|")
    for kind in NULLS:
        y = log_series(null_series(kind, series=series, rng=rng).values)
        shares = [(np.abs(scan(y, kind=k)).max(axis=1) >= null.threshold).mean() for k, null in nulls.items()]
        shares.append(np.mean([bool(change_points(row, penalty=penalty)) for row in y]))
        print(f"| {kind} | " + " | ".join(f"{100 * s:.1f} %" for s in shares) + " |")
    print("\n| planted jump, noise | found within 3 | others found |\n|---|---:|---:|")
    for size, kind in [(6, "white"), (4, "white"), (6, "ar5"), (4, "ar5"), (6, "decaying"), (6, "drift")]:
        made = planted_jumps(size=size, series=series, rng=rng, kind=kind)
        z = scan(log_series(made.values), kind="jump")
        found = [peaks(row, nulls["jump"].threshold) for row in z]
        near = [sum(abs(i - at[0]) <= 3 for i in row) for row, at in zip(found, made.jumps, strict=True)]
        hit = np.mean([n > 0 for n in near])
        other = np.mean([len(row) - n for row, n in zip(found, near, strict=True)])
        print(f"| {size} noise deviations, {kind} | {100 * hit:.1f} % | {other:.2f} a series |")


def study_seconds(folder: Path, copies: int) -> None:
    from geophone.store.study import Study
    from geophone.study import detect_stage, open_study

    class Copied(Study):
        """The study with every run `copies` times, and nothing written."""

        @property
        def runs(self):
            found = []
            for run in super().runs:
                for copy in range(copies):
                    run_again = type(run)(run.folder)
                    run_again.manifest = run.manifest.model_copy(update={"name": f"{run.name}-{copy}"})
                    found.append(run_again)
            return found

        def write(self, name, frame): ...

    study = Copied(open_study(folder).folder)
    began = time.monotonic()
    tables = detect_stage(study)
    took = time.monotonic() - began
    print(f"\ndetect: {len(study)} runs, {len(tables['detection']) // 4} series, 999 surrogates: {took:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--study", type=Path)
    parser.add_argument("--copies", type=int, default=1)
    arguments = parser.parse_args()
    errors(arguments.series, arguments.seed)
    if arguments.study:
        study_seconds(arguments.study, arguments.copies)


if __name__ == "__main__":
    main()
