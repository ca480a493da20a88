"""What was learned or lost: transitions of behaviour, or of the outputs where nothing is known of behaviour."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from geophone.point import score as scores
from geophone.point.kernels import Kernel, of_unit_noise, operators
from geophone.point.null import NoiseNull, noise_null
from geophone.point.rule import Rule, ScorePart
from geophone.point.scene import FIRST, MEAN, Scene, described, edges, ratio
from geophone.point.shared import shared
from geophone.point.signals import Behaviour, RunSignals, filled
from geophone.point.stretch import (
    Stretch,
    around,
    bump_stretch,
    moved,
    own_count,
    rise_stretch,
    sample_table,
    smoothed,
    steepest,
    valleys,
)
from geophone.records import Transition
from geophone.signals import components

Series = npt.NDArray[np.float64]
PACES = (Kernel("step", 4.0), Kernel("step", 8.0), Kernel("step", 16.0))
TINY = 1e-9
COURSE = Kernel("step", 16.0)  # what is slower than this is no transition
DIP = 0.25  # of the range of mean behaviour, less than which is not lost where it is soon there again
TOGETHER = 2.326  # standard errors, which one of a hundred means of samples that drift comes to
_PARTS = {
    function.__name__: function
    for function in (
        scores.mean_skill,
        scores.rising_skill,
        scores.skill_components,
        scores.votes,
        scores.steepest,
        scores.quanta,
        scores.output_components,
        scores.output_speed,
        scores.concentration,
    )
}


def behaviour_score(run: RunSignals, rule: Rule) -> Series | None:
    """How much behaviour (the outputs, where nothing is known of it) moves at every measurement; None without
    either."""
    if run.behaviour is not None:
        return _joined(run, rule.behaviour)
    return _joined(run, rule.outputs) if run.outputs is not None else None


def _joined(run: RunSignals, parts: tuple[ScorePart, ...]) -> Series:
    return scores.joined([_PARTS[part.name](run, part.kernel) for part in parts])


def behaviour_transitions(scene: Scene, yields: dict[str, float]) -> list[Transition]:
    """What was learned, then what was lost: the same list of the run with its behaviour turned round."""
    run = scene.run
    if run.behaviour is None:
        return _outputs(scene, yields)
    paths = np.column_stack([scores.skill(run).mean(1), components(scores.skill(run), scores.COMPONENTS)])
    pace, null = _pace(scene, paths)
    yields["learned"] = yields["lost"] = null.yields
    turned = replace(run, behaviour=Behaviour(run.behaviour.values, not run.behaviour.falling))
    rising = _rises(replace(scene, run=run), run.behaviour, "learned", pace / max(null.threshold, 1e-300))
    return rising + _rises(replace(scene, run=turned), run.behaviour, "lost", pace / max(null.threshold, 1e-300))


def _rises(scene: Scene, behaviour: Behaviour, kind: str, strength: Series) -> list[Transition]:
    run, values = scene.run, scores.skill(scene.run)
    score = _joined(run, scene.rule.behaviour)
    smooth = smoothed(run, values)
    course = smooth.mean(1)
    whole = float(course.max() - course.min())
    moments = scene.moments(score)
    listing: list[Transition] = []
    at_first: list[Transition] = []
    for i in moments:
        did = moved(run, values, smooth, int(i))
        left, right = valleys(score, int(i), moments)
        if not did.rising:
            continue
        low, high = around(int(i), len(run))
        bounds = max(left, 2 * low - int(i)), min(right, 2 * high - int(i))
        stretch = rise_stretch(did.curve, steepest(run, did.curve, int(i), bounds), bounds)
        share = float(score[left : right + 1].sum() / score.sum())
        strong = float(strength[max(0, i - 2) : i + 3].max())
        lasting = float(course[high] - course[low]) >= scene.rule.share * whole
        deep = float(course[stretch.stop] - course[stretch.start]) >= DIP * whole
        sign = 1 if kind == "learned" else -1
        table, own = sample_table(behaviour, stretch, sign), own_count(behaviour, stretch, sign)
        (at_first if left < FIRST else listing).append(
            replace(
                described(scene, stretch, score, gained=kind == "learned"),
                kind=kind,
                score=float(score[i]),
                share=share,
                strength=strong,
                size=ratio(float(did.curve[stretch.stop] - did.curve[stretch.start]), did.noise),
                listed=strong > 1
                and share >= scene.rule.share
                and _together(run, table) > TOGETHER
                and (kind == "learned" or lasting or deep),
                own=own,
                shared=shared(behaviour.facts, table["sample"].to_numpy()[:own]),
                signals=("behaviour",),
                samples=table,
            )
        )
    return listing + at_first


def _together(run: RunSignals, table: pd.DataFrame) -> float:
    """How much the samples rise on average (`run` as it is looked at), in standard errors of that mean: where answers
    drift and nothing is learned, as many fall."""
    rise = table["change"].to_numpy() * (-1 if run.behaviour and run.behaviour.falling else 1)
    return ratio(float(rise.mean()), float(rise.std()) / np.sqrt(len(rise)))


def _outputs(scene: Scene, yields: dict[str, float]) -> list[Transition]:
    """Where nothing is known of behaviour, the outputs' own movement. It is *lost* where they collapse: samples are
    answered more and more alike; otherwise *learned*. The loss does not tell these apart: it rises where
    new data arrive to be learned, and falls where the objective loses a term."""
    run = scene.run
    if run.outputs is None:
        return []
    score = _joined(run, scene.rule.outputs)
    pace, null = _pace(scene, components(filled(run.outputs), scores.COMPONENTS))
    yields["learned"] = yields["lost"] = null.yields
    moments = scene.moments(score)
    listing = []
    for i in moments:
        bounds = valleys(score, int(i), moments)
        stretch = bump_stretch(score, int(i), bounds)
        share = float(score[bounds[0] : bounds[1] + 1].sum() / score.sum())
        speed = float(pace[max(0, i - 2) : i + 3].max())
        fallen = _collapsed(run, stretch)
        listing.append(
            replace(
                described(scene, stretch, score, gained=not fallen),
                kind="lost" if fallen else "learned",
                share=share,
                strength=ratio(speed, null.threshold),
                size=speed,
                listed=speed > null.threshold and share >= scene.rule.share,
                signals=("outputs", MEAN) if fallen else ("outputs",),
            )
        )
    return listing


def _collapsed(run: RunSignals, stretch: Stretch) -> bool:
    """Whether less than half as much of what the last layer puts out differs between samples after the stretch as
    before it: 1 - mean_fraction, medians of 3 measurements."""
    if not run.streams or MEAN not in run.series:
        return False
    before, after = edges(filled(run.series[MEAN][:, run.streams[-1]]), stretch)
    return 1 - after < (1 - before) / 2


def calm(moved: Sequence[Transition], shocks: Sequence[Transition]) -> list[Transition]:
    """Of the outputs' transitions those that collapse, and those during which the loss does not jump up: where nothing
    is known of behaviour, outputs that move then are the doing of the shock, which is listed."""
    loud = [t.peak for t in shocks if t.listed]
    return [t for t in moved if t.kind == "lost" or not any(t.start <= peak <= t.end for peak in loud)]


def _pace(scene: Scene, paths: Series) -> tuple[Series, NoiseNull]:
    """The speed of the fastest of `paths` at every measurement over 4, 8 and 16 measurements, each in units of what its
    own noise makes of it, and the null of the fastest: the paths less their slow course, with random signs."""
    rest = paths - operators(scene.run.steps, COURSE).mean @ paths
    noise = 1.4826 * np.median(np.abs(rest), axis=0)
    noise = np.maximum(noise, 0.1 * np.sqrt(np.square(rest).mean(0)))
    alive = noise > TINY * np.maximum(np.abs(paths).max(0), 1.0)
    if not alive.any():
        return np.zeros(len(paths)), NoiseNull(0.0, 0.0)
    slopes = [of_unit_noise(operators(scene.run.steps, kernel).slope) for kernel in PACES]

    def statistic(y: Series) -> Series:
        return np.max([np.abs(slope @ y).max(1) for slope in slopes], axis=0)

    null = noise_null(rest[:, alive] / noise[alive], statistic, apart=scene.apart, rng=scene.rng)
    return statistic(paths[:, alive] / noise[alive]), null
