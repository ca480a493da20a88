"""Results in words, for 80 columns."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from geophone.ingest.checkpoints import Measured
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.terminal.tables import aligned, wrapped

HEADLINE = "stable_rank"
_MODES = {
    "naive": "the founding rule, |z| > 2 on first differences: flags about 18 of 400 on noise alone",
    "calibrated": "calibrated: a series of pure noise shows a jump in 5 % of cases",
    "online": "knows only the past; for alarms while a run goes on",
    "pelt": "change points of the level by PELT; says more of drift than of jumps",
}
_VERDICTS = {"bottom-up": "up", "top-down": "down", "simultaneous": "same", "weak": "weak"}
_LEGEND = """
  order: correlation of a layer's depth with when it settles; up: shallow layers
    settle first, down: deep ones, same or weak: neither, -: too few settled
  jumps: found / expected by chance alone"""


def say_summary(study: Study) -> None:
    """What came out of a whole study: a line a run, its first targets, and where the page is."""
    print(aligned(summary(study)))
    print("\nnaive jumps: abrupt changes of the stable rank by the founding rule,")
    print("which flags about 18 of 400 differences on noise alone; a target is a place to look.")
    if study.is_ranked:
        print()
        say_targets(study.targets(), most=3)
    page = study.places.page
    if page.is_file():
        print(f"\nThe page: {page}")


def summary(study: Study) -> pd.DataFrame:
    """A row a run: what was measured, how well it learnt, and the naive jumps of its stable rank (missing where
    nothing was detected yet)."""
    jumps = study.phenomena("jumps") if "jumps" in study.kinds else None
    rows = []
    for run in study:
        found = None if jumps is None else _naive_jumps(jumps, run.name)
        rows.append(
            {
                "run": run.name, "status": run.status, "layers": len(run.layers),
                "measurements": run.manifest.measurements,
                "test accuracy": run.manifest.results.get("test_accuracy"), "naive jumps": found,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=["run", "status", "layers", "measurements", "test accuracy", "naive jumps"])
    return table.astype({"test accuracy": float, "naive jumps": "Int64"})


def _naive_jumps(jumps: pd.DataFrame, run: str) -> int:
    return int(((jumps["run"] == run) & (jumps["dimension"] == HEADLINE) & (jumps["mode"] == "naive")).sum())


def say_targets(targets: pd.DataFrame, *, most: int) -> None:
    """The first `most` targets, a paragraph each."""
    if targets.empty:
        print("No targets: no jump was found in any layer.")
        return
    print(f"The first {min(most, len(targets))} of {len(targets)} targets:")
    for row in targets.head(most).itertuples():
        print(f"{row.rank:>3}. {row.run}, layer {row.layer}, step {row.step}")
        print(f"     steps to look at: {row.before}, {row.step}, {row.after}; {_control(row)}")
        print(wrapped(row.reason, indent="     "))


def _control(row) -> str:
    steps = [str(int(step)) for step in (row.earlier_step, row.later_step) if not pd.isna(step)]
    return f"to compare: {', '.join(steps)}" if steps else "no quiet moment to compare"


def say_digs(folders: list[Path]) -> None:
    """Each dig's folder and its observation."""
    for folder in folders:
        print(folder)
        print(wrapped(observation(folder), indent="  "))


def observation(folder: Path) -> str:
    """The sentence that a dig's notes end in."""
    notes = (folder / "notes.md").read_text(encoding="utf-8")
    lines = [line for line in notes.splitlines() if line.startswith("**Observation:**")]
    return lines[0].removeprefix("**Observation:** ") if lines else ""


def say_measured(done: Measured) -> None:
    """What was measured, and what was there."""
    print(f"{done.folder}: {len(done.steps)} checkpoints measured, {len(done.skipped)} were there already")


def complain(done: Measured) -> None:
    """On stderr, what could not be read and why."""
    for key, why in done.failures:
        print(f"left out {key}: {why}", file=sys.stderr)


