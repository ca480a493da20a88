"""Recording on a CUDA device: the CPU's numbers, the training's weights, and nobody waits for the device."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from small_loop import files, network, options, train
from torch import nn

import geophone as gp
from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import checkpoint_files
from geophone.ingest.weights import read_weights
from geophone.record.checkpoints import save_weights
from geophone.record.transit import SideCopy
from geophone.record.watch import SnapshotRing, Snapshots
from geophone.record.what import What
from geophone.store.check import checkpoint_path

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CUDA = torch.device("cuda")


def on_device(folder, **more):
    given = options(folder, **more)
    return {**given, "probe": given["probe"].to(CUDA), "noise_probe": given["noise_probe"].to(CUDA)}


@contextmanager
def never_waiting():
    """Within, whatever makes the host wait for the device is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def series(folder):
    table = gp.open(folder).table()
    return table.drop(columns=["status", "layer", "probe", "view"], errors="ignore").to_numpy(dtype=float)


def test_weights_are_bit_for_bit_those_of_a_training_without(tmp_path):
    with_one, without = network(device=CUDA), network(device=CUDA)
    with gp.Recorder(with_one, **on_device(tmp_path / "run", sync=False)) as recorder:
        train(with_one, recorder, 60)

    class Nobody:
        def step(self, **scalars):
            return []

    train(without, Nobody(), 60)
    assert all(torch.equal(a, b) for a, b in zip(with_one.parameters(), without.parameters(), strict=True))
    assert np.isfinite(gp.open(tmp_path / "run").scalars()["loss"]).all()


def test_numbers_are_the_cpus(tmp_path):
    """Of the same weights: what was measured on the device before the first update, and of kept checkpoints."""
    model = network(device=CUDA)
    given = on_device(tmp_path / "cuda", sync=True, every=5)
    with gp.Recorder(model, **given) as recorder:
        for _ in range(4):
            train(model, recorder, 5)
            recorder.checkpoint()
    kept = tmp_path / "cuda" / "checkpoints"
    what = What(labels=given["labels"], concepts=given["concepts"])
    tables = []
    for device in ("cpu", "cuda"):
        source = checkpoint_files([kept], network)
        out = tmp_path / f"measured-{device}"
        measure(source, given["probe"].cpu(), out=out, what=what, device=torch.device(device))
        tables.append(gp.open(out).table())
    numbers = tables[0].select_dtypes("number").columns
    np.testing.assert_allclose(tables[1][numbers], tables[0][numbers], rtol=2e-3, atol=2e-4)
    own = gp.open(tmp_path / "cuda").table()
    there = own[(own["step"] == 20) & (own["probe"] == "main")] if "probe" in own else own[own["step"] == 20]
    column = "participation_ratio"
    last = tables[0][tables[0]["step"] == 20]
    np.testing.assert_allclose(there[column], last[column], rtol=1e-4)


def test_behind_and_beside_write_the_same(tmp_path):
    told = {}
    for sync in (True, False):
        model = network(device=CUDA)
        with gp.Recorder(model, **on_device(tmp_path / str(sync), sync=sync)) as recorder:
            alarms = train(model, recorder, 150)
        told[sync] = len(alarms)
    assert files(tmp_path / "True") == files(tmp_path / "False")


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.out = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x):
        return self.out(self.second(self.norm(self.first(x)).relu()).relu().mean((2, 3)))


class Tokens(nn.Module):
    def __init__(self, vocabulary=50):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 32)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(32, 2, 64, dropout=0.1, batch_first=True) for _ in range(2)
        )
        self.head = nn.Linear(32, vocabulary)

    def forward(self, ids, attention_mask=None):
        x = self.embed(ids)
        padding = None if attention_mask is None else ~attention_mask.bool()
        for block in self.blocks:
            x = block(x, src_key_padding_mask=padding)
        return self.head(x)


def images():
    x = torch.randn(64, 1, 12, 12, device=CUDA)
    y = torch.arange(64, device=CUDA) % 4
    return Convolutions().to(CUDA), (x,), {"labels": y}, lambda out: nn.functional.cross_entropy(out, y)


def tokens(**more):
    ids = torch.randint(50, (64, 12), device=CUDA)
    mask = torch.ones_like(ids)
    mask[::3, 8:] = 0
    loss = lambda out: nn.functional.cross_entropy(out[:, :-1].flatten(0, 1), ids[:, 1:].flatten())  # noqa: E731
    return Tokens().to(CUDA), {"ids": ids, "attention_mask": mask}, {"labels": "next-token", **more}, loss


def wide_vocabulary():
    ids = torch.randint(50, (64, 12), device=CUDA)
    loss = lambda out: nn.functional.cross_entropy(out[:, :-1].flatten(0, 1), ids[:, 1:].flatten())  # noqa: E731
    return Tokens(30_000).to(CUDA), {"ids": ids}, {"labels": "next-token"}, loss


