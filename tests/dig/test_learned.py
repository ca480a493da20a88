"""What was learned at a dig: planted groups of samples, what they share, and what is read through the head."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from geophone.dig.exhibits import _examples
from geophone.dig.learned import learned
from geophone.dig.pictures import patterns_sheet
from geophone.dig.prose import heads_formed
from geophone.dig.samples import SampleSet, samples_of
from geophone.dig.scoring import SampleScoring, default_score
from geophone.dig.subject import Specimen
from geophone.record.anatomy import anatomy_of
from geophone.rows import DUG
from geophone.rows.model import misfit
from geophone.zoo.transformer import Decoder

AT = {"before": 0, "during": 10, "after": 20}


def specimen(model, x, y, layers, names=None):
    score = default_score(y)
    return Specimen(
        "planted", layers, SampleScoring(score, own=False, labels=True), score, SampleSet(x, y, 0, len(x)),
        lambda steps: {}, lambda number: model, anatomy_of(model), names,
    )  # fmt: skip


class Table(nn.Module):
    """The logits of every class, looked up by the input's number; `stream` is a layer that passes them on."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits, dtype=torch.float32))
        self.stream = nn.Identity()

    def forward(self, x):
        return self.stream(self.logits[x[:, 0].long()])


def skill(*known):
    """Ten samples of each of five classes; those of `known` are answered with p near 1, by others with 1/5."""
    y = torch.arange(50) % 5
    sure = 9.0 * nn.functional.one_hot(y, 5)
    return Table(torch.where(torch.isin(y, torch.tensor(known))[:, None], sure, torch.zeros(5))).eval()


def test_classes_learned_one_after_the_other_are_two_groups_named_by_their_class():
    x, y = torch.arange(50.0)[:, None], torch.arange(50) % 5
    models = {0: skill(0), 10: skill(0, 3), 20: skill(0, 3, 4)}
    found = learned(
        specimen(models[0], x, y, ("stream",)), models, {"target": AT}, "stream", rng=np.random.default_rng(0)
    )
    rows = found.movers
    assert misfit(rows, DUG["movers"]) is None and found.scored == 50
    assert sorted(rows["sample"]) == sorted(np.flatnonzero(np.isin(y, [3, 4])))
    by_group = {g: set(own["label"]) for g, own in rows.groupby("group")}
    assert sorted(map(tuple, by_group.values())) == [(3,), (4,)]
    assert {found.groups[g].what for g in by_group} == {"of label 3", "of label 4"}
    assert found.shared.what in ("of label 3 or 4", "of label 4 or 3") and found.shared.others == 0
    # From 1/5 each to p = e^9 / (e^9 + 4) of the right one.
    p = np.exp(9) / (np.exp(9) + 4)
    assert rows["before"].to_numpy() == pytest.approx(0.2) and rows["after"].to_numpy() == pytest.approx(p)
    kl = p * np.log(5 * p) + (1 - p) * np.log(5 * (1 - p) / 4)
    assert rows["kl"].to_numpy() == pytest.approx(kl, rel=1e-4)
    assert "raised" not in rows  # no language model
    assert (rows["position"] == -1).all() and found.layer == "stream"


def test_where_nothing_moved_there_are_no_samples():
    x, y = torch.arange(50.0)[:, None], torch.arange(50) % 5
    models = dict.fromkeys((0, 10, 20), skill(0))
    found = learned(
        specimen(models[0], x, y, ("stream",)), models, {"target": AT}, "stream", rng=np.random.default_rng(0)
    )
    assert found.movers.empty and found.shared is None and misfit(found.movers, DUG["movers"]) is None


@pytest.fixture(scope="module")
def decoder():
    """Two decoders with fresh weights: before and after, of which the second defines the right answers."""
    torch.manual_seed(0)
    before = Decoder(7, 7, length=6, width=16, heads=2, depth=2, mlp=False).eval()
    torch.manual_seed(1)
    after = Decoder(7, 7, length=6, width=16, heads=2, depth=2, mlp=False).eval()
    return before, after


def test_the_last_block_read_through_the_head_is_the_output_itself(decoder):
    before, after = decoder
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.integers(7, size=(40, 6)))
    with torch.no_grad():
        y = after(x).argmax(-1)  # the second network answers best what it says anyway
    models = {0: before, 10: before, 20: after}
    subject = specimen(before, x, y, ("blocks.0", "blocks.1"), names=list("abcdefg"))
    rows = learned(subject, models, {"target": AT}, "blocks.1", rng=rng).movers
    assert len(rows) and misfit(rows, DUG["movers"]) is None
    assert rows["lens_before"].to_numpy() == pytest.approx(rows["before"].to_numpy(), abs=1e-6)
    assert rows["lens_after"].to_numpy() == pytest.approx(rows["after"].to_numpy(), abs=1e-6)
    # Against logits taken by hand: the divergence of one sample, and the place of its token among those raised.
    row = next(rows.itertuples())
    with torch.no_grad():
        old, new = (torch.softmax(m(x)[row.sample, row.position].double(), -1) for m in (before, after))
        streams = [m.blocks[1](m.blocks[0](m.embed(x)))[row.sample, row.position] for m in (before, after)]
        raised = after.head(after.norm(streams[1])) - after.head(after.norm(streams[0]))
    assert row.kl == pytest.approx(float((new * (new / old).log()).sum()), rel=1e-4)
    assert row.raised == 1 + int((raised > raised[int(row.label)]).sum())


