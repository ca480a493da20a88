"""Ten networks of others' making, trained for 200 steps with a Recorder and dug from the command line: how long each
takes, or what the command says is missing.

    python benchmarks/foreign_digs.py FOLDER [--only NAME ...]
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

import geophone as gp
from geophone.point.study import targets_of_run

STEPS, KEPT, SAMPLES = 200, 10, 160


def _drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Bars of three directions, one channel, 16 x 16."""
    y = torch.arange(SAMPLES) % 4
    x = 0.4 * torch.randn(SAMPLES, 1, 16, 16, generator=_drawn())
    x[y == 0, :, 5:8], x[y == 1, :, :, 5:8] = 1.5, 1.5
    x[y == 2] += 1.5 * torch.eye(16)
    return x, y


def repeats() -> tuple[torch.Tensor, str]:
    """Tokens whose second half repeats the first."""
    first = torch.randint(24, (SAMPLES, 8), generator=_drawn())
    return torch.cat([first, first], 1), "next-token"


def sentences() -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens, and whether token 3 is more often there than token 4."""
    x = torch.randint(8, (SAMPLES, 12), generator=_drawn())
    return x, ((x == 3).sum(1) > (x == 4).sum(1)).long()


def tagged() -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens, and at each place whether the token is greater than the one before."""
    x = torch.randint(12, (SAMPLES, 12), generator=_drawn())
    return x, (x > x.roll(1, 1)).long()


def curves() -> tuple[torch.Tensor, torch.Tensor]:
    """Sines of 32 points, to be given back."""
    rate, phase = torch.rand(2, SAMPLES, 1, generator=_drawn())
    x = torch.sin(torch.linspace(0, 6, 32) * (1 + 2 * rate) + 6 * phase)
    return x, x


def real() -> tuple[torch.Tensor, None]:
    """What a discriminator is to call real."""
    return curves()[0], None


def believed(output: torch.Tensor, _: None) -> torch.Tensor:
    """How sure a discriminator is of each sample that it is real."""
    return output[:, 0].sigmoid()


def seen() -> tuple[torch.Tensor, torch.Tensor]:
    """Observations, and the action that is rewarded."""
    x = torch.randn(SAMPLES, 6, generator=_drawn())
    return x, x[:, :3].argmax(1)


def masks() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures, and where they are bright."""
    x = pictures()[0]
    return x, (nn.functional.avg_pool2d(x, 3, 1, 1) > 0.5).float()


def graphs() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight nodes with four features and their edges beside them (N, 8, 12), and whether node 0 has many neighbours."""
    edges = (torch.rand(SAMPLES, 8, 8, generator=_drawn()) < 0.4).float()
    features = torch.randn(SAMPLES, 8, 4, generator=_drawn(1))
    features[:, 0, 0] += 3
    return torch.cat([features, edges], 2), (edges[:, 0].sum(1) > 3).long()


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.tag = nn.Embedding(12, 16), nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.tag(self.lstm(self.embed(tokens))[0])


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = self.down(x)
        return self.out(torch.cat([wide, self.up(self.deep(wide))], 1))


