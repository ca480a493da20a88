"""What the samples of a transition have in common: a class, a right token, or that they occur for the second time."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import hypergeom

from geophone.records import CONCEPT, Shared

Mask = npt.NDArray[np.bool_]
SECOND = "second occurrences"  # the token at the position and the right one after it came earlier in the sequence
LEAST = 0.6  # of the samples that moved
LEAST_LIFT = 0.25  # over the share of the others
LEVEL = 0.001  # of the chance that as many share something, over all that was looked at
_APART = "\0"  # between the name of a concept and its label, which may hold anything else
_LABELS = 3  # named together at most
_NEARLY_ALL = 0.9
_ENOUGH = 0.8  # of the samples that moved: no further label is named then


def facts(about: pd.DataFrame, tokens: pd.DataFrame | None = None) -> dict[str, Mask]:
    """What is known of each scored sample, a mask (S,) per fact.

    `about` has a row per scored sample with the columns of `Run.samples` (sample, and where there are such position and
    label), `tokens` those of `Run.tokens`. Facts: "second occurrences" (the pair of the token at the position and the
    right next one came earlier in the same sequence, as an induction head wants it: Olsson et al. 2022), one per
    label, by its text where there is one, and one per label of every concept that was recorded.
    """
    found = {f"{column}{_APART}{value}": (values == value).to_numpy() for column, values in about.items()
             if str(column).startswith(CONCEPT) for value in sorted(values.unique())}  # fmt: skip
    if "label" not in about or about["label"].isna().all():
        return found
    labels = about["label"].to_numpy()
    texts: dict[int, str] = {}
    # A label of a whole sequence has no position, and repeats nothing.
    if tokens is not None and "position" in about and about["position"].notna().all():
        found[SECOND] = _second(about, tokens)
        if "text" in tokens:
            first = tokens.drop_duplicates("token")
            texts = dict(zip(first["token"], first["text"], strict=True))
    noun = "right token" if SECOND in found else "label"
    for label in np.unique(labels[~pd.isna(labels)]):
        # Numbers that are no labels (the answers of a regression) are no facts.
        if float(label).is_integer():
            name = repr(texts[int(label)]) if int(label) in texts else str(int(label))
            found[f"{noun} {name}"] = labels == label
    return found


def _second(about: pd.DataFrame, tokens: pd.DataFrame) -> Mask:
    rows = {name: part.sort_values("position")["token"].to_numpy() for name, part in tokens.groupby("sample")}
    found = np.zeros(len(about), dtype=bool)
    for i, (sample, position, label) in enumerate(
        zip(about["sample"], about["position"].astype(int), about["label"], strict=True)
    ):
        row = rows[sample]
        earlier = row[:position]
        found[i] = bool(((earlier == row[position]) & (row[1 : position + 1] == label)).any())
    return found


def shared(known: Mapping[str, Mask], own: npt.NDArray[np.intp]) -> Shared | None:
    """What most tells the samples `own` (places) from the others: the fact, or up to three labels together, whose share
    among them exceeds that among the others by most. None where that is less than .25, where fewer than .6 of them have
    it, or chance gives as many in one of a thousand (hypergeometric, over the number of facts); but where .9 of them
    are second occurrences, that is told, whatever the others are: it names what was learned."""
    if not known or not len(own):
        return None
    total = len(next(iter(known.values())))
    inside = np.zeros(total, dtype=bool)
    inside[own] = True
    lift = dict(zip(known, _lift(np.stack(list(known.values())), inside), strict=True))
    ranked = sorted((name for name in known if name != SECOND), key=lambda name: -lift[name])
    candidates: list[tuple[tuple[str, ...], Mask]] = [((SECOND,), known[SECOND])] if SECOND in known else []
    together, named = np.zeros(total, dtype=bool), list[str]()
    alike = [name for name in ranked if _noun(name) == _noun(ranked[0])]
    for name in alike[:_LABELS]:
        if lift[name] <= 0 or together[inside].mean() >= _ENOUGH:
            break
        together, named = together | known[name], [*named, name]
        candidates.append((tuple(named), together))
    best = max(candidates, key=lambda each: _lift(each[1], inside), default=None)
    if best is not None and _tells(best[1], inside, len(known)):
        return _described(_worded(best[0]), best[1], inside)
    if SECOND in known and known[SECOND][inside].mean() >= _NEARLY_ALL:
        return _described(SECOND, known[SECOND], inside)
    return None


def _tells(mask: Mask, inside: Mask, looked_at: int) -> bool:
    if mask[inside].mean() < LEAST or _lift(mask, inside) < LEAST_LIFT:
        return False
    chance = hypergeom.sf(int((mask & inside).sum()) - 1, len(mask), int(mask.sum()), int(inside.sum()))
    return float(chance) * looked_at <= LEVEL


def _described(what: str, mask: Mask, inside: Mask) -> Shared:
    return Shared(what, float(mask[inside].mean()), float("nan") if inside.all() else float(mask[~inside].mean()))


def _lift(masks: Mask, inside: Mask) -> npt.NDArray[np.float64]:
    """How much greater the share inside is, of one mask (S,) or of each (F, S); 0 where there is nothing outside."""
    share = masks[..., inside].mean(-1)
    return np.zeros_like(share) if inside.all() else share - masks[..., ~inside].mean(-1)


def _noun(name: str) -> str:
    """What a fact is a value of: "label", "right token", or "concept " and its name."""
    if name.startswith(CONCEPT):
        return name.partition(_APART)[0]
    return "right token" if name.startswith("right token ") else "label"


def _worded(names: tuple[str, ...]) -> str:
    """ "second occurrences", "of label 3", "of label 3 or 5", "of question 1"."""
    if names == (SECOND,):
        return SECOND
    noun = _noun(names[0])
    values = [name.removeprefix(noun).removeprefix(_APART).strip() for name in names]
    text = f"{', '.join(values[:-1])}{' or ' if len(values) > 1 else ''}{values[-1]}"
    return f"of {noun.removeprefix(CONCEPT)} {text}"