def test_examples_mark_the_right_token(decoder):
    before, after = decoder
    x = torch.from_numpy(np.random.default_rng(4).integers(7, size=(40, 6)))
    with torch.no_grad():
        y = after(x).argmax(-1)
    subject = specimen(before, x, y, ("blocks.1",), names=list("abcdefg"))
    found = learned(
        subject, {0: before, 10: before, 20: after}, {"target": AT}, "blocks.1", rng=np.random.default_rng(0)
    )
    row, said = next(found.movers.itertuples()), _examples(subject, found)[1][0]
    text = "".join("abcdefg"[t] for t in x[row.sample, : row.position + 1])
    assert said == f"`{text}[{'abcdefg'[row.label]}]` {row.before:.2f} to {row.after:.2f}"


@pytest.mark.parametrize("family", ["neox", "gpt2", "llama"])
def test_the_lens_of_hugging_face_decoders_agrees_with_their_output(family):
    import transformers

    torch.manual_seed(0)
    given = {"vocab_size": 20, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    model = {
        "neox": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(intermediate_size=32, **given)),
        "gpt2": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=20, n_embd=16, n_head=2, n_layer=2)
        ),
        "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(intermediate_size=32, **given)),
    }[family]().eval()
    x = torch.arange(12).view(2, 6)
    with torch.no_grad():
        seen = []
        blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList))
        handle = blocks[-1].register_forward_hook(
            lambda m, i, o: seen.append(o if isinstance(o, torch.Tensor) else o[0])
        )
        logits = model(x).logits
        handle.remove()
    read = anatomy_of(model).unembedded(model, seen[0])
    assert read.numpy() == pytest.approx(logits.numpy(), abs=1e-5)
    assert anatomy_of(model).unembedded(model, torch.zeros(3, 5)) is None


def test_an_encoder_has_no_lens():
    import transformers

    config = transformers.BertConfig(
        vocab_size=20, hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=32
    )
    model = transformers.BertForMaskedLM(config).eval()
    assert anatomy_of(model).unembedded(model, torch.zeros(3, 16)) is None


def test_heads_that_became_something_are_said_by_layer():
    heads = pd.DataFrame(
        [("b.1", 2, "untyped", "induction", 0.71), ("b.1", 0, "untyped", "induction", 0.5),
         ("b.0", 1, "untyped", "previous token", 0.9), ("b.0", 3, "induction", "untyped", 0.2)],
        columns=["layer", "head", "was", "became", "score"],
    )  # fmt: skip
    assert heads_formed(heads) == (
        "heads 2 (0.71) and 0 (0.50) of b.1 became induction heads, head 1 (0.90) of b.0 became a previous token head"
    )


def test_patterns_of_heads_are_drawn_from_white_to_dark_a_row_per_moment():
    patterns = np.zeros((2, 2, 3, 3))
    patterns[0, 1] = np.eye(3)
    sheet = patterns_sheet(patterns, tile=6)
    side = 3 * 2 + 2
    assert sheet.shape == (2 * side + 2, 2 * side + 2, 3)
    right = sheet[1 : side - 1, side + 3 : 2 * side + 1]
    assert (right[:2, :2] == right[-1, -1]).all() and right[0, 0].tolist() == [8, 48, 107]
    assert (sheet[1 : side - 1, 1 : side - 1] == 255).all()


def test_movers_are_named_by_their_rows_in_the_data_and_by_the_side_that_was_pointed_at():
    """Of the user's own data as many of each class are taken as the rarest has, interleaved."""
    y = torch.tensor([0] * 30 + [1] * 20)
    x = torch.arange(50.0)[:, None]
    samples = samples_of(x, y)
    assert samples.rows.tolist()[:4] == [0, 30, 1, 31] and torch.equal(samples.x, x[samples.rows])

    def table(*known):
        sure = 9.0 * nn.functional.one_hot(y, 2)
        return Table(torch.where(torch.isin(y, torch.tensor(known))[:, None], sure, torch.zeros(2))).eval()

    score = default_score(samples.y)
    subject = Specimen(
        "planted", ("stream",), SampleScoring(score, own=False, labels=True), score, samples, lambda steps: {},
        lambda number: table(0), anatomy_of(table(0)), None,
    )  # fmt: skip
    models, steps = {0: table(0), 10: table(0), 20: table(1)}, {"target": AT, "later": {"during": 70}}
    for sign, label in ((1, 1), (-1, 0)):
        found = learned(subject, models, steps, "stream", rng=np.random.default_rng(0), sign=sign)
        rows = found.movers
        assert set(rows["label"]) == {label} and found.controls == (70,)
        assert rows["row"].tolist() == samples.rows[rows["sample"].to_list()].tolist()
        assert (y[rows["row"].to_list()] == label).all()
