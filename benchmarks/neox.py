"""A GPT-NeoX of Pythia's smallest shape, scaled down, whose induction heads form at a known step: trained here from
what Python ships, saved as revisions in a hub cache.

    python benchmarks/neox.py FOLDER     # 10 to 15 minutes on one core

FOLDER/hub is the cache (40 revisions `step<N>` of `made/neox`), FOLDER/probe.txt a text of held-out documents, half of
them words drawn at random and said again. FOLDER/clock.csv is what this file itself read of every revision, without
geophone: each head's attention to what followed the token before, and the probability of the right token where it comes
the second time. Nothing is downloaded. Then, with HF_HUB_CACHE=FOLDER/hub and HF_HUB_OFFLINE=1:

    geophone measure made/neox --revisions all --text FOLDER/probe.txt --length 64 --out runs/neox
    python benchmarks/neox_proof.py FOLDER runs/neox
"""

import argparse
import itertools
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pandas as pd
import torch

LAYERS, WIDTH, HEADS, VOCABULARY, LENGTH = 4, 128, 4, 512, 64
BATCH, RATE, WARMUP, REPEATED = 32, 2e-3, 50, 0.5
REVISIONS, MODEL, END = 40, "made/neox", "<|endoftext|>"
SEQUENCES = 64


def spaced(last: int) -> list[int]:
    """0, and whole steps up to `last`, evenly in their logarithm, as many as there are revisions in all."""
    for count in itertools.count(REVISIONS):
        steps = sorted({0, *np.geomspace(1, last, count).round().astype(int).tolist()})
        if len(steps) >= REVISIONS:
            return steps
    raise AssertionError


def documents() -> tuple[list[str], list[str]]:
    """Texts to train on, and a tenth to hold out."""
    every = [" ".join(text.split()) for _, text in sorted(topics.items())]
    return [text for i, text in enumerate(every) if i % 10], every[::10]


def tokenizer(texts: list[str]):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[END], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END)


def probe_text(tokens, held_out: list[str], rng: np.random.Generator) -> str:
    """Documents of held-out text, and as many of words drawn at random and said again."""
    words = [w[1:] for w in tokens.get_vocab() if w.startswith("Ġ") and w[1:].isalpha()]
    made: list[str] = []
    while len(made) < 6 * SEQUENCES:
        text = held_out[rng.integers(len(held_out))].split()
        start = int(rng.integers(max(1, len(text) - 12)))
        drawn = rng.choice(sorted(words), int(rng.integers(LENGTH // 4, LENGTH // 3)), replace=False)
        made += [" ".join(text[start : start + 12]), " ".join([*drawn, *drawn])]
    return "\n\n".join(made)


def repeats(rng: np.random.Generator, count: int, length: int = LENGTH) -> tuple[np.ndarray, np.ndarray]:
    """Random tokens that repeat with a period of each sequence's own, and the periods."""
    periods = rng.integers(4, length // 2 + 1, count)
    return np.array([np.resize(1 + rng.permutation(VOCABULARY - 1)[:p], length) for p in periods]), periods


def network():
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, rotary_pct=0.5, max_position_embeddings=2 * LENGTH, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPTNeoXForCausalLM(config)


def save(folder: Path, step: int, model, tokens) -> None:
    """As the hub's own client lays it out: a ref that names a snapshot."""
    cache = folder / "hub" / f"models--{MODEL.replace('/', '--')}"
    name = f"{step:040x}"
    model.save_pretrained(cache / "snapshots" / name)
    tokens.save_pretrained(cache / "snapshots" / name)
    (cache / "refs").mkdir(exist_ok=True)
    for ref in (f"step{step}", "main"):
        (cache / "refs" / ref).write_text(name)


def train(folder: Path, last: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    texts, held_out = documents()
    tokens = tokenizer(texts)
    (folder / "probe.txt").write_text(probe_text(tokens, held_out, np.random.default_rng([seed, 1])))
    stream = np.array([i for text in texts for i in (*tokens.encode(text), tokens.eos_token_id)])
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    clock, saved = Clock(rng), spaced(last)
    for step in range(last + 1):
        if step in saved:
            save(folder, step, model, tokens)
            clock.read(step, model)
            clock.table().to_csv(folder / "clock.csv", index=False)
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / WARMUP)
        few = int(rng.binomial(BATCH, REPEATED))
        starts = rng.integers(len(stream) - LENGTH, size=BATCH - few)
        batch = np.concatenate([repeats(rng, few)[0].reshape(-1, LENGTH), stream[starts[:, None] + np.arange(LENGTH)]])
        ids = torch.from_numpy(batch).long()
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


class Clock:
    """What is known of a revision without geophone."""

    def __init__(self, rng: np.random.Generator) -> None:
        tokens, self.periods = repeats(rng, 32)
        self.tokens, self.rows = torch.from_numpy(tokens).long(), []

    def read(self, step: int, model) -> None:
        """Per head, the attention at second occurrences to what followed the first; and p of the right token there."""
        model.eval()
        kind = model.config._attn_implementation
        model.set_attn_implementation("eager")
        with torch.no_grad():
            out = model(self.tokens, output_attentions=True)
        model.set_attn_implementation(kind)
        model.train()
        p = out.logits[:, :-1].softmax(-1).gather(-1, self.tokens[:, 1:, None])[..., 0]
        second = [(n, t, t - d + 1) for n, d in enumerate(self.periods) for t in range(d, LENGTH - 1)]
        n, t, source = torch.tensor(second).T
        known = p[n, t].mean().item()
        print(f"step {step}: p of second occurrences {known:.3f}", end="", flush=True)
        for layer, pattern in enumerate(out.attentions):
            score = pattern[n, :, t, source].mean(0)
            print(" |", *(f"{x:.2f}" for x in score), end="", flush=True)
            for head, value in enumerate(score.tolist()):
                self.rows.append({"step": step, "layer": layer, "head": head, "induction": value, "p": known})
        print(flush=True)

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    train(given.folder, given.steps, given.seed)


if __name__ == "__main__":
    main()
