"""Names of version 0.1 that still work for one release, with a FutureWarning that says today's."""

import warnings
from typing import Any

FORMS = {"seed": "naive", "robust": "calibrated"}  # what 0.1 called the forms of a detector, in calls and on disk


def warn(former: str, now: str) -> None:
    """Says to the caller of the caller of a public function that `former` goes with the next release."""
    warnings.warn(f"{former} is of version 0.1 and goes with 0.3: write {now}.", FutureWarning, stacklevel=4)


def form(given: str) -> str:
    """`given`, or today's word where it is the form of a detector as 0.1 called it."""
    if given in FORMS:
        warn(f"mode={given!r}", f"mode={FORMS[given]!r}")
    return FORMS.get(given, given)


def study_file(given: dict[str, Any]) -> dict[str, Any]:
    """A study file's tables with `[target] mode`, which 0.1 wrote, as the `method` that it was."""
    target = given.get("target")
    if not isinstance(target, dict) or "mode" not in target or "method" in target:
        return given
    method = FORMS.get(target["mode"], target["mode"]) if isinstance(target["mode"], str) else target["mode"]
    warn("[target] mode in a study file", f"method = {method!r}")
    return given | {"target": {name: value for name, value in target.items() if name != "mode"} | {"method": method}}
