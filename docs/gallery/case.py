"""What the gallery's cases share: clocks beside transitions, the JSON of what came out, and the page made of it."""

import json
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import geophone as gp

HERE = Path(__file__).parent
REACH = 5  # measurements; the benchmark's least tolerance


@dataclass(frozen=True)
class Event:
    """What happens in a case, when by a clock that the recorder does not see, and the `kinds` it may be called rightly;
    `own`: which of the probe's samples it is about (a mask over them), where that is known."""

    name: str
    clock: int | None
    kinds: tuple[str, ...]
    own: np.ndarray | None = None


def crossing(curve: Mapping[int, float], level: float, *, falling: bool = False, after: int = 0) -> int | None:
    """The first step from `after` on at which the curve is past `level`; None where it never is."""
    past = [step for step, value in curve.items() if step >= after and (value < level if falling else value > level)]
    return min(past, default=None)


def main(name: str, train: Callable[[Path], list[Event]]) -> None:
    """Train a case and write NAME.json, NAME.md and NAME.png into the folder that the command line names, or beside the
    script. With a folder the run itself stays there, in runs/."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = (out if len(sys.argv) > 1 else Path(folder)) / "runs" / name
        began = time.perf_counter()
        events = train(place)
        seconds = time.perf_counter() - began
        run = gp.open(place)
        said = {"name": name, "title": _title(train), "about": _about(train), "seconds": round(seconds, 1)}
        said |= _compared(run, events)
        run.plot().save(out / f"{name}.png", ppi=50)
    (out / f"{name}.json").write_text(json.dumps(said, indent=1) + "\n")
    (out / f"{name}.md").write_text(page(said))
    print(page(said))


def _title(train: Callable) -> str:
    return str(sys.modules[train.__module__].__doc__).splitlines()[0].rstrip(".")


def _about(train: Callable) -> str:
    return " ".join(str(train.__doc__).split())


def _compared(run: gp.Run, events: list[Event]) -> dict:
    table = run.transitions()
    every = float(np.median(np.diff(run.series(run.dimensions[0]).index)))
    listed = [_listed(row) for row in table.to_dict("records")]
    found = []
    for event in events:
        near = [t for t in listed if event.clock is not None and _at(t, event.clock, REACH * every)]
        right = [t for t in near if t["kind"] in event.kinds]
        best = min(right or near, key=lambda t: abs(t["peak"] - event.clock), default=None)
        auc = None if best is None or event.own is None else _auc(run.transition(_number(best)).samples, event.own)
        found.append({"event": event.name, "clock": event.clock, "kinds": list(event.kinds), "auc": auc,
                      "transition": best and best["rank"]})  # fmt: skip
    return {"every": every, "steps": run.manifest.steps, "events": found, "transitions": listed}


def _at(transition: dict, clock: int, reach: float) -> bool:
    return transition["start"] <= clock <= transition["end"] or abs(transition["peak"] - clock) <= reach


def _listed(row: dict) -> dict:
    whole = {"rank": "apart" if pd.isna(row["rank"]) else int(row["rank"])}
    whole |= {name: int(row[name]) for name in ("start", "peak", "end")}
    samples = "-" if pd.isna(row["samples"]) else int(row["samples"])
    layers = row["layers"] if isinstance(row["layers"], str) else ", ".join(map(str, row["layers"]))
    return whole | {"samples": samples, "kind": row["kind"], "layers": layers, "reason": row["reason"]}


def _number(listed: dict) -> int | str:
    """What `run.transition` takes."""
    return "transient" if listed["rank"] == "apart" else listed["rank"]


def _auc(samples: pd.DataFrame, own: np.ndarray) -> float | None:
    """How well the size of the change tells the event's samples from the others: area under the curve."""
    from sklearn.metrics import roc_auc_score

    if samples.empty:
        return None
    mine = own[samples["sample"].to_numpy()]
    if mine.all() or not mine.any():
        return None
    return round(float(roc_auc_score(mine, samples["change"].abs())), 2)


def page(said: dict) -> str:
    """The page of a case, from its JSON alone."""
    hits = [event for event in said["events"] if _found(said, event)]
    matched = {event["transition"] for event in said["events"]}
    rest = [t for t in said["transitions"] if t["rank"] not in matched | {"apart"}]
    missed = [event for event in said["events"] if event not in hits]
    parts = [f"# {said['title']}", textwrap.fill(_verdict(said, hits, missed), 120)]
    parts += [_events(said), f"![The map of the run]({said['name']}.png)", textwrap.fill(said["about"], 120)]
    parts += ["## All that `run.transitions()` listed", _table(said["transitions"]), _reasons(said["transitions"])]
    if rest:
        ranks = ", ".join(str(t["rank"]) for t in rest)
        parts.append(textwrap.fill(f"At none of these clocks: {ranks}. What they are, the case does not know.", 120))
    parts.append(
        f"Made by `python docs/gallery/{said['name']}.py`: {said['steps']:,} steps, a measurement every "
        f"{said['every']:g}, in {said['seconds']:.0f} seconds on one core."
    )
    return "\n\n".join(parts) + "\n"


def _found(said: dict, event: dict) -> bool:
    transition = _of(said, event)
    return transition is not None and transition["kind"] in event["kinds"]


def _of(said: dict, event: dict) -> dict | None:
    return next((t for t in said["transitions"] if t["rank"] == event["transition"]), None)


def _verdict(said: dict, hits: list[dict], missed: list[dict]) -> str:
    total = len(said["events"])
    first = "**Missed.** " if not hits else "**Found.** " if not missed else "**Found in part.** "
    text = f"{first}{len(hits)} of {total} event{'s' * (total > 1)} stand{'s' * (total == 1)} in the list at the clock"
    text += ", by a right name."
    for event in missed:
        other = _of(said, event)
        text += f" Missed: {event['event']} "
        if event["clock"] is None:
            text += "(which did not happen by its clock)."
        elif other:
            text += f"(at step {event['clock']} the list says {other['kind']}, not {' or '.join(event['kinds'])})."
        else:
            text += f"(step {event['clock']}; nothing is listed there)."
    return text


def _events(said: dict) -> str:
    rows = ["| event | its clock (step) | rank | kind | start, peak, end | layers | samples | AUC |",
            "|---|---:|---:|---|---|---|---:|---:|"]  # fmt: skip
    for event in said["events"]:
        clock = "never" if event["clock"] is None else event["clock"]
        t = _of(said, event)
        auc = "" if event["auc"] is None else f"{event['auc']:.2f}"
        cells = (
            f"{t['rank']} | {t['kind']} | {_steps(t)} | {t['layers']} | {t['samples']}" if t else "- | - | - | - | -"
        )
        rows.append(f"| {event['event']} | {clock} | {cells} | {auc} |")
    return "\n".join(rows)


def _table(transitions: list[dict]) -> str:
    if not transitions:
        return "Nothing."
    rows = ["| rank | kind | start, peak, end | layers | samples |", "|---:|---|---|---|---:|"]
    rows += [f"| {t['rank']} | {t['kind']} | {_steps(t)} | {t['layers']} | {t['samples']} |" for t in transitions]
    return "\n".join(rows)


def _reasons(transitions: list[dict]) -> str:
    return "\n".join(
        textwrap.fill(f"{t['rank']}. {t['reason']}", 120, subsequent_indent="   ")
        for t in transitions[:3]
        if t["rank"] != "apart"
    )


def _steps(transition: dict) -> str:
    return f"{transition['start']}, {transition['peak']}, {transition['end']}"
