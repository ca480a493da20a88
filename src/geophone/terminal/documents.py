"""Results as plain values, for `document` to write: what each verb's --json holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from geophone.ingest.checkpoints import Measured
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.terminal.words import observation, summary

_OF_PROOF = ("verdict", "methods", "comparisons", "nuisances")
_OF_PHASE_1 = ("order", "order_tests", "detection", "types")


def summary_document(study: Study) -> dict:
    """`folder`, `runs`, `targets` (none before that stage) and `page` (null before it is written)."""
    page = study.places.page
    return {
        "folder": study.folder,
        "runs": summary(study).rename(columns=lambda name: name.replace(" ", "_")),
        "targets": study.targets() if study.is_ranked else [],
        "page": page if page.is_file() else None,
    }


def run_document(run: Run) -> dict:
    """What a run holds."""
    layers = [layer.name for layer in run.layers]
    return {
        "folder": run.folder, "run": run.name, "layers": layers, "measurements": run.manifest.measurements,
        "dimensions": run.dimensions,
    }  # fmt: skip


def measured_document(done: Measured) -> dict:
    """`measured` and `skipped` steps, and `failures` with the reason."""
    failures = [{"checkpoint": key, "why": why} for key, why in done.failures]
    return {"folder": done.folder, "measured": done.steps, "skipped": done.skipped, "failures": failures}


def phenomena_document(study: Study, tables: Mapping[str, pd.DataFrame]) -> dict:
    """The tables that have a row a run or less, and for every table its file and number of rows."""
    files = {kind: {"file": study.places.phenomenon(kind), "rows": len(table)} for kind, table in tables.items()}
    return {"folder": study.folder, **{kind: tables[kind] for kind in _OF_PHASE_1}, "tables": files}


def digs_document(folder: Path, digs: Sequence[Path]) -> dict:
    """A dig each: its folder, its files and the sentence that its notes end in."""
    rows = [
        {"folder": each, "observation": observation(each), "tables": sorted(each.glob("*.parquet"))} for each in digs
    ]
    return {"folder": folder, "digs": rows}


def prove_document(out: Path, tables: Mapping[str, pd.DataFrame], said: Sequence[str], page: Path) -> dict:
    """The verdict, the tables behind it, and the sentences of the page."""
    return {"folder": out, "page": page, "says": said, **{name: tables[name] for name in _OF_PROOF if name in tables}}
