"""Models of other packages as they come: which layers are found by default, of how many blocks there, and what is left
out and why.

    pip install x-transformers vit-pytorch timm ...; python benchmarks/packages.py [--only NAME ...]

Each model is built small with random weights, `gp.layers` is asked, and a `Recorder` measures it twice around one
update of its weights. Prints a Markdown table; a package that cannot be imported has a row that
says so.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import geophone as gp


@dataclass(frozen=True)
class Case:
    """`make` gives the model and its probe; `blocks` are the paths that somebody who knows the model would read."""

    package: str
    model: str
    blocks: tuple[str, ...]
    make: Callable[[], tuple[nn.Module, Any]]


CASES: list[Case] = []


def case(package: str, model: str, *blocks: str, count: int = 0):
    """Register a model; "{}" in a path of `blocks` counts from 0."""
    paths = tuple(path.format(i) for path in blocks for i in (range(count) if "{}" in path else (0,)))

    def keep(make):
        CASES.append(Case(package, model, paths, make))
        return make

    return keep


def images(size: int = 32, count: int = 8) -> torch.Tensor:
    return torch.randn(count, 3, size, size)


def words(count: int = 8, length: int = 12, vocabulary: int = 50) -> torch.Tensor:
    return torch.randint(1, vocabulary, (count, length))


@case("x-transformers", "decoder", "attn_layers.layers.{}.1", count=8)
def _():
    from x_transformers import Decoder, TransformerWrapper

    return TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=Decoder(dim=32, depth=4, heads=2)), words()


@case("x-transformers", "encoder on vectors", "attn_layers.layers.{}.1", count=6)
def _():
    from x_transformers import ContinuousTransformerWrapper, Encoder

    model = ContinuousTransformerWrapper(
        dim_in=8, dim_out=4, max_seq_len=16, attn_layers=Encoder(dim=32, depth=3, heads=2)
    )
    return model, torch.randn(8, 12, 8)


@case("vit-pytorch", "ViT", "transformer.layers.{}.0", "transformer.layers.{}.1", count=3)
def _():
    from vit_pytorch import ViT

    return ViT(image_size=32, patch_size=8, num_classes=5, dim=32, depth=3, heads=2, mlp_dim=64), images()


@case("vit-pytorch", "SimpleViT", "transformer.layers.{}.0", "transformer.layers.{}.1", count=3)
def _():
    from vit_pytorch import SimpleViT

    return SimpleViT(image_size=32, patch_size=8, num_classes=5, dim=32, depth=3, heads=2, mlp_dim=64), images()


@case("denoising-diffusion-pytorch", "Unet", "downs.{}.0", "downs.{}.1", "ups.{}.0", "ups.{}.1", count=2)
def _():
    from denoising_diffusion_pytorch import Unet

    return Unet(dim=16, dim_mults=(1, 2), flash_attn=False), (images(16), torch.randint(0, 100, (8,)))


@case("denoising-diffusion-pytorch", "Unet1D", "downs.{}.0", "downs.{}.1", "ups.{}.0", "ups.{}.1", count=2)
def _():
    from denoising_diffusion_pytorch import Unet1D

    return Unet1D(dim=16, dim_mults=(1, 2), channels=4), (torch.randn(8, 4, 32), torch.randint(0, 100, (8,)))


def _timm(name: str, **options: Any):
    import timm

    return timm.create_model(name, pretrained=False, num_classes=5, **options)


@case("timm", "vit_tiny_patch16_224", "blocks.{}", count=12)
def _():
    return _timm("vit_tiny_patch16_224", img_size=32), images()


@case("timm", "resnet18", *(f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in (0, 1)))
def _():
    return _timm("resnet18"), images(64)


@case("timm", "convnext_atto", *(f"stages.{s}.blocks.{b}" for s, n in enumerate((2, 2, 6, 2)) for b in range(n)))
def _():
    return _timm("convnext_atto"), images(64)


@case(
    "timm",
    "swin_tiny_patch4_window7_224",
    *(f"layers.{s}.blocks.{b}" for s, n in enumerate((2, 2, 6, 2)) for b in range(n)),
)
def _():
    return _timm("swin_tiny_patch4_window7_224", img_size=64, window_size=2), images(64)


@case("timm", "mixer_s32_224", "blocks.{}", count=8)
def _():
    return _timm("mixer_s32_224", img_size=64), images(64)


@case("timm", "efficientnet_b0", *(f"blocks.{s}.{b}" for s, n in enumerate((1, 2, 2, 3, 3, 4, 1)) for b in range(n)))
def _():
    return _timm("efficientnet_b0"), images(64)


@case("segmentation-models-pytorch", "Unet, tu-resnet18", "decoder.blocks.{}", count=5)
def _():
    import segmentation_models_pytorch as smp

    return smp.Unet("tu-resnet18", encoder_weights=None, classes=2), images(64, 4)


class _Graph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from torch_geometric.nn import GCNConv

        self.layers = nn.ModuleList([GCNConv(6, 16), GCNConv(16, 16), GCNConv(16, 3)])

    def forward(self, x, edge_index):
        for layer in self.layers[:-1]:
            x = layer(x, edge_index).relu()
        return self.layers[-1](x, edge_index)


@case("torch_geometric", "GCN of three layers", "layers.{}", count=3)
def _():
    edges = torch.randint(0, 20, (2, 60))
    return _Graph(), gp.Probe(args=(torch.randn(20, 6), edges), samples=20)


@case("torch_geometric", "GIN, GAT (models)", "convs.{}", count=3)
def _():
    from torch_geometric.nn.models import GAT

    return GAT(6, 16, num_layers=3, out_channels=3, heads=2), gp.Probe(
        args=(torch.randn(20, 6), torch.randint(0, 20, (2, 60))), samples=20
    )


@case("peft", "LoRA on GPT-2", "base_model.model.transformer.h.{}", count=3)
def _():
    from peft import LoraConfig, get_peft_model
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_embd=32, n_layer=3, n_head=2, n_positions=16)
    lora = LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)
    return get_peft_model(GPT2LMHeadModel(config), lora), {"input_ids": words()}


@case("sentence-transformers", "BERT and pooling", "0.model.encoder.layer.{}", count=3)
def _():
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64)

    class Body(nn.Module):
        """What `models.Transformer` does, without files."""

        def __init__(self) -> None:
            super().__init__()
            self.model = BertModel(config)

        def forward(self, features):
            output = self.model(features["input_ids"], attention_mask=features["attention_mask"])
            return features | {"token_embeddings": output.last_hidden_state}

    mask = (torch.arange(12)[None] < torch.arange(8)[:, None] + 5).long()
    model = SentenceTransformer(modules=[Body(), Pooling(32)], device="cpu")
    return model, gp.Probe(args=({"input_ids": words() * mask, "attention_mask": mask},))


@case("transformers", "wav2vec2", "encoder.layers.{}", count=3)
def _():
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
        conv_dim=(16, 16), conv_stride=(5, 2), conv_kernel=(10, 3), num_feat_extract_layers=2,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return Wav2Vec2Model(config), torch.randn(8, 800)


@case("transformers", "Whisper", "encoder.layers.{}", "decoder.layers.{}", count=2)
def _():
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(
        vocab_size=60, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=8, max_source_positions=20,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return WhisperModel(config), {"input_features": torch.randn(8, 8, 40), "decoder_input_ids": words(8, 6)}


def row(it: Case) -> list[str]:
    try:
        torch.manual_seed(0)
        model, probe = it.make()
    except Exception as error:  # a package may fail in any way; the table says how
        return [it.package, it.model, "–", f"not to be had here: {str(error).splitlines()[0][:80]}"]
    layers = gp.layers(model, probe)
    names = {layer.name for layer in layers}
    blocks = [path for path in it.blocks if path in names]
    lacking = [path for path in it.blocks if path not in names]
    with tempfile.TemporaryDirectory() as folder:
        with gp.Recorder(model, probe, out=Path(folder) / "run", every=1, on_error="raise", snapshots=None) as recorder:
            with torch.no_grad():
                for p in model.parameters():
                    p.mul_(1.01)
            recorder.step()
        run = gp.open(Path(folder) / "run")
        statuses = run.statuses()
        bad = ~statuses.isin(["ok", "dead"]).all()  # dead is what puts out one and the same, as zero weights do
    left = layers.left_out
    said = "; ".join(f"{name}: {why}" for name, why in list(left.items())[:2]) + (" ..." if len(left) > 2 else "")
    notes = [
        f"lacks {', '.join(lacking[:3])}" if lacking else "",
        f"not read: {', '.join(bad.index[bad][:3])}" if bad.any() else "",
        said,
    ]
    of = f"{len(blocks)} of {len(it.blocks)}" if it.blocks else "–"
    return [it.package, it.model, str(len(names)), of, "; ".join(filter(None, notes)) or "nothing"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="PACKAGE")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| package | model | layers | blocks there | left out, and why |\n|---|---|---:|---:|---|")
    for it in CASES:
        if not given.only or it.package in given.only:
            try:
                cells = row(it)
            except Exception as error:
                cells = [
                    it.package,
                    it.model,
                    "–",
                    "FAILED",
                    f"{type(error).__name__}: {str(error).splitlines()[0][:100]}",
                ]
            print("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
