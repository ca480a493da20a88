"""What a measurement says besides dimensions, held against what the network itself puts out."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.signals import CHANGES, LAYER_NORMS, cka_change, compare, represent


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Block(nn.Module):
    """A residual block, or one whose residual is added outside of it."""

    def __init__(self, width, inside):
        super().__init__()
        self.up, self.down, self.inside = nn.Linear(width, 2 * width), nn.Linear(2 * width, width), inside

    def forward(self, x):
        added = self.down(torch.tanh(self.up(x)))
        return x + added if self.inside else added


class Stream(nn.Module):
    def __init__(self, inside=True, width=12):
        super().__init__()
        self.embed = nn.Linear(6, width)
        self.blocks = nn.ModuleList([Block(width, inside) for _ in range(3)])
        self.head = nn.Linear(width, 4)
        self.inside = inside

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x) if self.inside else x + block(x)
        return self.head(x)


def fit(model, recorder, *, steps=12, seen=lambda before: None, clear=False):
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(steps):
        x = noise(32, 6, seed=100 + step)
        loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long())
        optimizer.zero_grad()
        loss.backward()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        seen(before)
        if clear:
            optimizer.zero_grad(set_to_none=True)
        recorder.step(loss=loss.item())


def recorded(folder, model, probe, *, every=3, **options):
    heard = []
    with gp.Recorder(model, probe, out=folder, every=every, **options) as recorder:
        fit(model, recorder, seen=lambda before: heard.append((before, [p.grad.clone() for p in model.parameters()])))
    return gp.open(folder), heard


PROBE = noise(40, 6)
LABELS = torch.arange(40) % 4


class TestBehaviour:
    def test_of_classes_is_the_probability_of_the_right_one_at_half_precision(self, tmp_path):
        torch.manual_seed(0)
        model = Stream()
        run, _ = recorded(tmp_path / "run", model, PROBE, labels=LABELS)
        found = run.behaviour()
        assert list(found.index) == [3, 6, 9, 12] and found.shape == (4, 40)
        with torch.no_grad():
            expected = model(PROBE).softmax(1)[torch.arange(40), LABELS].numpy()
        np.testing.assert_allclose(found.loc[12], expected, atol=2**-11)
        assert run.manifest.behaviour == {"kind": "class", "falling": False, "scored": 40}
        assert run.samples()["label"].tolist() == LABELS.tolist()

    def test_of_two_classes_may_be_one_logit(self, tmp_path):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))
        with gp.Recorder(model, PROBE, out=tmp_path / "run", every=1, labels=LABELS % 2) as recorder:
            recorder.step()
        p = torch.sigmoid(model(PROBE))[:, 0]
        expected = torch.where(LABELS % 2 == 1, p, 1 - p).detach().numpy()
        np.testing.assert_allclose(gp.open(tmp_path / "run").behaviour().loc[1], expected, atol=2**-11)

    def test_of_numbers_is_the_distance_and_falls(self, tmp_path):
        torch.manual_seed(0)
        model, answers = Stream(), noise(40, 4, seed=5)
        run, _ = recorded(tmp_path / "run", model, PROBE, labels=answers)
        expected = (model(PROBE) - answers).norm(dim=1).detach().numpy()
        np.testing.assert_allclose(run.behaviour().loc[12], expected, rtol=2**-10)
        assert run.manifest.behaviour["falling"]

    def test_may_be_a_function_of_ones_own(self, tmp_path):
        run, _ = recorded(
            tmp_path / "run", Stream(), PROBE, behaviour=lambda output, batch: output[:, 0] * 0 + batch[:, 1]
        )
        np.testing.assert_allclose(run.behaviour().loc[3], PROBE[:, 1], atol=2**-9)

    @pytest.mark.parametrize(("size", "says"), [(1e6, "beyond 65,504"), (1e-9, "nearer to zero than 6e-8")])
    @pytest.mark.parametrize("sync", [True, False])
    def test_that_half_precision_cannot_hold_is_told_once(self, tmp_path, size, says, sync):
        model = Stream()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            with gp.Recorder(
                model, PROBE, out=tmp_path / "run", every=1, sync=sync,
                behaviour=lambda output, batch: output[:, 0] * 0 + size * (1 + batch[:, 1].abs()),
            ) as recorder:  # fmt: skip
                for _ in range(3):
                    recorder.step()
        told = [str(each.message) for each in heard if "rescale" in str(each.message)]
        assert len(told) == 1 and says in told[0]

    def test_of_next_tokens_scores_real_tokens_only(self, tmp_path):
        torch.manual_seed(0)
        model = Speaker()
        tokens = torch.randint(1, 11, (20, 9), generator=torch.Generator().manual_seed(3))
        mask = (torch.arange(9)[None] < torch.arange(20)[:, None] % 6 + 3).long()
        probe = {"input_ids": tokens * mask, "attention_mask": mask}
        with gp.Recorder(model, probe, out=tmp_path / "run", every=1, labels="next-token") as recorder:
            recorder.step()
        run = gp.open(tmp_path / "run")
        samples, found = run.samples(), run.behaviour().loc[1].to_numpy()
        assert len(samples) == int((mask[:, 1:] > 0).sum())
        with torch.no_grad():
            p = model(**probe).softmax(-1)
        for row, value in zip(samples.itertuples(), found, strict=True):
            assert mask[row.sample, row.position + 1] == 1
            assert row.label == tokens[row.sample, row.position + 1]
            assert value == pytest.approx(float(p[row.sample, row.position, row.label]), abs=2**-11)
        kept = run.tokens()
        np.testing.assert_array_equal(kept["token"].to_numpy().reshape(20, 9), probe["input_ids"])
        np.testing.assert_array_equal(kept["real"].to_numpy().reshape(20, 9), mask > 0)
        assert "text" not in kept

    @pytest.mark.parametrize("kind", ["sequence", "mapping", "function"])
    def test_tokens_have_their_texts_where_these_are_told(self, tmp_path, kind):
        words = [f"w{i}<b>" for i in range(11)]
        texts = {"sequence": words, "mapping": dict(enumerate(words)), "function": lambda ids: [words[i] for i in ids]}
        tokens = torch.randint(1, 11, (20, 9), generator=torch.Generator().manual_seed(3))
        with gp.Recorder(
            Speaker(), {"input_ids": tokens}, out=tmp_path / "run", every=1, labels="next-token", texts=texts[kind]
        ):
            pass
        kept = gp.open(tmp_path / "run").tokens()
        assert kept["text"].tolist() == [words[token] for token in kept["token"]]

    @pytest.mark.parametrize("texts", [["a", "b"], {1: "a"}, lambda ids: ["a"]])
    def test_texts_that_lack_a_token_are_refused(self, tmp_path, texts):
        tokens = torch.randint(1, 11, (20, 9), generator=torch.Generator().manual_seed(3))
        with pytest.raises(InputError, match="texts="):
            gp.Recorder(Speaker(), {"input_ids": tokens}, out=tmp_path / "run", labels="next-token", texts=texts)
        assert not (tmp_path / "run").exists()

    def test_of_positions_leaves_unscored_ones_out(self, tmp_path):
        model, tokens = Speaker(), torch.randint(1, 11, (20, 9))
        labels = torch.where(torch.arange(9)[None] % 2 == 0, tokens, -100)
        with gp.Recorder(model, {"input_ids": tokens}, out=tmp_path / "run", every=1, labels=labels) as recorder:
            recorder.step()
        samples = gp.open(tmp_path / "run").samples()
        assert len(samples) == 20 * 5 and set(samples["position"] % 2) == {0}

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"labels": LABELS[:7]}, "7 labels, the probe 40 samples"),
            ({"labels": LABELS + 4}, "from 4 to 7; outputs: 4 classes"),
            ({"labels": "next"}, "labels='next'"),
            ({"labels": "next-token"}, "token numbers"),
            ({"labels": LABELS, "behaviour": lambda o, b: o[:, 0]}, "one of the two"),
            ({"behaviour": lambda o, b: o}, "one number per sample"),
            ({"concepts": {"even": LABELS[:9]}}, "'even' has shape"),
            ({"concepts": {"even": LABELS * 0}}, "two different labels"),
        ],
    )
    def test_what_does_not_fit_is_refused_before_anything_is_written(self, tmp_path, options, says):
        with pytest.raises(InputError, match=says):
            gp.Recorder(Stream(), PROBE, out=tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()

    def test_in_band_there_are_no_samples_to_speak_of(self, tmp_path):
        with pytest.raises(InputError, match="labels, concepts: goes with a probe"):
            gp.Recorder(Stream(), "batch", out=tmp_path / "run", labels=LABELS, concepts={"even": LABELS % 2})
        model = Stream()
        with gp.Recorder(model, "batch", out=tmp_path / "run", every=3) as recorder:
            fit(model, recorder)
        run = gp.open(tmp_path / "run")
        assert set(run.signals()) == set(LAYER_NORMS)
        with pytest.raises(InputError, match="holds no behaviour"):
            run.behaviour()


class Speaker(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.blocks = nn.ModuleList([Block(8, True) for _ in range(2)])
        self.head = nn.Linear(8, 11)

    def forward(self, input_ids, attention_mask=None):
        x = self.embed(input_ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class TestUpdates:
    def test_what_a_block_adds_is_a_layer_of_its_own(self, tmp_path):
        torch.manual_seed(0)
        model = Stream()
        run, _ = recorded(tmp_path / "run", model, PROBE)
        names = [layer.name for layer in run.layers]
        assert names == ["embed", "blocks.0", "blocks.0+", "blocks.1", "blocks.1+", "blocks.2", "blocks.2+", "head"]
        assert [layer.depth for layer in run.layers] == [0, 1, 1, 2, 2, 3, 3, 4]
        with torch.no_grad():
            before = model.blocks[0](model.embed(PROBE))
            added = model.blocks[1](before) - before
        for name, value in gp.dimensions(added).items():
            assert run.series(name)["blocks.1+"].loc[12] == pytest.approx(value, rel=1e-5), name

    def test_a_block_whose_residual_is_added_outside_has_none(self):
        layers = gp.layers(Stream(inside=False), PROBE)
        assert [layer.name for layer in layers] == ["embed", "blocks.0", "blocks.1", "blocks.2", "head"]
        assert layers.updates == ()

    def test_named_layers_have_those_that_are_named(self):
        def names(**options):
            layers = gp.layers(Stream(), PROBE, **options)
            return [layer.name for layer in (*layers, *layers.updates)]

        assert names(layers=["blocks.1", "blocks.1+", "blocks.2+"]) == ["blocks.1", "blocks.1+", "blocks.2+"]
        assert names(layers=["blocks.1", "head"], updates=True) == ["blocks.1", "head", "blocks.1+"]
        assert not any(name.endswith("+") for name in names(updates=False))


def test_norms_are_those_of_the_parameters_layer_by_layer_and_over_all(tmp_path):
    torch.manual_seed(0)
    model = Stream()
    run, heard = recorded(tmp_path / "run", model, PROBE)
    before, gradients = heard[-1]
    after = [p.detach() for p in model.parameters()]
    truth = {"gradient_norm": gradients, "weight_norm": after,
             "update_norm": [a - b for a, b in zip(after, before, strict=True)]}  # fmt: skip
    own = {name: i for i, (name, _) in enumerate(model.named_parameters())}
    for kind, tensors in truth.items():
        norm = lambda names: float(sum(tensors[own[n]].double().square().sum() for n in names) ** 0.5)  # noqa: E731, B023
        assert run.scalars().loc[12, kind] == pytest.approx(norm(own), rel=1e-5)
        each = run.signals()[f"layer_{kind}"].loc[12]
        assert each["blocks.1"] == pytest.approx(norm(n for n in own if n.startswith("blocks.1.")), rel=1e-5)
        assert each["head"] == pytest.approx(norm(["head.weight", "head.bias"]), rel=1e-5)
    with gp.Recorder(model, PROBE, out=tmp_path / "again", every=1) as recorder:
        fit(model, recorder, steps=3, clear=True)
    again = gp.open(tmp_path / "again")
    assert "gradient_norm" not in again.scalars() and again.scalars()["update_norm"].notna().all()


@pytest.mark.parametrize("together", [2**22, 2**10])
def test_the_update_of_a_large_tensor_is_told_from_some_of_its_entries(tmp_path, monkeypatch, together):
    """Of fewer, where those of all tensors would be too many."""
    monkeypatch.setattr("geophone.record.norms._TOGETHER", together)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.Linear(40, 30_000))
    with gp.Recorder(model, PROBE, out=tmp_path / "run", every=1, layers=["0", "1"]) as recorder:
        move = noise(30_000, 40, seed=7) * 1e-3
        with torch.no_grad():
            model[1].weight += move
        kept = sum(len(part) for part in recorder._work._norms._before.values() if part.ndim == 1)
        recorder.step()
    assert kept < (2**18 if together == 2**22 else 2**16) + 30_000 + 40 + 40
    found = gp.open(tmp_path / "run").signals()["layer_update_norm"].loc[1]
    assert found["1"] == pytest.approx(float(move.norm()), rel=0.01) and found["0"] == 0


def test_changes_are_those_between_what_the_layers_held(tmp_path):
    torch.manual_seed(0)
    model, held = Stream(), []

    def look(row):
        with torch.no_grad():
            held.append(model.embed(PROBE).numpy().copy())

    run, _ = recorded(tmp_path / "run", model, PROBE, every=1, on_record=look)
    found = run.signals()
    assert set(found) == {*CHANGES, *LAYER_NORMS} and found["cka_change_4"].iloc[0].isna().all()
    for lag in (1, 4):
        pair = compare(represent(held[11]), represent(held[11 - lag]))
        assert found[f"cka_change_{lag}"].loc[12, "embed"] == pytest.approx(cka_change(pair), rel=1e-4)
    assert (found["readable_change"].iloc[1:] > 0).all().all()


def test_outputs_move_as_their_sketch_does(tmp_path):
    """Law: a sketch keeps distances in the mean; here 40 x 4 numbers are few enough to be kept as they are."""
    torch.manual_seed(0)
    model = Stream()
    run, _ = recorded(tmp_path / "run", model, PROBE, labels=LABELS)
    with torch.no_grad():
        expected = model(PROBE).softmax(1).flatten().numpy()
    np.testing.assert_allclose(run.outputs().loc[12], expected, atol=1e-6)


def test_a_planted_concept_is_readable_where_it_is_formed(tmp_path):
    torch.manual_seed(0)
    parity = ((PROBES[:, 0] > 0) ^ (PROBES[:, 1] > 0)).long()
    sign = (PROBES[:, 2] > 0).long()
    model = Formed()
    concepts = {"parity": parity, "sign": sign.numpy()}
    with gp.Recorder(model, PROBES, out=tmp_path / "run", every=1, concepts=concepts) as recorder:
        recorder.step()
    found = gp.open(tmp_path / "run").concepts().set_index(["layer", "concept"])
    assert set(found.index) == {(layer, name) for layer in ("first", "second") for name in concepts}
    assert found.loc[("first", "sign"), "value"] > 0.9
    assert found.loc[("first", "parity"), "value"] < 0.65
    assert found.loc[("second", "parity"), "value"] > 0.95
    assert (found["shuffled"] < 0.65).all()
    assert found.loc[("second", "parity"), "chance"] == pytest.approx(
        max(parity.float().mean(), 1 - parity.float().mean())
    )


PROBES = noise(200, 6, seed=8)


class Formed(nn.Module):
    """The first layer is linear in x, the second adds the product of signs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(17, 16)

    def forward(self, x):
        product = torch.sign(x[:, :1]) * torch.sign(x[:, 1:2])
        return self.second(torch.cat([self.first(x), 3 * product], 1))


