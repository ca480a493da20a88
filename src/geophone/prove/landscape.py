"""What others read of a network in training that a pass of the probe does not give: where its loss is flat, what its
gradients agree on, and how its weights are spread. Each has its price; none belongs to the ranker."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

Named = Mapping[str, torch.Tensor]
Loss = Callable[[np.random.Generator], torch.Tensor]
# Samples at a time, so that their gradients fit into memory.
_TOGETHER = 64


def llc(
    weights: Sequence[torch.Tensor],
    loss: Loss,
    *,
    samples: int,
    step: float,
    pull: float,
    draws: int,
    burn_in: int,
    rng: np.random.Generator,
) -> float:
    """Local learning coefficient of the loss at `weights`, n beta (E[L(w)] - L(w*)) with beta = 1 / ln n, n `samples`.

    w is drawn by stochastic gradient Langevin dynamics around w* = `weights` as they are: each of `burn_in` + `draws`
    steps adds -step/2 (n beta grad L(w) + pull (w - w*)) and Gaussian noise of variance `step`; L(w) - L(w*) is read on
    one batch, the mean over `draws` is taken. With `weights` of one layer alone it is that layer's refined coefficient.
    Of a quadratic with curvatures h it is sum(a / (a + pull)) / 2, a = n beta h, up to step a / 4. `loss(rng)` is the
    loss of a batch that `rng` draws, with the weights as they then are; they are back bit for bit afterwards. NaN where
    the walk leaves all bounds. Costs four forward passes of a batch a step. Lau et al. 2023; Wang et al. 2024.

    Not a dimension of the representation: it counts what the loss does not feel.
    """
    start = [w.detach().clone() for w in weights]
    factor = samples / np.log(samples)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    above: list[float] = []
    try:
        for number in range(burn_in + draws):
            order = int(rng.integers(2**31))
            with torch.enable_grad():
                here = loss(np.random.default_rng(order))
                slopes = torch.autograd.grad(here, list(weights), allow_unused=True)
            if number >= burn_in:
                above.append(float(here.detach()) - _at(start, weights, loss, order))
            for w, home, slope in zip(weights, start, slopes, strict=True):
                noise = torch.randn(w.shape, generator=generator, dtype=w.dtype) * step**0.5
                force = pull * (w.detach() - home) + (0.0 if slope is None else factor * slope)
                w.data.add_(noise - 0.5 * step * force)
    finally:
        _put(weights, start)
    value = factor * float(np.mean(above))
    return value if np.isfinite(value) else float("nan")


def _at(start: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], loss: Loss, order: int) -> float:
    """The loss of the batch `order` at `start`; the weights are left as they are."""
    there = [w.detach().clone() for w in weights]
    _put(weights, start)
    with torch.no_grad():
        value = float(loss(np.random.default_rng(order)))
    _put(weights, there)
    return value


def _put(weights: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    for w, value in zip(weights, values, strict=True):
        w.data.copy_(value)


def sample_gradients(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The gradient of the scalar of(model(x), y) of every sample alone, (n, size) by the parameter's name. Costs three
    forward passes of the samples. The model runs as it stands (in eval mode, where nothing is to be drawn)."""
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def one(weights: Named, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return of(functional_call(model, dict(weights), (x[None],), tie_weights=False), y[None])

    each = vmap(grad(one), in_dims=(None, 0, 0))
    parts = [each(weights, a, b) for a, b in zip(x.split(_TOGETHER), y.split(_TOGETHER), strict=True)]
    return {name: torch.cat([part[name].flatten(1) for part in parts]) for name in weights}


def tangent_kernels(gradients: Named, owners: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Layer-wise tangent kernels K = G G' (n, n), float64, of the `gradients` (n, size) of an output: by layer, over
    the parameters that it owns (Jacot et al. 2018; one output a sample: Mohamadi et al. 2023)."""
    found = {}
    for layer, names in owners.items():
        found[layer] = sum(
            (np.asarray(g.double() @ g.double().T) for g in map(gradients.__getitem__, names)), np.zeros(())
        )
    return found


def kernel_change(a: np.ndarray, b: np.ndarray) -> float:
    """1 - <A, B> / (|A| |B|) of two kernels (n, n) of the same samples (Fort et al. 2020); NaN where one is zero."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1.0 - float(np.vdot(a, b)) / size if size > 0 else float("nan")


def noise_scale(gradients: Sequence[torch.Tensor]) -> float:
    """Gradient noise scale tr(S) / |g|^2 in samples, of the loss gradients of samples, each (n, size): S their
    covariance, g their mean, |g|^2 less what noise adds to it, a hundredth of that noise at least (McCandlish et al.
    2018)."""
    n = len(gradients[0])
    spread = sum(float((g - g.mean(0)).double().square().sum()) for g in gradients) / (n - 1)
    length = sum(float(g.double().mean(0).square().sum()) for g in gradients)
    return spread / max(length - spread / n, spread / (100 * n)) if spread > 0 else float("nan")


def weight_statistics(model: nn.Module) -> dict[str, float]:
    """What a training map is made of, each a mean over the weight matrices (those of biases over the vectors): `l1`,
    `l2` norms and their ratio, `mean`, `median`, `deviation` of entries, and of singular values the sum, the greatest,
    their ratio, mean and deviation; `bias_mean`, `bias_median`, `bias_deviation` (Hu et al. 2023)."""
    matrices = [p.detach().double().flatten(1) for p in model.parameters() if p.ndim > 1]
    vectors = [p.detach().double() for p in model.parameters() if p.ndim == 1 and len(p) > 1]
    rows = [_of_matrix(matrix) for matrix in matrices]
    said = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}
    biases = [(float(v.mean()), float(v.median()), float(v.std())) for v in vectors] or [(0.0, 0.0, 0.0)]
    means = np.mean(biases, axis=0).tolist()
    return said | dict(zip(("bias_mean", "bias_median", "bias_deviation"), means, strict=True))


def _of_matrix(w: torch.Tensor) -> dict[str, float]:
    values = torch.linalg.svdvals(w)
    l1, l2, total, most = float(w.abs().sum()), float(w.norm()), float(values.sum()), float(values[0])
    return {
        "l1": l1, "l2": l2, "l1_over_l2": l1 / max(l2, 1e-12), "mean": float(w.mean()), "median": float(w.median()),
        "deviation": float(w.std()), "singular_sum": total, "singular_most": most,
        "singular_ratio": total / max(most, 1e-12), "singular_mean": float(values.mean()),
        "singular_deviation": float(values.std(unbiased=False)),
    }  # fmt: skip