def say_phenomena(tables: Mapping[str, pd.DataFrame], *, dimension: str = HEADLINE) -> None:
    """Phase 1 of one dimension: a line a run, then what all runs say together, each beside its null."""
    print(f"{dimension}, a run a line:")
    print(aligned(by_run(tables, dimension), indent="  "))
    print(_LEGEND)
    print(f"\n{dimension}, all runs together:")
    found = tables["detection"]
    totals = found[found["dimension"] == dimension].groupby("mode", sort=False)[["detected", "expected_false"]].sum()
    for mode, row in totals.iterrows():
        print(f"  jumps, {mode}: {row['detected']:.0f} found, {row['expected_false']:.1f} by chance alone")
        print(wrapped(f"({_MODES.get(str(mode), 'another detector')})", indent="    "))
    for line in [*_orders(tables, dimension), *_types(tables["types"], dimension)]:
        print(wrapped(line, indent="  ", more="  "))


def by_run(tables: Mapping[str, pd.DataFrame], dimension: str) -> pd.DataFrame:
    """A row a run: its convergence order, and jumps beside the number expected by chance, by mode."""
    order, found = (t[t["dimension"] == dimension] for t in (tables["order"], tables["detection"]))
    modes = list(dict.fromkeys(order["mode"]))
    rows = []
    for run, mine in order.groupby("run", sort=False):
        by_mode = {each.mode: each for each in mine.itertuples()}
        these = found[found["run"] == run].groupby("mode")[["detected", "expected_false"]].sum()
        orders = [_order(by_mode[mode]) for mode in modes]
        jumps = [f"{these.loc[mode, 'detected']:.0f} / {these.loc[mode, 'expected_false']:.1f}" for mode in modes]
        rows.append([run, *orders, *jumps])
    heads = [f"{what} {mode}" if mode == modes[0] else mode for what in ("order", "jumps") for mode in modes]
    return pd.DataFrame(rows, columns=["run", *heads])


def _order(row) -> str:
    return "-" if pd.isna(row.rho) else f"{row.rho:+.2f} {_VERDICTS.get(row.verdict, row.verdict)}"


def _orders(tables: Mapping[str, pd.DataFrame], dimension: str) -> list[str]:
    order, tests = tables["order"], tables["order_tests"]
    order = order[order["dimension"] == dimension]
    lines = []
    for row in tests[tests["dimension"] == dimension].itertuples():
        p = f"p = {row.p:.3f}" if row.status == "tested" else row.status
        bottom_up = int((order[order["mode"] == row.mode]["verdict"] == "bottom-up").sum())
        lines.append(
            f"order, {row.mode}: {bottom_up} of {len(order[order['mode'] == row.mode])} runs bottom-up, "
            f"{row.expected_bottom_up:.1f} by chance; differs by architecture: {p} (runs that count: {row.runs})"
        )
    return lines


def _types(types: pd.DataFrame, dimension: str) -> list[str]:
    lines = []
    for mode, mine in types[types["dimension"] == dimension].groupby("mode", sort=False):
        names = f": {', '.join(mine['name'])}" if len(mine) > 1 else ""
        lines.append(f"kinds of jump, {mode}: {mine['status'].iloc[0]}{names}")
    return lines


def say_run(run: Run) -> None:
    """What a run holds."""
    measured = f"{len(run.layers)} layers x {run.manifest.measurements} steps of {', '.join(run.dimensions)}"
    print(wrapped(f"{run.folder}: {measured}", more="  "))


def say_lines(lines: Sequence[str]) -> None:
    """Sentences, each wrapped under its own indent."""
    for line in lines:
        text = line.lstrip()
        print(wrapped(text, indent=line[: len(line) - len(text)], more="  ") if text else "")


def say_proof(said: Sequence[str], page: Path) -> None:
    """What the proving ground says, and where its page is."""
    say_lines(said)
    print(f"\nThe page: {page}")


def say_rows(answer: pd.DataFrame, *, most: int) -> None:
    """The first `most` rows of an answer, aligned."""
    print(aligned(answer.head(most)))
    if len(answer) > most:
        print(f"... {len(answer) - most} more rows; --rows shows more, --csv and --json all.")


def say_tables(listing: pd.DataFrame) -> None:
    """The tables that a study has for SQL: rows, and columns by name."""
    for row in listing.itertuples():
        print(f"{row.table}, {row.rows} rows")
        print(wrapped(row.columns, indent="  "))
