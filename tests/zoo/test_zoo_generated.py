"""Generated tasks: every label is what its definition says, recomputed here from the input."""

import numpy as np
import pytest
import torch

from geophone.errors import InputError
from geophone.zoo import data
from geophone.zoo.generated import UNSCORED, MarkovChains, Repeats, SparseParities, Windows
from geophone.zoo.tasks import task


def periods(x, y):
    """Period of each sequence, read off from where the targets begin to count."""
    return (y != UNSCORED).int().argmax(1)


def test_sequences_repeat_with_their_period_and_with_no_shorter_one():
    x, y = Repeats()(np.random.default_rng(0), 500)
    for tokens, answers, period in zip(x, y, periods(x, y), strict=True):
        full = torch.cat([tokens, answers[-1:]])
        assert torch.equal(full[period:], full[:-period])
        assert not any(torch.equal(full[p:], full[:-p]) for p in range(1, int(period)))
        assert torch.equal(answers[period:], full[period + 1 :])
        assert (answers[:period] == UNSCORED).all()


def test_periods_are_uniform_over_a_quarter_to_a_half_of_the_length():
    found = periods(*Repeats()(np.random.default_rng(1), 13_000)).numpy()
    counts = np.bincount(found, minlength=25)[12:]
    assert found.min() == 12 and found.max() == 24
    expected = 13_000 / 13
    assert ((counts - expected) ** 2 / expected).sum() < 32.9  # chi-square, 12 degrees of freedom, p = 0.001


def test_a_fixed_period_is_the_same_in_every_sequence():
    x, y = Repeats(period=17)(np.random.default_rng(2), 100)
    assert set(periods(x, y).tolist()) == {17}
    assert torch.equal(x[:, 17:], x[:, :-17])


@pytest.mark.parametrize(
    "make, wanted",
    [
        (lambda: Repeats(period=48), "1 to 47"),
        (lambda: Repeats(length=3), "4 or more"),
        (lambda: Windows(torch.zeros(2, 10, dtype=torch.int64), length=10), "rows of 10"),
        (lambda: SparseParities(tasks=8, bits=4, parity=3), "fewer tasks"),
    ],
)
def test_what_cannot_be_made_is_refused(make, wanted):
    with pytest.raises(InputError, match=wanted):
        make()


def test_walks_follow_their_transition_matrix():
    matrix = np.array([[0.7, 0.2, 0.1], [0.05, 0.15, 0.8], [0.3, 0.6, 0.1]])
    states = MarkovChains().walk(np.repeat(matrix[None], 4000, 0), np.random.default_rng(0))
    counts = np.zeros((3, 3))
    np.add.at(counts, (states[:, :-1].ravel(), states[:, 1:].ravel()), 1)
    assert np.abs(counts / counts.sum(1, keepdims=True) - matrix).max() < 0.01
    assert np.abs(np.bincount(states[:, 0]) / 4000 - 1 / 3).max() < 0.03


def test_each_sequence_has_a_chain_of_its_own_and_targets_are_the_next_states():
    x, y = MarkovChains()(np.random.default_rng(0), 3000)
    assert torch.equal(x[:, 1:], y[:, :-1])
    stays = (x == y).float().mean(1).numpy()
    # With Dirichlet(1, 1, 1) rows the chance of staying differs from chain to chain; with one common chain of
    # 64 steps its deviation would be below 0.0625.
    assert stays.std() > 0.1
    assert float((x[:, 0] == y[:, 0]).float().mean()) == pytest.approx(1 / 3, abs=0.03)


def test_parity_is_that_of_the_task_s_own_bits():
    parities = SparseParities()
    x, y = parities(np.random.default_rng(0), 4000)
    x, y, subsets = x.numpy().astype(int), y.numpy(), parities.subsets
    asked = x[:, :8].argmax(1)
    assert (x[:, :8].sum(1) == 1).all()
    for task_number in range(8):
        mine = asked == task_number
        bits = x[mine][:, 8:][:, subsets[task_number]]
        assert (y[mine] == bits[:, 0] ^ bits[:, 1] ^ bits[:, 2]).all()
    assert len({tuple(s) for s in subsets}) == 8
    assert abs(y.mean() - 0.5) < 0.03 and np.abs(x[:, 8:].mean(0) - 0.5).max() < 0.04


