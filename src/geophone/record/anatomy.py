"""What a layer is made of: units, attention heads and the path around it, for tools that know no module classes."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from geophone.record.capture import ActivationCapture
from geophone.record.layers import CHANNELS_FIRST
from geophone.record.probe import bare, model_device, undisturbed
from geophone.zoo.mlp import Residual
from geophone.zoo.transformer import Attention, Block, Decoder, TokenEmbedding

Rows = tuple[tuple[str, slice | None], ...]
# What a network is called with: one tensor, or several by name.
Inputs = torch.Tensor | Mapping[str, torch.Tensor]
_PROJECTIONS = ("q", "k", "v", "query", "key", "value", "q_proj", "k_proj", "v_proj", "q_lin", "k_lin", "v_lin")
_TOGETHER = "query_key_value"


class Anatomy(Protocol):
    """What the digging tools ask of an architecture. `PlainAnatomy` answers for any network of torch's own modules;
    write a class of your own, or one below it, where its answers are wrong. A layer is a module path."""

    def unit_axis(self, model: nn.Module, layer: str, output: torch.Tensor) -> int:
        """The axis of the layer's `output` (N, ...) that counts its units."""
        ...

    def heads(self, model: nn.Module) -> Mapping[str, int]:
        """How many heads each attention layer has, by its path, in order of depth; empty without attention."""
        ...

    def patterns(self, model: nn.Module, inputs: Inputs) -> Mapping[str, np.ndarray]:
        """What each head of each attention layer attends to on `inputs`, such as tokens (N, T): (N, heads, T, T),
        queries first. Empty where the network does not say."""
        ...

    def copying(self, model: nn.Module, layer: str, symbols: int) -> torch.Tensor:
        """From the embedding of each of `symbols` tokens through one head's values and output to the logits, (heads,
        symbols, symbols); empty where that path cannot be read off."""
        ...

    def head_rows(self, model: nn.Module, layer: str) -> tuple[Rows, ...]:
        """Per head of an attention layer, the rows (along axis 0) of the entries of the state dict that are its own;
        empty where they cannot be told apart."""
        ...

    def around(self, module: nn.Module) -> nn.Module | None:
        """The part f of a module that puts out x + f(x); None for any other."""
        ...

    def unembedded(self, model: nn.Module, stream: torch.Tensor | None) -> torch.Tensor | None:
        """The logits (..., V) that a language model's last norm and its head make of a residual stream (..., D) (the
        logit lens: nostalgebraist 2020); None where that path is not known, or the stream has another width."""
        ...


class PlainAnatomy:
    """Networks of torch's own linear and convolutional modules, recurrent ones, and anything else that puts out a
    tensor: units are channels of images (N, C, ...), dimensions of a stream (N, T, D), features of vectors (N, D).
    Heads and residual paths are not known."""

    def unit_axis(self, model: nn.Module, layer: str, output: torch.Tensor) -> int:
        """The last axis of (N, T, D), else the first after the samples."""
        return 2 if output.ndim == 3 and not isinstance(model.get_submodule(layer), CHANNELS_FIRST) else 1

    def heads(self, model: nn.Module) -> Mapping[str, int]:
        """None are known."""
        return {}

    def patterns(self, model: nn.Module, inputs: Inputs) -> Mapping[str, np.ndarray]:
        """None are known."""
        return {}

    def copying(self, model: nn.Module, layer: str, symbols: int) -> torch.Tensor:
        """Not known."""
        return torch.empty(0, symbols, symbols)

    def head_rows(self, model: nn.Module, layer: str) -> tuple[Rows, ...]:
        """Not known."""
        return ()

    def around(self, module: nn.Module) -> nn.Module | None:
        """Not known."""
        return None

    def unembedded(self, model: nn.Module, stream: torch.Tensor | None) -> torch.Tensor | None:
        """Not known."""
        return None


