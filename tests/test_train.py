"""Training is deterministic, and any step of it can be had again."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch

import geophone as gp
from geophone._train import fork, replay, replays, resume, train
from geophone.errors import InputError, ReplayError
from geophone.record.checkpoints import checkpoint_path, weights_digest
from geophone.signals.norms import total_norm
from geophone.training import Training, own_state, supervised, training_of
from geophone.zoo.catalogue import experiment
from geophone.zoo.tasks import task


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("mlp_4_mnist", out=tmp_path_factory.mktemp("runs") / "mlp", seed=3, steps=130, probe_samples=64)


def straight(steps, name="mlp_4_mnist", seed=3):
    training = training_of(experiment(name), seed=seed)
    while training.done < steps:
        training.step()
    return training.model


@pytest.mark.parametrize("step", [0, 1, 60, 100, 117, 130])
def test_any_step_comes_back_bit_for_bit(run, step):
    assert weights_digest(run.at(step)) == weights_digest(straight(step))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn_4_mnist", "vit_2_mnist"])
def test_replay_crosses_checkpoints_in_other_families(tmp_path, name):
    made = train(name, out=tmp_path / "run", steps=105, every=50, probe_samples=32)
    assert weights_digest(made.at(103)) == weights_digest(straight(103, name, seed=0))


def test_recording_changed_nothing_and_two_trainings_are_equal(run):
    assert weights_digest(straight(130)) == run.manifest.checkpoints[130]


def test_replay_leaves_the_callers_random_state_alone(run):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run.at(3)
    assert torch.equal(before, torch.get_rng_state())


def disturbed(*what):
    raise RuntimeError("the terminal is gone")


@pytest.mark.parametrize("on_step", [None, disturbed])
def test_training_gives_back_the_random_state_and_the_threads_that_it_borrowed(tmp_path, on_step):
    torch.manual_seed(5)
    before, count = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(RuntimeError) if on_step else nullcontext():
        train("mlp_1_digits", out=tmp_path / "run", steps=3, probe_samples=16, on_step=on_step)
    assert torch.equal(before, torch.get_rng_state()) and torch.get_num_threads() == count


def test_everything_that_trains_on_gives_back_what_it_borrowed(run, tmp_path):
    torch.manual_seed(5)
    before, count = torch.get_rng_state(), torch.get_num_threads()
    with own_state(threads=count + 1):
        first = torch.get_num_threads(), torch.get_rng_state()
        fork(run, at=100, index=0, steps=2, out=tmp_path / "fork")
        replays(run, [1, 101])
        with pytest.raises(InputError):
            replay(run, 1000)
        assert torch.get_num_threads() == first[0] == count + 1 and torch.equal(torch.get_rng_state(), first[1])
    assert torch.equal(before, torch.get_rng_state()) and torch.get_num_threads() == count


def by_hand(model, draw, seed, fork, steps, rate):
    """SGD written out, and at the last step the norms of each tensor by NumPy."""
    for step in range(1, steps + 1):
        x, y = draw(np.random.default_rng([seed, step, *([] if fork is None else [1 + fork])]), step)
        loss = torch.nn.functional.mse_loss(model(x), y)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= rate * gradient
    return float(loss.detach()), [g.numpy() for g in gradients]


@pytest.mark.parametrize("order", [None, 0, 2])
def test_an_update_and_its_norms_are_those_of_a_loop_written_out(order):
    def network():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))

    def draw(rng, step):
        x = torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32))
        return x, step * x.sum(1, keepdim=True)

    model, other = network(), network()
    objective = supervised(model, draw, torch.nn.functional.mse_loss)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    training = Training(model, sgd, objective, 7, layers=("2", "0"), fork=order)
    for _ in range(3):
        assert set(training.step().scalars) == {"loss"}
    update = training.step(norms=True)
    loss, gradients = by_hand(other, draw, 7, order, 4, 0.01)
    assert update.loss == pytest.approx(loss, rel=1e-6) and training.done == 4
    first, last = (np.sqrt(sum((g**2).sum() for g in part)) for part in (gradients[:2], gradients[2:]))
    assert update.scalars["gradient_norm"] == pytest.approx(np.hypot(first, last), rel=1e-6)
    assert update.layer_norms["gradient_norm"] == pytest.approx([last, first], rel=1e-6)
    assert update.scalars["update_norm"] == pytest.approx(0.01 * np.hypot(first, last), rel=1e-4)
    weights = np.concatenate([p.detach().numpy().ravel() for p in other.parameters()])
    assert update.scalars["weight_norm"] == pytest.approx(np.linalg.norm(weights), rel=1e-6)
    assert np.hypot(*update.layer_norms["weight_norm"]) == pytest.approx(np.linalg.norm(weights), rel=1e-6)


def test_training_can_go_on_from_a_checkpoint(run):
    training = resume(run, 100)
    while training.done < 130:
        training.step()
    assert weights_digest(training.model) == run.manifest.checkpoints[130]


def test_every_layer_has_every_measurement_and_scalars_are_true(run):
    series = run.series("participation_ratio")
    assert list(series.index) == list(range(5, 131, 5))
    assert series.notna().all().all()
    scalars = run.scalars()
    assert list(scalars.index) == list(range(1, 131))
    measured = scalars[scalars["index"].notna()]
    assert measured[["gradient_norm", "weight_norm", "update_norm"]].notna().all().all()
    weights = total_norm([p.detach() for p in run.at(50).parameters()])
    assert measured.loc[50, "weight_norm"] == pytest.approx(weights, rel=1e-6)
    moved = [a.detach() - b.detach() for a, b in zip(run.at(50).parameters(), run.at(49).parameters(), strict=True)]
    assert measured.loc[50, "update_norm"] == pytest.approx(total_norm(moved), rel=1e-5)
    assert run.manifest.results["test_accuracy"] > 0.8


def test_the_series_is_that_of_the_replayed_network(run):
    layer = run.layers[1]
    probe = task(experiment("mlp_4_mnist").task).probe(64)[0]
    model = run.at(75)
    with torch.no_grad(), gp.ActivationCapture(model, [layer.name]) as capture:
        model(probe)
    expected = gp.dimensions(capture[layer.name])["effective_rank"]
    assert run.series("effective_rank")[layer.name].loc[75] == pytest.approx(expected, rel=1e-9)


def test_a_step_outside_the_run_and_unknown_names_are_refused(run, tmp_path):
    with pytest.raises(InputError, match="from step 0 to 130"):
        run.at(131)
    with pytest.raises(InputError, match="did you mean"):
        train("mlp_mnist", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_weights_that_do_not_match_their_digest_are_an_error(tmp_path):
    made = train("mlp_4_mnist", out=tmp_path / "run", steps=3, probe_samples=16)
    path = tmp_path / "run" / "run.json"
    raw = json.loads(path.read_text())
    raw["checkpoints"]["0"] = "0" * 16
    path.write_text(json.dumps(raw))
    with pytest.raises(ReplayError, match="came out with weights"):
        gp.open(tmp_path / "run").at(2)
    checkpoint_path(made.folder, 0).write_bytes(b"short")
    with pytest.raises(gp.GeophoneError, match="damaged"):
        made.at(2)


def test_a_fork_says_which_it_is_and_has_minibatches_of_its_own(run, tmp_path):
    forks = [fork(run, at=100, index=index, steps=4, out=tmp_path / str(index)) for index in (0, 2)]
    assert [made.manifest.about["fork"] for made in forks] == [
        {"of": run.name, "at": 100, "index": index} for index in (0, 2)
    ]
    for made, index in zip(forks, (0, 2), strict=True):
        training = resume(run, 100)
        training.fork = index
        while training.done < 104:
            training.step()
        assert made.manifest.checkpoints[104] == weights_digest(training.model)
    # Gone on with from its own checkpoint, it is still the fork that it was.
    assert resume(forks[1], 100).fork == 2
    assert len({weights_digest(made.at(103)) for made in (*forks, run)}) == 3
