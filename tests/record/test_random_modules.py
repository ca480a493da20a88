"""Random small networks: each recorded value equals NumPy's on what a plain hook caught, or a reason is named.

Drawn are containers and how deep they lie, parts and blocks that stand in two places, parts that are called twice,
parts that write into their input, residual streams, tokens with padding, and the type: float64 to float16.
"""

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


class Padded(nn.Module):
    """A network of tokens that takes the mask of padding as its second input, and does not look at padding."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.body(x * mask.unsqueeze(2).to(x.dtype))


def random_module(seed: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor | None]:
    """A network, its samples and, of some networks of tokens, the mask of what is not padding."""
    draw = np.random.default_rng(seed)
    kind, width, samples = (
        draw.choice(["dense", "tokens", "images"]),
        int(draw.integers(3, 9)),
        int(draw.integers(11, 29)),
    )
    dtype = [torch.float32, torch.float64, torch.bfloat16, torch.float16][draw.integers(4)]

    def part() -> nn.Module:
        if draw.random() < 0.4:
            return CHANGED[draw.integers(len(CHANGED))]()
        if kind == "images":
            return nn.Conv2d(width, width, 3, padding=1)
        return nn.LayerNorm(width) if draw.random() < 0.3 else nn.Linear(width, width)

    made: list[nn.Module] = []

    def block(depth: int) -> nn.Module:
        if made and draw.random() < 0.2:
            return made[draw.integers(len(made))]  # the same object, at a second place
        parts = [part() for _ in range(draw.integers(1, 4))]
        if depth:
            parts.append(block(depth - 1))
        named, twice, residual = draw.random(3) < 0.5
        sequential = draw.random() < 0.4
        made.append(nn.Sequential(*parts) if sequential else Branch(parts, named=named, twice=twice, residual=residual))
        return made[-1]

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(*(block(int(draw.integers(3))) for _ in range(draw.integers(1, 4)))).to(dtype)
    tokens = int(draw.integers(2, 7))
    axes = {"dense": (), "tokens": (tokens,), "images": ()}[kind]
    shape = (samples, width, 5, 4) if kind == "images" else (samples, *axes, width)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    if kind != "tokens" or draw.random() < 0.5:
        return model, x, None
    lengths = torch.as_tensor(draw.integers(1, tokens + 1, samples))
    mask = torch.arange(tokens) < lengths[:, None]
    return Padded(model), x, mask if draw.random() < 0.5 else mask.flip(1)


def caught(model: nn.Module, inputs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """What each call of each module put out, as it was then."""
    outputs: dict[str, torch.Tensor] = {}

    def hook(name: str):
        def keep(_module: nn.Module, _args: object, output: torch.Tensor) -> None:
            calls = sum(seen == name or seen.startswith(f"{name}@") for seen in outputs)
            outputs[f"{name}@{calls + 1}" if calls else name] = output.detach().clone()

        return keep

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    with torch.no_grad():
        model(*(x.clone() for x in inputs))
    for handle in handles:
        handle.remove()
    return outputs


def plain(output: torch.Tensor, mask: torch.Tensor | None) -> dict[str, float]:
    """The two dimensions by the singular values of the sample means over positions, those of padding left out."""
    x = output.double().numpy()
    if x.ndim == 3:
        weight = np.ones(x.shape[:2]) if mask is None else mask.double().numpy()
        x = np.einsum("ntd,nt->nd", x, weight) / weight.sum(1, keepdims=True)
    x = x.mean((2, 3)) if x.ndim == 4 else x
    power = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
    return {"stable_rank": power.sum() / power[0], "participation_ratio": power.sum() ** 2 / (power**2).sum()}


def check(seed: int, folder) -> int:
    model, x, mask = random_module(seed)
    expected = caught(model, [x] if mask is None else [x, mask])
    probe = x if mask is None else gp.Probe(args=(x, mask), mask=mask)
    views = {2: "flat", 3: "mean", 4: "pooled"}[x.ndim]
    options = {"layers": "**", "views": views, "dimensions": NAMES, "signals": False, "updates": False, "alarms": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with gp.Recorder(model, probe, out=folder, every=1, snapshots=None, on_error="raise", **options) as recorder:
            recorder.step()
        left_out = gp.layers(model, probe, layers="**", views=views, updates=False).left_out
    table = gp.open(folder).table()
    table = table[table["step"] == 1].set_index("layer")
    for name, output in expected.items():
        if name not in table.index:
            assert left_out.get(name) or left_out.get(name.split("@")[0]), (seed, name, "is neither recorded nor named")
            continue
        for dimension, value in plain(output, mask).items():
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


@pytest.mark.parametrize(("dtype", "rank"), [(torch.float32, 3), (torch.float64, 4)])
def test_the_rounding_of_values_that_a_mean_is_of_is_no_direction(dtype, rank, tmp_path):
    """Planted: three directions and a fourth a billion times smaller, which float64 alone tells from rounding."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 9, bias=False, dtype=torch.float64)
    x = torch.randn(20, 1, 4, dtype=torch.float64).expand(20, 2, 4) * torch.tensor([1, 1, 1, 1e-9])
    model = nn.Sequential(layer).to(dtype)
    with gp.Recorder(model, x.to(dtype), out=tmp_path, every=1, views="mean", signals=False, alarms=False) as recorder:
        recorder.step()
    assert gp.open(tmp_path).table()["numerical_rank"].tolist() == [rank]
