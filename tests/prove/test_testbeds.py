"""The testbeds against theory, where there is one, and against what each of them is made to be."""

import numpy as np
import pandas as pd
import pytest
import torch

from geophone.errors import InputError, StoreError
from geophone.prove.bed import Clock
from geophone.prove.recording import WEIGHTS, record
from geophone.prove.testbeds import deep_linear, grok, induction, markov, parity, planted, private, stream
from geophone.prove.trials import (
    BEDS,
    BEHAVIOUR,
    GROUPS,
    NUISANCES,
    PRIMARY,
    Crew,
    Trial,
    read_run,
    setting_of,
    train_all,
)
from geophone.prove.truth import TRUTH, read_clock, write_truth
from geophone.signals import CHANGES, LAYER_NORMS, NORMS
from geophone.store.run import Run
from geophone.zoo.generated import MarkovChains, Repeats, SparseParities

STRENGTHS = (5.0, 3.0, 2.0, 1.0)


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """The exact deep linear network: N = 32, s = (5, 3, 2, 1), rate .005, balanced with u0 = 1e-3."""
    out = tmp_path_factory.mktemp("exact") / "run"
    record(deep_linear.balanced(STRENGTHS, start=1e-3, steps=1000, seed=0, every=10), out, name="deep_linear", seed=0)
    return read_run(out)


def test_deep_linear_modes_are_learned_when_theory_says(exact):
    theory = deep_linear.learning_times(STRENGTHS, rate=0.005, start=1e-3)
    assert theory == pytest.approx([170.3, 266.9, 380.0, 690.7], abs=0.5)
    # Two of the four lie less than 11 measurements apart, and count as one.
    assert [e.t50 for e in exact.truth.events] == pytest.approx([theory[:2].mean(), *theory[2:]], rel=0.03)


def test_hidden_stable_rank_and_participation_ratio_have_their_closed_forms(exact):
    modes = read_clock(exact.folder)[[f"mode{i}" for i in range(4)]].to_numpy() * STRENGTHS
    expected = {
        "stable_rank": modes.sum(1) / modes.max(1),
        "participation_ratio": modes.sum(1) ** 2 / (modes**2).sum(1),
    }
    for name, values in expected.items():
        column = exact.signals.layers.index("hidden")
        assert exact.signals.series[name][:, column] == pytest.approx(values, rel=0.01)
        assert values.max() > 1.5 * values.min()


def test_what_a_method_sees_and_the_truth_lie_apart(exact):
    run = Run(exact.folder)
    names = {*run.scalars().columns, *run.table().columns, *run.manifest.about, *exact.signals.scalars}
    assert not any(word in name for name in names for word in ("event", "planted", "clock", "mode"))
    signals = exact.signals
    assert set(CHANGES) | set(LAYER_NORMS) <= set(signals.series) and {"loss", "main_loss", *NORMS} == set(
        signals.scalars
    )
    assert signals.behaviour.falling and signals.behaviour.values.shape == (100, 256)
    loss = run.scalars()["loss"]
    assert (
        signals.scalars["loss"][4] == pytest.approx(loss.loc[41:50].mean()) and not (exact.folder / WEIGHTS).is_file()
    )
    with pytest.raises(StoreError, match="not a finished run"):
        read_run(exact.folder.parent)


def test_whitened_inputs_are_white_exactly():
    x = deep_linear.whitened(64, 8, np.random.default_rng(0)).double()
    assert torch.allclose(x.mean(0), torch.zeros(8, dtype=x.dtype), atol=1e-6)
    assert torch.allclose(x.T @ x / 64, torch.eye(8, dtype=x.dtype), atol=1e-5)
    with pytest.raises(InputError, match="whitened"):
        deep_linear.whitened(8, 8, np.random.default_rng(0))


def test_fast_parities_are_the_parities_of_the_zoo():
    task = SparseParities(exponent=0.6, seed=5)
    weight = np.arange(1, 9) ** -1.6
    x, y = parity.Draw(task)(np.random.default_rng(0), 4000, weight)
    asked, bits = x[:, : task.tasks].argmax(1).numpy(), x[:, task.tasks :].numpy()
    assert (y.numpy() == np.take_along_axis(bits, task.subsets[asked], 1).sum(1) % 2).all()
    assert np.bincount(asked, minlength=8) / 4000 == pytest.approx(weight / weight.sum(), abs=0.03)
    assert bits.mean(0) == pytest.approx(np.full(32, 0.5), abs=0.04)


def test_a_perfect_induction_pattern_is_clocked_as_one():
    x, y = Repeats()(np.random.default_rng(0), 8)
    periods = (y != -100).int().argmax(1)
    pattern = torch.zeros(8, 2, 48, 48)
    for n, period in enumerate(periods.tolist()):
        for t in range(period, 48):
            assert x[n, t] == x[n, t - period]
            pattern[n, 1, t, t - period + 1] = 1.0
    assert induction.after_last(pattern, periods).tolist() == pytest.approx([0.0, 1.0])
    assert induction.after_last(torch.full((8, 2, 48, 48), 1 / 48), periods).tolist() == pytest.approx([1 / 48] * 2)


