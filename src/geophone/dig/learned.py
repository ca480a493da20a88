"""What was learned here: the samples that moved, in groups, and what network and layer say of them before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.dig.moment import Moment
from geophone.dig.scoring import answer_of, scored_places
from geophone.dig.subject import Specimen
from geophone.dig.swap import SAMPLES, answering, moved
from geophone.point.shared import facts, shared
from geophone.record.capture import ActivationCapture
from geophone.record.heads import SCORES
from geophone.record.probe import undisturbed
from geophone.records import Shared

_MOST_GROUPS = 4
_APART = 0.5  # mean silhouette from which samples are said to fall into groups
_FEWEST = 8  # samples of a group
_CHUNK = 8  # sequences at a time: the logits of a large vocabulary are kept at scored positions alone


@dataclass(frozen=True)
class Learned:
    """`movers` as in movers.parquet, a row per sample that moved, those of the first group first and within a group
    those that moved most; `shared` what all of them have in common, `groups` what each group has, by its number;
    `heads` as `turned_heads` has them. `scored` is how many samples were looked at, `layer` the one that was read
    through the head, `controls` the steps of the controls that could be had."""

    movers: pd.DataFrame
    shared: Shared | None
    groups: dict[int, Shared | None]
    heads: pd.DataFrame
    scored: int
    layer: str
    controls: tuple[int, ...] = ()


def learned(
    specimen: Specimen,
    models: Mapping[int, nn.Module],
    steps: Mapping[str, Mapping[str, int]],
    layer: str,
    *,
    rng: np.random.Generator,
    sign: int = 0,
    moments: Mapping[str, Moment] | None = None,
) -> Learned:
    """The samples that moved between before and after at the target, as the swap test has them (`dig.swap.moved`, which
    says what `sign` is), and the heads that turned between two of the target's `moments`.

    They are grouped by their scores at all moments at hand (k-means, up to four groups; one where the mean silhouette
    is under .5 or a group would have fewer than 8). Columns of `movers`: group (1, 2, ...), sample (its place among the
    specimen's samples), row (its place in the data that these were taken from), position (of a token in its sequence,
    -1 for none), label (of the right answer, -1 for none), before, during and after (score). Where answers are labels
    or tokens also kl, the divergence in nats of the distribution after from that before; of a language model whose last
    norm and head are known (`Anatomy.unembedded`) also lens_before and lens_after, the probability of the right token
    when `layer` is read through them, and raised, the place of the right token among all that the layer's change raises
    when read through the head of after (1: most).
    """
    scores = {step: answering(model, specimen)(model.state_dict()) for step, model in models.items()}
    at = steps["target"]
    own = moved(scores[at["before"]], scores[at["after"]], sign)
    about = _about(specimen, len(scores[at["before"]]))
    courses = np.stack([scores[step][own] for step in sorted(scores)], axis=1)
    group = _grouped(courses, rng)
    table = about.iloc[own].reset_index(drop=True).assign(group=group)
    table = table.assign(**{moment: scores[step][own] for moment, step in at.items()})
    if len(own) and (table["label"] >= 0).all():
        table = table.assign(**_said(specimen, models, at, layer, table))
    known = facts(about.replace({"position": {-1: np.nan}, "label": {-1: np.nan}}), _tokens(specimen))
    groups = {int(g): shared(known, own[group == g]) for g in np.unique(group)}
    most = -(table["after"] - table["before"]).abs()
    order = pd.DataFrame({"group": table["group"], "most": most}).sort_values(["group", "most"], kind="stable").index
    ends = {} if moments is None else {moment: moments[moment].every_head for moment in ("before", "after")}
    controls = tuple([*at.values()][len(at) // 2] for role, at in steps.items() if role != "target")
    return Learned(
        table.loc[order].reset_index(drop=True), shared(known, own), groups, turned_heads(**ends), len(about), layer,
        controls,
    )  # fmt: skip


def turned_heads(before: pd.DataFrame | None = None, after: pd.DataFrame | None = None) -> pd.DataFrame:
    """The heads, of any layer, that are of another type after than before, those of the greatest score first: layer,
    head, was and became (see `record.heads.head_types`), and score, the one that names it."""
    columns = ["layer", "head", "was", "became", "score"]
    if before is None or after is None:
        return pd.DataFrame(columns=columns)
    new = after.assign(was=before["type"], became=after["type"])
    turned = new[new["was"] != new["became"]]
    score = [row[SCORES.get(row["became"], "induction")] for row in turned.to_dict("records")]
    turned = turned.assign(score=score).sort_values("score", ascending=False, kind="stable")
    return turned[columns].reset_index(drop=True)


def _about(specimen: Specimen, scored: int) -> pd.DataFrame:
    """sample, row, position and label of every scored answer, -1 where there is none; a score of the user's own that is
    not one per sample knows of neither of the last two."""
    y = specimen.samples.answers[:SAMPLES]
    places = scored_places(y) if y.ndim == 2 and not y.is_floating_point() else None
    if places is not None and len(places[0]) == scored:
        sample, position = places
        return pd.DataFrame({"sample": sample, "row": sample, "position": position, "label": y[sample, position]})
    rows = specimen.samples.rows
    labels = y.numpy() if scored == len(y) and y.ndim == 1 and not y.is_floating_point() else np.full(scored, -1)
    row = np.arange(scored) if rows is None or scored != len(y) else rows[:scored].numpy()
    return pd.DataFrame({"sample": np.arange(scored), "row": row, "position": -1, "label": labels})


def _tokens(specimen: Specimen) -> pd.DataFrame | None:
    """The tokens of sequences as `Run.tokens` has them."""
    x = specimen.samples.x[:SAMPLES]
    if specimen.kind != "sequence" or x.ndim != 2:
        return None
    sample, position = (index.reshape(-1) for index in np.indices(tuple(x.shape)))
    tokens = x.numpy().reshape(-1)
    table = pd.DataFrame({"sample": sample, "position": position, "token": tokens})
    return table if specimen.names is None else table.assign(text=[specimen.names[token] for token in tokens])


def _grouped(courses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The number of each course's group, the largest first; all 1 where there are no groups."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    best, found = _APART, np.ones(len(courses), dtype=int)
    different = len(np.unique(courses.round(6), axis=0))
    for k in range(2, min(_MOST_GROUPS, len(courses) // _FEWEST, different) + 1):
        labels = KMeans(k, n_init=5, random_state=int(rng.integers(2**31))).fit_predict(courses)
        if np.bincount(labels, minlength=k).min() >= _FEWEST and (s := silhouette_score(courses, labels)) > best:
            order = np.argsort(-np.bincount(labels), kind="stable")
            best, found = s, np.argsort(order)[labels] + 1
    return found


def _said(
    specimen: Specimen, models: Mapping[int, nn.Module], at: Mapping[str, int], layer: str, table: pd.DataFrame
) -> dict[str, np.ndarray]:
    """The columns that want logits: kl, and where the layer can be read through the head lens_before, lens_after and
    raised. Empty where the output is no row of logits for each answer."""
    ends = {moment: models[at[moment]] for moment in ("before", "after")}
    rows = {moment: _rows(model, layer, specimen, table) for moment, model in ends.items()}
    if any(logits is None for logits, _ in rows.values()):
        return {}
    label = torch.tensor(table["label"].to_numpy(np.int64))[:, None]
    before, after = (torch.log_softmax(rows[moment][0].double(), -1) for moment in ends)
    found = {"kl": (after.exp() * (after - before)).sum(-1).clamp(min=0).numpy()}
    (_, old), (_, new) = rows.values()
    read = specimen.anatomy.unembedded
    lens: tuple[Any, ...] = (read(ends["before"], old), read(ends["after"], new), read(ends["after"], old))
    if any(logits is None or logits.shape[-1] <= int(label.max()) for logits in lens):
        return found
    for moment, logits in zip(ends, lens, strict=False):
        found[f"lens_{moment}"] = torch.softmax(logits.double(), -1).gather(1, label)[:, 0].numpy()
    change = lens[1] - lens[2]
    return found | {"raised": (change > change.gather(1, label)).sum(1).add(1).numpy()}


def _rows(model: nn.Module, layer: str, specimen: Specimen, table: pd.DataFrame) -> tuple[Any, Any]:
    """Logits (S, V) and the layer's output (S, D) at each of `table`'s samples, float32 on the CPU; None for either
    where the network does not put out a row for each."""
    x = specimen.samples.x[:SAMPLES]
    sample, position = (torch.tensor(table[name].to_numpy(np.int64)) for name in ("sample", "position"))
    logits, streams = [], []
    with undisturbed(model), torch.no_grad():
        for start in range(0, len(x), _CHUNK):
            inside = (sample >= start) & (sample < start + _CHUNK)
            if not inside.any():
                continue
            with ActivationCapture(model, [layer]) as capture:
                output = answer_of(model(x[start : start + _CHUNK]))
            here, place = sample[inside] - start, position[inside]
            logits.append((inside, _at(output, here, place)))
            streams.append((inside, _at(capture[layer], here, place)))
    return _together(logits, len(table)), _together(streams, len(table))


def _at(output: torch.Tensor, sample: torch.Tensor, position: torch.Tensor) -> torch.Tensor | None:
    tokens = bool((position >= 0).all())
    if output.ndim != (3 if tokens else 2):
        return None
    return (output[sample, position] if tokens else output[sample]).float().cpu()


def _together(parts: list[tuple[torch.Tensor, torch.Tensor | None]], count: int) -> torch.Tensor | None:
    whole: torch.Tensor | None = None
    for inside, rows in parts:
        if rows is None:
            return None
        whole = rows.new_empty(count, rows.shape[1]) if whole is None else whole
        whole[inside] = rows
    return whole
