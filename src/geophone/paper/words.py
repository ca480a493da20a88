"""What the statistics say in sentences: each follows from a number and its verdict by a fixed rule."""

import math

from geophone.paper.lookup import Found, Numbers
from geophone.paper.markup import Prose, meant
from geophone.paper.source import listed

LABELS = {
    "selectivity": "class selectivity",
    "sparsity": "share of inputs that a unit answers to",
    "pattern_pr": "participation ratio of the binary code",
    "types": "feature types present",
    "typed": "units with a type",
    "hill": "diversity of types (Hill number)",
    "new_types": "new feature types",
    "turnover": "share of units that answer to something else",
    "probe_accuracy": "accuracy of a linear probe",
    "silhouette": "silhouette by class",
    "compositional_depth": "compositional depth",
    "ablation_impact": "accuracy lost when resampled",
}
SIZES = {"log_magnitude": "log ratio of the jump", "size": "size of the jump, up or down"}


def label(name: str) -> str:
    """A measure in words."""
    return LABELS.get(name, name.replace("_", " "))


def finding(name: str) -> str:
    """The id of a finding, such as "change/turnover" or "rank/size/types", in words."""
    kind, *rest = name.split("/")
    if kind == "change":
        return f"{label(rest[0])}, change beside the control"
    if kind in ("correlation", "rank") and len(rest) > 1:
        how = "Spearman" if kind == "rank" else "Pearson"
        return f"{SIZES.get(rest[0], rest[0])} with {label(rest[1])} ({how})"
    if kind in ("order", "jumps") and rest:
        head = "mean ρ of the convergence order" if kind == "order" else "jumps beyond the null"
        return f"{head}, {rest[0]} rule"
    return label(kind)


def over(numbers: Numbers, found: Found) -> str:
    """ "44 pairs in 44 runs", "25 rows"."""
    n = numbers.show(f"{found.id}, n", found.n)
    return f"{n} rows in {numbers.show(f'{found.id}, runs', found.runs)} runs" if found.runs else f"{n} rows"


def estimate(numbers: Numbers, name: str, symbol: str, *, form: str = ".2f", adjusted: bool = False) -> Prose:
    """ "*r* = −0.07 [−0.38, 0.25], p = 0.63, 44 rows in 44 runs", or why there is no number."""
    found = numbers[name]
    if not found.ok:
        return meant(found.status)
    parts = [f"{symbol} = {numbers.interval(found, form)}"]
    if math.isfinite(found.p):
        parts.append(numbers.p(found))
    if adjusted and math.isfinite(found.p_adjusted):
        parts.append(numbers.p(found, adjusted=True))
    return Prose(", ".join([*parts, over(numbers, found)]))


def verdict(numbers: Numbers, name: str) -> Prose:
    """Whether the criterion that number `name` judges is met, in a clause: "the criterion (...) is met"."""
    row, found = numbers.criterion(name), numbers[name]
    said = str(row["criterion"]).replace("R^2", "R²")
    for figure in ("0.05", "0.6", "0.4"):
        if figure in said:
            numbers.show(f"criterion of {name}, {figure}", float(figure), f".{len(figure) - 2}f")
    criterion = f"the criterion ({meant(said)})"
    if not found.ok:
        return Prose(f"{criterion} could not be tested: {meant(found.status)}")
    clauses = {
        "met": f"{criterion} is met",
        "not met": f"{criterion} is not met",
        "undecided": f"{criterion} is undecided: the data neither show it nor rule it out",
    }
    return Prose(clauses[row["verdict"]])


def bare_p(numbers: Numbers, found: Found) -> str:
    """The adjusted p alone, for a table: "0.006", "< 0.001", or a dash."""
    if not math.isfinite(found.p_adjusted):
        return "–"
    return numbers.p(found, adjusted=True).removeprefix("adjusted p").strip().removeprefix("= ")


def question(numbers: Numbers, seed: str, calibrated: str, symbol: str, *, form: str = ".2f") -> Prose:
    """One of the three questions: the naive form beside the calibrated one, each with its verdict."""
    parts = []
    for name, head in (
        (seed, "naive form (rows as independent)"),
        (calibrated, "calibrated form (the run is the unit)"),
    ):
        figures = f"{estimate(numbers, name, symbol, form=form)}; " if numbers[name].ok else ""
        parts.append(f"In the {head}, {figures}{verdict(numbers, name)}.")
    return Prose(" ".join(parts))


def drift(numbers: Numbers) -> Prose:
    """What selectivity does at the controls."""
    if not numbers["selectivity/drift"].ok:
        return Prose("How selectivity drifts at the controls is not known.")
    mean = estimate(numbers, "selectivity/drift", "mean", form="+.3f")
    return Prose(f"At the controls selectivity changes too ({mean}): so much happens anyway.")


