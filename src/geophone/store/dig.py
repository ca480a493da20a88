"""A finished dig on disk."""

from functools import cached_property
from pathlib import Path

import pandas as pd

from geophone.records import Target
from geophone.rows import DUG, Row, frame
from geophone.store.documents import DigDocument, read_document, read_text
from geophone.store.places import DIG
from geophone.store.tables import read_rows

PREFERRED_COLUMNS = 5  # of the pictures of what excites units, a tile each


class Dig:
    """A finished dig: what was dug and how (`about`), and its tables by name: "moments", "units", "composition",
    "edges", "ablation", "swap", "movers", and where there are any "heads", "recovery" and "recovery_curves".

    Raises StoreError when the folder holds no dig that is finished and whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = read_document(folder / DIG, DigDocument)

    def __repr__(self) -> str:
        return f"<Dig {self.name}>"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def target(self) -> Target:
        return self.about.target

    @property
    def steps(self) -> dict[str, dict[str, int]]:
        """The steps that were dug: by role ("target", and "control" where it has one) and moment. Of a run that kept
        only some weights these are near those of the target."""
        rows = self.get("moments")
        had = {role: dict(zip(own["moment"], map(int, own["step"]), strict=True)) for role, own in
               rows.groupby("role", sort=False)} if len(rows) else {}  # fmt: skip
        return had or {role: window.steps for role, window in self.target.windows.items()}

    @property
    def tables(self) -> list[str]:
        """The names of the tables that are there."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.parquet"))

    def __getitem__(self, name: str) -> pd.DataFrame:
        """The table `name`. Raises StoreError when the dig does not have it, or it is damaged."""
        return read_rows(self.folder / f"{name}.parquet", DUG.get(name, Row))

    def get(self, name: str) -> pd.DataFrame:
        """The table `name`; without a row where the dig does not have it."""
        return self[name] if (self.folder / f"{name}.parquet").is_file() else frame([], DUG.get(name, Row))

    @cached_property
    def notes(self) -> str:
        """The field notes, Markdown."""
        return read_text(self.folder / "notes.md")

    def image(self, name: str) -> Path:
        """Where the picture `name` is, if it is there."""
        return self.folder / "images" / f"{name}.png"
