"""Where in an image, and through which units, a class is decided: GradCAM and conductance, by captum."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from geophone.dig.scoring import answer_of
from geophone.errors import InputError
from geophone.record.capture import ActivationCapture
from geophone.record.probe import undisturbed

_INTEGRATION = 64


def attribution(model: nn.Module, layer: str, x: torch.Tensor, classes: Sequence[int]) -> np.ndarray:
    """What `layer` contributes to the logit of a class, sample by sample; `x` (N, ...), `classes` (N,).

    Convolutional layers: GradCAM (Selvaraju et al. 2017), ReLU applied, scaled up to the image: (N, H, W). Others:
    layer conductance (Dhamdhere et al. 2019) from a baseline of zeros, 64 points: the layer's own shape (N, ...).
    Inputs that are tokens cannot be interpolated; for them gradient x activation, of the last position's logit.
    Raises InputError for an unknown layer.
    """
    from captum.attr import LayerAttribution, LayerConductance, LayerGradCam, LayerGradientXActivation

    working = copy.deepcopy(model).eval()
    module = dict(working.named_modules()).get(layer)
    if module is None:
        raise InputError(f"the model has no layer {layer!r}.")
    logits = _Logits(working)
    target = [int(label) for label in classes]
    if not x.is_floating_point():
        method = LayerGradientXActivation(logits, module)
        return method.attribute(x, target=target).detach().numpy()
    if _is_map(working, layer, x[:1]):
        found = LayerGradCam(logits, module).attribute(x, target=target, relu_attributions=True)
        return LayerAttribution.interpolate(found, tuple(x.shape[2:]), "bilinear")[:, 0].detach().numpy()
    method = LayerConductance(logits, module)
    return method.attribute(x, baselines=torch.zeros_like(x), target=target, n_steps=_INTEGRATION).detach().numpy()


class _Logits(nn.Module):
    """A network's logits alone, (N, classes): of sequences those of the last position."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = answer_of(self.inner(x))
        return output[:, -1] if output.ndim == 3 else output


def _is_map(model: nn.Module, layer: str, x: torch.Tensor) -> bool:
    with undisturbed(model), torch.no_grad(), ActivationCapture(model, [layer]) as capture:
        model(x)
    return capture[layer].ndim == 4
