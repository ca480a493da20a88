"""The proving ground's page: what came out, recall by budget, and one run of each testbed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from geophone.charts.study import known_events, recall_curves
from geophone.charts.theme import BLANK
from geophone.prove.choice import DIMENSIONS
from geophone.prove.evaluate import BEST, CEILING
from geophone.prove.ranker import PRINTED
from geophone.prove.tables import ALL_GROUPS, RANKER
from geophone.prove.targeting import CURVE
from geophone.report.script import drawing
from geophone.store.tables import write_text

NAMES = {
    RANKER: "geophone",
    PRINTED: "geophone, one list",
    BEST: "best rival for its kind of events",
    CEILING: "slopes of the clocks (ceiling)",
    DIMENSIONS: "dimensions alone",
    "cka_change_4": "1 - CKA",
    "mean_p": "mean probability of the right answer",
    "gradient_norm": "gradient norm",
    "loss": "training loss",
    "log_uniform": "log-uniform grid",
    "random": "random",
}


def write_prove_page(tables: Mapping[str, pd.DataFrame], lines: Sequence[str], *, out: Path) -> Path:
    """Write the tables of a proving ground (as `geophone.prove` returns them) and what they say as one page that opens
    from disk without a network, and return its path, `out`/index.html."""
    environment = Environment(
        loader=PackageLoader("geophone.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    examples = tables["examples"]
    beds = list(dict.fromkeys(examples["bed"]))
    html = environment.get_template("prove.html.j2").render(
        said="\n".join(lines),
        recall=drawing(recall_curves(recall_rows(tables["methods"]), list(NAMES.values()), BLANK)),
        examples=[(bed, drawing(known_events(examples, bed, "participation ratio", BLANK))) for bed in beds],
    )
    path = out / "index.html"
    write_text(path, html)
    return path


def recall_rows(methods: pd.DataFrame) -> pd.DataFrame:
    """Recall at every budget of the methods that have a name here, testbed by testbed: bed, method,
    budget (moments per event), recall."""
    shown = methods[~methods["bed"].isin(ALL_GROUPS) & methods["method"].isin(NAMES)]
    rows = [
        {"bed": row["bed"], "method": NAMES[row["method"]], "budget": share, "recall": row[f"curve_{i + 1}"]}
        for row in shown.to_dict("records")
        for i, share in enumerate(CURVE)
    ]
    return pd.DataFrame(rows, columns=["bed", "method", "budget", "recall"])
