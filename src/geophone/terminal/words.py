"""What each verb prints, and what it gives as a document; sentences about findings come from `geophone.findings`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from geophone.findings.phenomena import FORMS, phenomena
from geophone.findings.ranking import nothing
from geophone.findings.tables import Tables, first_dimension, runs_of
from geophone.store.check import nonfinite
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.terminal.health import nonfinite_words
from geophone.terminal.show import say, show

_PER_RUN = ("order", "order_tests", "detection", "types")
_OF_PROOF = ("verdict", "methods", "comparisons", "layers", "nuisances", "trust")
_VERDICTS = {"bottom-up": "up", "top-down": "down", "simultaneous": "same"}
Document = dict[str, Any]


def summary(study: Study) -> pd.DataFrame:
    """A row per run: what was measured, and how well it learnt."""
    rows = [
        {"run": run.name, "status": run.status, "layers": len(run.layers), "measurements": run.manifest.measurements,
         "test accuracy": run.manifest.results.get("test_accuracy")}
        for run in study
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["run", "status", "layers", "measurements", "test accuracy"])
    return table.astype({"test accuracy": float})


def say_summary(study: Study) -> None:
    """What came out of a whole study: a line per run, its first targets, where to look first, and the page."""
    show(summary(study))
    for run in study:
        if found := nonfinite(run.folder):
            say([f"{run.name}: {nonfinite_words(found)}"])
    if study.is_ranked:
        print()
        say_targets(study.targets(), most=3)
    if study.places.page.is_file():
        for dig in study.digs()[:1]:
            print(f"\nLook first at the dig of target {dig.target.rank}:")
            say([f"  {lead(dig.folder)}"])
        print(f"\nThe page: {study.places.page}")


def summary_document(study: Study) -> Document:
    """`folder`, `runs`, `targets` (none before that stage) and `page` (null before it is written)."""
    page = study.places.page
    runs = summary(study).rename(columns=lambda name: name.replace(" ", "_"))
    targets = study.targets() if study.is_ranked else []
    return {"folder": study.folder, "runs": runs, "targets": targets, "page": page if page.is_file() else None}


def say_phenomena(study: Study, tables: Mapping[str, pd.DataFrame]) -> None:
    """The orders and jumps of each run in the first dimension, then what all runs say together."""
    about = Tables(study.name, runs_of(study), dimension=first_dimension(tables), phenomena=tables)
    print(f"{about.dimension}, one run per line:")
    show(by_run(tables, about.dimension), indent=2)
    print("\n  order: correlation of a layer's depth with the step at which it settles;")
    print("    up: shallow layers first, down: deep ones, same or weak: neither, -: none")
    print(f"  jumps: found / expected of noise\n\n{about.dimension}, all runs together:")
    say(f"  {each.sentence}" for each in phenomena(about))


def by_run(tables: Mapping[str, pd.DataFrame], dimension: str) -> pd.DataFrame:
    """A row per run: its convergence order, and jumps beside the number expected by chance, in both forms."""
    order, detection = (table[table["dimension"] == dimension] for table in (tables["order"], tables["detection"]))
    sums = detection.groupby(["run", "mode"])[["detected", "expected_false"]].sum()
    rows: dict[str, list[str]] = {}
    for mode in FORMS:
        for each in order[order["mode"] == mode].itertuples():
            rho = "-" if pd.isna(each.rho) else f"{each.rho:+.2f} {_VERDICTS.get(str(each.verdict), each.verdict)}"
            detected, expected = sums.loc[(each.run, mode)]
            rows.setdefault(str(each.run), []).extend([rho, f"{detected:.0f} / {expected:.1f}"])
    modes = [mode for mode in FORMS if (order["mode"] == mode).any()]
    heads = [f"{what}, {mode}" if what == "order" else what for mode in modes for what in ("order", "jumps")]
    return pd.DataFrame([[run, *cells] for run, cells in rows.items()], columns=["run", *heads])


def phenomena_document(study: Study, tables: Mapping[str, pd.DataFrame]) -> Document:
    """The tables that have a row per run or less, and for every table its file and number of rows."""
    files = {kind: {"file": study.places.phenomenon(kind), "rows": len(table)} for kind, table in tables.items()}
    return {"folder": study.folder, **{kind: tables[kind] for kind in _PER_RUN}, "tables": files}


def say_targets(targets: pd.DataFrame, *, most: int) -> None:
    """The first `most` targets, a paragraph each."""
    if targets.empty:
        print(nothing("any layer").sentence)
        return
    print(f"The first {min(most, len(targets))} of {len(targets)} targets:")
    for row in targets.head(most).itertuples():
        steps = [str(int(step)) for step in (row.earlier_step, row.later_step) if not pd.isna(step)]
        control = f"to compare: {', '.join(steps)}" if steps else "no quiet moment to compare"
        print(f"{row.rank:>3}. {row.kind}: {row.run}, layer {row.layer}, step {row.step}")
        print(f"     steps to look at: {row.before}, {row.step}, {row.after}; {control}")
        say([f"     {row.reason}"])


def say_digs(folders: Sequence[Path]) -> None:
    """Each dig's folder and its observation."""
    for folder in folders:
        print(folder)
        say([f"  {observation(folder)}"])


def lead(folder: Path) -> str:
    """The sentence that a dig's notes begin with, after their title."""
    lines = (folder / "notes.md").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line and not line.startswith("#"))


def observation(folder: Path) -> str:
    """The sentence that a dig's notes end in; empty where they have none."""
    start, lines = "**Observation:** ", (folder / "notes.md").read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")


def digs_document(folder: Path, digs: Sequence[Path]) -> Document:
    """Per dig: its folder, its tables and the sentence that its notes end in."""
    rows = [{"folder": d, "observation": observation(d), "tables": sorted(d.glob("*.parquet"))} for d in digs]
    return {"folder": folder, "digs": rows}


def say_run(run: Run) -> None:
    """What a run holds."""
    measured = f"{len(run.layers)} layers x {run.manifest.measurements} steps of {', '.join(run.dimensions)}"
    say([f"{run.folder}: {measured}"])


def run_document(run: Run) -> Document:
    """What a run holds."""
    layers = [layer.name for layer in run.layers]
    about = {"measurements": run.manifest.measurements, "dimensions": run.dimensions}
    return {"folder": run.folder, "run": run.name, "layers": layers, **about}


def prove_document(out: Path, tables: Mapping[str, pd.DataFrame], lines: Sequence[str], page: Path) -> Document:
    """The verdict, the tables behind it, and the sentences of the page."""
    return {"folder": out, "page": page, "says": lines, **{name: tables[name] for name in _OF_PROOF if name in tables}}


def say_proof(lines: Sequence[str], trust: pd.DataFrame, page: Path) -> None:
    """What the proving ground says, where to trust which signal, and where its page is."""
    say([*lines, "", "Where to trust which signal (recall with one moment per event):"])
    shown = trust[["bed", "recall", "rival", "rival_recall", "chance", "other"]].round(2)
    show(shown.rename(columns={"rival": "best signal", "rival_recall": "its recall", "other": "another run"}))
    say(["", f"The page: {page}"])


def say_rows(answer: pd.DataFrame, *, most: int) -> None:
    """The first `most` rows of an answer, aligned."""
    show(answer.head(most))
    if len(answer) > most:
        print(f"... {len(answer) - most} more rows; --rows shows more, --csv and --json all.")


def say_tables(listing: pd.DataFrame) -> None:
    """The tables that a study has for SQL: rows, and columns by name."""
    for row in listing.itertuples():
        say([f"{row.table}, {row.rows} rows", f"  {row.columns}"])
