"""What a unit likes best: images made to excite it, many units and checkpoints in one batch; and the data's own."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from geophone.dig.samples import answers
from geophone.errors import InputError

UNITS = 20
_CREEP = 0.1
# What gives each unit from that unit alone. PReLU and its like, with a parameter for all units, are not among them.
_UNIT_BY_UNIT = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Dropout, nn.MaxPool2d,
    nn.AvgPool2d, nn.Identity,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Style:
    """How images are made. The defaults are those in use since Olah et al. (2017): Fourier parametrisation, Adam at
    0.05, 512 steps, and at each step a shift of up to `jitter` (share of the side), a scaling by 1 +- `scale` and a
    rotation of up to `rotate` degrees. `where` is "channel" (mean over positions) or "neuron" (the middle position).
    With `copies` > 1 each unit gets that many images, kept apart by `diversity` times their activations' mean cosine.

    An image stays within its canvas by a sigmoid. Without bound the optimum of a linear score is black and white, the
    sign of what the unit looks for; `contrast`, the most that an image's standard deviation may be before the sigmoid,
    keeps gradations: at 0.2 the image is the template of a matched filter, but weak ones may not suffice deep down.
    "auto" is 0.5 for a neuron, and no bound (None) for a channel, whose images match what was planted better without.
    """

    steps: int = 512
    rate: float = 0.05
    jitter: float = 1 / 14
    scale: float = 0.1
    rotate: float = 10.0
    where: str = "channel"
    copies: int = 1
    diversity: float = 0.0
    contrast: float | str | None = "auto"

    @property
    def bound(self) -> float | None:
        """The contrast that holds."""
        if self.contrast == "auto":
            return 0.5 if self.where == "neuron" else None
        return None if self.contrast is None else float(self.contrast)

    def __post_init__(self) -> None:
        if self.where not in ("channel", "neuron") or self.steps < 1 or self.copies < 1:
            raise InputError(f"{self}: where is channel or neuron, steps and copies are 1 or more.")
        given = self.contrast
        if not (given is None or given == "auto" or (isinstance(given, int | float) and given > 0)):
            raise InputError(f'contrast={given!r}: give a number above 0, "auto", or None for no bound.')


@dataclass(frozen=True)
class Canvas:
    """What an image may be: its `shape` (C, H, W), the values `low` to `high` it stays within, its `mean` to begin
    from, and `colour` (C, C), which turns uncorrelated colours into ones correlated as in the data."""

    shape: tuple[int, int, int]
    low: float
    high: float
    mean: float
    colour: np.ndarray

    @classmethod
    def of(cls, images: torch.Tensor) -> "Canvas":
        """The canvas of data such as `images` (N, C, H, W)."""
        if images.ndim != 4:
            raise InputError(f"images of shape {tuple(images.shape)}: give (N, channels, height, width).")
        pixels = images.transpose(0, 1).flatten(1).double().numpy()
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(pixels)))
        root = vectors * np.sqrt(np.maximum(values, 0))
        root = root / np.linalg.norm(root, axis=1).max()
        colour = root if images.shape[1] > 1 else np.eye(1)
        _, channels, height, width = images.shape
        low, high = float(images.min()), float(images.max())
        return cls((channels, height, width), low, high, float(images.mean()), colour)


def visualize(
    models: Sequence[nn.Module],
    layer: str,
    directions: np.ndarray,
    canvas: Canvas,
    *,
    rng: np.random.Generator,
    style: Style | None = None,
) -> np.ndarray:
    """Images that excite `layer` along each of `directions` (K, units), in each of `models`.

    Returns (models, K * copies, C, H, W). The score of an image is direction . activation, at the middle position or
    averaged over all. A unit is a direction with one 1 (`units_of`). All images of all models are parameters of one
    optimiser, begin at the same noise, and share each step's random transformation; a network runs only as far as
    `layer`, and as a copy: the caller's is not touched. Raises InputError for directions that do not fit the layer.
    Not a proof of what a unit does: it shows one thing that excites it.
    """
    style = style or Style()
    directions = np.atleast_2d(np.asarray(directions, dtype=np.float32)).repeat(style.copies, 0)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    channels, height, width = canvas.shape
    spectrum = 0.01 * torch.randn(len(directions), channels, height, width // 2 + 1, 2, generator=generator)
    spectrum = spectrum.repeat(len(models), 1, 1, 1, 1).requires_grad_(True)
    optimizer = torch.optim.Adam([spectrum], lr=style.rate)
    fixed = _Fixed(canvas, style.bound)
    towards = torch.from_numpy(directions)
    readers = [_Reader(model, layer) for model in models]
    units = np.flatnonzero(directions.any(0))
    # The diversity term reads the whole layer; a score only the units that a direction asks for.
    whole = (style.copies > 1 and style.diversity) or not len(units)
    if not whole:
        narrowed = [reader.narrow(units, directions.shape[1]) for reader in readers]
        towards = towards[:, units] if all(narrowed) else towards
    with torch.enable_grad():
        for _ in range(style.steps):
            optimizer.zero_grad()
            images = _transformed(fixed.images(spectrum), style, generator)
            images = images.contiguous(memory_format=torch.channels_last)
            parts = zip(readers, images.chunk(len(models)), strict=True)
            loss = torch.stack([-_score(read(part), towards, style) for read, part in parts]).sum()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return fixed.images(spectrum).reshape(len(models), len(directions), *canvas.shape).numpy()


def units_of(units: Sequence[int], count: int) -> np.ndarray:
    """Directions of single units: (len(units), count), a 1 in each row."""
    if not all(0 <= unit < count for unit in units):
        raise InputError(f"units {list(units)} of a layer that has {count}: give 0 to {count - 1}.")
    return np.eye(count, dtype=np.float32)[list(units)]


def chosen_units(count: int, *, rng: np.random.Generator, most: int = UNITS) -> list[int]:
    """`most` units at random, or all of a smaller layer, in order."""
    return sorted(rng.choice(count, min(most, count), replace=False).tolist())


def top_inputs(model: nn.Module, layer: str, units: Sequence[int], x: torch.Tensor, *, most: int = 9) -> np.ndarray:
    """Which of the inputs `x` excite each of `units` most, best first: (len(units), most) indices into `x`."""
    a = answers(model, [layer], x)[layer][:, list(units)]
    return np.argsort(-a, axis=0, kind="stable")[:most].T


class _Fixed:
    """From Fourier coefficients to images on a canvas; amplitudes fall with frequency as natural images' do."""

    def __init__(self, canvas: Canvas, contrast: float | None) -> None:
        _, height, width = canvas.shape
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
        # A step moves the coarsest wave by a quarter of its size; larger ones drive every pixel to its limit.
        self._amplitude = torch.from_numpy(1 / (4 * np.maximum(frequency, 1 / max(height, width)))).float()
        self._size = (height, width)
        self._colour = torch.from_numpy(canvas.colour).float()
        self._contrast = contrast
        self._low, self._span = canvas.low, canvas.high - canvas.low
        share = min(max((canvas.mean - canvas.low) / self._span, 0.02), 0.98)
        self._rest = float(np.log(share / (1 - share)))

    def images(self, spectrum: torch.Tensor) -> torch.Tensor:
        waves = torch.view_as_complex(spectrum) * self._amplitude
        plain = torch.fft.irfft2(waves, s=self._size, norm="ortho")
        if len(self._colour) > 1:
            plain = torch.einsum("nchw,dc->ndhw", plain, self._colour)
        if self._contrast is not None:
            spread = plain.flatten(1).std(1).clamp(min=self._contrast)
            plain = plain * (self._contrast / spread)[:, None, None, None]
        return self._low + self._span * torch.sigmoid(plain + self._rest)


