"""Networks to measure, one by one: checkpoint files of a network, or revisions of a Hugging Face model."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from geophone.errors import InputError, StoreError, first_line
from geophone.ingest.hub import QUANTISED, Fetching, agreed, configuration, difference, quiet, revisions_on_hub
from geophone.ingest.places import named_by, places_in
from geophone.ingest.steps import steps_of
from geophone.ingest.tied import SharedMemory
from geophone.ingest.weights import SUFFIXES, read_weights
from geophone.records import REVISIONS
from geophone.store.inside import is_inside
from geophone.zoo.named import imported

_PER_DECADE = 8
# Where a parameter that was emptied remembers its shape.
_SHAPE = "_geophone_shape"


class Load(Protocol):
    """Gives the network of the checkpoint `key`: `into`, one that it gave before, with other weights, or a new one."""

    def __call__(self, key: str, into: nn.Module | None = None, /) -> nn.Module:
        """The network. Raises StoreError where this checkpoint cannot be read."""


@dataclass(frozen=True, slots=True)
class Source:
    """Networks to measure: `load(key)` gives the one of a checkpoint; `keys` are (step, key) in order of step.

    `left_out` are files or revisions whose names say no step.
    """

    keys: tuple[tuple[int, str], ...]
    load: Load
    about: Mapping[str, Any]
    left_out: tuple[str, ...] = ()


def checkpoint_files(
    paths: Sequence[Path | str],
    model: str | Callable[[], nn.Module],
    *,
    key: str | None = None,
    step_pattern: str | None = None,
) -> Source:
    """Checkpoints of one network that `model` builds, "module:function" or a callable.

    `paths` are files, folders of files, and folders of folders as trainers write them (`checkpoint-500/`). What is
    read of them, and how `key` finds the weights inside, is said in `read_weights`; where names say their step, in
    `step_of`. A name without a step leaves its file out, which `left_out` names; the only checkpoint there is may do
    without, and is step 0. The network is built once, and takes in the weights of one checkpoint after the other.
    Raises InputError where there is no checkpoint, none that says its step, or two of one step.
    """
    places = {str(place): place for place in places_in(paths)}
    if not places:
        raise InputError(f"no checkpoint ({', '.join(SUFFIXES)}) among {', '.join(map(str, paths))}.")
    keys, left_out = _ordered({text: named_by(place) for text, place in places.items()}, step_pattern)
    if isinstance(model, str):
        imported(model)
    return Source(keys, _Files(model, key), {"model": str(model), "source": "checkpoint files"}, left_out)


@dataclass(frozen=True, slots=True)
class _Files:
    """Loads files into the network that `model` builds."""

    model: str | Callable[[], nn.Module]
    key: str | None

    def __call__(self, place: str, into: nn.Module | None = None, /) -> nn.Module:
        network = self._built() if into is None else into
        there = network.state_dict()
        weights = weights_for(network, Path(place), key=self.key)
        if rounded := next((n for n, t in weights.items() if n in there and _is_rounded(t, there[n])), None):
            raise StoreError(
                f"{place}: {QUANTISED} ({rounded} is {str(weights[rounded].dtype).removeprefix('torch.')})"
            )
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise StoreError(f"{place} does not fit the model: {' '.join(str(error).split())[:300]}") from error
        return network

    def _built(self) -> nn.Module:
        network = (imported(self.model) if isinstance(self.model, str) else self.model)()
        if not isinstance(network, nn.Module):
            raise InputError(f"{self.model} must return a torch.nn.Module; it returned {type(network).__name__}.")
        return network


def weights_for(network: nn.Module, place: Path, *, key: str | None = None) -> Mapping[str, torch.Tensor]:
    """The weights of the checkpoint at `place` as `read_weights` finds them for `network`, with those of tied tensors
    that the file holds once; of a folder that Transformers wrote, in which tensors are called otherwise than in a
    network of its classes (GPT-NeoX, since release 5), as that class reads them."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    weights = read_weights(place, key=key, shapes=shapes, complete=SharedMemory(network).completed)
    if key is None and weights.keys() != shapes.keys() and (place / "config.json").is_file():
        return _by_its_class(network, place) or weights
    return weights


