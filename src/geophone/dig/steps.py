"""Which steps are dug of those that were asked for: a network as it was is had only where its weights were kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from geophone.dig.subject import Specimen
from geophone.errors import InputError

TARGET = "target"
Windows = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Had:
    """By role (the target, its controls) and moment: the steps that were `asked` for, the `nearest` to each of which
    there are weights, and the `steps` that are dug. Not dug are a "during" that is before or after as well, and a
    control that is one network throughout or has one in common with the target: it would be no other moment."""

    asked: Windows
    nearest: Windows
    steps: dict[str, dict[str, int]]


def moments_had(specimen: Specimen, windows: Windows) -> Had:
    """What can be dug of `windows` (role -> moment -> step). Raises InputError where the target cannot."""
    kept = specimen.kept

    def nearest(step: int) -> int:
        return step if kept is None else min(kept, key=lambda other: abs(other - step))

    near = {role: {moment: nearest(step) for moment, step in at.items()} for role, at in windows.items()}
    target = near[TARGET]
    if kept is not None and target["before"] >= target["after"]:
        wanted = ", ".join(map(str, windows[TARGET].values()))
        raise InputError(
            f"{specimen.name} kept weights at step {', '.join(map(str, kept))} only, and a dig there wants those at "
            f"about steps {wanted}: record with snapshots, or pass weights=, a function of the step."
        )
    there = {role: at for role, at in near.items() if role == TARGET or _apart(at, target)}
    return Had(windows, near, {role: _different(at) for role, at in there.items()})


def _apart(control: Mapping[str, int], target: Mapping[str, int]) -> bool:
    outside = control["after"] < target["before"] or control["before"] > target["after"]
    return control["before"] < control["after"] and outside


def _different(at: Mapping[str, int]) -> dict[str, int]:
    ends = {at["before"], at["after"]}
    return {moment: step for moment, step in at.items() if moment != "during" or step not in ends}
