"""What a dig shows: what excites units, the data's own best inputs, answers by class, where a class is decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from geophone.dig.attribution import attribution
from geophone.dig.features import UNTYPED
from geophone.dig.learned import Learned
from geophone.dig.moment import Moment
from geophone.dig.pictures import contact_sheet, heatmap, patterns_sheet, write_png
from geophone.dig.prose import turned_units
from geophone.dig.samples import answers
from geophone.dig.subject import Specimen
from geophone.dig.visualize import Canvas, Style, chosen_units, top_inputs, units_of, visualize
from geophone.records import Target
from geophone.store.dig import PREFERRED_COLUMNS

_TOP = 9
_TILE = 112  # pixels, large enough to see what is drawn
_ROW = 10
_PATTERNS = 6
_SNIPPETS = 3
_AROUND = 12


@dataclass(frozen=True)
class Exhibits:
    """The units shown, the image files by title (relative to the dig), the top snippets a unit, Markdown, and the
    examples of each group of samples that moved."""

    units: list[int]
    images: dict[str, str]
    snippets: dict[int, list[str]]
    examples: dict[int, list[str]]


def exhibits(
    specimen: Specimen,
    target: Target,
    models: Mapping[str, nn.Module],
    moments: Mapping[str, Moment],
    found: Learned,
    *,
    out: Path,
    units: int | Sequence[int],
    steps: int,
    rng: np.random.Generator,
) -> Exhibits:
    """Make them for the moments in `models` (name -> network), in the folder `out`; so many units, half of them those
    whose tuning turned most, the others at random, or those of `units`."""
    layer, count = target.layer, len(next(iter(moments.values())).units)
    if isinstance(units, int):
        turned = turned_units(moments["after"])[: units // 2]
        others = np.setdiff1d(np.arange(count), turned)
        shown = turned + [int(others[i]) for i in chosen_units(len(others), rng=rng, most=units - len(turned))]
    else:
        shown = list(units)
    images: dict[str, str] = {}

    def keep(title: str, name: str, pixels: np.ndarray) -> None:
        write_png(out / name, pixels)
        images[title] = f"{out.name}/{name}"

    if specimen.kind == "image":
        made = visualize(
            list(models.values()), layer, units_of(shown, count), Canvas.of(specimen.samples.x), rng=rng,
            style=Style(steps=steps),
        )  # fmt: skip
        for name, pictures in zip(models, made, strict=True):
            keep(
                f"what excites units, {name}",
                f"preferred-{name}.png",
                contact_sheet(pictures, columns=PREFERRED_COLUMNS, tile=_TILE),
            )
        for name, model in models.items():
            best = top_inputs(model, layer, shown, specimen.samples.x, most=_TOP)
            own = specimen.samples.x.numpy()[best.reshape(-1)]
            keep(f"top images a unit, {name}", f"top-{name}.png", contact_sheet(own, columns=_TOP, tile=32))
    if specimen.kind == "image" and len(found.movers):
        keep("samples that moved, a row per group", "learned.png", _moved_images(specimen, found))
    if (patterns := _patterns(specimen, found, models)) is not None:
        keep("what heads attend to, before and after", "heads.png", patterns_sheet(patterns))
    if specimen.samples.y.ndim == 1 and specimen.samples.classes > 1:
        _by_class(specimen, layer, models, keep)
    snippets = _snippets(specimen, layer, models["after"], shown) if specimen.kind == "sequence" else {}
    return Exhibits(shown, images, snippets, _examples(specimen, found))


def _moved_images(specimen: Specimen, found: Learned) -> np.ndarray:
    """The ten samples of each group that moved most, those of fewer followed by blanks."""
    rows = []
    for _, own in found.movers.groupby("group"):
        images = specimen.samples.x.numpy()[own["sample"].head(_ROW)]
        rows.append(np.concatenate([images, np.zeros((_ROW - len(images), *images.shape[1:]), images.dtype)]))
    return contact_sheet(np.concatenate(rows), columns=_ROW)


def _patterns(specimen: Specimen, found: Learned, models: Mapping[str, nn.Module]) -> np.ndarray | None:
    """What the heads that became something attend to on the sequence that moved most, before and after: (2, heads, T,
    T); None without such a head."""
    heads = found.heads[found.heads["became"] != UNTYPED].head(_PATTERNS)
    if heads.empty or found.movers.empty:
        return None
    x = specimen.samples.x[[int(found.movers["sample"].iloc[0])]]
    seen = [specimen.anatomy.patterns(models[moment], x) for moment in ("before", "after")]
    return np.array([[at[row.layer][0, row.head] for row in heads.itertuples()] for at in seen], dtype=np.float64)


def _examples(specimen: Specimen, found: Learned) -> dict[int, list[str]]:
    """Of each group the places in the text that moved most, the right token in [brackets]."""
    if specimen.kind != "sequence" or not (found.movers["position"] >= 0).all():
        return {}
    x = specimen.samples.x.numpy()
    return {
        int(group): [
            f"`{_snippet(np.append(x[row.sample, : row.position + 1], row.label), row.position + 1, specimen.names)}` "
            f"{row.before:.2f} to {row.after:.2f}"
            for row in own.head(_SNIPPETS).itertuples()
        ]
        for group, own in found.movers.groupby("group")
    }


def _by_class(specimen: Specimen, layer: str, models: Mapping[str, nn.Module], keep) -> None:
    """Mean answers class by class as a heatmap (rows are classes, columns units), and where the class is decided."""
    y, classes = specimen.samples.y.numpy(), specimen.samples.classes
    labels = [label for label in range(classes) if (y == label).any()]
    first = [int(np.flatnonzero(y == label)[0]) for label in labels]
    for name, model in models.items():
        a = answers(model, [layer], specimen.samples.x)[layer]
        means = np.stack([a[y == label].mean(0) for label in labels])
        keep(f"mean answer of units to classes, {name}", f"classes-{name}.png", heatmap(means))
        if specimen.kind == "image" and specimen.samples.labelled:
            where = attribution(model, layer, specimen.samples.x[first], labels)
            if where.shape[1:] == specimen.samples.x.shape[2:]:
                pairs = np.concatenate([specimen.samples.x[first].mean(1).numpy(), where])
                keep(
                    f"where a class is decided, {name}",
                    f"decided-{name}.png",
                    contact_sheet(pairs, columns=len(labels)),
                )


def _snippets(specimen: Specimen, layer: str, model: nn.Module, units: list[int]) -> dict[int, list[str]]:
    """For each unit the places it answers to most, the token in [brackets] with what comes before it."""
    x = specimen.samples.x.numpy()
    if x.ndim != 2 or specimen.samples.y.ndim != 2:
        return {}
    symbols = specimen.names
    a = answers(model, [layer], specimen.samples.x, reduce="tokens")[layer].reshape(*x.shape, -1)
    found = {}
    for unit in units:
        flat = np.argsort(-a[:, :, unit], axis=None, kind="stable")[:_SNIPPETS]
        found[unit] = [
            _snippet(x[row], int(at), symbols) for row, at in zip(*np.unravel_index(flat, x.shape), strict=True)
        ]
    return found


def _snippet(tokens: np.ndarray, at: int, symbols: Sequence[str] | None) -> str:
    words = [str(t) if symbols is None else symbols[t] for t in tokens[max(0, at - _AROUND) : at + 1]]
    joint = " " if symbols is None else ""
    return (joint.join(words[:-1]) + joint + f"[{words[-1]}]").replace("\n", "⏎").replace("`", "'")
