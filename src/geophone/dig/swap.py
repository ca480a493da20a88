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

from geophone.dig.samples import CHUNK, joined
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
    specimen: Specimen, models: Mapping[int, nn.Module], steps: Mapping[str, Mapping[str, int]], layer: str, *,
    sign: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Which part of the network carries what the samples gained between two moments: one row per window and part.

    The samples are those of the first 512 whose score moves to the side of `sign`, or of the greater movement, by
    half of the most (the 95th percentile) or more (`moved`). `steps` are those of the target and of its controls, by
    role. Parts: every recorded layer ("layer"), the modules inside of each ("inside": attention and MLP of blocks),
    the attention heads that can be told apart ("head"; of a network with more than 48, those in `layer`); of the
    whole window also pairs of the four layers of greatest share ("pair"), and the layer of greatest share taken from
    every earlier network that is at hand ("apart"). Columns: window ("before to after", its two halves, or the two
    steps), part, kind, samples, gain (of their mean score), share, spill, reverse (see `point.swap.Swap`), control
    (the same fall between the moments of the control where it is greater, over the gain; NaN without one), together
    (whether the part is in the smallest set, by greedy search, of layers that carries nine tenths, or of heads that
    carries half; of neither where all together do not), apart (steps between the two networks). A window in which
    nothing moved has no row. Shares need not add to 1.
    """
    first = next(iter(models.values()))
    weights = {step: model.state_dict() for step, model in models.items()}
    groups = _parts(specimen, first, layer)
    answers = _remembering(answering(first, specimen), list(weights.values()))
    rows: Rows = []
    for start, end in WINDOWS:
        at = steps["target"]
        if not {start, end} <= at.keys() or at[start] == at[end]:
            continue
        pair = Pair(weights[at[start]], weights[at[end]])
        quiet = [Pair(weights[c[start]], weights[c[end]]) for role, c in steps.items()
                 if role != "target" and {start, end} <= c.keys()]  # fmt: skip
        before, after = answers(pair.before), answers(pair.after)
        unit, own = _unit(before, after), moved(before, after, sign)
        if not len(own):
            continue
        gain = float((after - before)[own].mean())
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


def moved(before: np.ndarray, after: np.ndarray, sign: int = 0) -> np.ndarray:
    """The samples that a change moved: those that rose (`sign` 1), fell (-1), or moved towards the side of the greater
    movement (0) by half of its 95th percentile or more. None where their mean moved by less than .02 (of the scores'
    standard deviation before, where these are no probabilities): nothing to take a share of."""
    change = after - before
    way = float(sign) or (1.0 if np.quantile(change, 0.95) >= -np.quantile(change, 0.05) else -1.0)
    most = float(np.quantile(way * change, 0.95))
    own = np.flatnonzero(way * change >= max(most / 2, 1e-12))
    enough = len(own) and abs(float(change[own].mean())) >= LEAST_GAIN * _unit(before, after)
    return own if enough else own[:0]


def _unit(before: np.ndarray, after: np.ndarray) -> float:
    """What scores are measured in: 1 for probabilities, else their standard deviation before."""
    both = np.concatenate([before, after])
    spread = float(before.std())
    return 1.0 if (both.min() >= 0 and both.max() <= 1) or spread == 0 else spread


def answering(model: nn.Module, specimen: Specimen) -> Callable[[Weights], np.ndarray]:
    """The score of each of the first 512 samples (of tokens: of every scored position), by the weights that the network
    has."""
    x, y = specimen.samples.x[:SAMPLES], specimen.samples.answers[:SAMPLES]

    def answers(weights: Weights) -> np.ndarray:
        with undisturbed(model), torch.no_grad():
            parts = [functional_call(model, dict(weights), (part,), tie_weights=False) for part in x.split(CHUNK)]
            output = joined(parts)
            return torch.as_tensor(specimen.score(output, y)).double().cpu().numpy()

    return answers


def _remembering(answers: Callable[[Weights], np.ndarray], known: Sequence[Weights]) -> Callable[[Weights], np.ndarray]:
    """`answers`, asked once for each of the weights that are `known`; mixtures of them are new every time."""
    found: dict[int, np.ndarray] = {}
    # As long as these are alive, nothing else has their places.
    places = {id(weights) for weights in known}

    def asked(weights: Weights) -> np.ndarray:
        if id(weights) not in places:
            return answers(weights)
        if id(weights) not in found:
            found[id(weights)] = answers(weights)
        return found[id(weights)]

    return asked


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


def tied(model: nn.Module, layers: Sequence[str]) -> dict[str, list[str]]:
    """Those of `layers` that share a parameter with another module, outside of them, and which."""
    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            holders.setdefault(id(parameter), []).append(name)
    found: dict[str, list[str]] = {}
    for layer in dict.fromkeys(name.partition("@")[0] for name in layers):
        for names in holders.values():
            own = [name for name in names if f"{name}.".startswith(f"{layer}.")]
            others = [name for name in names if name not in own]
            found.setdefault(layer, []).extend(others if own else [])
    return {layer: list(dict.fromkeys(others)) for layer, others in found.items() if others}


def carried(table: pd.DataFrame, layer: str) -> str:
    """Whether it was this layer, beside the others and the control, from `swap_table`; empty where nothing moved."""
    whole = _whole(table, LAYER)
    if whole.empty:
        return ""
    best, mine = whole.loc[whole["share"].idxmax()], whole[whole["part"] == layer.partition("@")[0]]
    others = whole[~whole["part"].isin([best["part"], *mine["part"]])].nlargest(3, "share")
    said = [f"With the weights that {layer} had before, {row.share:.2f} of that is gone" for row in mine.itertuples()]
    first = len(mine) and best["part"] == mine["part"].iloc[0]
    if first:
        said += [f"more than with any other layer{f' ({_listed(others)})' if len(others) else ''}"]
    else:
        begin = "most goes" if len(mine) else "Most of that goes"
        beside = f"; {_listed(others)}" if len(others) else ""
        said += [f"{begin} with {best['part']} ({best['share']:.2f}{beside})"]
    said += [] if np.isnan(best["control"]) else [f"at the control moment {best['control']:.2f}"]
    said += [] if np.isnan(best["spill"]) else [f"and other samples lose {best['spill']:.2f}"]
    return ", ".join(said) + "."


def carrier(table: pd.DataFrame) -> str | None:
    """The layer that carries most between before and after; None where nothing moved."""
    whole = _whole(table, LAYER)
    return None if whole.empty else str(whole.loc[whole["share"].idxmax(), "part"])


def set_of_heads(table: pd.DataFrame) -> str:
    """The smallest set of heads that carries half of the gain; empty without heads."""
    rows = _whole(table, HEAD)
    chosen = rows[rows["together"].astype(bool)]["part"]
    if rows.empty:
        return ""
    if not len(chosen):
        return "all heads together carry less than half of the gain"
    by_layer: dict[str, list[str]] = {}
    for part in chosen:
        layer, _, head = part.rpartition(", head ")
        by_layer.setdefault(layer, []).append(head)
    named = ", ".join(f"{layer} {'+'.join(heads)}" for layer, heads in by_layer.items())
    return f"the smallest set of heads that carries half of the gain, found greedily, is {named}"


def swapped_parts(table: pd.DataFrame) -> list[str]:
    """What the other kinds of row of `swap_table` add, a sentence each where there is something to add."""
    said = []
    for kind, begin in ((INSIDE, "Inside"), (HEAD, "Single heads"), (PAIR, "Two layers together")):
        rows = _whole(table, kind)
        said += [f"{begin}: {_listed(rows.nlargest(4, 'share'))}."] if len(rows) else []
    far = table[(table["kind"] == APART) & (table["spill"] > MISFIT)]
    if len(far):
        part = far["part"].iloc[0]
        said.append(
            f"{part} of {far['apart'].min():.0f} steps earlier no longer fits its neighbours (other samples lose "
            f"{far.loc[far['apart'].idxmin(), 'spill']:.2f}): shares from so far apart say little."
        )
    return said


def _whole(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    return table[(table["window"] == "before to after") & (table["kind"] == kind)]


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(f"{row.part} {row.share:.2f}" for row in rows.itertuples())
