"""What a ranking says of itself: how many transitions it holds and of them were dug, or that there is none."""

from geophone.findings.finding import Finding, Phrase, Quantity, agree, counted, finding, joined, phrase

SOURCE = "targets.parquet"


def none_yet() -> Finding:
    """That the stage which ranks has not run."""
    return finding("ranking/pending", Phrase("Nothing has been ranked yet."), source=SOURCE)


def nothing(where: str) -> Finding:
    """That nothing stood out; `where` as in "any run"."""
    return finding("ranking/none", Phrase(f"Nothing stood out in {where}."), source=SOURCE)


def ranked(total: int, *, listed: int, dug: int = 0, of: str = "") -> Finding:
    """How many transitions were ranked (`of` as in "of this run"), of which the first `listed` are shown and `dug` were
    dug."""
    if not total:
        said = joined([Phrase("No transition"), Phrase(of), Phrase("was ranked.")])
        return finding("ranking/count", said, value=0, source=SOURCE)
    count = lambda n: Quantity(n, "", SOURCE)  # noqa: E731
    head = joined([counted(count(total), "transition"), Phrase(of), Phrase(f"{agree(total, 'was', 'were')} ranked")])
    shown = phrase("the first {n} {are} here", n=count(listed), are=agree(listed, "is", "are"))
    spent = phrase("{n} {were} dug", n=count(dug), were=agree(dug, "was", "were"))
    parts = [head, shown if listed < total else Phrase(""), spent if dug else Phrase("")]
    return finding("ranking/count", joined([joined(parts, "; "), Phrase(".")], ""), value=total, source=SOURCE)