def test_context_rules_count_by_hand():
    rules = markov.context_rules(torch.tensor([[0, 1, 1, 1, 0]]), 3)
    assert rules["unigram"][0, -1].tolist() == pytest.approx([3 / 8, 4 / 8, 1 / 8])
    assert rules["bigram"][0, 3].tolist() == pytest.approx([1 / 5, 3 / 5, 1 / 5])
    assert rules["bigram"][0, 4].tolist() == pytest.approx([1 / 4, 2 / 4, 1 / 4])


def test_counting_pairs_predicts_better_than_counting_symbols():
    x, y = MarkovChains()(np.random.default_rng(0), 64)
    loss = {
        name: float(-rule.gather(2, y[..., None]).log()[:, 16:].mean())
        for name, rule in markov.context_rules(x, 3).items()
    }
    assert loss["bigram"] < loss["unigram"] - 0.03 and loss["unigram"] < np.log(3)


def test_classes_arrive_at_their_steps_and_not_before(monkeypatch):
    drawn = []
    batch = planted._batch
    monkeypatch.setattr(planted, "_batch", lambda *given: drawn.append(batch(*given)) or drawn[-1])
    setting = setting_of(Trial("v_classes", 3))
    seen = {}
    for step in range(1, planted.STEPS, 7):
        setting.objective(np.random.default_rng(step), step)
        for label in drawn[-1][1].tolist():
            seen.setdefault(label, step)
    arrivals = sorted(set(seen.values()))
    assert len(seen) == 10 and arrivals[0] == 1 and len(arrivals) >= 6
    assert all(min(abs(a - p) for p in setting.clock.planted) < 30 for a in arrivals[1:])
    assert np.diff(setting.clock.planted).min() >= 60
    masks = np.stack(list(setting.clock.samples.values()))
    assert masks.sum(0).max() == 1 and masks.any(0).mean() == pytest.approx(0.8)


def test_spaced_numbers_are_every_allowed_set_equally_often():
    rng = np.random.default_rng(0)
    drawn = [tuple(planted.spaced(rng, 2, first=3, last=8, apart=3).tolist()) for _ in range(6000)]
    allowed = [(a, b) for a in range(3, 9) for b in range(a + 3, 9)]
    counts = np.array([drawn.count(pair) for pair in allowed])
    assert set(drawn) == set(allowed) and ((counts - 1000) ** 2 / 1000).sum() < 16.7  # chi-square, 5 degrees, p = .005


def test_nuisances_plant_nothing_but_themselves_and_their_twin_nothing_at_all():
    at = {bed: setting_of(Trial(bed, 5)).clock.planted for bed in NUISANCES}
    assert len(set(at.values())) == 1
    (step,) = at["plain"]
    rates = {}
    for bed in NUISANCES:
        setting = setting_of(Trial(bed, 5))
        for k in range(1, step + 1):
            setting.before_step(k)
        rates[bed] = setting.optimizer.param_groups[0]["lr"]
    assert rates == {"lr3": pytest.approx(3e-3), "batch4": 1e-3, "plain": 1e-3}


@pytest.mark.parametrize("bed", ["v_layer", "uncovered"])
def test_a_parity_is_computed_by_no_block_but_its_own(bed):
    """The private bits of block l reach the stream in block l and later alone."""
    setting = setting_of(Trial(bed, 0))
    net, x = setting.model, setting.probe[0][:8]
    for block, columns in enumerate(net.reads):
        other = x.clone()
        other[:, columns] *= -1
        moved = [not torch.equal(a, b) for a, b in zip(net.streams(x), net.streams(other), strict=True)]
        assert moved == [i > block for i in range(stream.BLOCKS + 1)]


def test_a_latent_is_learned_by_its_own_block_alone():
    setting = setting_of(Trial("switch", 1))
    losses = setting.objective(np.random.default_rng(0), 2000)
    main = setting.objective(np.random.default_rng(0), 1)
    assert float(losses.total.detach()) > losses.scalars["main_loss"] == main.scalars["main_loss"]
    extra = losses.total - main.total
    up = setting.model.blocks[2].up.weight
    (whole,) = torch.autograd.grad(extra, up)
    begin = np.random.default_rng([201, 1])
    assert whole.abs().sum() > 0 and begin is not None
    embedded = torch.autograd.grad(
        setting.objective(np.random.default_rng(0), 2000).total - setting.objective(np.random.default_rng(0), 1).total,
        setting.model.embed.weight,
    )[0]
    assert embedded.abs().max() < 1e-6