def test_parity_tasks_are_asked_for_by_a_power_law():
    x, _ = SparseParities()(np.random.default_rng(0), 50_000)
    share = x[:, :8].mean(0).numpy()
    expected = np.arange(1, 9) ** -1.4
    assert np.abs(share - expected / expected.sum()).max() < 0.01


def test_modular_sums_hold_every_pair_once_and_its_sum():
    split = data.modular_sums()
    pairs = torch.cat([split.train_x, split.test_x, split.probe_x])
    sums = torch.cat([split.train_y, split.test_y, split.probe_y])
    assert torch.equal(pairs.sum(1) % 59, sums)
    assert len(pairs) == 59**2 == len({tuple(p) for p in pairs.tolist()})
    for y in (split.test_y, split.probe_y):
        assert torch.bincount(y).tolist() == [10] * 59


def test_text_is_english_and_its_parts_share_no_block():
    text = data.english()
    words = "".join(text.symbols[i] for i in text.train.flatten().tolist())
    assert words.count(" the ") > 1500 and len(words) > 250_000
    parts = [{tuple(b) for b in part.tolist()} for part in (text.train, text.test, text.probe)]
    assert len(set.union(*parts)) == sum(map(len, parts))
    held_out = {
        w.tobytes() for part in (text.test, text.probe) for w in Windows(part).all(rng(0))[0].to(torch.uint8).numpy()
    }
    train = text.train.to(torch.uint8).numpy()
    seen = {block[i : i + 64].tobytes() for block in train for i in range(1300 - 63)}
    assert len(held_out & seen) < 0.02 * len(held_out)


def rng(*seed):
    return np.random.default_rng(seed)


def test_a_window_s_targets_are_the_characters_after_it():
    blocks = torch.arange(3 * 1300).reshape(3, 1300)
    x, y = Windows(blocks)(rng(0), 200)
    assert torch.equal(y, x + 1)
    assert torch.equal(x // 1300, (y // 1300))
    assert set((x[:, 0] // 1300).tolist()) == {0, 1, 2}
    every, _ = Windows(blocks).all(rng(0))
    assert len(every) == 60 and len(every.flatten().unique()) == 60 * 64


@pytest.mark.parametrize("name", ["repeats", "markov", "text", "modular", "parity"])
def test_a_batch_depends_on_its_generator_alone_and_held_out_samples_are_others(name):
    this = task(name)
    x, y = this.batch(rng(3, 7), 32)
    this.batch(rng(3, 8), 32)
    again, answers = this.batch(rng(3, 7), 32)
    assert torch.equal(x, again) and torch.equal(y, answers)
    assert not torch.equal(x, this.batch(rng(3, 8), 32)[0])
    first, second, test = this.probe(256)[0], this.probe(256, second=True)[0], this.test()[0]
    assert torch.equal(first, this.probe(256)[0]) and torch.equal(first[:64], this.probe(64)[0])
    seen = {tuple(s) for s in x.tolist()}
    one, two = ({tuple(s) for s in part.tolist()} for part in (first, second))
    assert not one & two and not seen & (one | two | {tuple(s) for s in test.tolist()})


def test_accuracy_and_loss_leave_out_unscored_answers():
    repeats = task("repeats")
    _, y = repeats.batch(rng(0), 8)
    output = torch.zeros(8, 48, 32)
    output[..., 0] = -1.0
    output.scatter_(2, y.clamp(min=0)[..., None], 50.0)
    output[y == UNSCORED] = torch.randn(int((y == UNSCORED).sum()), 32)
    assert float(repeats.accuracy(output, y)) == 1.0
    assert float(repeats.loss(output, y)) < 1e-6


@pytest.mark.parametrize("name", ["repeats", "markov", "text", "parity", "shapes", "mnist", "digits", "modular"])
def test_chance_is_what_the_best_constant_answer_gets(name):
    this = task(name)
    y = this.test()[1]
    counts = torch.bincount(y[y != UNSCORED], minlength=this.classes)
    assert float(counts.max() / counts.sum()) == pytest.approx(this.chance, abs=0.04)
    constant = torch.zeros(*y.shape, this.classes)
    constant[..., counts.argmax()] = 1.0
    assert float(this.accuracy(constant, y)) == pytest.approx(float(counts.max() / counts.sum()), abs=1e-6)