CASES = {
    "images": images,
    "tokens": tokens,
    "micro-batches": lambda: tokens(batch=16),
    "pooled": lambda: tokens(views="mean"),
    "last": lambda: tokens(views="last"),
    "few rows": lambda: tokens(rows=128),
    "wide vocabulary": wide_vocabulary,
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_does_not_wait_for_the_device(tmp_path, case):
    torch.manual_seed(0)
    model, probe, more, loss_of = CASES[case]()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    inputs = probe if isinstance(probe, dict) else {"x": probe[0]}

    def update():
        optimizer.zero_grad()
        loss = loss_of(model(**inputs))
        loss.backward()
        optimizer.step()
        return loss

    with gp.Recorder(model, probe, out=tmp_path / "run", every=2, sync=False, **more) as recorder:
        for _ in range(10):
            recorder.step(loss=update())
        for _ in range(20):
            loss = update()
            with never_waiting():
                recorder.step(loss=loss, half=loss / 2)
    run = gp.open(tmp_path / "run")
    assert run.manifest.status == "finished" and run.table()["step"].nunique() == 15
    losses = run.scalars().dropna(subset=["loss"])
    assert losses.index.tolist() == list(range(1, 31)) and np.isfinite(losses["loss"]).all()
    assert np.allclose(losses["half"].dropna() * 2, losses["loss"][10:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(tmp_path, dtype):
    model, probe, more, loss_of = images()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    with gp.Recorder(model, probe, out=tmp_path / "run", every=2, **more) as recorder:
        for _ in range(20):
            optimizer.zero_grad()
            with torch.autocast("cuda", dtype=dtype):
                loss = loss_of(model(*probe))
            loss.backward()
            optimizer.step()
            with torch.autocast("cuda", dtype=dtype):
                recorder.step(loss=loss)
    table = gp.open(tmp_path / "run").table()
    assert (table["status"] == "ok").all()


def test_a_compiled_network_is_recorded(tmp_path):
    model, probe, more, loss_of = images()
    compiled = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    with gp.Recorder(compiled, probe, out=tmp_path / "run", every=2, **more) as recorder:
        for _ in range(6):
            optimizer.zero_grad()
            loss = loss_of(compiled(*probe))
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)
    assert (gp.open(tmp_path / "run").table()["status"] == "ok").all()


def test_weights_around_alarms_stay_on_the_device_until_they_are_written(tmp_path):
    model = network(device=CUDA)
    ring = SnapshotRing(model, Snapshots(), lambda step, weights: None, lambda step: None)
    with never_waiting():
        copies = ring.copy()
    assert all(tensor.is_cuda for tensor in copies.values())
    save_weights(tmp_path, 3, copies)
    written = read_weights(checkpoint_path(tmp_path, 3))
    assert all(torch.equal(written[name], tensor.cpu()) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("shape", [(64, 32), (64, 200), (256, 512), (300, 40)])
def test_dimensions_of_a_tensor_there_are_those_of_its_copy_here(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3)) @ torch.diag(torch.rand(shape[1]) + 0.1)
    here, there = gp.dimensions(x), gp.dimensions(x.to(CUDA))
    assert here.keys() == there.keys()
    for name, value in here.items():
        assert there[name] == pytest.approx(value, rel=1e-5), name


def test_a_copy_at_the_side_is_what_was_there():
    tensors = [torch.randn(2**20, device=CUDA), torch.randn(30, 40, device=CUDA).T, torch.tensor(3.0, device=CUDA)]
    expected = [tensor.cpu() for tensor in tensors]
    busy = torch.randn(4096, 4096, device=CUDA)
    assert SideCopy(tensors).done(wait=True)  # page-locked memory that is there already is had without waiting
    for _ in range(100):
        busy = (busy @ busy).clamp(-1, 1)
    copy = SideCopy(tensors)
    soon = copy.done()
    tensors.clear()
    torch.full((2**20,), 7.0, device=CUDA)  # whoever takes memory now must not get what is still read
    assert copy.done(wait=True) and not soon
    assert all(torch.equal(a, b) and a.is_pinned() for a, b in zip(copy.tensors, expected, strict=True))


def test_a_run_of_a_network_on_the_device_is_dug(tmp_path):
    model = network(device=CUDA)
    given = on_device(tmp_path / "runs" / "run", sync=False, every=2)
    with gp.Recorder(model, **given) as recorder:
        for _ in range(30):
            train(model, recorder, 2)
            recorder.checkpoint()
    subject = gp.Subject(lambda: network(device=CUDA), (given["probe"], given["labels"].to(CUDA)))
    run = gp.open(tmp_path / "runs" / "run")
    assert gp.dig(run, 1, subject=subject).about


def test_checkpoints_of_a_language_model_and_its_heads_are_measured_there(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPTNeoXConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    ids = torch.randint(60, (16, 12)).repeat(1, 2)
    mask = torch.ones_like(ids)
    mask[::3, 20:] = 0
    (tmp_path / "kept").mkdir()
    for step in range(0, 60, 10):
        model = transformers.GPTNeoXForCausalLM(config)
        torch.save(model.state_dict(), tmp_path / "kept" / f"step-{step}.pt")
    runs = []
    for device in ("cpu", "cuda"):
        source = checkpoint_files([tmp_path / "kept"], lambda: transformers.GPTNeoXForCausalLM(config))
        probe = {"input_ids": ids, "attention_mask": mask}
        out = tmp_path / f"run-{len(runs)}"
        measure(source, probe, out=out, what=What(labels="next-token"), device=torch.device(device))
        runs.append(gp.open(out))
    for read in (lambda run: run.table(), lambda run: run.heads()):
        one, other = (read(run).select_dtypes("number") for run in runs)
        np.testing.assert_allclose(other, one, rtol=5e-3, atol=5e-4)
    behaviour = [run.behaviour().to_numpy() for run in runs]
    np.testing.assert_allclose(behaviour[1], behaviour[0], atol=2e-3)
