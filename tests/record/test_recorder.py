"""The recorder leaves no trace in the model, and what it writes is what was there."""

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError, StoreError
from geophone.store.run import Run


class Net(nn.Module):
    """A small network with everything that a careless reading would disturb: dropout and batch norm."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(6 * 16, 3)

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.head(self.drop(x.flatten(1)))


def make(seed=0):
    torch.manual_seed(seed)
    return Net()


def fit(model, steps, after=lambda **scalars: None):
    data = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        x, y = torch.randn(8, 1, 8, 8, generator=data), torch.randint(0, 3, (8,), generator=data)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after(loss=loss.item())
    return model


@pytest.fixture
def probe():
    return torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(2))


def test_training_with_and_without_a_recorder_is_bit_identical(tmp_path, probe):
    plain = fit(make(), 40)
    model = make()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=3) as recorder:
        fit(model, 40, recorder.step)
    for (name, a), b in zip(plain.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert plain.training and model.training and model.drop.training


def test_what_is_stored_is_what_the_layers_held(tmp_path, probe):
    model = make()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=2, views={"conv": "pooled"}) as recorder:
        fit(model, 4, recorder.step)
    run = gp.open(tmp_path / "run")
    model.eval()
    with torch.no_grad():
        pooled = model.conv(probe).mean((2, 3))
        out = model(probe)
    for layer, matrix in (("conv", pooled), ("head", out)):
        expected = gp.dimensions(matrix)
        for name in run.dimensions:
            assert run.series(name)[layer].loc[4] == pytest.approx(expected[name], rel=1e-5), name


def test_counts_steps_and_scalars(tmp_path, probe):
    model = make()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=5) as recorder:
        fit(model, 23, recorder.step)
    run = gp.open(tmp_path / "run")
    assert list(run.series("stable_rank").index) == [5, 10, 15, 20]
    assert list(run.series("stable_rank").columns) == ["conv", "head"]
    scalars = run.scalars()
    assert list(scalars.index) == list(range(1, 24))
    assert scalars["index"].dropna().tolist() == [0, 1, 2, 3]
    assert scalars["loss"].notna().all()
    assert (run.manifest.steps, run.manifest.measurements, run.status) == (23, 4, "finished")
    assert run.table()["index"].unique().tolist() == [0, 1, 2, 3]


def test_layers_come_in_order_of_execution_not_of_definition(probe):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(7, 2)
            self.first = nn.Linear(64, 7)

        def forward(self, x):
            return self.last(self.first(x.flatten(1)))

    found = gp.layers(Backwards(), probe)
    assert [(layer.name, layer.depth, layer.features) for layer in found] == [("first", 0, 7), ("last", 1, 2)]


def test_positions_are_drawn_once_and_counted(tmp_path, probe):
    convolution, head = gp.layers(make(), probe, rows=100)
    assert (convolution.view, convolution.rows, convolution.features) == ("channels", 100, 6)
    assert (head.view, head.rows) == ("flat", 20)
    every_position = gp.layers(make(), probe, rows=100_000)[0]
    assert every_position.rows == 20 * 64
    model = make()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1, rows=100) as recorder:
        recorder.step()
        recorder.step()
    series = gp.open(tmp_path / "run").series("effective_rank")["conv"]
    assert series.iloc[0] == series.iloc[1]


def test_drawn_positions_are_positions_of_the_same_sample():
    from geophone.record.views import view_of

    output = torch.arange(4 * 3 * 5 * 5).reshape(4, 3, 5, 5).float()
    rows = view_of("channels", (4, 3, 5, 5), rows=28, rng=np.random.default_rng(0))(output)
    assert rows.shape == (28, 3)
    stacked = output.permute(0, 2, 3, 1).reshape(4, 25, 3)
    for sample, block in enumerate(rows.reshape(4, 7, 3)):
        candidates = {tuple(row.tolist()) for row in stacked[sample]}
        assert {tuple(row.tolist()) for row in block} <= candidates
        assert len({tuple(row.tolist()) for row in block}) == 7
    channels_last = output.to(memory_format=torch.channels_last)
    assert torch.equal(view_of("channels", (4, 3, 5, 5), rows=28, rng=np.random.default_rng(0))(channels_last), rows)
    tokens = torch.arange(4 * 6 * 3).reshape(4, 6, 3).float()
    assert torch.equal(
        view_of("tokens", (4, 6, 3), rows=99, rng=np.random.default_rng(0))(tokens), tokens.reshape(24, 3)
    )
    some = view_of("tokens", (4, 6, 3), rows=12, rng=np.random.default_rng(0))
    picked = some(tokens)
    assert [int(row[0]) // 18 for row in picked] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert len({int(row[0]) for row in picked}) == 12
    assert torch.equal(some(tokens.repeat(1, 2, 1)), picked)
    # Of a shorter batch positions are read that are there, of the same samples.
    short = some(tokens[:, :2])
    assert [int(row[0]) // 18 for row in short] == [int(row[0]) // 18 for row in picked]
    assert {int(row[0]) % 18 for row in short} <= {0, 3}


def test_a_layer_that_dies_and_one_that_blows_up_are_rows_with_a_status(tmp_path, probe):
    model = make()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1) as recorder:
        recorder.step(loss=1.0)
        with torch.no_grad():
            model.conv.weight.zero_()
            model.conv.bias.zero_()
            model.head.weight.fill_(float("nan"))
        recorder.step(loss=float("nan"))
    run = gp.open(tmp_path / "run")
    assert run.statuses().loc[1].tolist() == ["ok", "ok"]
    assert run.statuses().loc[2].tolist() == ["dead", "nonfinite"]
    assert run.series("stable_rank").loc[2].isna().all()
    assert np.isnan(run.scalars()["loss"].loc[2])


def test_hooks_are_gone_after_a_measurement_and_after_an_error(tmp_path, probe):
    model = make()
    recorder = gp.Recorder(model, probe, out=tmp_path / "run", every=1, on_error="raise")
    recorder.step()
    assert not any(module._forward_hooks for module in model.modules())
    model.head.weight = nn.Parameter(torch.zeros(3, 5))
    with pytest.raises(RuntimeError):
        recorder.step()
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training
    recorder.close()


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [(KeyboardInterrupt(), "interrupted", "step 6"), (ValueError("boom"), "failed", "boom")],
)
def test_a_loop_that_ends_early_leaves_a_run_that_opens_and_says_so(tmp_path, probe, error, status, says):
    model = make()
    with pytest.raises(type(error)), gp.Recorder(model, probe, out=tmp_path / "run", every=2) as recorder:
        fit(model, 6, recorder.step)
        raise error
    run = gp.open(tmp_path / "run")
    assert run.status == status
    assert says in run.manifest.note
    assert len(run.series("stable_rank")) == 3


class Own(nn.Module):
    """Holds its weights itself, beside a part that has none."""

    def __init__(self):
        super().__init__()
        self.weight, self.act = nn.Parameter(torch.ones(8, 4)), nn.ReLU()

    def forward(self, x):
        return self.act(x.flatten(1, 2) @ self.weight)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"every": 0}, "every=0"),
        ({"every": 2.5}, "every=2.5"),
        ({"probe": torch.randn(1, 1, 8, 8)}, "1 sample"),
        ({"probe": torch.randn(20, 3, 8, 8)}, r"cannot read a probe of shape \(20, 3, 8, 8\)"),
        ({"probe": 7}, "got int"),
        ({"probe": {"x": "text"}}, "no tensor"),
        ({"probe": (torch.randn(4, 2), torch.randn(5, 2))}, r"cannot read a probe of shape \(4, 2\), \(5, 2\)"),
        ({"layers": ["convv"]}, "no module matches 'convv'"),
        ({"views": {"head": "channels"}}, "cannot be read as view 'channels'"),
        ({"dimensions": ["rank"]}, "unknown dimension"),
        ({"rows": 1}, "rows=1"),
        ({"noise_every": 0}, "noise_every=0"),
        ({"about": {"dtype": torch.float32}}, "JSON"),
        ({"probe": "bach"}, "probe='bach'"),
        ({"model": nn.ReLU()}, "the model has no layer with weights"),
        ({"model": nn.Conv2d(1, 2, 3)}, r"is itself one layer \(Conv2d\).*torch.nn.Sequential\(model\), which"),
        ({"model": Own()}, r'is itself one layer \(Own\).*torch.nn.Sequential\(model\), with layers=\["0"\]'),
        (
            {"model": nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "probe": torch.randn(1, 3, 8, 8)},
            "no layer can be recorded: 1 has a single row on a probe of one sample. Give a probe of two samples",
        ),
    ],
)
def test_bad_input_is_refused_in_words_before_anything_is_written(tmp_path, probe, change, says):
    arguments = {"model": make(), "probe": probe, "out": tmp_path / "run"} | change
    with pytest.raises(InputError, match=says):
        gp.Recorder(arguments.pop("model"), arguments.pop("probe"), **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("layer", "options"), [(nn.Conv2d(1, 2, 3), {}), (Own(), {"layers": ["0"]})])
def test_a_model_that_is_one_layer_is_recorded_in_the_way_that_is_said(tmp_path, probe, layer, options):
    with gp.Recorder(nn.Sequential(layer), probe, out=tmp_path / "run", every=1, **options) as recorder:
        recorder.step()
    assert [each.name for each in gp.open(tmp_path / "run").layers] == ["0"]


def test_a_model_without_tensors_out_is_refused(tmp_path, probe):
    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Wordy()

        def forward(self, x):
            return self.inner(x)

    class Wordy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2))

        def forward(self, x):
            return "no tensor"

    with pytest.raises(InputError, match="put out no real tensor"):
        gp.Recorder(Silent(), probe, out=tmp_path / "run")


def test_a_folder_that_holds_something_is_never_touched(tmp_path, probe):
    taken = tmp_path / "taken"
    with gp.Recorder(make(), probe, out=taken, every=1) as recorder:
        recorder.step(loss=1.0)
    before = {path: path.read_bytes() for path in taken.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="already holds another run"):
        gp.Recorder(make(), probe, out=taken)
    assert {path: path.read_bytes() for path in taken.rglob("*") if path.is_file()} == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="thesis.tex"):
        gp.Recorder(make(), probe, out=other)
    assert (other / "thesis.tex").read_text() == "years of work"
    with pytest.raises(InputError, match="is a file"):
        gp.Recorder(make(), probe, out=other / "thesis.tex")


def test_two_recorders_on_one_folder(tmp_path, probe):
    first = gp.Recorder(make(), probe, out=tmp_path / "run")
    with pytest.raises((InputError, StoreError)):
        gp.Recorder(make(), probe, out=tmp_path / "run")
    assert Run(tmp_path / "run").status == "running"
    first.close()
    assert Run(tmp_path / "run").status == "finished"


def test_scalars_must_be_numbers_and_leave_the_counts_alone(tmp_path, probe):
    recorder = gp.Recorder(make(), probe, out=tmp_path / "run")
    with pytest.raises(InputError, match="one number"):
        recorder.step(loss="low")
    with pytest.raises(InputError, match="cannot be called step"):
        recorder.step(step=3)
    recorder.close()
    with pytest.raises(InputError, match="closed"):
        recorder.step()


def test_checkpoints_of_ones_own_loop_come_back_into_a_model_of_the_same_shape(tmp_path, probe):
    model = make()
    with gp.Recorder(model, probe, out=tmp_path / "run") as recorder:
        fit(model, 3, recorder.step)
        recorder.checkpoint()
        kept = {k: v.clone() for k, v in model.state_dict().items()}
        fit(model, 3, recorder.step)
    run = gp.open(tmp_path / "run")
    again = run.at(3, model=make(seed=9))
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), kept.values(), strict=True))
    with pytest.raises(gp.GeophoneError, match="only checkpointed steps"):
        run.at(4, model=make())
    with pytest.raises(gp.GeophoneError, match="pass model="):
        run.at(3)
