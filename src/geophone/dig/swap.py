"""Was it this layer? Its weights of before in the network of after, beside every other part, at every dig."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.func import functional_call

from geophone.dig.subject import Specimen
from geophone.point.swap import Pair, Piece, SwapTest, Weights, parts_of, swap_test
from geophone.record.probe import undisturbed

SAMPLES = 512
WINDOWS = (("before", "after"), ("before", "during"), ("during", "after"))
LEAST_GAIN = 0.02  # of the samples' mean score; less is nothing to take a share of
LAYER, INSIDE, HEAD = "layer", "inside", "head"


def swap_table(
    specimen: Specimen, models: Mapping[int, nn.Module], steps: Mapping[str, Mapping[str, int]], layer: str
) -> pd.DataFrame:
    """Which part of the network carries what the samples gained between two moments: one row per window and part.

    The samples are those of the first 512 whose score moves to the side of the greater movement by half of the most
    (the 95th percentile) or more. Parts: every recorded layer ("layer"), the children of `layer` that have weights
    ("inside"), and the heads of attention layers in it that can be told apart ("head"). Columns: window ("before to
    after", and its two halves, in which the networks lie nearer to each other), part, kind, samples, gain (of their
    mean score), share, spill, reverse (see `point.swap.Swap`), control (the same fall between the moments of the
    control, over the gain; NaN without one) and together (whether the part is in the smallest set of layers that
    carries nine tenths). A window in which nothing moved has no row. Shares need not add to 1. The test is causal, but
    a layer that no longer fits its neighbours breaks everything: then control is not near 0, and the halves differ.
    """
    first = next(iter(models.values()))
    weights = {step: model.state_dict() for step, model in models.items()}
    groups = _parts(specimen, first, layer)
    control = steps.get("control")
    answers = _answers(first, specimen)
    rows: list[dict[str, Any]] = []
    for start, end in WINDOWS:
        at = steps["target"]
        if at[start] == at[end]:
            continue
        pair = Pair(weights[at[start]], weights[at[end]])
        quiet = () if control is None else (Pair(weights[control[start]], weights[control[end]]),)
        before, after = answers(pair.before), answers(pair.after)
        own, gain = movers(before, after)
        unit = _unit(before, after)
        if abs(gain) < LEAST_GAIN * unit:
            continue
        for kind, parts in groups.items():
            test = swap_test(pair, lambda w: answers(w) / unit, parts, own=own, controls=quiet)  # noqa: B023
            place = {"window": f"{start} to {end}", "kind": kind, "samples": len(own), "gain": gain}
            rows += [place | row for row in _rows(test, together=kind == LAYER)]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = ("window", "part", "kind", "samples", "gain", "share", "spill", "reverse", "control", "together")


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
    inside = parts_of([f"{place}.{name}" for name, _ in model.get_submodule(place).named_children()], weights)
    heads = [
        Piece(f"{attention}, head {head}", rows)
        for attention in anatomy.heads(model)
        if attention == place or attention.startswith(place + ".")
        for head, rows in enumerate(anatomy.head_rows(model, attention))
    ]
    layers = parts_of([name.partition("@")[0] for name in specimen.layers], weights)
    groups = {LAYER: layers, INSIDE: inside if len(inside) > 1 else (), HEAD: heads}
    return {kind: parts for kind, parts in groups.items() if parts}


def _rows(test: SwapTest, *, together: bool) -> list[dict[str, Any]]:
    return [
        {
            "part": swap.part, "share": swap.share, "spill": swap.spill, "reverse": swap.reverse,
            "control": float(np.mean(swap.controls)) if swap.controls else float("nan"),
            "together": together and swap.part in test.together,
        }
        for swap in test.swaps
    ]  # fmt: skip


def swap_sentence(table: pd.DataFrame, layer: str) -> str:
    """Whether it was this layer, in one sentence from the whole window of `swap_table`."""
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
    return f"{moved}: {', '.join(said)}."