def _transformed(images: torch.Tensor, style: Style, generator: torch.Generator) -> torch.Tensor:
    """Shifted, scaled and turned at random, the same for all; what comes in at the rim is the rim's own colour."""
    dx, dy, grow, turn = (2 * torch.rand(4, generator=generator) - 1).tolist()
    angle, size = np.radians(style.rotate) * turn, 1 + style.scale * grow
    c, s = np.cos(angle) / size, np.sin(angle) / size
    matrix = torch.tensor([[[c, -s, 2 * style.jitter * dx], [s, c, 2 * style.jitter * dy]]], dtype=images.dtype)
    grid = nn.functional.affine_grid(matrix, [1, *images.shape[1:]], align_corners=False)
    grid = grid.expand(len(images), -1, -1, -1)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _score(activation: torch.Tensor, directions: torch.Tensor, style: Style) -> torch.Tensor:
    read = activation
    if activation.ndim == 4:
        middle = activation[:, :, activation.shape[2] // 2, activation.shape[3] // 2]
        read = activation.mean((2, 3)) if style.where == "channel" else middle
    elif activation.ndim == 3:
        read = activation.mean(1) if style.where == "channel" else activation[:, activation.shape[1] // 2]
    if read.shape[1] != directions.shape[1]:
        raise InputError(f"directions over {directions.shape[1]} units; the layer has {read.shape[1]}.")
    score = (read * directions).sum()
    if style.copies > 1 and style.diversity:
        flat = nn.functional.normalize(activation.flatten(1), dim=1).view(-1, style.copies, activation[0].numel())
        alike = (flat @ flat.transpose(1, 2)).sum() - flat.shape[0] * style.copies
        score = score - style.diversity * alike / (style.copies - 1)
    return score


class _Reached(Exception):
    """The layer's output is there; what comes after it need not run."""


class _Reader:
    """From images to the layer's activation, on a copy of the network, so that the caller's stays as it is."""

    def __init__(self, model: nn.Module, layer: str) -> None:
        self._layer = layer
        # Channels last is what convolutions on a CPU are quickest with.
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        for parameter in self._model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        module = dict(self._model.named_modules()).get(layer)
        if module is None:
            raise InputError(f"the model has no layer {layer!r}.")
        self._module: nn.Module = module
        for last in [m for m in module.modules() if isinstance(m, nn.ReLU)][-1:]:
            last.register_forward_hook(_creeping)
        module.register_forward_hook(self._stop)
        self._activation = torch.empty(0)

    def narrow(self, units: np.ndarray, count: int) -> bool:
        """Compute only `units` of the layer's `count`, where its last map (a convolution or a linear one) gives each
        for itself and what follows works on each alone. False, and nothing done, for any other layer."""
        alone = type(self._module) is not nn.Sequential
        parts = [self._module] if alone else list(self._module.children())
        last = max((i for i, part in enumerate(parts) if isinstance(part, nn.Linear | nn.Conv2d)), default=None)
        if last is None or not all(isinstance(part, _UNIT_BY_UNIT) for part in parts[last + 1 :]):
            return False
        weight = parts[last]._parameters.get("weight")
        often = [id(module) for _, module in self._model.named_modules(remove_duplicate=False)]
        if weight is None or len(weight) != count or getattr(parts[last], "groups", 1) != 1:
            return False
        if any(often.count(id(part)) > 1 for part in parts[last:]):
            return False
        for part in parts[last:]:
            for name, tensor in list(part.named_parameters(recurse=False)):
                setattr(part, name, nn.Parameter(tensor.detach()[units], requires_grad=False))
            for name, buffer in list(part.named_buffers(recurse=False)):
                setattr(part, name, buffer[units] if buffer.ndim else buffer)
        return True

    def _stop(self, module, args, output):
        self._activation = output
        raise _Reached

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        try:
            self._model(images)
        except _Reached:
            return self._activation
        raise InputError(f"the layer {self._layer!r} was not reached.")


class _Creep(torch.autograd.Function):
    """A ReLU's output as it is; where it is zero, a little gradient passes all the same."""

    @staticmethod
    def forward(ctx, below: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(value)
        return value.view_as(value)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        (value,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(gradient, value, _CREEP, True), None


def _creeping(module, args, output):
    """A ReLU that is off passes a little gradient, so that a silent unit can be woken; its value is unchanged."""
    return _Creep.apply(args[0], output.detach())
