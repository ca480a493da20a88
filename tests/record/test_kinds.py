"""Models and probes of the kinds that people have: what is read is what was there, or the reason is named."""

import subprocess
import sys
import warnings
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.record.layers import MOST_BY_DEFAULT


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def names(model, probe, **options):
    return [layer.name for layer in gp.layers(model, probe, **options)]


def made(layer, forward):
    """A module with the part `layer` and a forward of its own."""
    module = nn.Module()
    module.part = layer
    module.forward = lambda *args, **kwargs: forward(module.part, *args, **kwargs)
    return module


class Residual(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.up, self.down = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


class Walk(nn.Module):
    """Calls every module of nested lists and dicts in turn."""

    def __init__(self, tree):
        super().__init__()
        self.tree = tree

    def forward(self, x):
        def walk(node, x):
            if isinstance(node, nn.ModuleDict | nn.ModuleList):
                for child in node.values() if isinstance(node, nn.ModuleDict) else node:
                    x = walk(child, x)
                return x
            return node(x)

        return walk(self.tree, x)


class TestBlocks:
    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            (Walk(nn.ModuleList([nn.ModuleList([Residual(), Residual()]) for _ in "ab"])),
             ["tree.0.0", "tree.0.1", "tree.1.0", "tree.1.1"]),
            (Walk(nn.ModuleDict({"a": Residual(), "b": nn.ModuleList([Residual()])})), ["tree.a", "tree.b.0"]),
            (Walk(nn.ModuleList([nn.ModuleDict({"ff": nn.Linear(8, 8)}) for _ in "ab"])), ["tree.0.ff", "tree.1.ff"]),
            (nn.Sequential(nn.Linear(8, 8), Residual(), Residual()), ["0", "1", "2"]),
            (nn.Sequential(nn.Sequential(Residual(), Residual()), nn.Sequential(Residual())), ["0.0", "0.1", "1.0"]),
            (nn.Sequential(Residual(), nn.Linear(8, 2)), ["0.up", "0.down", "1"]),
            (nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), ["0", "2"]),
        ],
    )  # fmt: skip
    def test_are_found_wherever_they_sit(self, model, expected):
        assert names(model, noise(12, 8)) == expected

    def test_of_stages_of_blocks_the_blocks_are_read(self):
        class Stage(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.Sequential(Residual(), Residual())

            def forward(self, x):
                return self.blocks(x)

        assert names(nn.Sequential(Stage(), Stage()), noise(12, 8)) == [f"{s}.blocks.{b}" for s in "01" for b in "01"]

    def test_attention_by_its_own_name(self):
        model = made(nn.MultiheadAttention(8, 2, batch_first=True), lambda part, x: part(x, x, x)[0])
        assert names(model, noise(12, 5, 8)) == ["part"]

    def test_at_most_forty_evenly_over_depth_and_the_others_are_named(self):
        deep = Walk(nn.ModuleList([nn.Linear(8, 8) for _ in range(100)]))
        layers = gp.layers(deep, noise(12, 8))
        assert len(layers) == MOST_BY_DEFAULT and len(layers.left_out) == 60
        depths = [int(layer.name.rpartition(".")[2]) for layer in layers]
        assert depths[0] == 0 and depths[-1] == 99 and max(np.diff(depths)) <= 3
        assert "layers='**'" in layers.left_out["tree.1"]
        assert len(gp.layers(deep, noise(12, 8), layers="tree.*")) == 100
        stream = Walk(nn.ModuleList([Residual() for _ in range(30)]))
        layers = gp.layers(stream, noise(12, 8))
        assert len(layers) == len(layers.updates) == MOST_BY_DEFAULT // 2


class Speaker(nn.Module):
    def __init__(self, tied=False, positions=12):
        super().__init__()
        self.words, self.places, self.kinds = nn.Embedding(50, 8), nn.Embedding(positions, 8), nn.Embedding(2, 8)
        self.blocks = nn.ModuleList([Residual() for _ in range(2)])
        self.head = nn.Linear(8, 50, bias=False)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, ids, mask=None):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1])) + self.kinds(torch.zeros_like(ids))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class TestLanguageModels:
    @pytest.mark.parametrize("tied", [False, True])
    def test_head_and_what_says_the_same_of_every_sample_are_left_out_and_named(self, tied):
        ids = torch.randint(0, 50, (12, 7), generator=torch.Generator().manual_seed(0))
        layers = gp.layers(Speaker(tied), ids)
        assert [layer.name for layer in layers] == ["words", "blocks.0", "blocks.1"]
        assert set(layers.left_out) == {"places", "kinds", "head"}
        assert "vocabulary" in layers.left_out["head"] and "same of every sample" in layers.left_out["kinds"]
        assert names(Speaker(tied), ids, layers=["head"]) == ["head"]

    def test_a_position_embedding_of_as_many_rows_as_samples_is_no_layer(self):
        """N = T: only a second pass on fewer samples tells positions from samples."""
        ids = torch.randint(0, 50, (12, 12), generator=torch.Generator().manual_seed(0))
        layers = gp.layers(Speaker(), ids)
        assert "places" not in [layer.name for layer in layers]
        assert "no axis follows the number of samples" in layers.left_out["places"]

    def test_one_long_text_is_read_by_its_positions(self):
        layers = gp.layers(Speaker(positions=64), torch.randint(0, 50, (1, 64)))
        assert [(layer.name, layer.rows) for layer in layers] == [("words", 64), ("blocks.0", 64), ("blocks.1", 64)]
        with pytest.raises(InputError, match="1 sample"):
            gp.layers(nn.Sequential(nn.Linear(3, 2)), noise(1, 1, 1))


