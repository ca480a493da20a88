"""The testbeds against theory, where there is one, and against what each of them is made to be."""

import numpy as np
import pytest
import torch

from geophone.errors import InputError
from geophone.prove.bed import Turns, record
from geophone.prove.events import event_list
from geophone.prove.runs import BEDS, Crew, Trial, setting_of, train_all
from geophone.prove.testbeds import deep_linear, induction, markov, parity, planted
from geophone.store.run import Run
from geophone.store.tables import read_table
from geophone.zoo.generated import MarkovChains, Repeats, SparseParities

STRENGTHS = (5.0, 3.0, 2.0, 1.0)


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """The exact deep linear network: N = 32, s = (5, 3, 2, 1), rate .005, balanced with u0 = 1e-3."""
    out = tmp_path_factory.mktemp("exact") / "run"
    setting = deep_linear.balanced(STRENGTHS, start=1e-3, steps=1000, seed=0, every=10)
    record(setting, out=out, name="deep_linear", seed=0, tell=lambda done, of: None)
    return out


def test_deep_linear_modes_are_learned_when_theory_says(exact):
    theory = deep_linear.learning_times(STRENGTHS, rate=0.005, start=1e-3)
    assert theory == pytest.approx([170.3, 266.9, 380.0, 690.7], abs=0.5)
    seen = [event.t50 for event in event_list(read_table(exact / "events.parquet"))]
    assert seen == pytest.approx(list(theory), rel=0.03)


def test_hidden_stable_rank_and_participation_ratio_have_their_closed_forms(exact):
    run = Run(exact)
    scalars = run.scalars()
    modes = scalars.loc[scalars["index"].notna(), [f"curve:mode{i}" for i in range(4)]].to_numpy() * STRENGTHS
    expected = {
        "stable_rank": modes.sum(1) / modes.max(1),
        "participation_ratio": modes.sum(1) ** 2 / (modes**2).sum(1),
    }
    for name, values in expected.items():
        assert run.series(name)["hidden"].to_numpy() == pytest.approx(values, rel=0.01)
        assert values.max() > 1.5 * values.min()


def test_whitened_inputs_are_white_exactly():
    x = deep_linear.whitened(64, 8, np.random.default_rng(0)).double()
    assert torch.allclose(x.mean(0), torch.zeros(8, dtype=x.dtype), atol=1e-6)
    assert torch.allclose(x.T @ x / 64, torch.eye(8, dtype=x.dtype), atol=1e-5)
    with pytest.raises(InputError, match="whitened"):
        deep_linear.whitened(8, 8, np.random.default_rng(0))


def test_fast_parities_are_the_parities_of_the_zoo():
    task = SparseParities(exponent=0.6, seed=5)
    x, y = parity.Draw(task)(np.random.default_rng(0), 4000)
    asked, bits = x[:, : task.tasks].argmax(1).numpy(), x[:, task.tasks :].numpy()
    assert (y.numpy() == np.take_along_axis(bits, task.subsets[asked], 1).sum(1) % 2).all()
    weight = np.arange(1, 9) ** -1.6
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
    assert induction._after_last(pattern, periods) == pytest.approx(1.0)
    assert induction._after_last(torch.full((8, 2, 48, 48), 1 / 48), periods) == pytest.approx(1 / 48)


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


@pytest.mark.parametrize(("kind", "planted_times"), [("new_classes", 2), ("unfreeze", 1), ("lr3", 1), ("plain", 0)])
def test_what_is_planted_is_done_at_its_step_and_not_before(kind, planted_times):
    setting = planted.setting(3, kind=kind)
    at = setting.about["planted"]
    assert len(at) == planted_times

    def state():
        _, y = setting.batch(np.random.default_rng(0))
        frozen = [p.requires_grad for p in setting.model.layer2.parameters()]
        return int(y.max()), len(y), setting.optimizer.param_groups[0]["lr"], all(frozen)

    before = state()
    for step in range(1, (at or [400])[0]):
        setting.before_step(step)
    assert state() == before
    if at:
        setting.before_step(at[0])
        expected = {
            "new_classes": (6, *before[1:]),
            "unfreeze": (*before[:3], True),
            "lr3": (*before[:2], pytest.approx(3e-3), before[3]),
        }
        assert state() == expected[kind] and before != expected[kind]


def test_turns_are_one_minus_debiased_cka():
    from geophone.dimensions import cka
    from geophone.record.capture import ActivationCapture

    setting = setting_of(Trial("staircase", 0))
    turns, kept = Turns(setting), []
    for _ in range(6):
        with ActivationCapture(setting.model, ["layer1"]) as capture:
            setting.model(setting.probe[0])
        kept.append(capture["layer1"].clone())
        found = turns.read()
        with torch.no_grad():
            setting.model.layer1[0].weight.add_(0.02 * torch.randn(96, 30, generator=torch.Generator().manual_seed(1)))
    assert found["turn1:layer1"] == pytest.approx(1 - cka(kept[-1], kept[-2]), abs=1e-9)
    assert (
        found["turn4:layer1"] == pytest.approx(1 - cka(kept[-1], kept[-5]), abs=1e-9) and found["turn4:layer1"] > 1e-3
    )


@pytest.mark.parametrize("bed", BEDS)
def test_every_testbed_trains_reads_its_clock_and_depends_on_its_seed_alone(bed):
    losses = []
    for seed in (7, 7, 8):
        setting = setting_of(Trial(bed, seed))
        x, y = setting.batch(np.random.default_rng(1))
        losses.append(float(setting.loss(setting.model(x), y).detach()))
        with torch.no_grad():
            curves = setting.curves(setting.model)
        assert curves and np.isfinite(list(curves.values())).all()
        assert 190 <= setting.steps / setting.every <= 400
    assert losses[0] == losses[1] != losses[2]


def test_unknown_testbeds_are_named():
    with pytest.raises(InputError, match="deep_linear"):
        setting_of(Trial("grokking", 0))
    with pytest.raises(InputError, match="new_classes"):
        planted.setting(0, kind="lr9")


@pytest.mark.slow
def test_what_was_finished_is_kept_and_what_was_not_is_trained_again_to_the_same_rows(tmp_path):
    trials = [Trial("deep_linear", 1), Trial("deep_linear", 2)]
    folders = train_all(trials, tmp_path, Crew(workers=1))
    first, second = (Run(folder).scalars() for folder in folders)
    kept = (folders[0] / "run.json").stat().st_mtime_ns
    (folders[1] / "events.parquet").unlink()
    assert train_all(trials, tmp_path, Crew(workers=1)) == folders
    assert (folders[0] / "run.json").stat().st_mtime_ns == kept
    assert Run(folders[1]).scalars().equals(second) and not first["loss"].equals(second["loss"])