def test_the_probe_of_a_clock_reads_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(1024, 20)).astype(np.float32))
    answers = torch.stack([x[:, 0].sign(), x[:, 1] * x[:, 2]], dim=1).sign()
    read = stream.ridge(x[:512], answers[:512], x[512:]) > 0
    right = (read == (answers[512:] > 0)).float().mean(0)
    assert right[0] > 0.9 and right[1] < 0.58
    # Against the normal equations with an intercept, written out.
    y, z = answers[:512].double().numpy(), x[:512].double().numpy()
    centred = z - z.mean(0)
    penalty = 1e-3 * np.trace(centred.T @ centred / 512) / 20
    weights = np.linalg.solve(centred.T @ centred / 512 + penalty * np.eye(20), centred.T @ (y - y.mean(0)) / 512)
    expected = (x[512:].double().numpy() - z.mean(0)) @ weights + y.mean(0)
    assert stream.ridge(x[:512], answers[:512], x[512:]).numpy() == pytest.approx(expected, abs=1e-4)


def test_a_latent_becomes_readable_when_its_accuracy_is_half_way_to_its_own_greatest():
    steps = np.arange(1, 101) * 10
    there = 0.5 + 0.4 / (1 + np.exp(-(steps - 500) / 30))
    table = pd.DataFrame({"latent0@blocks.2": there, "latent1@blocks.1": 0.5 + 0.0 * there}, index=steps)
    (event,) = stream.became_readable(table, {"latent0": "blocks.2", "latent1": "blocks.1"})
    assert (event.name, event.layer) == ("latent0", "blocks.2") and event.t50 == pytest.approx(500, abs=5)


def test_teachers_classes_are_all_there_and_private_parities_are_products_of_two_bits():
    rng = np.random.default_rng(1)
    classes = stream.Teacher(rng, bits=12, classes=6, hidden=24)(stream.signs(rng, 4000, 12))
    assert np.bincount(classes, minlength=6).min() > 200
    bits = private.Private.drawn(rng, bits=8)
    x = stream.signs(rng, 50, stream.BLOCKS, 8)
    own = bits.parities(x)
    assert own.shape == (50, 5) and set(np.unique(own)) == {-1, 1}
    flipped = x.copy()
    flipped[:, 3, bits.pairs[3, 0]] *= -1
    assert (bits.parities(flipped) != own).all(0).tolist() == [False, False, False, True, False]


def test_a_perfect_wave_is_a_frequency_of_the_clock():
    setting = setting_of(Trial("grok", 0))
    assert set(setting.clock.curves()) == {f"frequency{k}" for k in grok.FREQUENCIES}
    table = pd.DataFrame({f"frequency{k}": np.linspace(0, 0.9 if k == 3 else 0.3, 50) for k in (3, 4)}, index=range(50))
    assert [event.name for event in setting.clock.events(table)] == ["frequency3"]


def test_groups_hold_every_testbed_once():
    grouped = [bed for members in GROUPS.values() for bed in members]
    assert len(grouped) == len(set(grouped)) and set(BEDS) == {*grouped, *NUISANCES, "grok"}
    assert set(PRIMARY) <= set(grouped) and len(BEHAVIOUR) == 14
    assert {Trial(bed, 0).kind for bed in PRIMARY if bed not in GROUPS["hidden"]} == {"behaviour"}
    with pytest.raises(InputError, match="deep_linear"):
        setting_of(Trial("grokking", 0))


@pytest.mark.parametrize("bed", BEDS)
def test_every_testbed_trains_reads_its_clock_and_depends_on_its_seed_alone(bed):
    losses = []
    for seed in (7, 7, 8):
        setting = setting_of(Trial(bed, seed))
        losses.append(float(setting.objective(np.random.default_rng(1), 1).total.detach()))
        with torch.no_grad():
            curves = setting.clock.curves()
        assert curves and np.isfinite(list(curves.values())).all()
        assert 190 <= setting.steps / setting.every <= 400
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_what_was_finished_is_kept_and_what_was_not_is_trained_again_to_the_same_numbers(tmp_path):
    trials = [Trial("v_deep", 1), Trial("v_deep", 2)]
    first, second = train_all(trials, tmp_path, Crew(workers=1))
    stamp = (first.folder / "run.json").stat().st_mtime_ns
    (second.folder / TRUTH).unlink()
    again = train_all(trials, tmp_path, Crew(workers=1))
    assert (first.folder / "run.json").stat().st_mtime_ns == stamp
    for name, values in second.signals.series.items():
        assert np.array_equal(again[1].signals.series[name], values, equal_nan=True)
    assert not np.array_equal(first.signals.scalars["loss"], second.signals.scalars["loss"])
    assert again[1].truth.events == second.truth.events


def test_a_truth_comes_back_as_it_was(tmp_path):
    steps = np.arange(1, 201) * 5
    clock = Clock(
        dict, lambda table: setting_of(Trial("v_deep", 0)).clock.events(table), {"a": np.array([True, False])}, (30,)
    )
    values = 1 / (1 + np.exp(-(steps - 500) / 20))
    write_truth(tmp_path, clock, [{"step": int(s), "a": float(v)} for s, v in zip(steps, values, strict=True)])
    from geophone.prove.truth import read_truth

    truth = read_truth(tmp_path, steps)
    assert truth.events[0].t50 == pytest.approx(500, abs=3) and truth.planted == (30,)
    assert truth.samples["a"].tolist() == [True, False] and list(read_clock(tmp_path).columns) == ["a"]
