"""What is dug: a run's network at any moment, an untrained one like it, and what to show them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from geophone._train import replays
from geophone.dig.samples import PER_CLASS, SampleSet, balanced, samples_of
from geophone.dig.scoring import SampleScoring, Score, Scoring, default_score
from geophone.errors import InputError
from geophone.ingest.hub import hub_answers
from geophone.ingest.sources import revision_folder, revisions, weights_for
from geophone.record.anatomy import Anatomy, anatomy_of
from geophone.records import REVISIONS
from geophone.signals import ADDED
from geophone.store.check import checkpoint_path
from geophone.store.run import Run
from geophone.training import own_state
from geophone.zoo.catalogue import experiment
from geophone.zoo.data import english
from geophone.zoo.generated import UNSCORED
from geophone.zoo.named import imported
from geophone.zoo.tasks import task

Weights = Mapping[str, torch.Tensor]
Data = tuple[torch.Tensor, torch.Tensor | str | None]
_UNTRAINED_SEED = 2**31  # no run of a study has a seed as great


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What `dig` needs to know of a run of your own: its network, what to show it, and how well it answers.

    `model()` builds the network with fresh weights, drawn from torch's random state; the weights of a moment are then
    loaded into it, and networks as they are built are the untrained ones that units are held against. `data` is (x, y),
    or a function that returns them: x (N, ...), a tensor that the network takes as its one argument (images (N, C, H,
    W), whole numbers as tokens (N, T), anything else counts as vectors); y labels (N,) from 0, right tokens (N, T) with
    -100 where none is asked for ("next-token": those of x), real answers (N, ...), or None. `score(output, y)` says how
    well each sample is answered, (N,) or (scored positions,), rising where something is learned: by default the
    probability of the right answer, or minus the squared error; wanted where y is None. `weights(step)` gives the state
    dict after that many updates; by default what the run kept. `anatomy` is for networks that no adapter knows. `names`
    are the texts of the tokens. Not for networks that want several arguments: wrap them in a module that takes one.
    """

    model: Callable[[], nn.Module]
    data: Data | Callable[[], Data]
    score: Score | None = None
    weights: Callable[[int], Weights] | None = None
    anatomy: Anatomy | None = None
    names: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """A run with its subject, as the digging tools see it.

    `at(steps)` gives the network after each of `steps` updates, in eval mode; `untrained(number)` the number-th
    untrained network of the same shape; `layers` are the recorded ones in depth order. `task` has loss and accuracy,
    `score` a number per sample. `kept` are the steps whose weights there are, None where any step can be had.
    """

    name: str
    layers: tuple[str, ...]
    task: Scoring
    score: Score
    samples: SampleSet
    at: Callable[[Sequence[int]], dict[int, nn.Module]]
    untrained: Callable[[int], nn.Module]
    anatomy: Anatomy
    names: Sequence[str] | None
    kept: tuple[int, ...] | None = None

    @property
    def kind(self) -> str:
        """ "image", "sequence" or "vector"."""
        x = self.samples.x
        return "sequence" if not x.is_floating_point() else "image" if x.ndim == 4 else "vector"


def specimen_of(
    run: Run, subject: Subject | None = None, *, rng: np.random.Generator, per_class: int = PER_CLASS
) -> Specimen:
    """The specimen of a run that geophone trained or measured (revisions of a language model with --text), or of one of
    the user's own loop with its `subject`.

    Raises InputError where a subject is needed and there is none, where its parts do not fit each other, or the
    network's layers are not those of the run.
    """
    # What a block adds to its stream is dug where the stream is.
    layers = tuple(dict.fromkeys(layer.name.removesuffix(ADDED) for layer in run.layers))
    name = run.manifest.about.get("experiment")
    subject = subject or _measured(run)
    if subject is not None:
        return _own(run, layers, subject, per_class)
    if name is None:
        raise InputError(
            f"{run.name} was not trained by geophone, so its network and data are not known here: pass "
            "subject=geophone.Subject(model=..., data=...), or --model and --data on the command line."
        )
    spec = experiment(name)
    kind = task(spec.task)
    samples = balanced(kind, rng=rng, per_class=per_class)
    untrained = _untrained(spec.build, 1000 * int(run.manifest.about["seed"]))
    return Specimen(
        run.name, layers, kind, default_score(samples.y), samples, lambda steps: replays(run, list(steps)), untrained,
        anatomy_of(untrained(0)), english().symbols if kind.name == "text" else None,
    )  # fmt: skip


def _measured(run: Run) -> Subject | None:
    """The last revision's network with fresh weights, the probe's sequences with the right next tokens, and their
    texts; None for a run that was made in another way. Raises InputError where transformers is missing, StoreError
    where the revision cannot be had any more."""
    about = run.manifest.about
    if not run.manifest.of_revisions:
        return None
    last = list(about["checkpoints"].values())[-1]
    model = revisions(about["model"], [last], task="causal-lm", dtype="float32").load(last)
    return Subject(lambda: type(model)(model.config), _sequences(run), names=_texts(run))