class TestAxes:
    @pytest.mark.parametrize(
        ("model", "probe", "view", "features"),
        [
            (nn.Conv2d(3, 6, 3), noise(12, 3, 8, 8), "channels", 6),
            (nn.Conv1d(3, 6, 3), noise(12, 3, 8), "channels", 6),
            (nn.Conv3d(1, 6, 2), noise(12, 1, 4, 4, 4), "channels", 6),
            (nn.Linear(3, 6), noise(12, 8, 8, 3), "tokens", 6),
            (nn.Linear(3, 6), noise(12, 8, 3), "tokens", 6),
            (nn.Sequential(nn.Conv1d(3, 6, 3), nn.ReLU()), noise(12, 3, 8), "channels", 6),
            (nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 6)), noise(12, 8, 8, 3), "tokens", 6),
            (nn.LSTM(3, 6, batch_first=True), noise(12, 8, 3), "tokens", 6),
        ],
    )  # fmt: skip
    def test_features_are_told_from_the_module(self, model, probe, view, features):
        (layer,) = gp.layers(made(model, lambda part, x: part(x)), probe, layers="part")
        assert (layer.view, layer.features) == (view, features)

    def test_samples_on_the_second_axis_are_found(self, tmp_path):
        """Sequence first: (T, N, D), as nn.LSTM has it by default."""
        torch.manual_seed(0)
        model = made(nn.LSTM(3, 6), lambda part, x: part(x.transpose(0, 1))[0])
        x = noise(12, 8, 3)
        (layer,) = gp.layers(model, x, layers="part")
        assert (layer.view, layer.rows, layer.shape) == ("tokens", 96, (8, 6))
        with gp.Recorder(model, x, out=tmp_path / "run", every=1, layers="part") as recorder:
            recorder.step()
        with torch.no_grad():
            expected = gp.dimensions(model.part(x.transpose(0, 1))[0].transpose(0, 1).reshape(96, 6))
        assert gp.open(tmp_path / "run").series("rankme")["part"].loc[1] == pytest.approx(expected["rankme"], rel=1e-5)

    def test_samples_folded_with_positions_are_unfolded(self):
        model = made(nn.Linear(3, 6), lambda part, x: part(x.reshape(-1, 3)).view(len(x), -1, 6))
        (layer,) = gp.layers(model, noise(12, 8, 3), layers="part")
        assert (layer.view, layer.rows, layer.features) == ("tokens", 96, 6)

    def test_what_follows_no_samples_is_named_with_its_shape(self):
        model = made(nn.Linear(3, 6), lambda part, x: x[:1, 0, :1] * part(torch.ones(7, 3)).sum())
        with pytest.raises(InputError, match=r"part put out \(\d+, 6\), of which no axis follows"):
            gp.layers(model, noise(12, 8, 3), layers="part")

    def test_the_axes_may_be_named(self):
        model = made(nn.Conv2d(3, 6, 1), lambda part, x: part(x))
        (layer,) = gp.layers(model, noise(12, 3, 4, 5), layers="part", views={"part": "N W C H"}, rows=10**6)
        assert (layer.view, layer.rows, layer.features) == ("N W C H", 12 * 6 * 5, 4)
        with pytest.raises(InputError, match="name each of them once"):
            gp.layers(model, noise(12, 3, 4, 5), layers="part", views={"part": "N H C"})


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(40, 6)

    def forward(self, ids, mask):
        return self.embed(ids)


