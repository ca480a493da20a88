"""With the real library, on a tiny module trained for real."""

import pytest
import torch
from torch import nn

import geophone as gp

pytest.importorskip("lightning", reason="needs the lightning extra")
lightning = pytest.importorskip("lightning.pytorch")
from geophone.integrations.lightning import GeophoneCallback  # noqa: E402

PROBE = torch.randn(20, 6, generator=torch.Generator().manual_seed(9))


class Module(lightning.LightningModule):
    fail_at: int | None = None

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
        self.losses = []

    def forward(self, x):
        return self.body(x)

    def training_step(self, batch, index):
        if self.fail_at == index:
            raise ValueError("boom")
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.losses.append(float(loss))
        self.log("margin", loss * 2)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


def fit(callbacks, *, accumulate=1, fail_at=None):
    torch.manual_seed(0)
    module = Module()
    module.fail_at = fail_at
    x = torch.randn(24 * 8, 6)
    data = torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long())
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=callbacks, accumulate_grad_batches=accumulate,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=8))
    return module


def test_weights_steps_and_losses_are_the_trainers(tmp_path):
    plain = fit([])
    recorded = fit([GeophoneCallback(PROBE, out=tmp_path / "run", every=4)])
    for a, b in zip(plain.state_dict().values(), recorded.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    run = gp.open(tmp_path / "run")
    assert run.status == "finished"
    assert list(run.series("rankme").index) == [4, 8, 12, 16, 20, 24]
    assert [layer.name for layer in run.layers] == ["body.0", "body.4"]
    assert run.scalars()["loss"].tolist() == pytest.approx(recorded.losses)
    assert run.scalars()["margin"].tolist() == pytest.approx([2 * loss for loss in recorded.losses])


def test_accumulated_batches_are_one_step(tmp_path):
    fit([GeophoneCallback(PROBE, out=tmp_path / "run", every=1)], accumulate=3)
    assert list(gp.open(tmp_path / "run").series("rankme").index) == list(range(1, 9))


def test_an_exception_closes_the_run(tmp_path):
    with pytest.raises(ValueError, match="boom"):
        fit([GeophoneCallback(PROBE, out=tmp_path / "run", every=1)], fail_at=5)
    run = gp.open(tmp_path / "run")
    assert run.status == "failed" and "boom" in run.manifest.note
    assert len(run.series("rankme")) == 5


class Adversaries(lightning.LightningModule):
    """Two optimizers, stepped by hand; the training step returns nothing, or numbers by name."""

    def __init__(self, returned=None):
        super().__init__()
        self.automatic_optimization = False
        self.g, self.d, self.returned = nn.Linear(6, 6), nn.Linear(6, 1), returned

    def forward(self, x):
        return self.d(self.g(x))

    def training_step(self, batch, index):
        for optimizer in self.optimizers():
            loss = self(batch[0]).square().mean()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return {"g_loss": loss.detach(), "note": "so"} if self.returned == "dict" else None

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), 0.1) for part in (self.g, self.d)]


class Silent(lightning.LightningModule):
    """No forward of its own, as many have it."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))

    def training_step(self, batch, index):
        return self.net(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Two(Silent):
    def __init__(self):
        super().__init__()
        self.other = nn.Linear(6, 2)


def trained(module, callback, *, epochs=1, start=None, save=None):
    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 6)), batch_size=8)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback],
    )  # fmt: skip
    trainer.fit(module, loader, ckpt_path=start)
    if save:
        trainer.save_checkpoint(save)


@pytest.mark.parametrize("returned", [None, "dict"])
def test_with_several_optimizers_every_step_counts_as_in_the_trainer(tmp_path, returned):
    trained(Adversaries(returned), GeophoneCallback(PROBE, out=tmp_path / "run", every=4))
    run = gp.open(tmp_path / "run")
    assert list(run.series("rankme").index) == [4, 8]
    assert list(run.scalars().index) == ([2, 4, 6, 8] if returned else [4, 8])
    assert ("g_loss" in run.scalars()) == (returned == "dict")


@pytest.mark.parametrize("probe", [PROBE, "batch"])
def test_without_a_forward_the_one_part_is_read(tmp_path, probe):
    trained(Silent(), GeophoneCallback(probe, out=tmp_path / "run", every=2))
    run = gp.open(tmp_path / "run")
    assert list(run.series("rankme").index) == [2, 4] and [layer.name for layer in run.layers] == ["0", "2"]


def test_of_several_parts_one_is_named(tmp_path):
    with pytest.raises(gp.InputError, match=r"module= \(net, other\)"):
        trained(Two(), GeophoneCallback(PROBE, out=tmp_path / "run"))
    trained(Two(), GeophoneCallback(PROBE, out=tmp_path / "run", every=1, module="net"))
    assert len(gp.open(tmp_path / "run").series("rankme")) == 4


@pytest.mark.parametrize("options", [{}, {"resume": True}])
def test_a_fit_that_was_resumed_is_one_series_equal_to_that_of_one_fit(tmp_path, options):
    def fit(folder, **course):
        torch.manual_seed(1)
        trained(Silent(), GeophoneCallback(PROBE, out=tmp_path / folder, every=1, **options), **course)

    fit("whole", epochs=2)
    fit("two", save=tmp_path / "a.ckpt")
    fit("two", epochs=2, start=tmp_path / "a.ckpt")
    fit("new", epochs=2, start=tmp_path / "a.ckpt")
    whole, two, new = (gp.open(tmp_path / name).all_series() for name in ("whole", "two", "new"))
    assert all(whole[name].equals(two[name]) for name in whole)
    assert all(whole[name].loc[5:].equals(new[name]) for name in whole)
