"""From the evidence table to statistics.json: every number with its interval, its test and what it rests on."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from geophone.evidence import questions
from geophone.evidence.architectures import LEAST_RUNS, Estimand, across, correlation_estimand, mean_estimand
from geophone.evidence.association import association
from geophone.evidence.numbers import ALPHA, Named, Random, Statistic, adjusted, correlation_number, plain
from geophone.evidence.table import evidence_table
from geophone.evidence.windows import window_table
from geophone.rows.evidence import CHANGING, SINCE_BEFORE
from geophone.rows.measures import MEASURES, SIZES
from geophone.stats.clusters import LEAST
from geophone.store.documents import Statistics, as_document, write_document
from geophone.store.formats import FORMAT
from geophone.store.study import Study
from geophone.store.tables import replace_file

CHANGES = tuple(m.name for m in MEASURES if m.tested)
OUTCOMES = tuple(m.name for m in MEASURES if m.outcome)
EARLY = 0.05  # of a run: what lies in it is hardly more than the start
ORDER_MODES = ("naive", "calibrated")


def write_evidence(study: Study, *, seed: int = 0, draws: int = 1999) -> dict:
    """Write `evidence.parquet`, `evidence.csv` and `statistics.json` into the study's folder; returns the statistics.

    The same study and seed give the same files, byte for byte. Raises InputError when there are no targets yet.
    """
    table = evidence_table(study)
    about = pd.DataFrame([(run.name, str(run.manifest.about.get("architecture", "unknown"))) for run in study])
    architecture = dict(about.itertuples(index=False, name=None)) if len(about) else {}
    order, detection = (
        _with_architecture(study.phenomena(kind, optional=True), architecture) for kind in ("order", "detection")
    )
    found = statistics(table, order=order, detection=detection, seed=seed, draws=draws)
    targets = study.targets()
    found["study"]["targets_found"] = len(targets)
    found["study"] |= _targets_said(study, targets)
    windows = window_table(study)
    study.places.windows.unlink(missing_ok=True)
    if len(windows):
        found["windows"] = plain(association(windows, Random(seed, draws)))
        study.write("windows", windows)
    study.write("evidence", table)
    places = study.places
    replace_file(places.evidence_csv, lambda path: table.to_csv(path, index=False, float_format="%.10g"))
    document = as_document(Statistics, found)
    write_document(places.statistics, document)
    return document.plain


def _targets_said(study: Study, targets: pd.DataFrame) -> dict[str, float | None]:
    """Where targets lie and what they are compared with: the share outside the first 5 % of their run, and the share
    with two controls."""
    if targets.empty:
        return {"late_share": None, "two_controls_share": None}
    total = {run.name: run.total_steps for run in study}
    late = [step > EARLY * total[run] for run, step in zip(targets["run"], targets["step"], strict=True)]
    both = targets["earlier_step"].notna() & targets["later_step"].notna()
    return {"late_share": float(np.mean(late)), "two_controls_share": float(both.mean())}


def _with_architecture(table: pd.DataFrame, architecture: dict[str, str]) -> pd.DataFrame:
    return table.assign(architecture=[architecture.get(run, "unknown") for run in table["run"]])


def statistics(
    table: pd.DataFrame, *, order: pd.DataFrame, detection: pd.DataFrame, seed: int = 0, draws: int = 1999
) -> dict:
    """Everything that can be said of an evidence table, as JSON has it (NaN is null).

    `order` and `detection` are the tables of phenomena, with a column `architecture`. `draws` bootstrap draws and
    permutations, 5 `draws` + 4 sign flips, all from `seed`. Keys: "study" (what there was), "numbers" (`Statistic`s),
    "criteria" (met, not met or undecided), "architectures" (numbers by architecture, and the lists "holds_in_all",
    "specific_to_one", "undecided", "not_enough_data" with the "rules" that made them), "families_of_tests". A study
    that is too small gives the same keys, with statuses in place of numbers.
    """
    random = Random(seed, draws)
    targets, pairs = table[table["role"] == "target"], paired(table)
    asked = [
        *questions.diversity(targets, pairs, random),
        *questions.selectivity(targets, pairs, random),
        *questions.depth(targets, random),
    ]
    findings = _findings(pairs, order, detection, _dimension(table), random)
    whole = [finding.make(finding.named, finding.rows) for finding in findings if finding.named.family]
    ranks = _rank_correlations(pairs, random)
    numbers = adjusted([*asked, *whole, *ranks])
    kinds = across(findings, random) | {"convergence": _verdicts(order, _dimension(table))}
    return plain(
        {
            "format": FORMAT, "seed": seed, "draws": draws, "alpha": ALPHA,
            "study": _about(table, pairs),
            "criteria": questions.criteria(numbers, pairs),
            "numbers": numbers,
            "architectures": kinds,
            "families_of_tests": _tests([*numbers, *kinds["numbers"]]),
        }
    )  # fmt: skip


def paired(table: pd.DataFrame) -> pd.DataFrame:
    """One row a pair that has a control: the target's place and jump, and for every measure that changes
    `NAME_target`, `NAME_control` (its change over the window) and `NAME_excess` = target - control, the
    difference-in-differences; for `new_types` and `turnover`, which are changes already, the value after."""
    place = ["pair", "run", "architecture", "layer", "magnitude", "log_magnitude", "size", "num_jumps"]
    changes = {f"{name}_change": name for name in CHANGING}
    changes |= {f"{name}_after": name for name in (m.name for m in SINCE_BEFORE)}
    target, control = (table[table["role"] == role].set_index("pair") for role in ("target", "control"))
    target = target.loc[[pair for pair in target.index if pair in control.index]]
    control = control.loc[target.index]
    found = target.reset_index()[place]
    added = {}
    for column, name in changes.items():
        added[f"{name}_target"] = target[column].to_numpy(float)
        added[f"{name}_control"] = control[column].to_numpy(float)
        added[f"{name}_excess"] = added[f"{name}_target"] - added[f"{name}_control"]
    return pd.concat([found, pd.DataFrame(added, index=found.index)], axis=1)


def _dimension(table: pd.DataFrame) -> str:
    return str(table["dimension"].iloc[0]) if len(table) else "stable_rank"


def _findings(
    pairs: pd.DataFrame, order: pd.DataFrame, detection: pd.DataFrame, dimension: str, random: Random
) -> list[Estimand]:
    """What is asked of all runs and of each architecture; those with a family of tests are new here, the two without
    are the questions' own."""
    found = [
        mean_estimand(
            Named("selectivity", "selectivity change, target minus control"), pairs, "selectivity_excess", random
        ),
        *_changes(pairs, random),
        *_correlations(pairs, random),
    ]
    for mode in ORDER_MODES:
        says = f"convergence order of {dimension}, {mode}: mean rho (above 0: shallow layers first)"
        rows = _of(order, dimension, mode)
        found.append(mean_estimand(Named(f"order/{mode}", says, "convergence order"), rows, "rho", random))
    for mode in ORDER_MODES:
        says = f"jumps of {dimension} a layer, {mode}, beyond what the null yields"
        rows = _of(detection, dimension, mode)
        if {"detected", "expected_false"} <= set(rows.columns):
            # A layer of which the detector can say nothing is not one without jumps.
            rows = rows[rows["status"] == "ok"] if "status" in rows else rows
            rows = rows.assign(beyond=rows["detected"].astype(float) - rows["expected_false"].astype(float))
        named = Named(f"jumps/{mode}", says, "number of jumps")
        found.append(mean_estimand(named, _kept(rows, "beyond"), "beyond", random))
    return found


