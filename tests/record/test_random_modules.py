"""Random small networks: each recorded value equals NumPy's on what a plain hook caught, or a reason is named."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.record.views import View

NAMES = ("stable_rank", "participation_ratio")
CHANGED = (nn.ReLU, nn.Tanh, lambda: nn.ReLU(inplace=True), lambda: nn.LeakyReLU(0.1, inplace=True))


class Branch(nn.Module):
    """Parts in a list or a dict, which are never called themselves; one of them may be called twice."""

    def __init__(self, parts: list[nn.Module], *, named: bool, twice: bool, residual: bool) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({f"p{i}": p for i, p in enumerate(parts)}) if named else nn.ModuleList(parts)
        self.twice, self.residual = twice, residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for part in self.parts.values() if isinstance(self.parts, nn.ModuleDict) else self.parts:
            y = part(y.clone())
        if self.twice:
            y = part(y.clone())
        return x + y if self.residual else y


def random_module(seed: int) -> tuple[nn.Module, torch.Tensor]:
    """A network and its probe: dense, tokens or images, in float32, float64 or bfloat16."""
    draw = np.random.default_rng(seed)
    kind, width, samples = (
        draw.choice(["dense", "tokens", "images"]),
        int(draw.integers(3, 9)),
        int(draw.integers(11, 29)),
    )
    dtype = [torch.float32, torch.float64, torch.bfloat16][draw.integers(3)]

    def part() -> nn.Module:
        if draw.random() < 0.4:
            return CHANGED[draw.integers(len(CHANGED))]()
        if kind == "images":
            return nn.Conv2d(width, width, 3, padding=1)
        return nn.LayerNorm(width) if draw.random() < 0.3 else nn.Linear(width, width)

    def block(depth: int) -> nn.Module:
        parts = [part() for _ in range(draw.integers(1, 4))]
        if depth:
            parts.append(block(depth - 1))
        if draw.random() < 0.4:
            return nn.Sequential(*parts)
        named, twice, residual = draw.random(3) < 0.5
        return Branch(parts, named=bool(named), twice=bool(twice), residual=bool(residual))

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(*(block(int(draw.integers(3))) for _ in range(draw.integers(1, 4)))).to(dtype)
    axes = {"dense": (), "tokens": (int(draw.integers(2, 7)),), "images": ()}[kind]
    shape = (samples, width, 5, 4) if kind == "images" else (samples, *axes, width)
    return model, torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def caught(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each call of each module put out, as it was then."""
    outputs: dict[str, torch.Tensor] = {}

    def hook(name: str):
        def keep(_module: nn.Module, _args: object, output: torch.Tensor) -> None:
            calls = sum(seen == name or seen.startswith(f"{name}@") for seen in outputs)
            outputs[f"{name}@{calls + 1}" if calls else name] = output.detach().clone()

        return keep

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    with torch.no_grad():
        model(x.clone())
    for handle in handles:
        handle.remove()
    return outputs


def plain(output: torch.Tensor) -> dict[str, float]:
    """The two dimensions by the singular values of the sample means over positions."""
    x = output.double().numpy()
    x = x if x.ndim == 2 else x.mean((2, 3)) if x.ndim == 4 else x.mean(1)
    power = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
    return {"stable_rank": power.sum() / power[0], "participation_ratio": power.sum() ** 2 / (power**2).sum()}


def check(seed: int, folder) -> int:
    model, x = random_module(seed)
    expected = caught(model, x)
    views = {2: "flat", 3: "mean", 4: "pooled"}[x.ndim]
    options = {"layers": "**", "views": views, "dimensions": NAMES, "signals": False, "updates": False, "alarms": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with gp.Recorder(model, x, out=folder, every=1, snapshots=None, on_error="raise", **options) as recorder:
            recorder.step()
        left_out = gp.layers(model, x, layers="**", views=views, updates=False).left_out
    table = gp.open(folder).table()
    table = table[table["step"] == 1].set_index("layer")
    for name, output in expected.items():
        if name not in table.index:
            assert left_out.get(name) or left_out.get(name.split("@")[0]), (seed, name, "is neither recorded nor named")
            continue
        for dimension, value in plain(output).items():
            assert table.loc[name, dimension] == pytest.approx(value, rel=1e-4, nan_ok=True), (seed, name, dimension)
            assert (table.loc[name, "status"] == "dead") == bool(np.isnan(value)), (seed, name)
    return len(table)


@pytest.mark.parametrize("seed", range(12))
def test_a_random_module_is_recorded_as_a_plain_hook_sees_it(seed, tmp_path):
    assert check(seed, tmp_path / "run") > 0


@pytest.mark.slow
def test_five_hundred_random_modules(tmp_path):
    """About a minute."""
    assert sum(check(seed, tmp_path / str(seed)) for seed in range(500)) > 5000


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("kind", "masked"), [("mean", False), ("mean", True), ("pooled", False)])
def test_means_over_positions_are_not_rounded_to_16_bits(dtype, kind, masked):
    """Law: a mean is of the values that a layer put out, in 24 bits, whatever type they came in."""
    generator = torch.Generator().manual_seed(0)
    x = (5 + 0.05 * torch.randn(12, 7, 9, generator=generator)).to(dtype)
    mask = torch.rand(12, 7, generator=generator) < 0.6 if masked else torch.ones(12, 7, dtype=torch.bool)
    mask[:, 0] = True
    view = View(kind, mask=mask if masked else None)
    tokens = x.double() if kind == "mean" else x.double().transpose(1, 2)
    weight = mask.double().unsqueeze(2) if kind == "mean" else torch.ones(12, 9, 1)
    expected = (tokens * weight).sum(1) / weight.sum(1)
    torch.testing.assert_close(view(x).double(), expected, rtol=1e-6, atol=1e-6)