LENGTHS = 3 + torch.arange(30) % 5
REAL = torch.arange(10)[None] < LENGTHS[:, None]
IDS = torch.randint(1, 40, (30, 10), generator=torch.Generator().manual_seed(1)) * REAL


class TestMasks:
    @pytest.mark.parametrize(
        ("probe", "forward"),
        [
            (lambda: {"ids": IDS, "attention_mask": REAL.long()}, lambda p, ids, attention_mask: p(ids)),
            (lambda: {"ids": IDS, "key_padding_mask": ~REAL}, lambda p, ids, key_padding_mask: p(ids)),
            (lambda: ({"ids": IDS, "mask": REAL},), lambda p, batch: p(batch["ids"])),
            (lambda: gp.Probe(args=(IDS,), mask=REAL), lambda p, ids: p(ids)),
            (lambda: {"ids": IDS, "pad_mask": REAL.long()}, lambda p, ids, pad_mask: p(ids)),
            (lambda: {"ids": IDS.flip(1), "mask": REAL.flip(1).long()}, lambda p, ids, mask: p(ids)),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("view", ["tokens", "last", "mean"])
    def test_padding_is_no_sample(self, probe, forward, view):
        torch.manual_seed(0)
        model = made(nn.Embedding(40, 6), forward)
        batch = probe()
        if isinstance(batch, dict):
            # The names of a forward decide; a lambda has them through `made` only as keywords.
            batch = gp.Probe(kwargs=batch)
        (layer,) = gp.layers(model, batch, layers="part", views=view, rows=10**6)
        assert layer.rows == {"tokens": int(LENGTHS.sum())}.get(view, 30)

    @pytest.mark.parametrize("view", ["tokens", "last", "mean"])
    def test_values_are_those_over_real_tokens(self, tmp_path, view):
        torch.manual_seed(0)
        model = Masked()
        options = {"layers": "embed", "views": view, "rows": 10**6}
        with gp.Recorder(model, {"ids": IDS, "mask": REAL}, out=tmp_path / "run", every=1, **options) as recorder:
            recorder.step()
        x = model.embed.weight.detach()[IDS]
        truth = {
            "tokens": x[REAL],
            "last": x[torch.arange(30), LENGTHS - 1],
            "mean": torch.stack([row[:n].mean(0) for row, n in zip(x, LENGTHS, strict=True)]),
        }[view]
        found = gp.open(tmp_path / "run").series("participation_ratio")["embed"].loc[1]
        assert found == pytest.approx(gp.dimensions(truth)["participation_ratio"], rel=1e-4)

    def test_drawn_rows_are_real_and_each_once(self):
        from geophone.record.views import view_of

        x = torch.arange(300).float().view(30, 10, 1)
        view = view_of("tokens", (30, 10, 1), rows=120, rng=np.random.default_rng(0), mask=REAL)
        rows = view(x).flatten().long().tolist()
        assert len(set(rows)) == len(rows) and all(bool(REAL.flatten()[row]) for row in rows)
        assert np.bincount(np.array(rows) // 10, minlength=30).tolist() == torch.clamp(LENGTHS, max=4).tolist()


class TestProbes:
    @pytest.mark.parametrize(
        ("probe", "forward"),
        [
            ((noise(16, 3), noise(5, 5)), lambda p, x, causal: p(x)),
            ((noise(16, 3), torch.randint(0, 16, (2, 40))), lambda p, x, edges: p(x)),
            ((noise(16, 3), torch.tensor(5)), lambda p, x, t: p(x) + t),
            ((noise(16, 3), torch.tensor([5])), lambda p, x, t: p(x) + t),
            (({"x": noise(16, 3), "more": [noise(16, 1)]},), lambda p, b: p(b["x"]) + b["more"][0]),
            (([noise(16, 3), noise(16, 1)],), lambda p, pair: p(pair[0])),
            (gp.Probe(kwargs={"scale": noise(1, 4), "x": noise(16, 3)}, samples=16), lambda p, scale, x: p(x) * scale),
        ],
    )
    def test_may_hold_what_is_no_sample(self, probe, forward):
        (layer,) = gp.layers(made(nn.Linear(3, 4), forward), probe, layers="part")
        assert (layer.rows, layer.features) == (16, 4)

    def test_are_copied_and_what_a_pass_writes_into_them_is_not_read_again(self, tmp_path):
        def forward(part, x):
            x[:, 0] *= 3
            return part(x)

        torch.manual_seed(0)
        probe = noise(40, 3)
        before = probe.clone()
        with gp.Recorder(
            made(nn.Linear(3, 4), forward), probe, out=tmp_path / "run", every=1, layers="part"
        ) as recorder:
            for _ in range(3):
                recorder.step()
                probe += 1
        series = gp.open(tmp_path / "run").series("stable_rank")["part"]
        assert series.nunique() == 1 and torch.allclose(probe - 3, before, atol=1e-5)

    @pytest.mark.parametrize("bad", [{"samples": 7}, {"kwargs": {"x": "text"}, "args": ()}])
    def test_that_cannot_be_meant_are_refused(self, bad):
        with pytest.raises(InputError):
            gp.Probe(**{"args": (noise(16, 3),)} | bad)


class Counting(nn.Module):
    """Changes Python state in every pass, in eval mode too."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.calls, self.seen, self.queue, self.mean, self.ready = 0, {}, deque(maxlen=3), torch.zeros(4), False

    def forward(self, x):
        out = self.inner(x)
        self.calls += 1
        self.seen[self.calls] = len(x)
        self.queue.append(self.calls)
        self.mean += out.detach().mean(0)
        self.ready = True
        self.extra = self.calls
        return out


def test_python_state_that_a_pass_changes_is_put_back_and_told(tmp_path):
    model = Counting()
    with gp.Recorder(model, noise(16, 3), out=tmp_path / "run", every=1) as recorder:
        for _ in range(3):
            recorder.step()
    assert (model.calls, model.seen, list(model.queue), model.ready) == (0, {}, [], False)
    assert torch.equal(model.mean, torch.zeros(4)) and not hasattr(model, "extra")
    put_back = gp.open(tmp_path / "run").manifest.probe["put_back"]
    assert put_back == ["calls", "extra", "mean", "queue", "ready", "seen"]
    model(noise(16, 3))
    assert model.calls == 1


class TestNeverAnEnd:
    def broken(self, tmp_path, error, **options):
        def forward(part, x):
            if fails[0]:
                raise error
            return part(x)

        fails = [False]
        recorder = gp.Recorder(
            made(nn.Linear(3, 4), forward), noise(16, 3), out=tmp_path / "run", every=1, layers="part", **options
        )
        return fails, recorder

    @pytest.mark.parametrize(
        "error", [RuntimeError("shape"), torch.OutOfMemoryError("gone"), KeyError("x"), ValueError()]
    )
    def test_a_measurement_that_fails_is_a_row_and_a_warning(self, tmp_path, error):
        fails, recorder = self.broken(tmp_path, error)
        with recorder, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for step in range(6):
                fails[0] = 2 <= step < 5
                recorder.step(loss=1.0)
        mine = [str(w.message) for w in told if "the training goes on" in str(w.message)]
        assert len(mine) == 1 and type(error).__name__ in mine[0]
        run = gp.open(tmp_path / "run")
        assert run.statuses()["part"].tolist() == ["ok", "ok", "failed", "failed", "failed", "ok"]
        assert run.scalars()["loss"].notna().all()

    def test_for_tests_it_is_raised(self, tmp_path):
        fails, recorder = self.broken(tmp_path, KeyError("x"), on_error="raise")
        fails[0] = True
        with pytest.raises(KeyError):
            recorder.step()

    def test_a_callback_that_raises_loses_no_row(self, tmp_path):
        def careless(row):
            raise OSError("the network is gone")

        _, recorder = self.broken(tmp_path, None, on_record=careless)
        with recorder, pytest.warns(UserWarning, match="the network is gone"):
            recorder.step(loss=None)
            recorder.step(loss=torch.tensor(2.0, requires_grad=True))
        run = gp.open(tmp_path / "run")
        assert run.statuses()["part"].tolist() == ["ok", "ok"]
        assert run.scalars()["loss"].tolist()[1] == 2.0

    def test_a_ctrl_c_inside_a_measurement_still_ends_it(self, tmp_path):
        fails, recorder = self.broken(tmp_path, KeyboardInterrupt())
        fails[0] = True
        with pytest.raises(KeyboardInterrupt), recorder:
            recorder.step()
        assert gp.open(tmp_path / "run").status == "interrupted"

    def test_layers_that_are_often_absent_are_told_once(self, tmp_path):
        model = nn.Sequential(nn.Linear(3, 4))
        recorder = gp.Recorder(model, "batch", out=tmp_path / "run", every=1)
        with recorder, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for size in (16, 8, 16, 9, 7, 16, 4, 16):
                model(noise(size, 3)).sum().backward()
                recorder.step()
        mine = [str(w.message) for w in told if "number of samples" in str(w.message)]
        assert len(mine) == 1 and "0 did not run" in mine[0]

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_a_model_that_changes_its_format_on_the_way(self, tmp_path, dtype):
        model = nn.Sequential(nn.Linear(3, 4))
        with gp.Recorder(model, noise(16, 3), out=tmp_path / "run", every=1) as recorder:
            recorder.step()
            model.to(dtype)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                recorder.step()
            model.float()
            recorder.step()
        assert gp.open(tmp_path / "run").statuses()["0"].tolist() in (["ok"] * 3, ["ok", "failed", "ok"])


def test_inside_autocast_the_numbers_are_those_outside(tmp_path):
    x = noise(128, 700, seed=3)
    expected = gp.dimensions(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert gp.dimensions(x) == expected


class TestScripted:
    @pytest.mark.parametrize("how", ["scripted", "traced"])
    def test_parts_are_left_out_and_named(self, how):
        part = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        part = torch.jit.script(part) if how == "scripted" else torch.jit.trace(part, noise(2, 3))
        model = nn.Sequential(part, nn.Linear(4, 2))
        layers = gp.layers(model, noise(16, 3))
        assert [layer.name for layer in layers] == ["1"]

    def test_a_whole_scripted_model_is_refused_in_a_sentence(self):
        model = torch.jit.script(nn.Sequential(nn.Linear(3, 4)))
        with pytest.raises(InputError, match=r"scripted"):
            gp.layers(model, noise(16, 3))


class TestCells:
    def test_a_cell_is_one_layer_however_often_it_is_called(self, tmp_path):
        class Unrolled(nn.Module):
            def __init__(self):
                super().__init__()
                self.cell, self.head = nn.GRUCell(3, 6), nn.Linear(6, 2)

            def forward(self, x):
                h = torch.zeros(len(x), 6)
                for t in range(x.shape[1]):
                    h = self.cell(x[:, t], h)
                return self.head(h)

        torch.manual_seed(0)
        model, x = Unrolled(), noise(20, 7, 3)
        assert names(model, x) == ["cell", "head"]
        with gp.Recorder(model, x, out=tmp_path / "run", every=1) as recorder:
            recorder.step()
        h = torch.zeros(20, 6)
        with torch.no_grad():
            for t in range(7):
                h = model.cell(x[:, t], h)
        found = gp.open(tmp_path / "run").series("rankme")["cell"].loc[1]
        assert found == pytest.approx(gp.dimensions(h)["rankme"], rel=1e-5)


def test_what_was_not_called_is_named():
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused, self.around = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(3, 4)
            self.wordy = Wordy()

        def forward(self, x):
            self.wordy(x)
            return self.used(x) + self.around.forward(x)

    class Wordy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2))

        def forward(self, x):
            return "no tensor"

    layers = gp.layers(Partly(), noise(16, 3))
    assert [layer.name for layer in layers] == ["used"]
    assert "not called" in layers.left_out["unused"] and "only by its forward()" in layers.left_out["around"]
    assert "no real tensor" in layers.left_out["wordy"]
    assert "left out: wordy, which put out no real tensor" in repr(layers)


SHARDED = """
import contextlib, sys, torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
import geophone as gp
rank, world, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2)).double()
if world > 1:
    dist.init_process_group("gloo", init_method="file://" + sys.argv[4], rank=rank, world_size=world)
    mesh = init_device_mesh("cpu", (world,))
    for layer in (model[0], model[2]):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
data = torch.Generator().manual_seed(1)
probe = torch.randn(20, 16, generator=data, dtype=torch.float64)
recorded = gp.Recorder(model, probe, out=out, every=2, on_error="raise") if sys.argv[5] == "recorded" else None
with recorded or contextlib.nullcontext() as recorder:
    for _ in range(6):
        x = torch.randn(16, 16, generator=data, dtype=torch.float64)
        mine = x[rank * 16 // world : (rank + 1) * 16 // world]
        loss = model(mine).square().mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        if recorder is not None:
            recorder.step(loss=loss.item())
weights = {n: p.full_tensor() if hasattr(p, "full_tensor") else p for n, p in model.state_dict().items()}
if rank == 0:
    torch.save(weights, out + ".pt")
if world > 1:
    dist.barrier(); dist.destroy_process_group()
"""


def sharded(folder, out, *, world, kind="recorded"):
    """The training of SHARDED on `world` processes, which all end well; its weights."""
    folder.mkdir(exist_ok=True)
    arguments = [
        [rank, world, folder / (out if rank == 0 else "other"), folder / f"{out}-meet", kind] for rank in range(world)
    ]
    processes = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", SHARDED, *map(str, each)]) for each in arguments
    ]
    assert [p.wait(timeout=120) for p in processes] == [0] * world
    return torch.load(folder / f"{out}.pt", weights_only=True)


def test_of_a_sharded_model_every_rank_takes_part_and_the_values_are_those_of_one_process(tmp_path):
    sharded(tmp_path, "two", world=2)
    sharded(tmp_path, "one", world=1)
    assert not (tmp_path / "other").exists()
    one, two = gp.open(tmp_path / "one"), gp.open(tmp_path / "two")
    assert list(two.series("rankme").index) == [2, 4, 6]
    for name in one.dimensions:
        np.testing.assert_allclose(two.series(name), one.series(name), rtol=1e-6)


@pytest.mark.slow
def test_a_sharded_training_with_a_recorder_ends_in_the_same_weights_twenty_times_over(tmp_path):
    bare = sharded(tmp_path / "bare", "bare", world=2, kind="bare")
    first = None
    for number in range(20):
        weights = sharded(tmp_path / str(number), "run", world=2)
        assert all(torch.equal(weights[name], bare[name]) for name in bare)
        series = gp.open(tmp_path / str(number) / "run").series("rankme")
        first = series if first is None else first
        assert series.equals(first)