class GraphNetwork(nn.Module):
    """Two rounds of messages, summed over the neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(8, 16), nn.Linear(32, 16), nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, edges = x[..., :4], x[..., 4:]
        for layer in (self.first, self.second):
            h = torch.relu(layer(torch.cat([h, edges @ h], 2)))
        return self.out(h[:, 0])


def resnet() -> nn.Module:
    return transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            num_channels=1, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=4
        )
    )


def vit() -> nn.Module:
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=16, patch_size=4, num_channels=1, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, num_labels=4,
        )
    )  # fmt: skip


def gpt2() -> nn.Module:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=24, n_positions=16, n_embd=32, n_layer=2, n_head=2)
    )


def bert() -> nn.Module:
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            max_position_embeddings=16,
        )
    )  # fmt: skip


def autoencoder() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 4), nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 32))


def discriminator() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 24), nn.LeakyReLU(0.2), nn.Linear(24, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1))


def policy() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))


Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]


def _classes(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    output = model(x)
    logits = output if isinstance(output, torch.Tensor) else output.logits
    return cross_entropy(logits.flatten(0, -2), y.flatten())


def _next(model: nn.Module, x: torch.Tensor, y: str) -> torch.Tensor:
    return model(x, labels=x).loss


def _numbers(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return mse_loss(model(x), y)


class Adversary:
    """A generator that learns beside the discriminator whose loss this is."""

    def __init__(self) -> None:
        self.generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32))
        self.optimizer = torch.optim.Adam(self.generator.parameters(), 1e-3)

    def __call__(self, model: nn.Module, x: torch.Tensor, y: None) -> torch.Tensor:
        ones = torch.ones(len(x), 1)
        self.optimizer.zero_grad()
        binary_cross_entropy_with_logits(model(self.generator(torch.randn(len(x), 8))), ones).backward()
        self.optimizer.step()
        fake = self.generator(torch.randn(len(x), 8)).detach()
        model.zero_grad()
        return binary_cross_entropy_with_logits(model(x), ones) + binary_cross_entropy_with_logits(
            model(fake), 0 * ones
        )


def _rewarded(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Policy gradient from a batch of another size each time."""
    size = int(torch.randint(40, SAMPLES, ()))
    drawn = torch.distributions.Categorical(logits=model(x[:size]))
    action = drawn.sample()
    return -(drawn.log_prob(action) * ((action == y[:size]).float() - 0.33)).mean()


CASES: dict[str, tuple[Callable, Callable, Callable[[], Loss], str | None]] = {
    "resnet": (resnet, pictures, lambda: _classes, None),
    "vit": (vit, pictures, lambda: _classes, None),
    "gpt2": (gpt2, repeats, lambda: _next, None),
    "bert": (bert, sentences, lambda: _classes, None),
    "lstm-tagger": (Tagger, tagged, lambda: _classes, None),
    "autoencoder": (autoencoder, curves, lambda: _numbers, None),
    "gan-discriminator": (discriminator, real, Adversary, "believed"),
    "policy": (policy, seen, lambda: _rewarded, None),
    "unet": (UNet, masks, lambda: _numbers, None),
    "graph-network": (GraphNetwork, graphs, lambda: _classes, None),
}


def train(name: str, out: Path) -> None:
    build, data, loss_of, _ = CASES[name]
    torch.manual_seed(0)
    model, (x, y), loss_of = build(), data(), loss_of()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    labels = y if isinstance(y, torch.Tensor) and y.ndim == 1 else None
    with gp.Recorder(model, x, out=out, every=5, labels=labels) as recorder:
        for step in range(1, STEPS + 1):
            model.train()
            optimizer.zero_grad()
            loss = loss_of(model, x, y)
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step % KEPT == 0:
                recorder.checkpoint()


def command(*words: str) -> tuple[int, str, float]:
    """Exit status, what was said last, and seconds of `geophone WORDS`."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", "from geophone.cli import main; main()", *words],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    said = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    return done.returncode, " ".join(line.strip() for line in said[-4:]), time.perf_counter() - start


def dug(name: str, folder: Path) -> tuple[int, str, float]:
    build, data, _, score = CASES[name]
    parts = {"model": build, "data": data}
    words = [word for part, what in parts.items() for word in (f"--{part}", f"foreign_digs:{what.__name__}")]
    words += ["--score", f"foreign_digs:{score}"] if score else []
    return command("dig", str(folder / "runs" / name), "--target", "1", *words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder, took = given.folder.resolve(), {}
    for name in given.only:
        start = time.perf_counter()
        if not (folder / "runs" / name).exists():
            train(name, folder / "runs" / name)
        took[name] = time.perf_counter() - start
    status, said, seconds = command("targets", str(folder))
    print(f"targets of {len(given.only)} runs in {seconds:.0f} s{'' if not status else ': ' + said}\n", flush=True)
    print("| network | trained s | dug s | what came of it |\n|---|---:|---:|---|", flush=True)
    failed = 0
    for name in given.only:
        there = len(targets_of_run(gp.open(folder / "runs" / name)))
        status, said, seconds = dug(name, folder) if there else (0, "no target", 0.0)
        failed += status != 0
        print(
            f"| {name} | {took[name]:.0f} | {seconds:.0f} | {'dug' if not status else 'refused'}: {said} |", flush=True
        )
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
