"""In-band recording: the training batch's own activations, without a forward pass of ours."""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.capture import ActivationCapture
from geophone.record.layers import Plan, Reading, chosen_modules, plan_outputs
from geophone.record.probe import bare, is_compiled


class InBand:
    """Listens to the forward pass of a training step.

    `arm` before the step, `take` after it. Of several forward passes in train mode with gradients the last one
    counts; passes in eval mode or without gradients (a validation loop) do not. The plan is made of the first batch
    that is heard. Activations are as in training, with dropout and the batch's own normalisation.
    Raises InputError for compiled models, whose hooks do not fire.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str | type | nn.Module] | None, how: Reading) -> None:
        self._model = bare(model)
        if is_compiled(model):
            raise InputError("probe='batch' needs hooks, which compiled code does not run; give a probe batch instead.")
        self._modules = chosen_modules(self._model, layers)
        self._how = how
        self._listening = False
        self._capture: ActivationCapture | None = None
        self._root = None
        self.plan: Plan | None = None

    def arm(self) -> None:
        """Put the hooks in place for the coming step."""
        if self._capture is None:
            select = list(self._modules.values())
            self._capture = ActivationCapture(self._model, select, keep=self._keep).__enter__()
            self._root = self._model.register_forward_pre_hook(self._begin)

    @property
    def armed(self) -> bool:
        return self._capture is not None

    def disarm(self) -> None:
        """Take the hooks away."""
        if self._capture is not None:
            self._root.remove()
            self._capture.__exit__()
            self._capture = None

    def take(self) -> Mapping[str, torch.Tensor]:
        """Rows by layer, of what was heard since `arm`; empty when no forward pass was heard."""
        heard = {} if self._capture is None else {n: self._capture[n] for n in self._capture.names}
        self.disarm()
        if heard and self.plan is None:
            # The batch is what most layers agree on: a first axis that is not the batch is rarely that common.
            sizes = [len(t) for t in heard.values()]
            samples = max(set(sizes), key=sizes.count)
            self.plan = plan_outputs(heard, self._modules, samples=samples, how=self._how, overwritten=heard)
            heard = {name: self.plan.keep(name, tensor) for name, tensor in heard.items()}
        return {name: rows for name, rows in heard.items() if rows is not None}

    def _begin(self, module: nn.Module, args) -> None:
        self._listening = module.training and torch.is_grad_enabled()
        if self._listening:
            self._capture.clear()

    def _keep(self, name: str, output: torch.Tensor) -> torch.Tensor | None:
        if not self._listening:
            return None
        return output.clone() if self.plan is None else self.plan.keep(name, output)