def _sequences(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    """The probe's tokens (N, T), and the next ones where both are real, -100 elsewhere."""
    tokens = run.tokens()
    x = torch.tensor(tokens.pivot(index="sample", columns="position", values="token").to_numpy(np.int64))
    real = torch.tensor(tokens.pivot(index="sample", columns="position", values="real").to_numpy(bool))
    y = torch.full_like(x, UNSCORED)
    y[:, :-1] = torch.where(real[:, :-1] & real[:, 1:], x[:, 1:], y[:, :-1])
    return x, y


def _texts(run: Run) -> list[str] | None:
    """The texts of tokens by number, empty for those that the probe lacks."""
    tokens = run.tokens().drop_duplicates("token")
    if "text" not in tokens:
        return None
    texts = [""] * (int(tokens["token"].max()) + 1)
    for row in tokens.itertuples():
        texts[row.token] = row.text
    return texts


def _own(run: Run, layers: tuple[str, ...], subject: Subject, per_class: int) -> Specimen:
    x, y = subject.data() if callable(subject.data) else subject.data
    x, y = _here(x), _here(y)
    if isinstance(y, str):
        if y != "next-token" or x.ndim != 2:
            raise InputError(f'answers {y!r}: give a tensor, None, or "next-token" for tokens x (N, T).')
        y = torch.cat([x[:, 1:], torch.full_like(x[:, :1], UNSCORED)], dim=1)
    if y is None and subject.score is None:
        raise InputError("data without answers (y is None) wants score=, a function of the output for each sample.")
    samples = samples_of(x, y, per_class=per_class)
    score = subject.score or default_score(samples.answers)
    untrained = _untrained(subject.model, 0)
    first = untrained(0)
    absent = [layer for layer in layers if layer.partition("@")[0] not in dict(first.named_modules())]
    if absent:
        raise InputError(f"the network that model= builds has no layer {', '.join(absent[:4])}, which {run.name} has.")
    with torch.no_grad():
        values = torch.as_tensor(score(first(samples.x[:2]), samples.answers[:2]))
    if values.ndim != 1:
        raise InputError(f"the score of 2 samples has shape {tuple(values.shape)}; give one number per sample.")
    kept, weights = (None, subject.weights) if subject.weights else _kept(run, first)

    def at(steps: Sequence[int]) -> dict[int, nn.Module]:
        networks = {step: untrained(0) for step in sorted(set(steps))}
        for step, network in networks.items():
            _load(network, weights(step), f"{run.name} at step {step}")
        return networks

    scoring = SampleScoring(score, subject.score is not None, samples.labelled)
    return Specimen(
        run.name, layers, scoring, score, samples, at, untrained,
        subject.anatomy or anatomy_of(first), subject.names, kept,
    )  # fmt: skip


def _here(value: Any) -> Any:
    return value.cpu() if isinstance(value, torch.Tensor) else value


def named_subject(names: Mapping[str, str]) -> Subject:
    """The subject whose parts are functions named as "module:function": "model" and "data" (called for (x, y)), and
    where they are there "score" and "weights". Raises InputError for a part that is missing or cannot be had."""
    absent = [f"--{part} module:function" for part in ("model", "data") if part not in names]
    if absent:
        raise InputError(f"a run of your own loop is dug with {' and '.join(absent)} as well.")
    made = {part: imported(name) for part, name in names.items()}
    return Subject(made["model"], made["data"], score=made.get("score"), weights=made.get("weights"))


def _untrained(build: Callable[[], nn.Module], first: int) -> Callable[[int], nn.Module]:
    def untrained(number: int) -> nn.Module:
        with own_state():
            torch.manual_seed(_UNTRAINED_SEED + first + number)
            model = build()
            if not isinstance(model, nn.Module):
                raise InputError(f"model= must return a torch.nn.Module; it returned {type(model).__name__}.")
            return model.cpu().eval()  # digs are made there, as is everything that they are compared with

    return untrained


def _kept(run: Run, network: nn.Module) -> tuple[tuple[int, ...], Callable[[int], Weights]]:
    """The steps whose weights there are, and how to read them for `network`: the run's own checkpoints, or
    those that it was measured on, of a hub's revisions also such as have left the cache since. Raises InputError where
    there are none."""
    about = run.manifest.about
    names = {int(step): str(place) for step, place in about.get("checkpoints", {}).items()}
    hub = about.get("source") == REVISIONS
    fetched = hub and not Path(about["model"]).is_dir() and hub_answers()
    folders = {step: revision_folder(about["model"], name) if hub else Path(name) for step, name in names.items()}
    own = {step: checkpoint_path(run.folder, step) for step in run.manifest.checkpoints}
    there = {step: place for step, place in (folders | own).items() if place is not None and place.exists()}
    if not there and not fetched:
        raise InputError(
            f"{run.name} kept no weights that are still there: pass weights=, a function that gives the state dict "
            "after a step (--weights module:function), or record with snapshots."
        )

    def read(step: int) -> Weights:
        # Transformers may call a tensor otherwise than the file does.
        if hub and step not in own:
            loaded = revisions(about["model"], [names[step]], task=about.get("task", "base")).load(names[step])
            if loaded.state_dict().keys() == network.state_dict().keys():
                return loaded.state_dict()
        place = there.get(step) or revision_folder(about["model"], names[step])
        return weights_for(network, place or Path(names[step]))

    return tuple(sorted({*there, *(names if fetched else ())})), read


def _load(model: nn.Module, weights: Weights, where: str) -> None:
    """Put `weights` into `model`. A tied entry may be there once. Raises InputError where they do not fit."""
    try:
        result = model.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        raise InputError(f"the weights of {where} do not fit: {str(error).splitlines()[-1].strip()}") from error
    entries = model.state_dict(keep_vars=True)
    places = {entries[name].data_ptr() for name in weights if name in entries}
    absent = [name for name in result.missing_keys if entries[name].data_ptr() not in places]
    if absent or result.unexpected_keys:
        names = ", ".join([*absent, *result.unexpected_keys][:4])
        raise InputError(f"the weights of {where} are not those of the network that model= builds: see {names}.")
