"""The proving ground's page: what came out, recall by budget, and one run of each testbed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from geophone.report.digs import drawing
from geophone.report.proving import example_run, recall_curves
from geophone.store.tables import write_text


def write_prove_page(tables: Mapping[str, pd.DataFrame], said: Sequence[str], *, out: Path) -> Path:
    """Write the tables of a proving ground (as `geophone.prove` returns them) and what they say as one page that opens
    from disk without a network, and return its path, `out`/index.html."""
    environment = Environment(
        loader=PackageLoader("geophone.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    examples = tables["examples"]
    html = environment.get_template("prove.html.j2").render(
        said="\n".join(said),
        recall=drawing(recall_curves(tables["methods"])),
        examples=[(bed, drawing(example_run(examples, bed))) for bed in dict.fromkeys(examples["bed"])],
    )
    path = out / "index.html"
    write_text(path, html)
    return path
