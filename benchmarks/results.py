"""What is kept of a finished study in results/: its paper, its tables as CSV, and three of its figures.

    python benchmarks/results.py STUDY results/catalogue

Tables of many dimensions hold the one that targets are ranked on; `detection` and `order_tests` hold all.
"""

import argparse
import shutil
from pathlib import Path

import pandas as pd
import vl_convert

from geophone.store import sql
from geophone.store.study import Study
from geophone.store.tables import read_table

WHOLE = ("coordination", "coupling", "detection", "order_tests", "type_tests", "types")
OF_ONE = {"convergence_order": "order", "critical": "critical", "stabilization": "stabilization"}
FIGURES = ("heatmaps", "order", "forest")


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """The tables by the name of their file."""
    targets = study.targets()
    dimension = targets["dimension"].iloc[0]

    def mine(kind: str) -> pd.DataFrame:
        table = study.phenomena(kind)
        return table[table["dimension"] == dimension]

    found = {name: study.phenomena(name) for name in WHOLE} | {name: mine(kind) for name, kind in OF_ONE.items()}
    jumps = mine("jumps")
    found |= {f"jumps_{mode}": jumps[jumps["mode"] == mode] for mode in ("naive", "calibrated")}
    digs = sorted(path.parent for path in (study.folder / "digs").glob("*/dig.json"))
    moments = [read_table(dig / "moments.parquet").assign(target=dig.name) for dig in digs]
    together = pd.concat(moments, ignore_index=True)
    found["moments"] = together[["target", *(c for c in together if c != "target")]]
    return found | {"targets": targets, "runs": sql.query(study, "FROM runs ORDER BY run")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    study = Study(given.study)
    for place in ("tables", "figures"):
        shutil.rmtree(given.out / place, ignore_errors=True)
        (given.out / place).mkdir(parents=True)
    for name in ("evidence.csv", "statistics.json", "paper/findings.json", "paper/paper.pdf"):
        shutil.copyfile(study.folder / name, given.out / Path(name).name)
    for name, table in tables(study).items():
        table.to_csv(given.out / "tables" / f"{name}.csv", index=False)
    for name in FIGURES:
        picture = vl_convert.svg_to_png((study.folder / f"paper/figures/{name}.svg").read_text(), scale=2)
        (given.out / "figures" / f"{name}.png").write_bytes(picture)
    total = sum(path.stat().st_size for path in given.out.rglob("*") if path.is_file())
    print(f"{given.out}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
