"""Anybody's run is dug: what a subject gives is what the tools see, and what is missing is said before any work."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import geophone as gp
from geophone.dig.prose import moments_said
from geophone.dig.run import dig
from geophone.dig.samples import answers, samples_of
from geophone.dig.scoring import SampleScoring, default_score
from geophone.dig.steps import moments_had
from geophone.dig.subject import named_subject, specimen_of
from geophone.errors import InputError
from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import checkpoint_files
from geophone.records import Window

OPTIONS = gp.DigOptions(per_class=20, units=2, steps=2)
STEPS = (5, 20, 40)


class Own(nn.Module):
    """A network of nobody's zoo."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3), nn.ReLU())
        self.out = nn.Linear(8 * 16, 3)

    def forward(self, x):
        return self.out(self.second(self.first(x)).flatten(1))


def images():
    """Bars of three directions."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 3
    x = 0.3 * torch.randn(120, 1, 8, 8, generator=rng)
    x[y == 0, :, 3], x[y == 1, :, :, 3] = 2.0, 2.0
    return x, y


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run of one's own loop, its weights kept at three steps."""
    torch.manual_seed(0)
    folder, model, (x, y) = tmp_path_factory.mktemp("own"), Own(), images()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with gp.Recorder(model, x[:64], out=folder / "runs" / "bars", every=5) as recorder:
        for step in range(1, 41):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step in STEPS:
                recorder.checkpoint()
    return gp.open(folder / "runs" / "bars"), model.eval()


SUBJECT = gp.Subject(model=Own, data=images)


def specimen(run, subject=SUBJECT, per_class=20):
    return specimen_of(run, subject, rng=np.random.default_rng(0), per_class=per_class)


def test_the_networks_are_those_that_were_kept_and_untrained_ones_differ(own):
    run, model = own
    seen = specimen(run)
    x, y = images()
    networks = seen.at([40, 5])
    torch.testing.assert_close(networks[40](x), model(x))
    assert seen.kept == STEPS and seen.kind == "image" and not networks[5].training
    first, second, again = seen.untrained(0), seen.untrained(1), seen.untrained(0)
    assert torch.equal(first(x), again(x)) and not torch.equal(first(x), second(x))
    score = seen.score(model(x), y)
    torch.testing.assert_close(score, model(x).softmax(1)[torch.arange(120), y].detach())


def test_moments_move_to_the_weights_that_were_kept_and_a_window_between_two_is_none(own):
    seen = specimen(own[0])
    had = moments_had(seen, {"target": {"before": 7, "during": 18, "after": 30}, "earlier": {"before": 1, "after": 2}})
    assert had.nearest["target"] == {"before": 5, "during": 20, "after": 20}
    assert had.steps == {"target": {"before": 5, "after": 20}}
    assert moments_said(had) == [
        "The target is dug at 5 and 20, where weights were kept nearest to 7, 18 and 30: up to 10 steps away.",
        "The target is dug before and after alone: step 20 is its after and its during.",
        "The control before it could not be dug: of steps 1 and 2 the weights that were kept nearest are those of 5, "
        "one network, where a control wants two. It wants weights of 1 and of 2, or near these and apart from the "
        "target's.",
    ]
    with pytest.raises(InputError, match="kept weights at step 5, 20, 40 only"):
        moments_had(seen, {"target": {"before": 33, "during": 38, "after": 40}})
    free = moments_had(replace(seen, kept=None), {"target": {"before": 33, "after": 34}})
    assert free.steps["target"]["after"] == 34 and moments_said(free) == []


def test_a_control_that_meets_the_target_where_weights_were_kept_is_not_dug(own):
    seen = replace(specimen(own[0]), kept=(650, 680, 825))
    target = {"before": 655, "during": 655, "after": 695}
    had = moments_had(seen, {"target": target, "later": {"before": 710, "during": 710, "after": 755}})
    assert had.nearest["later"] == {"before": 680, "during": 680, "after": 825}
    assert had.steps == {"target": {"before": 650, "after": 680}}
    assert moments_said(had)[-1] == (
        "The control after it could not be dug: of steps 710 and 755 the weights that were kept nearest are those of "
        "680 and 825, and the target is dug at 650 to 680. It wants weights of 710 and of 755, or near these and apart "
        "from the target's."
    )
    more = moments_had(replace(seen, kept=(650, 680, 720, 760)), had.asked)
    assert more.steps["later"] == {"before": 720, "after": 760}


