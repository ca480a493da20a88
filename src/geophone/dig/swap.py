"""Was it this layer? Its weights of before in the network of after, beside every other part, at every dig."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.func import functional_call

from geophone.dig.subject import Specimen
from geophone.point.swap import ENOUGH, Pair, Piece, Weights, parts_of, swap_test
from geophone.record.probe import undisturbed

SAMPLES = 512
WINDOWS = (("before", "after"), ("before", "during"), ("during", "after"))
LEAST_GAIN = 0.02  # of the samples' mean score; less is nothing to take a share of
LAYER, INSIDE, HEAD, PAIR, APART = "layer", "inside", "head", "pair", "apart"
HALF = 0.5  # of the gain: what the smallest set of heads is asked for
MISFIT = 0.2  # of the other samples' mean score: a layer that costs them so much does not fit its neighbours
_MOST_HEADS = 48  # of the whole network; of more, those of the target's layer alone
_PAIRED = 4  # layers, those of the greatest share
_COLUMNS = ("window", "part", "kind", "samples", "gain", "share", "spill", "reverse", "control", "together", "apart")
Rows = list[dict[str, Any]]


def swap_table(
    specimen: Specimen, models: Mapping[int, nn.Module], steps: Mapping[str, Mapping[str, int]], layer: str
) -> pd.DataFrame:
    """Which part of the network carries what the samples gained between two moments: one row per window and part.

    The samples are those of the first 512 whose score moves to the side of the greater movement by half of the most
    (the 95th percentile) or more. `steps` are those of the target and of its controls, by role. Parts: every recorded
    layer ("layer"), the modules inside of each ("inside": attention and MLP of blocks), the attention heads that can be
    told apart ("head"; of a network with more than 48, those in `layer`); of the whole window also pairs of the four
    layers of greatest share ("pair"), and the layer of greatest share taken from every earlier network that is at hand
    ("apart"). Columns: window ("before to after", its two halves, or the two steps), part, kind, samples, gain (of
    their mean score), share, spill, reverse (see `point.swap.Swap`), control (the same fall between the moments of the
    control where it is greater, over the gain; NaN without one), together (whether the part is in the smallest set, by
    greedy search, of layers that carries nine tenths, or of heads that carries half; of neither where all together do
    not), apart (steps between the two networks). A window in which nothing moved has no row. Shares need not add to 1.
    """
    first = next(iter(models.values()))
    weights = {step: model.state_dict() for step, model in models.items()}
    groups = _parts(specimen, first, layer)
    answers = _answers(first, specimen)
    rows: Rows = []
    for start, end in WINDOWS:
        at = steps["target"]
        if at[start] == at[end]:
            continue
        pair = Pair(weights[at[start]], weights[at[end]])
        quiet = [Pair(weights[c[start]], weights[c[end]]) for role, c in steps.items() if role != "target"]
        before, after = answers(pair.before), answers(pair.after)
        own, gain = movers(before, after)
        unit = _unit(before, after)
        if abs(gain) < LEAST_GAIN * unit:
            continue
        window = _Window(pair, quiet, own, lambda w: answers(w) / unit)  # noqa: B023
        about = {"window": f"{start} to {end}", "samples": len(own), "gain": gain, "apart": at[end] - at[start]}
        found = {kind: window.rows(parts, HALF if kind == HEAD else ENOUGH) for kind, parts in groups.items()}
        if (start, end) == WINDOWS[0] and LAYER in found:
            best = [groups[LAYER][i] for i in np.argsort([-row["share"] for row in found[LAYER]], kind="stable")]
            found[PAIR] = window.rows([_both(*two) for two in combinations(best[:_PAIRED], 2)], None)
            found[APART] = window.apart(best[0], weights, at[end])
        rows += [about | {"kind": kind} | row for kind, each in found.items() for row in each]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


@dataclass(frozen=True)
class _Window:
    """Two moments, the controls, the samples that moved between them, and how scores are had."""

    pair: Pair
    quiet: Sequence[Pair]
    own: np.ndarray
    answers: Callable[[Weights], np.ndarray]

    def rows(self, parts: Sequence[Piece], enough: float | None) -> Rows:
        """A row per part; `enough` is the share that the smallest set is to reach, None for no set."""
        if not parts:
            return []
        # A set that cannot be beaten ends the greedy search at its first part.
        test = swap_test(
            self.pair, self.answers, parts, own=self.own, controls=self.quiet,
            enough=-np.inf if enough is None else enough,
        )  # fmt: skip
        reached = enough is not None and test.together_share >= enough
        return [
            {
                "part": swap.part, "share": swap.share, "spill": swap.spill, "reverse": swap.reverse,
                "control": max(swap.controls, key=abs, default=float("nan")),
                "together": reached and swap.part in test.together,
            }
            for swap in test.swaps
        ]  # fmt: skip

    def apart(self, part: Piece, weights: Mapping[int, Weights], end: int) -> Rows:
        """`part` from every network before step `end` in the one of `end`, nearest first; samples and gain as they are
        between those of the window."""
        rows: Rows = []
        gain = float((self.answers(self.pair.after) - self.answers(self.pair.before))[self.own].mean())
        for step in sorted((s for s in weights if s < end), reverse=True):
            older = _Window(Pair(weights[step], self.pair.after), (), self.own, self.answers)
            reached = float((self.answers(self.pair.after) - self.answers(weights[step]))[self.own].mean())
            if abs(reached) < LEAST_GAIN:
                continue
            row = older.rows([part], None)[0]
            scaled = {key: row[key] * reached / gain for key in ("share", "reverse")}
            rows.append(row | scaled | {"window": f"{step} to {end}", "apart": end - step})
        return rows


def _both(first: Piece, second: Piece) -> Piece:
    return Piece(f"{first.name} and {second.name}", first.entries + second.entries)


def movers(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, float]:
    """The samples that a change moved, and the change of their mean score: those that moved towards the side of the
    greater movement by half of its 95th percentile or more."""
    moved = after - before
    sign = 1.0 if np.quantile(moved, 0.95) >= -np.quantile(moved, 0.05) else -1.0
    most = float(np.quantile(sign * moved, 0.95))
    own = np.flatnonzero(sign * moved >= max(most / 2, 1e-12))
    return own, float(moved[own].mean()) if len(own) else 0.0


def _unit(before: np.ndarray, after: np.ndarray) -> float:
    """What scores are measured in: 1 for probabilities, else their standard deviation before."""
    both = np.concatenate([before, after])
    spread = float(before.std())
    return 1.0 if (both.min() >= 0 and both.max() <= 1) or spread == 0 else spread


def _answers(model: nn.Module, specimen: Specimen) -> Callable[[Weights], np.ndarray]:
    """The score of every sample, by the weights that the network has."""
    x, y = specimen.samples.x[:SAMPLES], specimen.samples.answers[:SAMPLES]

    def answers(weights: Weights) -> np.ndarray:
        with undisturbed(model), torch.no_grad():
            output = functional_call(model, dict(weights), (x,), tie_weights=False)
            return torch.as_tensor(specimen.score(output, y)).double().cpu().numpy()

    return answers


def _parts(specimen: Specimen, model: nn.Module, layer: str) -> dict[str, Sequence[Piece]]:
    weights, anatomy = model.state_dict(), specimen.anatomy
    place = layer.partition("@")[0]
    names = list(dict.fromkeys(name.partition("@")[0] for name in specimen.layers))
    inside: dict[str, Piece] = {}
    for name in names:
        children = [f"{name}.{child}" for child, _ in model.get_submodule(name).named_children()]
        found = [part for part in parts_of(children, weights) if part.name not in names]
        inside |= {part.name: part for part in found} if len(found) > 1 else {}
    heads = {
        attention: [Piece(f"{attention}, head {head}", entries) for head, entries in enumerate(rows)]
        for attention in anatomy.heads(model)
        if (rows := anatomy.head_rows(model, attention))
    }
    if sum(map(len, heads.values())) > _MOST_HEADS:
        heads = {name: found for name, found in heads.items() if f"{name}.".startswith(f"{place}.")}
    groups = {
        LAYER: parts_of(names, weights), INSIDE: tuple(inside.values()),
        HEAD: [head for found in heads.values() for head in found],
    }  # fmt: skip
    return {kind: parts for kind, parts in groups.items() if parts}


def swap_sentence(table: pd.DataFrame, layer: str) -> str:
    """Whether it was this layer, and which parts, heads and pairs carry it, from `swap_table`: a few sentences."""
    whole = table[(table["window"] == "before to after") & (table["kind"] == LAYER)]
    if whole.empty:
        return "No sample's score moved between before and after, so that there is nothing to take a share of."
    best = whole.loc[whole["share"].idxmax()]
    moved = f"{best['samples']} samples {'gained' if best['gain'] > 0 else 'lost'} {abs(best['gain']):.2f} in score"
    mine = whole[whole["part"] == layer.partition("@")[0]]
    said = [f"with the weights that {layer} had before, {row.share:.2f} of it is gone" for row in mine.itertuples()]
    first = len(mine) and best["part"] == mine["part"].iloc[0]
    said += ["more than with any other layer" if first else f"most goes with {best['part']} ({best['share']:.2f})"]
    said += [] if np.isnan(best["control"]) else [f"at the control moment {best['control']:.2f}"]
    said += [] if np.isnan(best["spill"]) else [f"and other samples lose {best['spill']:.2f}"]
    return " ".join([f"{moved}: {', '.join(said)}.", *_more(table, whole, str(best["part"]))])


def _more(table: pd.DataFrame, whole: pd.DataFrame, named: str) -> list[str]:
    """What the other kinds of row add, a sentence each where there is something to add."""
    others = whole[whole["part"] != named].nlargest(3, "share")
    said = [f"The other layers: {_listed(others)}."] if len(others) else []
    for kind, begin in ((INSIDE, "Inside"), (HEAD, "Single heads"), (PAIR, "Two layers together")):
        rows = table[(table["window"] == "before to after") & (table["kind"] == kind)]
        said += [f"{begin}: {_listed(rows.nlargest(4, 'share'))}."] if len(rows) else []
        if kind == HEAD and len(rows):
            chosen = rows[rows["together"]]["part"]
            carries = f"{', '.join(chosen)} carry half" if len(chosen) else "all heads together carry less than half"
            said.append(f"Smallest set of heads, found greedily: {carries}.")
    far = table[(table["kind"] == APART) & (table["spill"] > MISFIT)]
    if len(far):
        said.append(
            f"{named} of {far['apart'].min()} steps earlier no longer fits its neighbours (other samples lose "
            f"{far.loc[far['apart'].idxmin(), 'spill']:.2f}): shares from so far apart say little."
        )
    return said


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(f"{row.part} {row.share:.2f}" for row in rows.itertuples())