def left_out(numbers: Numbers) -> Prose:
    """How well depth is predicted in runs that were left out."""
    found = numbers["depth/left-out-runs"]
    if not found.ok:
        return Prose("How well it is predicted in runs left out is not known.")
    worse = ", worse than the mean of the others" if found.value < 0 else ""
    return Prose(f"In runs left out *R*² is {numbers.interval(found)}{worse}.")


def smallest(numbers: Numbers, name: str, what: str) -> Prose:
    """How small an effect could have been seen; empty where that is not known."""
    found = numbers[name]
    if not math.isfinite(found.smallest):
        return Prose("")
    shown = numbers.show(f"{name}, smallest", found.smallest, ".2f")
    power = numbers.show("power", 0.8, ".1f", source="definition of `smallest`")
    return Prose(f"With power {power} this study could have seen {what} of {shown} or more.")


def side(found: Found, alpha: float, up: str, down: str, neither: str) -> str:
    """`up` or `down`, by the sign of the value, when the (adjusted) p is below `alpha` and the interval, where there is
    one, leaves out zero; otherwise `neither`. Where test and interval disagree nothing is claimed."""
    p = found.p_adjusted if math.isfinite(found.p_adjusted) else found.p
    if not found.ok or not math.isfinite(p) or p >= alpha or found.low <= 0 <= found.high:
        return neither
    return up if found.value > 0 else down


def answer(numbers: Numbers, name: str) -> str:
    """The verdict in one word: "met", "not met", "undecided" or "untested"."""
    return str(numbers.criterion(name)["verdict"]) if numbers[name].ok else "untested"


def passing(numbers: Numbers, family: str) -> tuple[list[Found], int]:
    """The numbers of a family of tests that pass after correction, least adjusted p first, and how many there were."""
    tests = [numbers[name] for name in numbers.fact("families_of_tests").get(family, ())]
    alpha = float(numbers.fact("alpha"))
    passed = [t for t in tests if t.p_adjusted < alpha]
    return sorted(passed, key=lambda t: (t.p_adjusted, t.id)), len(tests)


def changes(numbers: Numbers) -> Prose:
    """What changes over a jump beyond the control, after correction."""
    passed, tests = passing(numbers, "changes over a jump")
    if not tests:
        return Prose("No other change over a jump had enough data to be tested.")
    all_of, pass_ = numbers.show("changes tested", tests), numbers.show("changes that pass", len(passed))
    head = f"Of {all_of} measures of a layer, {pass_}"
    if not passed:
        return Prose(f"{head} change otherwise at targets than at controls after correction.")
    parts = [
        f"{label(t.id.split('/')[1])} {_moves(t)} beyond the control ({numbers.interval(t, _form(t))})" for t in passed
    ]
    verb = "changes" if len(passed) == 1 else "change"
    return Prose(f"{head} {verb} otherwise at targets than at controls after correction: {listed(parts)}.")


def correlations(numbers: Numbers) -> Prose:
    """Which correlations with the jump pass after correction."""
    passed, tests = passing(numbers, "correlations with the jump")
    if not tests:
        return Prose("No correlation with the jump had enough data to be tested.")
    head = (
        f"Of {numbers.show('correlations tested', tests)} further correlations with the jump, Pearson and Spearman, "
        f"{numbers.show('correlations that pass', len(passed))} pass"
    )
    if not passed:
        return Prose(f"{head} after correction.")
    parts = [f"{finding(t.id)} {numbers.interval(t)}" for t in passed if t.id.startswith("correlation/")]
    named = f", among them, by Pearson, {listed(parts)}" if parts else ", all of them by rank only"
    return Prose(f"{head} after correction{named}.")


def lists(numbers: Numbers) -> tuple[Prose, Prose]:
    """What holds in every architecture, and what is specific to one."""
    universal, only = numbers.fact("architectures/holds_in_all"), numbers.fact("architectures/specific_to_one")
    first = "Nothing could be shown to hold in every architecture that has enough runs"
    if universal:
        parts = [f"{finding(row['finding'])} ({_values(numbers, row)})" for row in universal]
        first = f"In every architecture that has enough runs holds: {listed(parts)}"
    second = "Nothing could be shown to be specific to one architecture"
    if only:
        parts = [f"{finding(row['finding'])}, {row['only']} only ({_only(numbers, row)})" for row in only]
        second = "Specific to one architecture by the rule: " + "; ".join(parts)
    return Prose(f"{first}."), Prose(f"{second}.")


def _values(numbers: Numbers, row: dict) -> str:
    name = row["finding"]
    return ", ".join(f"{kind} {numbers.show(f'{name}/{kind}', value, '+.2f')}" for kind, value in row["values"].items())


def _only(numbers: Numbers, row: dict) -> str:
    return numbers.show("/".join((row["finding"], row["only"])), row["value"], "+.2f")


def _moves(found: Found) -> str:
    return "rises" if found.value > 0 else "falls"


def _form(found: Found) -> str:
    return "+.2f" if abs(found.value) < 10 else "+.1f"
