"""What changed inside while behaviour did not, shocks, and the initial transient."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from geophone.point import score as scores
from geophone.point.kernels import Kernel, of_unit_noise, operators
from geophone.point.layers import BASELINE, columns_of
from geophone.point.learned import COURSE, behaviour_score
from geophone.point.null import CLIP, NoiseNull, noise_null, redrawn_null
from geophone.point.rule import LayerPart
from geophone.point.scene import FIRST, Scene, described, ratio
from geophone.point.signals import FADED, RunSignals, filled
from geophone.point.stretch import Stretch, bump_stretch, valleys
from geophone.records import Transition

Series = npt.NDArray[np.float64]
NEAR = 5  # measurements
STILL = 1e-6  # of a change of kernel alignment, less than which is rounding
LEAST_CHANGE = 0.3  # directions over the samples that came; less is not worth digging, however clear
READABLE = ("readable_gain", FADED)  # signals whose unit is directions
LEAST_FADED = 1.0  # directions that went and were not replaced
AROUND = Kernel("step", 24.0)  # of which the noise of a loss is that of one place
SCALES = (Kernel("step", 2.0), Kernel("step", 4.0))  # over which what stands out of the noise is read
BUMP = 21  # measurements, of which a shock takes less than half
AHEAD, BEHIND = 2, 8  # measurements whose loss is compared for a shock


def layer_score(run: RunSignals, parts: Sequence[LayerPart]) -> Series | None:
    """How much the layers change at every measurement, by `parts`; None where none of their signals is there."""
    pooled = [
        scores.over_layers(scores.layer_levels(run, part.signal, part.kernel, columns), part.pool)
        for part in parts
        if (columns := columns_of(run, part))
    ]
    return scores.joined(pooled) if pooled else None


def shock_score(run: RunSignals) -> Series | None:
    """How far ln loss (the gradient norm, where the loop gave no loss) lies above the 8 measurements before, over this
    one and the next; a loss that is not always above 0 is read as it is."""
    heard = _heard(run)
    return None if heard is None else _jump(heard[1])


def _heard(run: RunSignals) -> tuple[str, Series] | None:
    """The name of what a shock is read on, and its level."""
    name = next((name for name in ("loss", "gradient_norm") if name in run.scalars), None)
    if name is None:
        return None
    values = run.scalars[name]
    return name, filled(values) if np.nanmin(values) <= 0 else scores.logarithm(values)


def _jump(y: Series) -> Series:
    total = np.concatenate([[0.0], np.cumsum(y)])
    places = np.arange(len(y))
    before, after = np.maximum(places - BEHIND, 0), np.minimum(places + AHEAD, len(y))
    past = (total[places] - total[before]) / np.maximum(places - before, 1)
    rise = (total[after] - total[places]) / (after - places) - past
    rise[0] = 0.0
    return np.maximum(rise, 0.0)


def _noise(level: Series, steps: Series) -> tuple[Series, Series]:
    """What is left of `level` without its slow course, and its deviation around each measurement: a loss that falls
    steadily at first is quieter there than it is later. The deviation is read off what lies between neighbours, of
    which a jump is one, however long its recovery takes; what stands out is held within 3."""
    # A shock's own bump is no part of the course, nor smeared over its neighbours.
    course = median_filter(level, size=min(BUMP, len(level)), mode="nearest")
    rest = level - operators(steps, COURSE).mean @ course
    window = min(BASELINE, len(level))
    between = np.diff(level, prepend=2 * level[0] - level[1]) / np.sqrt(2)
    between = between - median_filter(between, size=window, mode="mirror")
    near = 1.4826 * median_filter(np.abs(between), size=window, mode="mirror")
    least = max(0.1 * float(np.median(near)), 1e-6 * float(np.abs(level).max()), 1e-12)
    held = np.minimum(np.square(between), np.square(CLIP * np.maximum(near, least)))
    return rest, np.maximum(np.sqrt(operators(steps, AROUND).mean @ held), least)


def hidden_transitions(scene: Scene, learned: Sequence[Transition], yields: dict[str, float]) -> list[Transition]:
    """What became readable in a layer, best first, then what no longer is, each where behaviour (`learned`: its listed
    transitions) does not move: not within 5 measurements of a peak of it, nor between its start and end. A rise that
    begins within the first 5 measurements is the initial transient's."""
    came = _changes(scene, scene.rule.hidden, LEAST_CHANGE, learned, yields)
    went = _changes(scene, scene.rule.faded, LEAST_FADED, learned, yields)
    strong = [t.index for t in came if t.listed]
    return came + [t for t in went if all(abs(t.index - i) >= scene.apart for i in strong)]


