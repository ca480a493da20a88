"""Makes the archive of one release: a tiny run of every kind and a tiny study, as that release writes them.

    python tests/archives/make.py tests/archives/format-1

Done once a storage format, with the release that wrote it, and then never again: later releases must open what is
there. `expected.json` beside the folders holds numbers that were read from the live objects when they were made.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

import geophone as gp
from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import checkpoint_files
from geophone.ingest.tables import import_series
from geophone.study import parse_study, run_study

STUDY = """\
name = "archive"
networks = ["mlp_1_parity"]
steps = 90
probe_samples = 32

[schedule]
every = 2

[detect]
surrogates = 99

[target]
method = "naive"

[dig]
units = 3
steps = 32
per_class = 20

[evidence]
draws = 99
"""


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))


def recorded(out: Path) -> None:
    """A user's own loop with the recorder in it, a second probe, behaviour and a concept."""
    model, probe = network(), torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    asked = {"labels": (probe[:, 0] > 0).long(), "concepts": {"second": (probe[:, 1] > 0).long()}}
    with gp.Recorder(model, probe, out=out, every=2, noise_probe=probe.flip(0) + 0.1, **asked) as recorder:
        for _ in range(20):
            loss = nn.functional.cross_entropy(model(probe), asked["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())


def imported(out: Path) -> None:
    table = out.parent / "table.csv"
    rows = {"step": [10, 20, 30], "fc1": [2.5, 3.0, 3.5], "fc2": [1.25, np.nan, 1.5]}
    pd.DataFrame(rows).to_csv(table, index=False)
    import_series(table, out=out, dimension="my_rank")
    table.unlink()


def measured(out: Path) -> None:
    files = []
    for step in (100, 200):
        model = network()
        with torch.no_grad():
            model[0].weight *= step / 100
        files.append(out.parent / f"step-{step}.pt")
        torch.save(model.state_dict(), files[-1])
    measure(checkpoint_files(files, network), torch.randn(15, 6, generator=torch.Generator().manual_seed(2)), out=out)
    for file in files:
        file.unlink()


def series(run) -> dict:
    """Every value of every series of a run, by dimension and layer, NaN as None."""
    tables = {name: run.series(name) for name in run.dimensions}
    return {
        "steps": [int(s) for s in next(iter(tables.values())).index],
        "layers": [layer.name for layer in run.layers],
        "values": {
            name: {layer: [None if np.isnan(v) else v for v in table[layer]] for layer in table}
            for name, table in tables.items()
        },
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    makers = {"recorded": recorded, "imported": imported, "measured": measured}
    for name, make in makers.items():
        make(folder / name)
    study = run_study(parse_study(STUDY, where="make.py"), STUDY, folder / "study", until="evidence")
    (run,) = study.runs
    expected = {
        "runs": {name: series(gp.open(folder / name)) for name in makers} | {"study": series(run)},
        "loss": run.scalars()["loss"].tolist(),
        "checkpoints": {str(k): v for k, v in run.manifest.checkpoints.items()},
        "behaviour": gp.open(folder / "recorded").behaviour().to_numpy().tolist(),
        "phenomena": {kind: len(study.phenomena(kind)) for kind in study.kinds},
        "targets": [[str(t.layer), int(t.step)] for t in study.targets().itertuples()],
        "digs": sorted(dig.name for dig in study.digs()),
        "statistics": sorted(study.statistics().plain),
    }
    for path in folder.rglob(".lock"):
        path.unlink()
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