def test_what_it_takes_on_disk(tmp_path):
    """At most 40 bytes per layer and 2 n + 4 kB per measurement over what dimensions alone take."""
    sizes = {}
    for signals in (False, True):
        torch.manual_seed(0)
        folder, model = tmp_path / str(signals), Stream(width=32)
        options = {"labels": (torch.arange(400) % 4)} if signals else {}
        with gp.Recorder(model, noise(400, 6), out=folder, every=1, signals=signals, **options) as recorder:
            fit(model, recorder, steps=100)
        sizes[signals] = sum(p.stat().st_size for p in folder.rglob("part-*.parquet"))
    more = (sizes[True] - sizes[False]) / 100
    assert more < 40 * 8 + 2 * 400 + 4000
    behaviour = sum(p.stat().st_size for p in (tmp_path / "True" / "behaviour").glob("part-*")) / 100
    assert behaviour < 2 * 400 + 100


def test_without_signals_only_dimensions_are_recorded(tmp_path):
    run, _ = recorded(tmp_path / "run", Stream(), PROBE, signals=False)
    assert run.signals() == {} and list(run.scalars().columns) == ["index", "loss"]
    assert sorted(p.name for p in (tmp_path / "run").iterdir() if p.is_dir()) == ["scalars", "series"]


def test_labels_of_concepts_stand_beside_the_samples_and_say_what_a_transition_was_on(tmp_path):
    """Two questions behind one head: which one is asked tells the samples that were learned from the others."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(0, 2, (200, 8), generator=generator).float() * 2 - 1
    asked = torch.arange(200) % 2
    x = torch.cat([bits, nn.functional.one_hot(asked, 2).float()], 1)
    y = torch.where(asked == 0, bits[:, 0] > 0, bits[:, 1] > 0).long()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    concepts = {"question": np.array(["left", "right"])[asked.numpy()], "size": bits.mean(1).numpy() + 0.0}
    with gp.Recorder(model, x, labels=y, concepts=concepts, out=tmp_path / "run", every=2, alarms=False) as recorder:
        for step in range(240):
            now = asked == 0 if step < 120 else asked >= 0  # the second is asked from half way on
            loss = nn.functional.cross_entropy(model(x[now]), y[now])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
    run = gp.open(tmp_path / "run")
    table = run.samples()
    assert list(table.columns) == ["sample", "label", "concept question"]  # numbers are no labels
    assert table["concept question"].tolist() == concepts["question"].tolist()
    said = [reason for reason in run.transitions()["reason"] if reason.startswith("learned")]
    assert any("of question right" in reason for reason in said)
