"""Probes out of files: arrays, functions of the user's own, and text."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from geophone.errors import InputError, StoreError, first_line
from geophone.ingest.weights import load_tensors
from geophone.record.probe import Probe
from geophone.store.documents import read_text
from geophone.zoo.named import imported

ARRAYS = (".npy", ".npz", ".safetensors", ".pt", ".pth")
# The hub is asked over the network for each, and a model that has no tokenizer is to be told of before long.
_TRIED = 8


def read_probe(given: str) -> Any:
    """A probe from a file (.npy, .npz, .pt, .safetensors; the last three may hold several named arguments), or what
    "module:function" returns. Raises InputError or StoreError when it cannot be had."""
    path = Path(given)
    if path.suffix not in ARRAYS:
        return imported(given)()
    try:
        content = load_tensors(path)
    except StoreError as error:
        raise StoreError(f"the probe cannot be read: {error}") from error
    alone = path.suffix in (".npz", ".safetensors") and len(content) == 1
    return next(iter(content.values())) if alone else content


class Tokenizer(Protocol):
    """What is asked of a tokenizer; those of Transformers have it."""

    @property
    def all_special_ids(self) -> list[int]:
        """Tokens that stand for no text."""

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a document."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The tokens of `text`."""

    def decode(self, token_ids: list[int]) -> str | list[str]:
        """The text of some tokens."""


def text_probe(file: Path | str, tokenizer: Tokenizer, *, samples: int = 64, length: int = 256) -> Probe:
    """A probe of `samples` sequences of `length` tokens from a text file.

    Documents, which blank lines divide, are packed one after the other, the tokenizer's end-of-text token between
    them, and cut to length; nothing is padded. Special tokens, those between documents too, are no rows of a layer
    and are not scored. The sequences are spread evenly over the file. Raises InputError for a text that is too short,
    StoreError for one that cannot be read.
    """
    tokens = list(_packed(read_text(Path(file)), tokenizer))
    there = len(tokens) // length
    if there < samples:
        raise InputError(
            f"{file} has {len(tokens)} tokens, enough for {there} sequences of {length}; give a longer text, or fewer "
            f"sequences than {samples}, or shorter ones."
        )
    starts = torch.linspace(0, there - 1, samples).round().long() * length
    whole = torch.tensor(tokens)
    ids = torch.stack([whole[start : start + length] for start in starts.tolist()])
    special = torch.tensor(tokenizer.all_special_ids, dtype=ids.dtype)
    return Probe(kwargs={"input_ids": ids}, mask=~torch.isin(ids, special))


def _packed(text: str, tokenizer: Tokenizer) -> Iterator[int]:
    for document in filter(str.strip, text.split("\n\n")):
        yield from tokenizer.encode(document, add_special_tokens=False)
        if tokenizer.eos_token_id is not None:
            yield tokenizer.eos_token_id


def texts_by(tokenizer: Tokenizer) -> Callable[[Sequence[int]], list[str]]:
    """What gives the text of each of some tokens."""
    return lambda ids: [str(tokenizer.decode([one])) for one in ids]


def tokenizer_of(model: str, revisions: Sequence[str]) -> Tokenizer:
    """The tokenizer of a Hugging Face model: that of the last of `revisions` whose own can be read (of a hub model the
    last 8 are tried), or of a local folder that lies beside its revisions. Raises StoreError when there is none,
    InputError where transformers is missing."""
    try:
        from transformers import AutoTokenizer
    except ModuleNotFoundError as error:
        raise InputError("text needs a tokenizer of transformers: pip install 'geophone[hf]'.") from error
    first: Exception | None = None
    for place, where in _tokenizer_places(model, revisions):
        try:
            tokenizer: Tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **where)
            return tokenizer
        except Exception as error:  # a damaged file makes transformers raise whatever it trips over
            first = first or error
    said = "there are no revisions" if first is None else first_line(first)
    raise StoreError(f"{model} has no tokenizer that can be read: {said.rstrip('.')}.") from first


def _tokenizer_places(model: str, revisions: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """What to ask for a tokenizer, and with which `revision`, one after the other."""
    if not Path(model).is_dir():
        yield from ((model, {"revision": name}) for name in revisions[: -_TRIED - 1 : -1])
        return
    inner = (Path(model) / name for name in reversed(revisions))
    yield from ((str(place), {}) for place in inner if (place / "tokenizer_config.json").is_file())
    yield model, {}
