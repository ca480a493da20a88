"""A small study with digs, whose names are as unkind as a user may choose them."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from geophone.records import DigOptions, Layer, Target
from geophone.store.documents import DigDocument, write_document
from geophone.store.manifest import Manifest
from geophone.store.places import DIG
from geophone.store.study import Study
from geophone.store.tables import write_table
from geophone.store.writer import RunWriter

NAUGHTY = "</script><img src=x onerror=alert(1)>"
LAYERS = (Layer("conv1", 0, "channels", 8, 100, (8, 6, 6)), Layer("fc", 1, "flat", 30, 20, (30,)))
MOMENTS = ("before", "during", "after")


def write_run(
    folder: Path, name: str, *, seed: int, layers=LAYERS, status="finished", note="", begun_only=False
) -> None:
    """60 measurements of two layers: the first jumps from 3 to 6 at measurement 30, the other is dead at 10."""
    rng = np.random.default_rng(seed)
    definitions = {"stable_rank": 1, "mean_fraction": 1}
    writer = RunWriter(
        folder,
        Manifest(
            name=name, layers=layers, rows=100, definitions=definitions, versions={}, threads=1, note=note,
            schedule={"every": 5}, probe={"samples": 20}, about={"total_steps": 300, "architecture":
            f"architecture {NAUGHTY}"},
        ),
    )  # fmt: skip
    for index in range(0 if begun_only else 60):
        rows = []
        for layer in layers:
            dead = layer.depth == 1 and index == 10
            level = 3.0 if index < 30 or layer.depth else 6.0
            values = {"stable_rank": level + 0.05 * rng.normal(), "mean_fraction": 0.4}
            rows.append(
                {
                    "index": index, "step": 5 * index + 5, "probe": "main", "layer": layer.name,
                    "depth": layer.depth, "status": "dead" if dead else "ok",
                    **(dict.fromkeys(values, np.nan) if dead else values),
                }
            )  # fmt: skip
        writer.add(rows, {"index": index, "step": 5 * index + 5, "loss": 2.0 / (index + 1)})
    writer.finish(status, steps=300, measurements=60, results={"test_accuracy": 0.9, "chance": 0.1})


def write_dig(study: Study, target: Target, layers: list[str]) -> Path:
    """A dig as `geophone dig` leaves it, of three units, with pictures of one colour a moment."""
    folder = study.places.dig(f"dig-{target.rank}")
    (folder / "images").mkdir(parents=True)
    write_document(folder / DIG, DigDocument(target=target, options=DigOptions(), code="abc"))
    notes = f"# Layer\n\n{NAUGHTY}\n\n## Step 5\n\n- Units 0-2\n\n**Observation:** Nothing {NAUGHTY}.\n\n| a | b |\n"
    notes += "\nUnits shown, in this order: 0, 1, 2.\n"
    (folder / "notes.md").write_text(notes)
    for i, moment in enumerate(MOMENTS):
        for kind in ("preferred", "top"):
            Image.fromarray(np.full((8, 8 * (i + 1), 3), 60 * i, np.uint8)).save(folder / f"images/{kind}-{moment}.png")
    places = [(role, moment, i) for role in ("target", "control") for i, moment in enumerate(MOMENTS)]
    columns = ("selectivity", "d_prime", "typed", "types", "class_units", "turnover", "probe_accuracy", "accuracy")
    keys = [{"role": role, "moment": moment, "step": 100 + i} for role, moment, i in places]
    write_table(folder / "moments.parquet", pd.DataFrame([k | dict.fromkeys(columns, 0.5) for k in keys]))
    units = [
        k | {"unit": u, "type": "colour" if u and k["moment"] == "after" else "untyped", "selectivity": 0.1 * u + 0.2}
        for k in keys
        for u in range(3)
    ]
    write_table(folder / "units.parquet", pd.DataFrame(units))
    lost = [k | {"layer": n, "kind": "zero", "accuracy": 0.5, "baseline_accuracy": 0.9} for k in keys for n in layers]
    write_table(folder / "ablation.parquet", pd.DataFrame(lost))
    return folder