class ZooAnatomy(PlainAnatomy):
    """The zoo's networks: a layer `heads_out` counts heads, `Attention` puts its pattern through a module of that
    name, `Residual` adds what is inside it to what comes in."""

    def unit_axis(self, model: nn.Module, layer: str, output: torch.Tensor) -> int:
        """Axis 2 of `heads_out` (N, T, heads, width / heads), else as in any network."""
        heads = layer.rpartition(".")[2] == "heads_out" and output.ndim == 4
        return 2 if heads else super().unit_axis(model, layer, output)

    def heads(self, model: nn.Module) -> Mapping[str, int]:
        """Of every `Attention`."""
        return {name: module.heads for name, module in model.named_modules() if isinstance(module, Attention)}

    def patterns(self, model: nn.Module, inputs: Inputs) -> Mapping[str, np.ndarray]:
        """What passes through each `Attention`'s module `pattern`."""
        names = {f"{name}.pattern": name for name in self.heads(model)}
        with undisturbed(model), torch.no_grad(), ActivationCapture(model, list(names)) as capture:
            _called(model, inputs)
            return {layer: capture[name].float().cpu().numpy() for name, layer in names.items()}

    def copying(self, model: nn.Module, layer: str, symbols: int) -> torch.Tensor:
        """With the norms as they are for the token's embedding alone."""
        embed, head = getattr(model, "embed", None), getattr(model, "head", None)
        block, attention = model.get_submodule(layer.rpartition(".")[0]), model.get_submodule(layer)
        if not (isinstance(block, Block) and isinstance(attention, Attention) and isinstance(embed, TokenEmbedding)):
            return super().copying(model, layer, symbols)
        if not isinstance(head, nn.Linear) or head.out_features < symbols:
            return super().copying(model, layer, symbols)
        with torch.no_grad():
            width = embed.token.weight.shape[1]
            tokens = embed.token.weight[:symbols] if block.post else block.norm1(embed.token.weight[:symbols])
            values = attention.project_in(tokens)[:, 2 * width :].view(symbols, attention.heads, -1)
            out = attention.project_out.weight.view(width, attention.heads, -1)
            return torch.einsum("shd,whd->hsw", values, out) @ head.weight[:symbols].T

    def head_rows(self, model: nn.Module, layer: str) -> tuple[Rows, ...]:
        """A head's rows of queries, keys and values in `project_in`."""
        attention = model.get_submodule(layer)
        if not isinstance(attention, Attention):
            return ()
        width = attention.project_out.in_features
        each = width // attention.heads
        starts = [[part * width + head * each for part in range(3)] for head in range(attention.heads)]
        entries = [f"{layer}.project_in.{name}" for name in ("weight", "bias")]
        return tuple(
            tuple((entry, slice(start, start + each)) for entry in entries for start in rows) for rows in starts
        )

    def around(self, module: nn.Module) -> nn.Module | None:
        """What is inside a `Residual`."""
        return module.inner if isinstance(module, Residual) else None

    def unembedded(self, model: nn.Module, stream: torch.Tensor | None) -> torch.Tensor | None:
        """Through a `Decoder`'s norm and head."""
        return _read_out(stream, model.norm, model.head) if isinstance(model, Decoder) else None


