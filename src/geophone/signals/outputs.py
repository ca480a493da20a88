"""The network's outputs on the probe as one moving point: a sketch per measurement."""

import numpy as np
import numpy.typing as npt
import torch

SKETCH = 256


class OutputSketch:
    """A fixed random projection of a probe's outputs to `size` numbers, of the same kind at every measurement.

    Outputs (n, C) are multiplied by random signs and added up in `size` buckets (a count sketch: Charikar, Chen &
    Farach-Colton 2002). It is linear and keeps inner products in the mean, with a standard error of at most
    |F||G|/sqrt(size); outputs of `size` numbers or fewer are kept as they are. The signs depend on `rng` and the shape.
    """

    def __init__(self, samples: int, outputs: int, *, rng: np.random.Generator, size: int = SKETCH) -> None:
        self._size, self._whole = size, samples * outputs <= size
        columns = -(-outputs // size) * size
        self._padding = columns - outputs
        signs = np.array([-1.0, 1.0], dtype=np.float32)
        self._row_signs = torch.from_numpy(rng.choice(signs, samples))[:, None]
        self._column_signs = torch.from_numpy(rng.choice(signs, outputs))[None]
        shift = rng.integers(size, size=(samples, 1))
        self._places = torch.from_numpy((np.arange(size)[None] + shift) % size).flatten()

    def __call__(self, outputs: torch.Tensor) -> npt.NDArray[np.float32]:
        """(n, C) -> (size,), or (n C,) where that is no more."""
        rows = outputs.detach().float().cpu()
        if self._whole:
            return rows.flatten().numpy().copy()
        signed = torch.nn.functional.pad(rows * self._row_signs * self._column_signs, (0, self._padding))
        folded = signed.view(len(rows), -1, self._size).sum(1)
        return torch.zeros(self._size).index_add_(0, self._places, folded.flatten()).numpy()
