"""Transformers: for images, and for sequences read from left to right."""

import torch
from torch import nn

from geophone.errors import InputError


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k' / sqrt(d)) v for each head (Vaswani et al. 2017), in plain torch.

    The pattern (N, heads, T, T) passes through the submodule `pattern`, and what each head read, (N, T, heads,
    width / heads), through `heads_out` before the output projection: hooks there capture or replace either.
    `causal`: a token attends to itself and to earlier ones only.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} does not divide among heads={heads}; give a multiple.")
        self.heads = heads
        self.causal = causal
        self.project_in = nn.Linear(width, 3 * width)
        self.pattern = nn.Identity()
        self.heads_out = nn.Identity()
        self.project_out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        q, k, v = self.project_in(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        if self.causal:
            scores = scores + torch.full((length, length), -torch.inf, device=x.device, dtype=x.dtype).triu(1)
        read = (self.pattern(scores.softmax(-1)) @ v).transpose(1, 2)
        return self.project_out(self.heads_out(read).reshape(n, length, width))


class Block(nn.Module):
    """Attention and, unless `mlp` is False, a two-layer perceptron, each added to the residual stream.

    norm "pre": x + attention(norm(x)), then x + mlp(norm(x)) (Xiong et al. 2020). norm "post": norm(x +
    attention(x)), then norm(x + mlp(x)) (Vaswani et al. 2017). The perceptron is twice as wide as the stream.
    """

    def __init__(self, width: int, heads: int, *, causal: bool, norm: str = "pre", mlp: bool = True) -> None:
        super().__init__()
        if norm not in ("pre", "post"):
            raise InputError(f'norm={norm!r}: give "pre" or "post".')
        self.post = norm == "post"
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal=causal)
        self.norm2 = nn.LayerNorm(width) if mlp else None
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) if mlp else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._add(x, self.attention, self.norm1)
        return x if self.mlp is None or self.norm2 is None else self._add(x, self.mlp, self.norm2)

    def _add(self, x: torch.Tensor, part: nn.Module, norm: nn.Module) -> torch.Tensor:
        return norm(x + part(x)) if self.post else x + part(norm(x))


class PatchEmbedding(nn.Module):
    """Square patches of an image, each projected to `width`, and a learned position: (N, C, H, W) -> (N, T, D)."""

    def __init__(self, channels: int, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.project(x).flatten(2).transpose(1, 2) + self.position


class TokenEmbedding(nn.Module):
    """A learned vector for each token and one for each position, added: (N, T) -> (N, T, D)."""

    def __init__(self, symbols: int, length: int, width: int) -> None:
        super().__init__()
        self.token = nn.Embedding(symbols, width)
        self.position = nn.Parameter(torch.randn(1, length, width))
        with torch.no_grad():
            self.token.weight.mul_(width**-0.5)
            self.position.mul_(width**-0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        length = self.position.shape[1]
        if tokens.shape[1] > length:
            raise InputError(f"a sequence of {tokens.shape[1]} tokens; this network reads at most {length}.")
        return self.token(tokens) + self.position[:, : tokens.shape[1]]


class VisionTransformer(nn.Module):
    """Patches, `depth` blocks, mean over tokens, linear head (Dosovitskiy et al. 2021, without the class token)."""

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        size: int,
        patch: int,
        width: int,
        heads: int,
        depth: int,
        norm: str = "pre",
    ) -> None:
        super().__init__()
        self.embed = PatchEmbedding(channels, size, patch, width)
        self.blocks = nn.ModuleList(Block(width, heads, causal=False, norm=norm) for _ in range(depth))
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class Decoder(nn.Module):
    """Tokens, `depth` causal blocks, linear head: logits of the answer at every position, (N, T, outputs).

    With `last_only` the head reads the last position alone: (N, outputs). `mlp=False` leaves attention only
    (Elhage et al. 2021). The head's weights are its own, not those of the embedding.
    """

    def __init__(
        self,
        symbols: int,
        outputs: int,
        *,
        length: int,
        width: int,
        heads: int,
        depth: int,
        norm: str = "pre",
        mlp: bool = True,
        last_only: bool = False,
    ) -> None:
        super().__init__()
        self.last_only = last_only
        self.embed = TokenEmbedding(symbols, length, width)
        self.blocks = nn.ModuleList(Block(width, heads, causal=True, norm=norm, mlp=mlp) for _ in range(depth))
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, outputs)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, -1] if self.last_only else x))