class HuggingFaceAnatomy(PlainAnatomy):
    """Models of transformers, also inside a module of your own: decoders, encoders and image models whose attention
    layers can give their weights (`output_attentions`). Heads are told apart in the weights where queries, keys and
    values are linear layers of their own with as many rows for each head (BERT, ViT, OPT, Llama without groups), or
    one with a head's three beside each other (GPT-NeoX)."""

    def heads(self, model: nn.Module) -> Mapping[str, int]:
        """Of every attention layer: the outermost modules called ...Attention."""
        found: dict[str, int] = {}
        for name, module in model.named_modules():
            inside = any(name.startswith(other + ".") for other in found)
            count = getattr(getattr(module, "config", None), "num_attention_heads", None)
            if count is None and type(module).__name__.endswith("Attention"):
                count = _config(model).num_attention_heads
            if type(module).__name__.endswith("Attention") and not inside and count:
                found[name] = int(count)
        return found

    def patterns(self, model: nn.Module, inputs: Inputs) -> Mapping[str, np.ndarray]:
        """The weights that transformers' own `output_attentions` gives, in eager attention."""
        inner = _pretrained(model)
        layers = list(self.heads(model))
        with undisturbed(model), torch.no_grad(), _eager_attention(inner):
            weights = _attentions(_called(inner, inputs, output_attentions=True))
        given = [weight for weight in weights if weight is not None]
        if not len(given) == len(weights) == len(layers):
            return {}
        return {layer: weight.float().cpu().numpy() for layer, weight in zip(layers, given, strict=True)}

    def head_rows(self, model: nn.Module, layer: str) -> tuple[Rows, ...]:
        """A head's rows of queries, keys and values."""
        count = self.heads(model)[layer]
        own = [
            (f"{layer}.{name}", module)
            for name, module in model.get_submodule(layer).named_modules()
            if isinstance(module, nn.Linear) and name.rpartition(".")[2] in (*_PROJECTIONS, _TOGETHER)
        ]
        together = len(own) == 1 and own[0][0].endswith(_TOGETHER)
        if not together and (len(own) != 3 or len({module.out_features for _, module in own}) != 1):
            return ()
        each = own[0][1].out_features // count
        entries = [f"{name}.{entry}" for name, module in own for entry, _ in module.named_parameters(recurse=False)]
        return tuple(
            tuple((entry, slice(head * each, (head + 1) * each)) for entry in entries) for head in range(count)
        )

    def unembedded(self, model: nn.Module, stream: torch.Tensor | None) -> torch.Tensor | None:
        """Through the norm that is the last of the decoder's own, and the output embeddings; nothing of encoders."""
        inner = _pretrained(model)
        head, base = inner.get_output_embeddings(), inner.base_model
        if getattr(inner.config, "is_encoder_decoder", False):
            return None
        base = getattr(base, "decoder", base)
        norms = [child for child in base.children() if "Norm" in type(child).__name__]
        blocks = [child for child in base.children() if isinstance(child, nn.ModuleList)]
        # A norm after the blocks: that of an embedding stands before them.
        after = norms and blocks and list(base.children()).index(norms[-1]) > list(base.children()).index(blocks[-1])
        return _read_out(stream, norms[-1], head) if after and isinstance(head, nn.Linear) else None


def _read_out(stream: torch.Tensor | None, norm: nn.Module, head: nn.Linear) -> torch.Tensor | None:
    if stream is None or stream.shape[-1] != head.in_features:
        return None
    with torch.no_grad():
        return head(norm(stream.to(head.weight))).float().cpu()


def anatomy_of(model: nn.Module) -> Anatomy:
    """The adapter for `model`, by the modules in it: Hugging Face's, the zoo's, or the plain one."""
    inner = bare(model)
    if any(_is_pretrained(module) for module in inner.modules()):
        return HuggingFaceAnatomy()
    zoo = any(isinstance(module, Attention | Residual) for module in inner.modules())
    return ZooAnatomy() if zoo else PlainAnatomy()


def _called(model: nn.Module, inputs: Inputs, **options: Any) -> Any:
    device = model_device(model)
    if isinstance(inputs, Mapping):
        return model(**{name: tensor.to(device) for name, tensor in inputs.items()}, **options)
    return model(inputs.to(device), **options)


def _attentions(output: Any) -> tuple[torch.Tensor | None, ...]:
    """The weights of every attention layer in the order of the modules: of a decoder that reads an encoder, each
    block's own before those of what it reads."""
    if output.get("attentions") is not None:
        return tuple(output["attentions"])
    own, read = (output.get(f"{name}_attentions") or () for name in ("decoder", "cross"))
    return (*(output.get("encoder_attentions") or ()), *itertools.chain(*zip(own, read, strict=False)))


def _is_pretrained(module: nn.Module) -> bool:
    # By name: transformers takes seconds to import, and is not there at all where nobody needs it.
    return any(base.__name__ == "PreTrainedModel" for base in type(module).__mro__)


def _pretrained(model: nn.Module) -> Any:
    return next(module for module in bare(model).modules() if _is_pretrained(module))


def _config(model: nn.Module) -> Any:
    return _pretrained(model).config


@contextmanager
def _eager_attention(model: Any) -> Iterator[None]:
    """Attention computed step by step, since fused kernels keep no weights; as it was on leaving."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
