"""What `geophone doctor` says."""

from dataclasses import asdict

from geophone.doctor import CORE, Health, Measure, Part


def say_health(found: Health) -> None:
    """A line a part of the core, a line an extra, a line a property of the machine, and what would mend it."""
    _measure(found.python)
    for part in found.parts:
        if part.extra == CORE:
            print(f"  {_mark(part.problem)} {part.package:<18} {_state(part)}")
    print("extras:")
    for extra in dict.fromkeys(p.extra for p in found.parts if p.extra != CORE):
        lacking = [p for p in found.parts if p.extra == extra and p.problem]
        said = ", ".join(f"{p.package} {p.problem}" for p in lacking) or "whole"
        print(f"  {_mark(said if lacking else '')} {extra:<18} {said}")
    print("this machine:")
    for measure in found.machine:
        _measure(measure, indent="  ")
    print(f"\n{'The core is whole.' if found.whole else 'The core is not whole.'}")
    if found.commands:
        print("To have what is missing:")
        for command in found.commands:
            print(f"  {command}")


def health_document(found: Health) -> dict:
    """The same for programs."""
    machine = [asdict(measure) for measure in found.machine]
    return {
        "whole": found.whole, "missing": found.missing, "commands": found.commands, "python": asdict(found.python),
        "parts": [asdict(part) for part in found.parts], "machine": machine,
    }  # fmt: skip


def _state(part: Part) -> str:
    return part.found if not part.problem else " ".join(filter(None, [part.found, part.problem]))


def _measure(measure: Measure, *, indent: str = "") -> None:
    warning = f"; {measure.warning}" if measure.warning else ""
    print(f"{indent}{_mark(measure.warning)} {measure.name:<18} {measure.there}{warning}")


def _mark(problem: str) -> str:
    return "!!" if problem else "ok"
