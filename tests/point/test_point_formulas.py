"""The ranker's small parts against their definitions, written a second time in plain loops."""

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from planted_runs import STEPS, run

from geophone.errors import InputError
from geophone.point import score as scores
from geophone.point.causal import CausalRanker
from geophone.point.find import transitions
from geophone.point.heard import COLUMNS, grouped, heard
from geophone.point.inside import shock_score, transient
from geophone.point.kernels import Kernel, log_steps, operators
from geophone.point.layers import LayerMap
from geophone.point.learned import calm
from geophone.point.moments import pick
from geophone.point.naive import Evidence, jump_targets, run_targets
from geophone.point.onsets import concept_transitions
from geophone.point.reading import mean_since_last
from geophone.point.rule import frozen_rule
from geophone.point.scene import Scene, edges, ratio
from geophone.point.signals import Behaviour, RunSignals
from geophone.point.stretch import Stretch, bump_stretch, rise_stretch, sample_table, valleys
from geophone.point.study import ranked, those
from geophone.records import Target, Window


def curves(count=40, length=60):
    """Bumpy curves, each with a peak and the places of other peaks."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        y = np.convolve(rng.random(length + 8), np.ones(9) / 9, "valid")
        index = int(rng.integers(1, length - 1))
        others = np.sort(rng.choice(np.delete(np.arange(length), index), 3, replace=False))
        yield y, index, others


def test_valleys_are_the_lowest_places_between_a_moment_and_its_neighbours():
    for y, index, others in curves():
        low = max([k for k in others if k < index], default=0)
        high = min([k for k in others if k > index], default=len(y) - 1)
        left = min(range(low, index + 1), key=lambda k: (y[k], k))
        right = min(range(index, high + 1), key=lambda k: (y[k], k))
        assert valleys(y, index, others) == (left, right)


def test_a_bump_is_at_least_half_of_its_peak_between_its_ends():
    for y, index, others in curves():
        low, high = valleys(y, index, others)
        sharp = y**6
        left, right = index, index
        while left > low and not sharp[left] < sharp[index] / 2:
            left -= 1
        while right < high and not sharp[right] < sharp[index] / 2:
            right += 1
        assert bump_stretch(sharp, index, (low, high)) == Stretch(left, index, right)


def test_a_rise_goes_from_a_tenth_to_nine_tenths_of_its_change():
    """From the lowest before it to the highest behind it, within the bounds."""
    for y, index, others in curves():
        low, high = valleys(y, index, others)
        if low == high:
            continue
        bottom = min(range(low, index + 1), key=lambda k: (y[k], k))
        top = max(range(index, high + 1), key=lambda k: (y[k], -k))
        if y[top] == y[bottom]:
            assert rise_stretch(y, index, (low, high)) == Stretch(low, index, high)
            continue
        share = [(v - y[bottom]) / (y[top] - y[bottom]) for v in y]
        left = next(k for k in range(index, low - 1, -1) if share[k] <= 0.1)
        right = next(k for k in range(index, high + 1) if share[k] >= 0.9)
        assert rise_stretch(y, index, (low, high)) == Stretch(left, index, right)
    flat = np.ones(9)
    assert rise_stretch(flat, 4, (2, 6)) == Stretch(2, 4, 6) and rise_stretch(flat, 4, (4, 4)) == Stretch(4, 4, 4)


def test_neither_a_dip_before_a_rise_nor_a_fall_behind_it_is_a_part_of_it():
    y = np.concatenate(
        [np.full(10, 0.5), np.full(10, 0.2), np.linspace(0.2, 0.9, 11), np.full(10, 0.9), np.full(9, 0.6)]
    )
    assert rise_stretch(y, 25, (0, 49)) == Stretch(20, 25, 30)  # of the net change it had done nine tenths at once


@pytest.mark.parametrize("stretch", [Stretch(0, 1, 2), Stretch(4, 9, 20), Stretch(50, 58, 59)])
def test_edges_are_medians_of_three_and_samples_means_of_five(stretch):
    rng = np.random.default_rng(0)
    values = rng.random((100, 7))[:60] if stretch.stop == 59 else rng.random((100, 7))
    course = values[:, 0]
    before = [course[k] for k in (stretch.start - 2, stretch.start - 1, stretch.start) if k >= 0]
    after = [course[k] for k in (stretch.stop, stretch.stop + 1, stretch.stop + 2) if k < len(course)]
    assert edges(course, stretch) == (pytest.approx(np.median(before)), pytest.approx(np.median(after)))
    if len(values) < 88:
        return  # fewer measurements are read over fewer

    def read(sample, low, high):
        old = np.mean([values[k, sample] for k in range(low - 4, low + 1) if k >= 0])
        new = np.mean([values[k, sample] for k in range(high, high + 5) if k < len(values)])
        return [old, new, new - old]

    table = sample_table(Behaviour(values), stretch, 1).set_index("sample")
    low = max(min(stretch.start, stretch.peak - 8), 0)
    high = min(max(stretch.stop, stretch.peak + 8), len(values) - 1)
    for sample in range(values.shape[1]):
        assert table.loc[sample].tolist() == pytest.approx(read(sample, stretch.start, stretch.stop))
    for sign, falling, first in ((1, False, True), (-1, False, False), (1, True, False), (-1, True, True)):
        order = sample_table(Behaviour(values, falling), stretch, sign)["sample"]
        wide = np.array([read(sample, low, high)[2] for sample in order])
        assert (np.diff(wide) <= 0).all() if first else (np.diff(wide) >= 0).all()


def test_a_shock_is_the_loss_over_two_measurements_above_the_eight_before():
    rng = np.random.default_rng(1)
    loss = 1 + rng.random(40)
    signals = RunSignals("a", np.arange(1.0, 41), scalars={"loss": loss})
    logs, wanted = np.log(loss), np.zeros(40)
    for k in range(1, 40):
        wanted[k] = max(np.mean(logs[k : k + 2]) - np.mean(logs[max(0, k - 8) : k]), 0)
    np.testing.assert_allclose(shock_score(signals), wanted, atol=1e-12)
    below = replace(signals, scalars={"loss": loss - 2})
    plain = [max(np.mean(loss[k : k + 2]) - np.mean(loss[max(0, k - 8) : k]), 0) for k in range(1, 40)]
    np.testing.assert_allclose(shock_score(below)[1:], plain, atol=1e-12)
    norms = RunSignals("a", np.arange(1.0, 41), scalars={"gradient_norm": loss})
    np.testing.assert_allclose(shock_score(norms), wanted, atol=1e-12)
    assert shock_score(RunSignals("a", np.arange(1.0, 41))) is None


def test_over_nothing_something_is_infinite_and_nothing_is_nothing():
    assert (ratio(3.0, 2.0), ratio(3.0, 0.0), ratio(0.0, 0.0), ratio(-1.0, 0.0)) == (1.5, np.inf, 0.0, 0.0)


def test_two_moments_may_lie_exactly_as_far_apart_as_they_must():
    score = np.zeros(100)
    score[[20, 30, 41, 60, 71]] = [5.0, 4.0, 3.0, 6.0, 2.0]
    steps = np.arange(1000.0, 1100)
    assert pick(score, steps, apart=11, spread=0.0, peaks_only=True).tolist() == [60, 20, 41, 71]
    assert pick(score, steps, apart=12, spread=0.0, peaks_only=True).tolist() == [60, 20, 41]
    assert pick(score, steps, apart=11, spread=0.0, first=21, peaks_only=True).tolist() == [60, 30, 41, 71]
    # .0105 of the better one's step, 10,600, are more than the 110 steps between it and the last
    assert pick(score, steps * 10, apart=11, spread=0.0105, peaks_only=True).tolist() == [60, 20, 41]


def test_an_alarm_says_how_many_robust_deviations_it_makes():
    rng = np.random.default_rng(2)
    gains = np.exp(rng.normal(0, 0.2, 30)) * 0.05
    ranker = CausalRanker()
    assert not any(ranker.update(None, {"a": gain, "b": 0.0}) for gain in gains)
    (alarm,) = ranker.update(None, {"a": 0.9, "b": 0.0})
    logs = np.log(gains)
    spread = 1.4826 * np.median(np.abs(logs - np.median(logs)))
    assert (alarm.kind, alarm.layer) == ("hidden", "a")
    assert alarm.deviations == pytest.approx((np.log(0.9) - np.median(logs)) / spread)


def test_an_alarm_of_what_was_learned_says_how_many_deviations_of_such_a_difference_it_makes():
    rng = np.random.default_rng(3)
    means = np.concatenate([rng.normal(0.2, 0.01, 40), [0.5, 0.52, 0.55, 0.6]])
    ranker, heard = CausalRanker(), []
    for k, mean in enumerate(means):
        heard += [(k, alarm) for alarm in ranker.update(np.full(3, mean), {})]
    (k, alarm) = heard[0]
    past = means[: k + 1]
    noise = 1.4826 * np.median(np.abs(np.diff(past))) / 2
    assert alarm.kind == "learned" and alarm.layer == ""
    assert alarm.deviations == pytest.approx((past[-4:].mean() - past[-8:-4].mean()) / noise)
    assert len(heard) == 1  # the same goes on


def test_outputs_that_never_moved_and_then_do_are_not_told_from_nothing():
    ranker = CausalRanker()
    still = [ranker.update(None, {}, outputs=np.zeros(4)) for _ in range(30)]
    assert not any(still) and ranker.update(None, {}, outputs=np.ones(4)) == []


def test_groups_of_alarms_have_their_kinds_and_layers():
    signals = run(learned=[(300, range(40))], hidden=[(1000, 2)])
    table = grouped(signals)
    assert list(table.columns) == list(COLUMNS) and len(table) >= 2
    late = table[table["first"] > 900].iloc[0]
    assert late["kinds"] == ["hidden"] and late["layers"] == ["blocks.2"]
    assert (table["last"] >= table["first"]).all()


def test_the_loss_of_a_measurement_is_the_mean_since_the_one_before():
    rng = np.random.default_rng(4)
    loss = pd.Series(rng.random(50), index=np.arange(1, 51)).drop([20, 21, 22, 23, 24, 25])
    at = pd.Index([3, 10, 19, 25, 30, 50])
    wanted, last = [], 0
    for step in at:
        inside = [value for k, value in loss.items() if last < k <= step]
        wanted.append(np.mean(inside) if inside else np.nan)
        last = step
    steps = np.asarray(at, dtype=np.float64)
    np.testing.assert_allclose(mean_since_last(loss, steps), wanted)
    assert np.isnan(wanted[3])
    # One that is not finite is left out, and spoils nothing behind it.
    wild = loss.copy()
    wild.iloc[0] = np.inf
    read = mean_since_last(wild, steps)
    np.testing.assert_allclose(read[1:], wanted[1:])


def test_a_step_0_alone_has_a_place_and_so_have_steps_without_any_other():
    assert log_steps(np.array([0.0])).tolist() == [0.0]
    assert log_steps(np.array([0.0, 7.0])) == pytest.approx([np.log(7) - 1, np.log(7)])
    assert log_steps(np.array([0.0, 2.0, 8.0])) == pytest.approx([np.log(2) - np.log(4), np.log(2), np.log(8)])


def test_a_concept_has_its_onset_where_half_of_the_rise_is_crossed_and_shares_of_the_rise():
    steps = np.arange(10.0, 410, 10)
    first = np.interp(steps, [100, 200], [0.5, 0.9])
    second = np.interp(steps, [200, 300], [0.5, 0.75])
    hint = np.interp(steps, [20, 60], [0.5, 0.65])  # the earliest, but less than half of the greatest rise
    values = np.column_stack([hint, second, first])
    chances = np.full((40, 3), 0.5)
    signals = RunSignals(
        "a", steps, ("x", "y", "z"), concepts={"colour": values}, chances={"colour": chances},
    )  # fmt: skip
    (there,) = concept_transitions(signals)
    assert (there.start, there.peak, there.end) == (110, 150, 190)
    assert [layer.layer for layer in there.layers] == ["z", "y"]
    assert [layer.peak for layer in there.layers] == [150, 250]
    assert [layer.share for layer in there.layers] == pytest.approx([8 / 13, 5 / 13])
    assert there.score == pytest.approx(0.4) and np.isnan(there.share) and there.listed
    assert there.index == 14 and there.concept == "colour" and there.size == pytest.approx(4 * there.strength)


def test_the_transient_lasts_until_the_layers_have_slowed_to_a_quarter():
    signals = run(learned=[(700, range(40))])
    rule = frozen_rule()
    scene = Scene(signals, rule, LayerMap(signals, rule.where), 11, np.random.default_rng(0))
    (first,) = transient(scene)
    logs = np.log(np.stack([signals.centred("cka_change_1")[:, c] for c in range(4)], axis=1))
    speed = np.exp(operators(STEPS, Kernel("step", 0.5)).mean @ logs).mean(1)
    peak = int(speed[:5].argmax())
    stop = next(k for k in range(peak, len(speed)) if speed[k] <= speed[peak] / 4)
    assert (first.start, first.peak, first.end) == (STEPS[0], STEPS[peak], STEPS[stop])
    steady = replace(signals, series=signals.series | {"cka_change_1": np.ones((len(STEPS), 4))})
    scene = Scene(steady, rule, LayerMap(steady, rule.where), 11, np.random.default_rng(0))
    assert transient(scene)[0].end == STEPS[5]


def test_what_moves_while_a_listed_shock_peaks_is_its_doing_ends_included():
    there = transitions(run(learned=[(700, range(40))], outputs=True), rng=np.random.default_rng(0))
    moved = replace(there.of("learned")[0], start=690, end=720)
    lost = replace(moved, kind="lost")
    for peak, kept in ((689, True), (690, False), (700, False), (720, False), (721, True)):
        shock = replace(moved, kind="shock", peak=peak, listed=True)
        assert calm([moved, lost], [shock]) == ([moved, lost] if kept else [lost])
        assert calm([moved], [replace(shock, listed=False)]) == [moved]


def test_every_null_says_what_it_yields():
    whole = transitions(run(learned=[(700, range(40))]), rng=np.random.default_rng(0)).yields
    assert set(whole) == {"learned", "lost", "hidden", "shock"} and whole["learned"] == whole["lost"]
    outputs = transitions(run(learned=[(700, range(40))], outputs=True), rng=np.random.default_rng(0)).yields
    assert set(outputs) == set(whole) and outputs["learned"] == outputs["lost"]


def test_outputs_have_four_components_and_behaviour_alike():
    signals = run(learned=[(700, range(40))], outputs=True)
    kernel = Kernel("step", 4.0)
    centred = signals.outputs - signals.outputs.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    path = (left * sizes)[:, :4]
    path = path[:, sizes[:4] ** 2 > 1e-4 * (sizes**2).sum()]
    speeds = np.abs(operators(STEPS, kernel).slope @ path)
    wanted = ((speeds / speeds.max(0)) ** 2).sum(1)
    np.testing.assert_allclose(scores.output_components(signals, kernel), wanted, rtol=1e-6, atol=1e-9)
    whole = np.sqrt(np.linalg.norm(operators(STEPS, kernel).slope @ signals.outputs, axis=1))
    np.testing.assert_allclose(scores.output_speed(signals, kernel), whole, rtol=1e-9)
    with pytest.raises(InputError, match="planted has no outputs"):
        scores.output_speed(run(), kernel)


def target(rank=1, *, kind="learned", of="a", layer="x", score=1.0, step=10):
    window = Window(step - 1, step, step + 1)
    return Target(
        rank=rank, run=of, layer=layer, depth=0, dimension="stable_rank", window=window, earlier=None, later=None,
        method="transitions", score=score, reason="because", kind=kind,
    )  # fmt: skip


def test_targets_go_by_kind_then_place_in_the_run_then_score():
    given = [
        target(3, kind="shock"), target(2, of="b", score=0.1), target(1, of="b", score=0.2), target(1, score=0.9),
        target(2, score=0.8), target(4, kind="hidden"), target(5, kind="concept"), target(6, kind="lost"),
    ]  # fmt: skip
    table = ranked(given)
    assert table["kind"].tolist() == ["learned"] * 4 + ["lost", "concept", "hidden", "shock"]
    assert table["score"].tolist()[:4] == [0.9, 0.2, 0.8, 0.1]
    assert table["rank"].tolist() == list(range(1, 9))


def test_targets_of_one_run_or_kind_are_had_and_what_there_is_none_of_is_named():
    table = ranked([target(), target(kind="shock", of="b")])
    assert those(table, run=None, kind=None, top=None).equals(table)
    assert those(table, run="b", kind=None, top=None)["kind"].tolist() == ["shock"]
    assert those(table, run=None, kind="learned", top=None)["run"].tolist() == ["a"]
    assert len(those(table, run=None, kind=None, top=1)) == 1
    with pytest.raises(InputError, match="no target of kind 'lost'; there are: learned, shock"):
        those(table, run=None, kind="lost", top=None)
    with pytest.raises(InputError, match="no target of run 'c'; there are: none"):
        those(ranked([]), run="c", kind=None, top=None)


def test_the_founding_rule_reads_the_jumps_of_one_dimension_by_one_detector():
    steps = np.arange(5, 305, 5)
    series = pd.DataFrame({"x": np.where(np.arange(60) < 30, 2.0, 8.0)}, index=steps)
    loss = pd.Series(np.linspace(2, 1, 60), index=steps)

    class Made:
        name = "a"
        placed = staticmethod(lambda table: table)
        series = staticmethod(lambda name: series)
        scalars = staticmethod(lambda: pd.DataFrame({"loss": loss}))

    def row(mode, dimension, index, size):
        return {"run": "a", "layer": "x", "depth": 0, "dimension": dimension, "mode": mode, "index": index,
                "step": steps[index], "log_ratio": size, "score": 3.0}  # fmt: skip

    jumps = pd.DataFrame([row("naive", "stable_rank", 30, 1.4), row("pelt", "stable_rank", 12, 0.5),
                          row("naive", "rankme", 20, 0.5)])  # fmt: skip
    critical = pd.DataFrame([{"run": "a", "layer": "x", "dimension": name, "mode": mode, "start": 1, "stop": 2}
                             for name in ("stable_rank", "rankme") for mode in ("naive", "pelt")])  # fmt: skip

    class Study(list):
        phenomena = staticmethod(lambda kind: {"jumps": jumps, "critical": critical}[kind])

    (found,) = jump_targets(Study([Made()]), dimension="stable_rank", mode="naive")
    assert found.window == Window(steps[25], steps[30], steps[35]) and found.score == pytest.approx(4.2)
    assert "loss went from" in found.reason and (found.kind, found.method, found.rank) == ("jump", "naive", 0)
    for dimension, mode, said in (
        ("rankme", "best", "mode 'best' were detected; there are: naive, pelt"),
        ("none", "naive", "dimension 'none' were detected; there are: rankme, stable_rank"),
    ):
        with pytest.raises(InputError, match=said):
            jump_targets(Study([Made()]), dimension=dimension, mode=mode)
    Made.scalars = staticmethod(lambda: pd.DataFrame({"accuracy": loss}))
    assert "loss" not in jump_targets(Study([Made()]), dimension="stable_rank", mode="naive")[0].reason


@pytest.mark.parametrize("others", [0, 1, 2])
def test_the_reason_of_a_jump_counts_other_layers_and_names_a_period(others):
    steps = np.arange(5, 305, 5)
    series = pd.DataFrame({name: np.where(np.arange(60) < 30, 2.0, 8.0) for name in "xyzw"}, index=steps)
    rows = [{"layer": name, "depth": 0, "index": 30 + i, "step": steps[30 + i], "log_ratio": 1.4, "score": 3.0}
            for i, name in enumerate("xyz"[: others + 1])]  # fmt: skip
    far = {**rows[0], "layer": "w", "index": 50, "step": steps[50]}
    critical = pd.DataFrame([{"layer": "x" if others else "q", "start": steps[34], "stop": steps[40]}])
    evidence = Evidence("a", series, pd.Series(dtype=float), pd.DataFrame([*rows, far]), critical)
    mine = [t for t in run_targets(evidence, dimension="stable_rank", mode="naive") if t.layer == "x"]
    wanted = "stable_rank of x rose 4.06-fold, from 2 to 8, between steps 130 and 180 (score 3.0)"
    wanted += "; inside a period of fast change" * bool(others)
    wanted += ["", "; 1 other layer jumped within the same window", "; 2 other layers jumped within the same window"][
        others
    ]
    assert mine[0].reason == f"{wanted}."


def test_the_frozen_rule_is_what_its_file_says():
    document, rule = json.loads(files("geophone.point").joinpath("frozen.json").read_text()), frozen_rule()
    for name in ("behaviour", "outputs", "hidden", "faded", "where"):
        kept = [{"axis": part.kernel.axis, "width": part.kernel.width} for part in getattr(rule, name)]
        for part, row in zip(getattr(rule, name), kept, strict=True):
            row |= {key: getattr(part, key) for key in part.__slots__ if key != "kernel"}
        assert kept == document[name]
    assert (rule.share, list(rule.seeds), rule.digest) == tuple(document[key] for key in ("share", "seeds", "digest"))


def test_what_fades_is_heard_and_nothing_where_layers_were_not_recorded():
    signals = run(hidden=[(700, 2)])
    gone = {
        "readable_change": signals.series["readable_change"] * 1.0,
        "readable_gain": 0 * signals.series["readable_gain"],
    }
    faded = replace(signals, series=gone)
    (alarm,) = [alarm for t, alarm in heard(faded) if t > 100]
    assert (alarm.kind, alarm.layer) == ("hidden", "blocks.2")
    bare = replace(signals, layers=(), series={})
    assert all(alarm.layer == "" for _, alarm in heard(bare))


def test_a_run_whose_behaviour_never_moves_has_no_pace_and_no_threshold():
    signals = run()
    still = replace(signals, behaviour=Behaviour(np.full((len(STEPS), 120), 0.1)))
    listing = transitions(still, rng=np.random.default_rng(0))
    assert listing.yields["learned"] == 0.0 and not any(t.listed for t in listing.of("learned", "lost"))


def test_parts_that_cannot_be_joined_pooled_or_read_are_said():
    with pytest.raises(InputError, match="joined by 'log' or 'mean'; got 'sum'"):
        scores.joined([np.ones(3)], "sum")
    with pytest.raises(InputError, match="pooled by 'mean', 'max' or 'contrast'; got 'sum'"):
        scores.over_layers(np.ones((3, 2)), "sum")
    with pytest.raises(InputError, match=r"an axis \(step or log\) and a width above 0; got Kernel"):
        Kernel("step", 0.0)
    with pytest.raises(InputError, match="neither behaviour nor outputs"):
        scores.skill(RunSignals("a", np.arange(1.0, 9)))


def test_targets_alike_in_all_else_go_by_run_then_layer_then_step():
    given = [target(of="b"), target(of="a", step=30), target(of="a", step=20)]
    assert ranked(given)[["run", "step"]].to_numpy().tolist() == [["a", 20], ["a", 30], ["b", 10]]


def test_nothing_is_asked_of_a_run_without_layers():
    assert LayerMap(RunSignals("a", np.arange(1.0, 9)), frozen_rule().where).layers(4, 3, 5) == ()
