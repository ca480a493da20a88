"""From a finished study to its paper: findings.json and figures are written, and typst sets them by one template."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from geophone.errors import InputError, StoreError
from geophone.findings import as_json
from geophone.findings.cases import Dug, cases, chosen, dug_targets
from geophone.findings.summary import CLAIMS
from geophone.findings.tables import Tables, tables_of
from geophone.findings.whole import findings_of
from geophone.paper.exhibits import drawn, written
from geophone.store.folders import replace_folder
from geophone.store.study import Study
from geophone.store.tables import replace_file, write_text

TITLE = "Layer-Wise Representational Dynamics: Using Dimensionality Measurements to Guide Mechanistic Analysis"
FIRST = "run geophone evidence first"


def write_paper(study: Study, *, prove: Path | None = None) -> Path:
    """Write the paper of `study` into its folder `paper/` and return the path of paper.pdf.

    findings.json holds every finding with its sentence, its numbers and where each was read; figures/ the charts (PDF
    and SVG); paper.typ is the template that reads both. `prove` is the folder of a benchmark's tables (default:
    `prove/` in the study, where there is one). An older `paper/` is replaced once the new one is whole.

    Raises InputError for a study that there is nothing to write about, StoreError naming what is missing when a table
    or a finding that the paper needs is not there.
    """
    benchmark = _benchmark(study, prove)
    tables = tables_of(study)
    _check(study, tables)
    digs = chosen(dug_targets(study))
    findings = findings_of(tables, benchmark) | {each.id: each for each in cases(digs)}
    with replace_folder(study.places.paper) as work:
        figures = drawn(study, tables, findings, benchmark, work / "figures")
        document = {
            "title": TITLE, "subtitle": f"Study {tables.name}, written from its own tables by geophone",
            "label": tables.label.capitalize(), "findings": as_json(findings.values()), "figures": figures,
            "tables": {name: table.document() for name, table in written(tables, findings).items()},
            "images": _images(digs["cnn"], work / "figures"),
        }  # fmt: skip
        set_paper(document, work)
    return study.places.paper / "paper.pdf"


def set_paper(document: Mapping[str, Any], folder: Path) -> None:
    """Write findings.json, paper.typ and references.bib into `folder` and set them as paper.pdf; the figures that
    `document` names are there already. Raises StoreError naming a finding that the template needs and does not get."""
    import typst

    write_text(folder / "findings.json", json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    for name in ("paper.typ", "references.bib"):
        write_text(folder / name, (files("geophone.paper") / "templates" / name).read_text(encoding="utf-8"))
    try:
        typst.compile(str(folder / "paper.typ"), output=str(folder / "paper.pdf"))
    except typst.TypstError as error:
        said = str(error.message).removeprefix("panicked with: ").strip('"')
        raise StoreError(f"{said}; {FIRST}." if "the paper needs" in said else f"typst: {said}") from error


def _check(study: Study, tables: Tables) -> None:
    """Raises StoreError where a stage is missing, InputError where no question has an answer in any form."""
    if not tables.statistics:
        raise StoreError(f"{study.places.statistics} is not there, and the paper is made of it; {FIRST}.")
    for kind in ("stabilization", "order", "detection"):
        if not len(tables.of(kind)):
            raise StoreError(f"phenomena/{kind}.parquet has no row of the {tables.label}; run geophone detect first.")
    numbers = [tables.number(name) for question in CLAIMS for name in (question, f"{question.split('/')[0]}/naive")]
    if not any(number.ok for number in numbers):
        raise InputError(
            f"{study.folder} is too small to be written about: none of the three questions has a number in any form. "
            "Dig more targets, in more runs, and run geophone evidence again."
        )


def _benchmark(study: Study, folder: Path | None) -> Mapping[str, pd.DataFrame] | None:
    from geophone.prove import read_tables

    folder = folder or (study.places.prove if study.places.prove.is_dir() else None)
    if folder is None:
        return None
    inside = folder / "confirmation"
    return read_tables(inside if inside.is_dir() else folder)


def _images(dug: Dug | None, folder: Path) -> list[dict[str, str]]:
    """The contact sheets of preferred images of the convolutional case, copied beside the figures; empty without."""
    sheets = {m: dug.dig.image(f"preferred-{m}") for m in dug.steps["target"]} if dug is not None else {}
    if dug is None or not all(path.is_file() for path in sheets.values()):
        return []
    for path in sheets.values():
        replace_file(folder / path.name, lambda out, path=path: out.write_bytes(path.read_bytes()))
    return [{"file": path.name, "label": f"{m}, step {dug.steps['target'][m]:,}"} for m, path in sheets.items()]