def _changes(pairs: pd.DataFrame, random: Random) -> list[Estimand]:
    made = []
    for name in CHANGES:
        named = Named(f"change/{name}", f"{name} change, target minus control", "changes over a jump")
        made.append(mean_estimand(named, pairs, f"{name}_excess", random))
    return made


def _correlations(pairs: pd.DataFrame, random: Random) -> list[Estimand]:
    made = []
    for size, says in SIZES.items():
        for name in OUTCOMES:
            # The first of them is question 1 itself.
            family = "" if (size, name) == ("log_magnitude", "new_types") else "correlations with the jump"
            named = Named(f"correlation/{size}/{name}", f"{says} with {name} change, target minus control", family)
            made.append(correlation_estimand(named, pairs, (size, f"{name}_excess"), random))
    return made


def _rank_correlations(pairs: pd.DataFrame, random: Random) -> list[Statistic]:
    found = []
    for size, says in SIZES.items():
        for name in OUTCOMES:
            if (size, name) != ("log_magnitude", "new_types"):
                words = f"{says} with {name} change, target minus control, Spearman"
                named = Named(f"rank/{size}/{name}", words, "correlations with the jump")
                columns = (size, f"{name}_excess")
                found.append(correlation_number(named, pairs, columns, random, method="spearman"))
    return found


def _of(rows: pd.DataFrame, dimension: str, mode: str) -> pd.DataFrame:
    if not {"dimension", "mode", "architecture"} <= set(rows.columns):
        return _kept(rows.iloc[:0], "rho")
    return _kept(rows[(rows["dimension"] == dimension) & (rows["mode"] == mode)], "rho")


def _kept(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """`rows` with the columns that a finding needs, empty ones added."""
    kinds = {"run": str, "architecture": str, column: float}
    empty = {name: pd.Series(np.nan, index=rows.index).astype(kind) for name, kind in kinds.items() if name not in rows}
    return rows.assign(**empty)


def _verdicts(order: pd.DataFrame, dimension: str) -> list[dict]:
    """How many runs of each architecture have which convergence order, in every mode."""
    found = []
    for mode in ORDER_MODES:
        rows = _of(order, dimension, mode)
        if "verdict" in rows:
            counts = rows.groupby("architecture")["verdict"].value_counts()
            for architecture in sorted(set(rows["architecture"])):
                mine = {str(verdict): int(count) for verdict, count in sorted(counts[architecture].items())}
                found.append(
                    {"mode": mode, "architecture": str(architecture), "runs": sum(mine.values()), "verdicts": mine}
                )
    return found


def _about(table: pd.DataFrame, pairs: pd.DataFrame) -> dict:
    targets = table[table["role"] == "target"]
    runs = targets.groupby("architecture")["run"].nunique() if len(targets) else pd.Series(dtype=int)
    notes = []
    if targets["run"].nunique() < LEAST:
        notes.append(f"too few runs for an interval: {targets['run'].nunique()}, {LEAST} are needed.")
    notes += [
        f"{architecture} has {count} run{'s' if count > 1 else ''}, {LEAST_RUNS} are needed to speak of it by itself."
        for architecture, count in runs.items()
        if count < LEAST_RUNS
    ]
    empty = [c for c in table.columns if c.endswith("_change") and table[c].isna().all()]
    if empty:
        notes.append(f"never measured: {', '.join(c.removesuffix('_change') for c in empty)}.")
    return {
        "targets_dug": len(targets), "pairs": len(pairs), "runs": int(targets["run"].nunique()),
        "runs_by_architecture": {str(k): int(v) for k, v in runs.items()},
        "dimension": _dimension(table), "modes": sorted(set(targets["mode"])), "notes": notes,
    }  # fmt: skip


def _tests(numbers: Iterable[Statistic]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number in numbers:
        if number.family_of_tests:
            found.setdefault(number.family_of_tests, []).append(number.id)
    return found