def _by_its_class(network: nn.Module, place: Path) -> Mapping[str, torch.Tensor] | None:
    """What the class of `network`, one of Transformers', makes of a folder; None where it is another, or that does not
    fit whole."""
    kind: Any = type(network)
    if not any(
        each.__name__ == "PreTrainedModel" and each.__module__.startswith("transformers.") for each in kind.mro()
    ):
        return None
    with quiet(), suppress(Exception):  # whatever is wrong with the folder is said of its names and shapes
        loaded, said = kind.from_pretrained(place, local_files_only=True, output_loading_info=True)
        if not any(said.get(what) for what in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")):
            return dict(loaded.state_dict())
    return None


def _is_rounded(weight: torch.Tensor, meant: torch.Tensor) -> bool:
    """Whether a weight that is `meant` as a floating number is stored in eight bits or as whole numbers."""
    return meant.is_floating_point() and (not weight.is_floating_point() or weight.element_size() == 1)


def _ordered(names: Mapping[str, str], pattern: str | None) -> tuple[tuple[tuple[int, str], ...], tuple[str, ...]]:
    """(step, key) in order of step, and the keys without a step; `names` maps a key to what says its step. The only
    checkpoint there is may be without."""
    steps, without = steps_of(names, pattern=pattern)
    if not steps and len(without) == 1 and pattern is None:
        steps, without = {without[0]: 0}, []
    if not steps:
        raise InputError(
            f"{without[0]}: a checkpoint's name must hold its training step, such as step-400; or say where the step "
            "stands with --step-pattern, such as 'it(\\d+)'."
        )
    return tuple(sorted((step, key) for key, step in steps.items())), tuple(without)


def revisions(
    model: str,
    names: str | Sequence[str],
    *,
    step_pattern: str | None = None,
    task: str = "base",
    dtype: str = "auto",
    cache: int | None = None,
) -> Source:
    """Revisions of a Hugging Face model: of a hub id (from the local cache where there is no network), or of a local
    folder with a sub-folder per revision.

    `names` are names of revisions, "all", "log" (about 8 per factor of ten in the step) or a glob; text is split at
    commas. `task` says which of Transformers' Auto classes reads them: "base" (no head) or "causal-lm". A single
    revision without a step in its name is step 0. One whose configuration is not that of the others cannot be read;
    what is theirs, the first, the middle and the last say. The next revision is fetched while one is measured; with
    `cache`, those that were fetched are taken out of the hub's cache again where that holds more bytes. Raises
    InputError where transformers is missing, where no name says a step or two say the same, and for one that leads out
    of the folder.
    """
    _auto_class(task), _dtype(dtype)
    local = Path(model).is_dir()
    asked = [name.strip() for name in names.split(",")] if isinstance(names, str) else [n.strip() for n in names]
    chosen = _chosen(model, [name for name in asked if name], local, step_pattern)
    for name in chosen:
        if local and not is_inside(Path(model) / name, model):
            raise InputError(f"revision {name!r} lies outside {model}.")
    keys, left_out = _ordered({name: name for name in chosen}, step_pattern)
    if asked == ["log"]:
        keys = _log_spaced(keys)
    names = tuple(key for _, key in keys)
    load = _Revisions(model, names, task, dtype, None if local else Fetching(model, names, cache))
    return Source(keys, load, {"model": model, "source": REVISIONS, "task": task}, left_out)


@dataclass(slots=True)
class _Revisions:
    """Loads revisions `keys` of `model`, a hub id, or a folder where nothing is `fetching`."""

    model: str
    keys: tuple[str, ...]
    task: str
    dtype: str
    fetching: Fetching | None
    _theirs: Mapping[str, Any] | None = None

    def __call__(self, key: str, into: nn.Module | None = None, /) -> nn.Module:
        if self.fetching is not None:
            self.fetching.awaited(key)
        try:
            return self._read(key, into)
        finally:
            if self.fetching is not None:
                self.fetching.was_read(key)

    def _read(self, key: str, into: nn.Module | None) -> nn.Module:
        place, revision = self._place(key)
        try:
            with quiet():
                if odd := difference(configuration(place, **revision), self._agreed()):
                    raise StoreError(f"it is of another architecture than the others ({odd})")
                shapes = {} if into is None else _empty(into)
                network: nn.Module = _auto_class(self.task).from_pretrained(
                    place, trust_remote_code=False, dtype=_dtype(self.dtype), **revision
                )
                if into is None:
                    return network
                _take(into, network, shapes)
        except Exception as error:  # a damaged configuration makes transformers raise whatever it trips over
            raise StoreError(f"revision {key} of {self.model} cannot be read: {first_line(error)}") from error
        return into

    def _place(self, key: str) -> tuple[str, dict[str, str]]:
        return (str(Path(self.model) / key), {}) if self.fetching is None else (self.model, {"revision": key})

    def _agreed(self) -> Mapping[str, Any]:
        """The configuration of all, by that of three; of those that cannot be read nothing is known."""
        if self._theirs is None:
            known = []
            for key in dict.fromkeys((self.keys[0], self.keys[len(self.keys) // 2], self.keys[-1])):
                place, revision = self._place(key)
                with suppress(Exception):  # whatever is wrong with it is said when its turn comes
                    known.append(configuration(place, **revision))
            self._theirs = agreed(known) if known else {}
        return self._theirs


def revision_folder(model: str, name: str) -> Path | None:
    """Where the files of a revision lie: in the local folder, or in the hub's cache; None where they do not."""
    if Path(model).is_dir():
        return Path(model) / name
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return None
    there = try_to_load_from_cache(model, "config.json", revision=name)
    return Path(there).parent if isinstance(there, str) else None


def _empty(network: nn.Module) -> dict[str, torch.Size]:
    """Let the weights of `network` go before others are loaded, so that they are never in memory twice; the shapes that
    they had, or had before they went."""
    shapes = {name: getattr(p, _SHAPE, p.shape) for name, p in network.named_parameters()}
    for name, parameter in network.named_parameters():
        setattr(parameter, _SHAPE, shapes[name])
        parameter.data = torch.empty(0, dtype=parameter.dtype)
    return shapes


def _take(into: nn.Module, network: nn.Module, shapes: Mapping[str, torch.Size]) -> None:
    """Give `into`, which was emptied, the weights of `network`. Raises StoreError where they are of another shape."""
    weights = dict(network.named_parameters())
    if {name: p.shape for name, p in weights.items()} != dict(shapes):
        raise StoreError("its weights have other names or shapes than those of the revision before")
    for name, parameter in into.named_parameters():
        parameter.data = weights[name].data
    buffers = dict(network.named_buffers())
    for name, buffer in into.named_buffers():
        buffer.copy_(buffers[name])


def _auto_class(task: str) -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise InputError("revisions need transformers: pip install 'geophone[hf]'.") from error
    known = {"base": "AutoModel", "causal-lm": "AutoModelForCausalLM"}
    if task not in known:
        raise InputError(f"task={task!r}; known are {', '.join(known)}.")
    return getattr(transformers, known[task])


def _dtype(name: str) -> torch.dtype | str:
    if name == "auto":
        return "auto"
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InputError(f"dtype {name!r} is no floating type of torch; write float32, bfloat16 or float16.")
    return dtype


def device_of(name: str) -> torch.device:
    """The device called `name`; "auto" is an accelerator where there is one. Raises InputError for one that is not
    there."""
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not to be had here: {first_line(error)}") from error
    return device


def _chosen(model: str, asked: Sequence[str], local: bool, pattern: str | None) -> list[str]:
    """The names of revisions that `asked` means; the hub or the folder is asked only where a name needs it. Of a folder
    "all" are all its sub-folders, of a hub model the branches that say a step: "main" is no lost checkpoint.

    Raises InputError where there are none.
    """
    if not asked:
        raise InputError(f"say which revisions of {model}: names, a glob, all, or log.")
    if asked not in (["all"], ["log"]) and not any(c in name for name in asked for c in "*?["):
        return list(dict.fromkeys(asked))
    inside = (p.name for p in Path(model).iterdir() if p.is_dir() and not p.name.startswith(".")) if local else ()
    there = sorted(inside) if local else revisions_on_hub(model)
    if asked not in (["all"], ["log"]):
        names = [name for glob in asked for name in there if fnmatchcase(name, glob)]
    else:
        names = there if local else list(steps_of({name: name for name in there}, pattern=pattern)[0])
    if not names:
        has = f"{', '.join(there[:8])}{' ...' if there[8:] else ''}" if there else "none at all"
        raise InputError(f"no revision of {model} fits {', '.join(asked)}; it has {has}.")
    return list(dict.fromkeys(names))


def _log_spaced(keys: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    """The first and last of `keys`, and those nearest above a grid of `_PER_DECADE` steps per factor of ten."""
    kept: dict[int, tuple[int, str]] = {}
    for step, key in keys:
        cell = -1 if step <= 0 else int(_PER_DECADE * torch.log10(torch.tensor(float(step))).item() + 1e-6)
        kept.setdefault(cell, (step, key))
    return tuple(dict.fromkeys((*kept.values(), keys[-1]))) if keys else ()
