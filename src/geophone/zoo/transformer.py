"""Transformers."""

import torch
from torch import nn


class Attention(nn.Module):
    """Multi-head self-attention. The pattern (N, heads, T, T) passes through `pattern`, and what each head read,
    (N, T, heads, width / heads), through `heads_out`, so that both can be captured and replaced."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width)
        self.pattern = nn.Identity()
        self.heads_out = nn.Identity()
        self.project_out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        q, k, v = self.project_in(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        read = (self.pattern(scores.softmax(-1)) @ v).transpose(1, 2)
        return self.project_out(self.heads_out(read).reshape(n, length, width))


class Block(nn.Module):
    """Pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """Square patches of an image, each projected to `width`, plus a learned position: (N, C, H, W) -> (N, T, D)."""

    def __init__(self, channels: int, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.project(x).flatten(2).transpose(1, 2) + self.position


class VisionTransformer(nn.Module):
    """Patches, `depth` blocks, mean over tokens, linear head (Dosovitskiy et al. 2021, without the class token)."""

    def __init__(
        self, channels: int, outputs: int, *, size: int, patch: int, width: int, heads: int, depth: int
    ) -> None:
        super().__init__()
        self.embed = PatchEmbedding(channels, size, patch, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))
