"""What `geophone doctor` prints and gives as a document, without what the other verbs import."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from geophone.doctor import CORE, Health, RunState


def say_health(health: Health) -> None:
    """The parts of the core, the extras and the properties of the machine, and what would mend them."""
    parts = [part for part in health.parts if part.extra == CORE]
    core = [(part.package, f"{part.found} {part.problem}".strip(), part.problem) for part in parts]
    extras = []
    for extra in dict.fromkeys(p.extra for p in health.parts if p.extra != CORE):
        lacking = ", ".join(f"{p.package} {p.problem}" for p in health.parts if p.extra == extra and p.problem)
        extras.append((extra, lacking or "whole", lacking))
    of = lambda m: (m.name, f"{m.there}; {m.warning}" if m.warning else str(m.there), m.warning)  # noqa: E731
    for title, rows in (("core:", [of(health.python), *core]), ("extras:", extras),
                        ("this machine:", [of(measure) for measure in health.machine])):  # fmt: skip
        print(title)
        for name, state, problem in rows:
            print(f"  {'!!' if problem else 'ok'} {name:<18} {state}")
    if health.runs:
        _say_runs(health.runs)
    print(f"\n{'The core' if not health.runs else 'The core and every run'} is {'' if health.whole else 'not '}whole.")
    if health.commands:
        print("\n  ".join(["To have what is missing:", *health.commands]))


def _say_runs(runs: Sequence[RunState]) -> None:
    print("runs:")
    for run in runs:
        said = [run.status, run.problem] if run.problem else [run.status]
        print(f"  {'!!' if run.problem else 'ok'} {run.folder.name:<18} {'; '.join(said)}")
        for layer, name in run.canonical.items():
            print(f"     {layer} is {name}")
        for layer, reason in run.left_out.items():
            print(f"     left out: {layer}, {reason}")
        for checkpoint, reason in run.failed.items():
            print(f"     not measured: {checkpoint}, {reason}")
        if run.nonfinite:
            print(f"     {nonfinite_words(run.nonfinite)}")


def nonfinite_words(found: Mapping[int, Sequence[str]]) -> str:
    """At which steps which layers held NaN or infinity."""
    steps, layers = list(found), list(dict.fromkeys(layer for names in found.values() for layer in names))
    last = f" and {len(steps) - 6} more up to {steps[-1]}" if len(steps) > 6 else ""
    at = f"step{'s' if steps[1:] else ''} {', '.join(map(str, steps[:6]))}{last}"
    more = f" and {len(layers) - 6} more" if len(layers) > 6 else ""
    return f"NaN or infinite activations at {at}, in {', '.join(layers[:6])}{more}"


def health_document(health: Health) -> dict[str, Any]:
    """The same for programs."""
    parts, machine = [asdict(part) for part in health.parts], [asdict(measure) for measure in health.machine]
    about = {"whole": health.whole, "missing": health.missing, "commands": health.commands}
    return {
        **about,
        "python": asdict(health.python),
        "parts": parts,
        "machine": machine,
        "runs": [asdict(run) for run in health.runs],
    }
