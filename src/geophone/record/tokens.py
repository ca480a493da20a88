"""The tokens of a probe: which they are, what they say, and which come next."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from geophone.errors import InputError
from geophone.record.probe import Probe
from geophone.record.what import Texts


def _token_tensor(probe: Probe) -> torch.Tensor | None:
    """The first tensor of whole numbers (samples, positions) in the probe, on the CPU."""
    whole = (t for t in probe.tensors if t.ndim == 2 and not t.is_floating_point() and t.dtype != torch.bool)
    return next((tensor.cpu() for tensor in whole), None)


def token_columns(probe: Probe, mask: torch.Tensor | None, texts: Texts) -> dict[str, npt.NDArray[Any]]:
    """The columns of the probe's tokens; none where it has no tokens. Raises InputError where `texts` lacks one."""
    tokens = _token_tensor(probe)
    if tokens is None:
        return {}
    real = torch.ones_like(tokens, dtype=torch.bool) if mask is None or mask.shape != tokens.shape else mask
    sample, position = (axis.ravel() for axis in np.indices(tokens.shape, dtype=np.int32))
    columns: dict[str, npt.NDArray[Any]] = {
        "sample": sample, "position": position, "token": tokens.numpy().ravel(), "real": real.numpy().ravel()
    }  # fmt: skip
    if texts is None:
        return columns
    numbers, place = np.unique(columns["token"], return_inverse=True)
    try:
        said = texts(numbers.tolist()) if callable(texts) else [texts[number] for number in numbers]
    except (IndexError, KeyError) as error:
        raise InputError(
            f"texts= has no text of token {error}; the probe has {numbers[0]} to {numbers[-1]}."
        ) from error
    if len(said) != len(numbers):
        raise InputError(f"texts= gave {len(said)} texts for {len(numbers)} tokens; give one for each.")
    return columns | {"text": np.array([str(text) for text in said], dtype=object)[place]}


def next_tokens(probe: Probe, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The probe's tokens, and the right next token at each place: -100 at the last one and before what is masked."""
    tokens = _token_tensor(probe)
    if tokens is None:
        raise InputError('labels="next-token" wants token numbers (samples, positions) in the probe; there are none.')
    targets = torch.full_like(tokens, -100, dtype=torch.int64)
    targets[:, :-1] = tokens[:, 1:]
    if mask is not None and mask.shape == tokens.shape:
        targets[:, :-1][~mask[:, 1:]] = -100
        targets[~mask] = -100
    return tokens, targets
