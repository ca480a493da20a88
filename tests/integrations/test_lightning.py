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
