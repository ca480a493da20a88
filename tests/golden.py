"""Numbers and tables as they came out when each had been looked at, kept in a JSON file beside the test. Where they are
meant to change, run the test with SAID=write in the environment, and read what changed in the file."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

WRITE = os.environ.get("SAID") == "write"


def drawn(shape: tuple[int, ...], *seed: int, scale: float = 0.5) -> torch.Tensor:
    """Normal numbers, the same on every machine."""
    return torch.from_numpy((scale * np.random.default_rng(list(seed)).normal(size=shape)).astype(np.float32))


def column(values: pd.Series) -> object:
    """A column in short: how often each text, or of the numbers their count, their sum weighed by place (which row
    holds which), sum, least and greatest."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return {str(name): int(count) for name, count in values.astype(str).value_counts(sort=False).items()}
    known = values.dropna().to_numpy(float)
    known = known[np.isfinite(known)]
    shown = [float(known @ np.arange(1, len(known) + 1)), known.sum(), known.min(), known.max()] if len(known) else []
    return [len(known), *(float(f"{number:.6g}") for number in shown)]


def columns(table: pd.DataFrame) -> dict[str, object]:
    return {name: column(table[name]) for name in table.columns}


def near(there: object, wanted: object, *, rel: float = 1e-4, least: float = 1e-9) -> bool:
    """The same, but for rounding in other libraries: of a column in short, a millionth of its least and greatest too,
    since what should be 0 there is what rounding leaves."""
    if isinstance(wanted, dict):
        return list(there) == list(wanted) and all(near(there[name], wanted[name], rel=rel) for name in wanted)
    if isinstance(wanted, list):
        ends = [abs(value) for value in wanted[-2:] if isinstance(value, float)]
        least = 1e-6 * max(ends, default=0.0) + 1e-9
        return len(there) == len(wanted) and all(
            near(a, b, rel=rel, least=least) for a, b in zip(there, wanted, strict=True)
        )
    if isinstance(wanted, float) and isinstance(there, (float, int)):
        return there == pytest.approx(wanted, rel=rel, abs=least)
    return there == wanted


def kept(file: Path, name: str, made: object) -> tuple[object, object]:
    """`made` as JSON has it, and what the file holds of that name; with SAID=write it is put there first."""
    made = json.loads(json.dumps(made))
    known = json.loads(file.read_text()) if file.is_file() else {}
    if WRITE:
        known[name] = made
        # A line for each part, so that a diff shows which.
        parts = ",\n".join(f"{json.dumps(key)}:{_lines(value)}" for key, value in known.items())
        file.write_text(f"{{{parts}}}\n")
    return made, known[name]


def hold(file: Path, name: str, made: object, *, rel: float = 1e-4) -> None:
    """Hold `made`, parts of columns, against what the file holds of that name: the same parts and columns, near."""
    there, wanted = kept(file, name, made)
    assert list(there) == list(wanted)
    for part, of in wanted.items():
        assert list(there[part]) == list(of), part
        for column, values in of.items():
            assert near(there[part][column], values, rel=rel), (part, column, there[part][column], values)


def _lines(value: object) -> str:
    if not isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    rows = ",\n ".join(f"{json.dumps(key)}:{json.dumps(part, separators=(',', ':'))}" for key, part in value.items())
    return f"{{\n {rows}}}"
