"""The statistics in plain sentences."""

ASKED = {
    "diversity": "Do larger jumps bring more new feature types?",
    "selectivity": "Does selectivity rise over a jump?",
    "depth": "Does dimensionality predict compositional depth?",
}
BESIDE = {
    "diversity": ("diversity/spearman", "diversity/mixed"),
    "selectivity": ("selectivity/drift", "selectivity/did-t", "selectivity/did-wilcoxon", "selectivity/mixed"),
    "depth": ("depth/left-out-runs", "depth/left-out-architectures"),
}


def said(statistics: dict) -> list[str]:
    """`statistics` (of the function of that name, or read from statistics.json) in lines for a terminal: the three
    questions, seed beside calibrated, with verdicts; what else was found; what holds where; what could have been
    seen."""
    study = statistics["study"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in study["runs_by_architecture"].items()) or "none"
    lines = [
        f"{study['targets_dug']} targets dug in {study['runs']} runs ({kinds}); {study['pairs']} have a control. "
        f"Dimension: {study['dimension']}, jumps: {', '.join(study['modes']) or 'none'}.",
        *(f"Note: {note}" for note in study["notes"]),
    ]
    numbers = {number["id"]: number for number in statistics["numbers"]}
    for question, asked in ASKED.items():
        lines += ["", asked]
        lines += [_criterion(row) for row in statistics["criteria"] if row["question"] == question]
        lines += [f"  beside: {_number(numbers[i])}" for i in BESIDE[question] if i in numbers]
    lines += ["", *_others(statistics), "", *_architectures(statistics["architectures"])]
    return [*lines, "", *_seen(numbers)]


def _criterion(row: dict) -> str:
    return f"  {row['form']:>6}: {row['verdict'].upper()} ({row['criterion']}): {_figures(row)}"


def _number(number: dict) -> str:
    return f"{number['says']}: {_figures(number)}"


def _figures(number: dict) -> str:
    if number["value"] is None or number["status"].startswith("not enough"):
        value = "" if number["value"] is None else f"{_short(number['value'])}; "
        return f"{value}{number['status']}"
    parts = [_short(number["value"])]
    if number["low"] is not None and number["high"] is not None:
        parts[0] += f" [{_short(number['low'])}, {_short(number['high'])}]"
    if number["p"] is not None:
        parts.append(f"p {_p(number['p'])}")
    if number["p_adjusted"] is not None:
        parts[-1] += f" (adjusted {_p(number['p_adjusted'])})"
    over = f"{number['n']} rows" + (f" in {number['runs']} runs" if number["runs"] else "")
    return ", ".join([*parts, over]) + (f" ({number['test']})" if number["test"] else "")


def _short(value: float) -> str:
    return f"{value:.3g}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


def _others(statistics: dict) -> list[str]:
    rows = [
        number for number in statistics["numbers"]
        if number["family_of_tests"] and number["family_of_tests"] != "the three questions"
    ]  # fmt: skip
    found = [n for n in rows if n["p_adjusted"] is not None and n["p_adjusted"] < statistics["alpha"]]
    lines = [f"Of {len(rows)} other tests, {len(found)} pass after Benjamini-Hochberg within their family:"]
    return lines + [f"  {_number(n)}" for n in found] if rows else ["No other test had enough data."]


def _architectures(kinds: dict) -> list[str]:
    heads = (
        ("holds_in_all", "Holds in every architecture that has enough runs"),
        ("specific_to_one", "Specific to one architecture"),
    )
    lines = []
    for key, head in heads:
        lines.append(f"{head}: {'' if kinds[key] else 'nothing that could be shown.'}".rstrip())
        for row in kinds[key]:
            where = f"only {row['only']}" if "only" in row else ", ".join(row["architectures"])
            lines.append(f"  {row['says']} ({where})")
    undecided, short = len(kinds["undecided"]), len(kinds["not_enough_data"])
    return [*lines, f"Undecided: {undecided} findings. Not enough data in two architectures: {short}."]


def _seen(numbers: dict[str, dict]) -> list[str]:
    what = (
        ("diversity/pearson", "a correlation (question 1) of"),
        ("selectivity/did", "a selectivity change beyond the controls of"),
        ("depth/in-sample", "an R^2 (question 3) of"),
    )
    sizes = [f"{words} {_short(numbers[i]['smallest'])}" for i, words in what if numbers[i]["smallest"] is not None]
    if not sizes:
        return ["So small a study could not have seen an effect of any size."]
    return [f"With power 0.8 this study could have seen {'; '.join(sizes)}; less may be there unseen."]