def test_the_notes_of_a_dig_say_which_moments_it_has_and_which_not(own):
    run, _ = own
    target = gp.Target(
        1, run.name, "second", 1, "stable_rank", Window(6, 19, 22), None, Window(27, 28, 36), "naive", 1.0, "planted."
    )
    made = dig(run, target, options=OPTIONS, subject=SUBJECT)
    assert made.steps == {"target": {"before": 5, "after": 20}}
    assert set(made["moments"]["moment"]) == {"before", "after"} and made["movers"]["during"].isna().all()
    assert "The control after it could not be dug" in made.notes and "There is no control moment" in made.notes
    assert "nothing of the kind happens" not in made.notes and made["swap"]["control"].isna().all()
    assert "up to 2 steps away" in made.notes


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (None, r"pass subject=.*--model and --data"),
        (gp.Subject(model=lambda: nn.Sequential(nn.Linear(64, 3)), data=images), "no layer first"),
        (gp.Subject(model=lambda: 3, data=images), "must return a torch.nn.Module"),
        (gp.Subject(model=Own, data=(images()[0], None)), "wants score="),
        (gp.Subject(model=Own, data=(images()[0], images()[1][:5])), "one answer for each"),
        (gp.Subject(model=Own, data=images, score=lambda output, y: output.mean()), "one number per sample"),
        (gp.Subject(model=Own, data=(images()[0], torch.zeros(120, 5))), "pass score= to compare"),
        (gp.Subject(model=Own, data=(images()[0], "words")), "next-token"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_before_any_work(own, subject, said):
    with pytest.raises(InputError, match=said):
        specimen(own[0], subject)


def test_weights_that_do_not_fit_and_parts_that_are_not_named_are_said(own):
    wrong = replace(SUBJECT, weights=lambda step: {"first.0.weight": torch.zeros(6, 1, 3, 3)})
    with pytest.raises(InputError, match="not those of the network"):
        specimen(own[0], wrong).at([5])
    with pytest.raises(InputError, match="--data module:function as well"):
        named_subject({"model": "mine:build"})


def test_a_run_that_was_measured_remembers_where_its_weights_are(own, tmp_path):
    run, model = own
    files = []
    for step, network in specimen(run).at(STEPS).items():
        files.append(tmp_path / f"step-{step}.pt")
        torch.save({"state_dict": network.state_dict()}, files[-1])
    measure(checkpoint_files(files[:2], Own), images()[0][:64], out=tmp_path / "runs" / "measured")
    measure(checkpoint_files(files, Own), images()[0][:64], out=tmp_path / "runs" / "measured")
    seen = specimen(gp.open(tmp_path / "runs" / "measured"))
    assert seen.kept == STEPS
    torch.testing.assert_close(seen.at([40])[40](images()[0]), model(images()[0]))
    for file in files:
        file.unlink()
    with pytest.raises(InputError, match="kept no weights"):
        specimen(gp.open(tmp_path / "runs" / "measured"))


REGRESSION = gp.Subject(
    model=Own, data=(images()[0], images()[0].mean((1, 2, 3))), score=lambda output, y: -((output[:, 0] - y) ** 2)
)
NO_ANSWERS = gp.Subject(model=Own, data=(images()[0], None), score=lambda output, y: -output.var(1))


@pytest.mark.parametrize(("seed", "subject"), list(enumerate([SUBJECT, REGRESSION, NO_ANSWERS])))
def test_a_run_of_ones_own_loop_is_dug_to_the_end(own, seed, subject):
    run, model = own
    window = Window(5, 20, 40)
    target = gp.Target(1, run.name, "second", 1, "stable_rank", window, None, None, "naive", 1.0, "planted.")
    made = dig(run, target, options=replace(OPTIONS, seed=seed), subject=subject)
    moments = made["moments"].set_index("moment")
    assert list(moments["step"]) == list(STEPS) and "second" in made.notes
    x, y = images()
    if subject is SUBJECT:
        right = float((model(x).argmax(1) == y).float().mean())
        assert moments.loc["after", "accuracy"] == pytest.approx(right, abs=0.07) and right > 0.9
    else:
        assert moments["accuracy"].isna().all() and np.isfinite(moments["loss"]).all()
        assert set(made["ablation"]["layer"]) == {layer.name for layer in run.layers}


class Stack(nn.Module):
    """A stream to which each block adds."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Adds(nn.Sequential(nn.Linear(12, 12), nn.Tanh())) for _ in range(2))
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Adds(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


def test_what_a_block_adds_is_dug_where_the_stream_is(tmp_path):
    torch.manual_seed(0)
    model, x = Stack(), torch.randn(80, 12)
    with gp.Recorder(model, x[:40], out=tmp_path / "runs" / "stack", every=1) as recorder:
        for step in range(3):
            model.head.weight.data.mul_(3.0)
            recorder.step(loss=1.0 / (1 + step))
            recorder.checkpoint()
    run = gp.open(tmp_path / "runs" / "stack")
    assert "blocks.1+" in [layer.name for layer in run.layers]
    target = gp.Target(
        1, run.name, "blocks.1+", 1, "stable_rank", Window(1, 2, 3), None, None, "naive", 1.0, "planted."
    )
    made = dig(run, target, options=OPTIONS, subject=gp.Subject(model=Stack, data=(x, (x[:, 0] > 0).long())))
    assert (made["units"].groupby("moment").size() == 12).all()
    assert set(made["ablation"]["layer"]) == {"blocks.0", "blocks.1", "head"}
    # Single parts, and pairs of them: always the modules, never what they add.
    parts = {each for part in made["swap"]["part"] for each in part.split(" and ")}
    assert parts <= {"blocks.0", "blocks.1", "head"}


def test_recovery_of_a_run_that_cannot_be_trained_on_is_refused_before_any_work(own):
    target = gp.Target(
        1, own[0].name, "second", 1, "stable_rank", Window(5, 20, 40), None, None, "naive", 1.0, "planted."
    )
    seen = []
    with pytest.raises(InputError, match="without recovery"):
        dig(
            own[0],
            target,
            options=replace(OPTIONS, recovery=True),
            subject=SUBJECT,
            on_moment=lambda *at: seen.append(at),
        )
    assert seen == []


def test_samples_of_own_data_are_balanced_and_real_answers_are_cut_in_equal_groups():
    x, y = torch.randn(50, 4), torch.tensor([0] * 30 + [2] * 20)
    chosen = samples_of(x, y, per_class=12)
    assert torch.bincount(chosen.y).tolist() == [12, 0, 12] and chosen.y[:4].tolist() == [0, 2, 0, 2]
    assert torch.bincount(samples_of(x, y, per_class=100).y).tolist() == [20, 0, 20]
    real = samples_of(x, x[:, 0], per_class=10)
    assert torch.bincount(real.y).tolist() == [10] * 4 and torch.equal(real.answers, x[:40, 0])
    assert real.answers[real.y == 0].max() < real.answers[real.y == 1].min()


def test_tokens_are_scored_where_they_are_asked_for():
    logits, y = torch.randn(3, 4, 7), torch.tensor([[1, -100, 2, 3], [-100] * 4, [0, 1, 2, 6]])
    by_hand = [logits[n, t].softmax(0)[y[n, t]] for n in range(3) for t in range(4) if y[n, t] >= 0]
    torch.testing.assert_close(default_score(y)(logits, y), torch.stack(by_hand))
    scoring = SampleScoring(default_score(y), own=False, labels=True)
    expected = -torch.stack(by_hand).log().mean()
    torch.testing.assert_close(scoring.loss(logits, y), expected)
    right = [logits[n, t].argmax() == y[n, t] for n in range(3) for t in range(4) if y[n, t] >= 0]
    assert float(scoring.accuracy(logits, y)) == pytest.approx(float(torch.stack(right).float().mean()))


def neox():
    torch.manual_seed(1)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(num_hidden_layers=2, num_attention_heads=2, hidden_size=16, intermediate_size=32, vocab_size=20)
    ).eval()


def test_a_language_model_of_hugging_face_is_read_by_its_logits():
    model, x = neox(), torch.randint(20, (6, 9), generator=torch.Generator().manual_seed(0))
    y = torch.cat([x[:, 1:], torch.full((6, 1), -100)], 1)
    with torch.no_grad():
        output = model(x)
    torch.testing.assert_close(default_score(y)(output, y), default_score(y)(output.logits, y))
    assert answers(model, ["gpt_neox.layers.0"], x, reduce="tokens")["gpt_neox.layers.0"].shape == (54, 16)