def _changes(
    scene: Scene, parts: Sequence[LayerPart], least: float, taken: Sequence[Transition], yields: dict[str, float]
) -> list[Transition]:
    run = scene.run
    score = layer_score(run, parts)
    told = [part for part in parts if part.signal in READABLE and columns_of(run, part)]
    if score is None or not told:
        return []
    standing, null = _standing(scene, parts)
    yields["hidden"] = yields.get("hidden", 0.0) + null.yields
    most = np.max([_net(run, part) for part in told], axis=0)
    moments = scene.moments(score)
    listing = []
    for i in moments:
        if any(abs(int(i) - t.index) <= NEAR or t.start <= run.steps[i] <= t.end for t in taken):
            continue
        bounds = valleys(score, int(i), moments)
        if bounds[0] < FIRST:  # it is the crest of what the run begins with
            continue
        size = float(standing[max(0, i - 2) : i + 3].max())
        strength = ratio(size, null.threshold)
        share = float(score[bounds[0] : bounds[1] + 1].sum() / score.sum())
        large = float(most[max(0, i - 2) : i + 3].max()) >= least
        listing.append(
            replace(
                described(
                    scene,
                    bump_stretch(score, int(i), _between(run, taken, int(i), bounds)),
                    score,
                    gained=parts == scene.rule.hidden,
                ),
                kind="hidden",
                size=size,
                strength=strength,
                share=share,
                listed=strength > 1 and share >= scene.rule.share and large,
                signals=tuple(dict.fromkeys(part.signal for part in parts if columns_of(run, part))),
            )
        )
    return listing


def _between(run: RunSignals, taken: Sequence[Transition], index: int, bounds: tuple[int, int]) -> tuple[int, int]:
    """`bounds` without what belongs to a transition of `taken` on either side."""
    at = run.steps[index]
    low = [int(np.searchsorted(run.steps, t.end)) for t in taken if t.end <= at]
    high = [int(np.searchsorted(run.steps, t.start)) for t in taken if t.start >= at]
    return max([bounds[0], *low]), min([bounds[1], *high])


def _net(run: RunSignals, part: LayerPart) -> Series:
    """The greatest change of a layer at every measurement, in directions; of what faded, less what came instead."""
    columns = columns_of(run, part)
    levels = run.centred(part.signal)[:, columns]
    if part.signal == FADED:
        levels = levels - run.centred("readable_gain")[:, columns]
    return levels.max(1)


def _standing(scene: Scene, parts: Sequence[LayerPart]) -> tuple[Series, NoiseNull]:
    """How far the layer that stands out most lies above its own course, over 2 and 4 measurements, in units of what its
    own noise makes of that, and its null. A part that is the mean of all layers tells no layer from the others, and is
    no evidence here."""
    these = [part for part in parts if part.pool != "mean" and columns_of(scene.run, part)]
    rest = np.concatenate([_rest(scene.run, part) for part in these], axis=1)
    means = [of_unit_noise(operators(scene.run.steps, kernel).mean) for kernel in SCALES]

    def statistic(y: Series) -> Series:
        return np.max([(mean @ y).max(1) for mean in means], axis=0)

    return statistic(rest), noise_null(rest, statistic, apart=scene.apart, rng=scene.rng)


def _rest(run: RunSignals, part: LayerPart) -> Series:
    levels = scores.layer_levels(run, part.signal, Kernel("step", 0.3), columns_of(run, part))
    logs = np.log(scores.contrast(levels) if part.pool == "contrast" else levels)
    rest = logs - median_filter(logs, size=(min(BASELINE, len(logs)), 1), mode="nearest")
    noise = 1.4826 * np.median(np.abs(rest), axis=0)
    return rest / np.maximum(np.maximum(noise, 0.1 * np.sqrt(np.square(rest).mean(0))), 1e-6)


def shock_transitions(scene: Scene, risen: Sequence[Transition], yields: dict[str, float]) -> list[Transition]:
    """Where the loss jumps up, best first, but not while something is learned (`risen`: its listed transitions): what
    falls meanwhile is the shock's doing and does not explain it."""
    run = scene.run
    if (heard := _heard(run)) is None:
        return []
    name, level = heard
    score, (rest, noise) = _jump(level), _noise(level, run.steps)
    null = redrawn_null(rest / noise, _jump, apart=scene.apart, rng=scene.rng)
    yields["shock"] = null.yields
    moments = scene.moments(score, spread=0.0)
    listing = []
    for i in moments:
        if any(t.start <= run.steps[i] <= t.end for t in risen):
            continue
        stretch = bump_stretch(score, int(i), valleys(score, int(i), moments))
        size = float(score[i] / noise[i])
        strength = ratio(size, null.threshold)
        listing.append(
            replace(
                described(scene, stretch, score, gained=False),
                kind="shock",
                size=size,
                strength=strength,
                listed=strength > 1,
                signals=(name,),
            )
        )
    return listing


def transient(scene: Scene) -> list[Transition]:
    """The first reorganisation: from the first measurement until the layers (or behaviour) have slowed to a quarter, or
    over the first 5 measurements where that takes more than a tenth of the run. None where nothing moves at all."""
    run = scene.run
    if run.layers and "cka_change_1" in run.series:
        if np.nanmax(run.series["cka_change_1"], initial=0.0) <= STILL:
            return []
        speed = scores.layer_levels(run, "cka_change_1", Kernel("step", 0.5), range(len(run.layers))).mean(1)
        signals = ("cka_change_1",)
    else:
        moving = behaviour_score(run, scene.rule)
        if moving is None:
            return []
        speed, signals = moving, ("behaviour",) if run.behaviour else ("outputs",)
    peak = int(speed[:FIRST].argmax())
    if speed[peak] <= 0:
        return []
    slow = np.flatnonzero(speed[peak : peak + FIRST + len(run) // 10] <= speed[peak] / 4)
    stop = peak + int(slow[0]) if len(slow) else FIRST
    first = described(scene, Stretch(0, peak, stop), speed)
    return [replace(first, kind="transient", listed=True, signals=signals)]
