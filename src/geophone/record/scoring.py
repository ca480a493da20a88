"""From the network's output on the probe to behaviour, one number per scored sample, and to a sketch of the output."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from geophone.errors import InputError, first_line
from geophone.record.capture import tensors_in
from geophone.record.nested import Placed
from geophone.record.probe import Probe
from geophone.record.tokens import next_tokens, token_columns
from geophone.record.what import What
from geophone.records import CONCEPT
from geophone.signals import (
    Concept,
    OutputSketch,
    Positions,
    class_probability,
    concept,
    next_token_positions,
    next_token_probability,
    regression_error,
    right_probability,
)

# Positions, projections and folds are drawn once from these seeds, so that two recordings of a network agree.
_SCORED_SEED, _SKETCH_SEED, _CONCEPT_SEED = 0x5C0E, 0x57E7, 0xC0CE
# Of larger outputs some rows are sketched: more would cost time and show the same movement.
_SKETCHED = 2**21
# So many rows of a vocabulary are turned into probabilities at a time.
_ROWS_AT_A_TIME = 64
# From the output on some of the probe's samples, and which these are.
Score = Callable[[Any, slice], torch.Tensor]
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What one pass said of the output, on the device where it is: `behaviour` (samples,), and the `outputs` that are
    sketched (rows, numbers); None where there is no such thing."""

    behaviour: torch.Tensor | None
    outputs: torch.Tensor | None

    def halved(self) -> npt.NDArray[np.float32] | None:
        """`behaviour` at half precision, in a type that every reader of parquet knows."""
        return None if self.behaviour is None else self.behaviour.float().cpu().half().float().numpy()


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """How the output on one probe is scored: the same samples and the same projection at every measurement.

    `kind` is "class", "position", "number", "own" (the caller's function) or "none"; `falling` says that lower is
    better. `samples` has a row per scored sample: its `sample` in the probe, and where there is one its `position` and
    `label`. `tokens` are the probe's, where it has such: `sample`, `position`, `token`, whether it is `real` (no
    padding, nothing special), and its `text` where that is known. `narrow` scores logits of the scored positions alone,
    (1, m, V), where the output is of a kind that allows it.
    """

    kind: str
    falling: bool
    samples: Mapping[str, npt.NDArray[Any]]
    score: Score | None
    rows: Score | None
    sketch: OutputSketch | None
    tokens: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    narrow: "Scorer | None" = None

    def __call__(self, outputs: Iterable[tuple[slice, Any]]) -> Scored:
        """What the outputs on all samples say, which come in order and stretch by stretch; none is kept whole."""
        values: list[torch.Tensor] = []
        rows: list[torch.Tensor] = []
        for samples, output in outputs:
            if self.score is not None:
                values.append(self.score(output, samples))
            if self.rows is not None:
                rows.append(self.rows(output, samples))
            del output  # before the next is made: logits of a large vocabulary are the greatest thing in memory
        behaviour = torch.cat(values).detach() if values else None
        return Scored(behaviour, torch.cat(rows).detach() if rows else None)

    @property
    def idle(self) -> bool:
        """Whether nothing is made of the output."""
        return self.score is None and self.rows is None

    def places_in(self, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Which positions are scored among the samples in `part`: sample, counted from the first of these, and place;
        the very first place where none is."""
        sample, place = (torch.from_numpy(self.samples[key]) for key in ("sample", "position"))
        there = (sample >= part.start) & (sample < part.stop)
        none = torch.zeros(0 if bool(there.any()) else 1, dtype=sample.dtype)
        return torch.cat([sample[there] - part.start, none]), torch.cat([place[there], none])

    def describe(self) -> dict[str, Any]:
        """What a manifest says of it; nothing where there is no behaviour."""
        scored = len(self.samples.get("sample", ()))
        return {} if self.score is None else {"kind": self.kind, "falling": self.falling, "scored": scored}


def concepts_of(what: What, samples: int) -> dict[str, Concept]:
    """The concepts of `what`, ready to be read. Raises InputError for one that is not a label for each sample."""
    concepts: dict[str, Concept] = {}
    for name, labels in (what.concepts or {}).items():
        values = concept_values(labels)
        if values.shape != (samples,):
            raise InputError(
                f"concept {name!r} has shape {values.shape}; give one label for each of {samples} samples."
            )
        concepts[name] = concept(values, rng=np.random.default_rng(_CONCEPT_SEED))
    return concepts


def labelled(what: What, concepts: Mapping[str, Concept], samples: npt.NDArray[np.intp]) -> dict[str, Any]:
    """The label of each scored sample by concept, those that are classes: what the samples of a transition share may be
    one of these. `samples` (m,): the scored ones' places in the probe."""
    given = {name: concept_values(labels) for name, labels in (what.concepts or {}).items()}
    return {f"{CONCEPT}{name}": labels[samples].astype(str) for name, labels in given.items()
            if concepts[name].classes is not None}  # fmt: skip


def concept_values(labels: Any) -> npt.NDArray[Any]:
    """The labels of a concept, wherever they lie."""
    return np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)


def label_tensor(labels: Any) -> torch.Tensor:
    """`labels=` on the CPU, whole numbers as int64. Raises InputError for what is no list of labels."""
    try:
        tensor = torch.as_tensor(labels).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"labels= must be numbers: {first_line(error)}.") from error
    if not tensor.ndim:
        raise InputError(f"labels={labels!r}: give a label for each sample of the probe.")
    return tensor if tensor.is_floating_point() else tensor.long()


def scorer(output: Any, probe: Probe, mask: torch.Tensor | None, what: What, *, among: int) -> Scorer:
    """How the model's output on `probe` is scored for `what`, known from `output`, that on the first `among` samples;
    `mask` (samples, positions) is True at real tokens. Raises InputError where labels do not fit the output."""
    sight = _Sight(output, probe, among)
    made = _scorer(sight, mask, what)
    sight.forget()
    tokens = {} if made.score is None else token_columns(probe, mask, what.texts)
    return _finished(made, tokens, what)


def _finished(made: Scorer, tokens: Mapping[str, npt.NDArray[Any]], what: What) -> Scorer:
    narrow = None if made.narrow is None else _finished(made.narrow, tokens, what)
    made = replace(made, tokens=tokens, narrow=narrow)
    return made if what.signals else replace(made, rows=None, sketch=None)


class _Sight:
    """What one output showed: which of its tensors has the samples on its first axis, of how many `among` the probe."""

    def __init__(self, output: Any, probe: Probe, among: int) -> None:
        self.output: Any = output
        self.probe, self.among = probe, among
        tensors = list(tensors_in(output))
        places = (i for i, t in enumerate(tensors) if t.ndim and len(t) == among and t.is_floating_point())
        self._place = next(places, None)

    def forget(self) -> None:
        """Let the output go: what it showed is all that is needed of it later."""
        self.output = None

    @property
    def some(self) -> slice:
        return slice(0, self.among)

    @property
    def has_tensor(self) -> bool:
        return self._place is not None

    def tensor(self, output: Any) -> torch.Tensor:
        """The first floating tensor of an output with the samples on its first axis."""
        if self._place is None:
            raise InputError(
                f"the model puts out no tensor with the probe's {self.probe.samples} samples on its first axis."
            )
        return next(itertools.islice(tensors_in(output), self._place, None)).detach()


def _scorer(sight: _Sight, mask: torch.Tensor | None, what: What) -> Scorer:
    probe = sight.probe
    if what.behaviour is not None:
        return _own(sight, what.behaviour)
    if what.labels is None:
        return Scorer("none", False, {}, None, *_whole_sketch(sight))
    if isinstance(what.labels, str):
        return _positions(sight, *next_tokens(probe, mask))
    labels = label_tensor(what.labels)
    if len(labels) != probe.samples:
        raise InputError(f"labels= has {len(labels)} labels, the probe {probe.samples} samples.")
    if labels.is_floating_point():
        return _numbers(sight, labels)
    if labels.ndim == 1:
        return _classes(sight, labels)
    # Of images the classes stand on the second axis, of sequences on the last.
    return _positions(sight, labels.flatten(1), labels.flatten(1), classes_second=sight.tensor(sight.output).ndim > 3)


def _classes(sight: _Sight, labels: torch.Tensor) -> Scorer:
    def logits(output: Any) -> torch.Tensor:
        tensor = sight.tensor(output)
        flat = tensor.reshape(len(tensor), -1) if tensor.ndim == 1 or tensor.shape[1:].numel() == 1 else tensor
        # One number is the logit of the second of two classes.
        return torch.cat([torch.zeros_like(flat), flat], 1) if flat.shape[1] == 1 else flat

    placed = _OfPart(lambda part: labels[part])

    def score(output: Any, part: slice) -> torch.Tensor:
        rows = logits(output)
        return right_probability(rows, placed.on(rows.device, part))

    class_probability(logits(sight.output), labels[sight.some])  # where they do not fit, it says so
    samples = {"sample": np.arange(len(labels)), "label": labels.numpy()}
    shape = (len(labels), logits(sight.output).shape[1])
    return Scorer("class", False, samples, score, *_sketch(shape, lambda o, part: logits(o).float().softmax(-1)))


def _numbers(sight: _Sight, labels: torch.Tensor) -> Scorer:
    placed = _OfPart(lambda part: labels[part])

    def score(output: Any, part: slice) -> torch.Tensor:
        tensor = sight.tensor(output)
        answers = placed.on(tensor.device, part)
        numbers = tensor.reshape(answers.shape) if tensor.numel() == answers.numel() else tensor
        return regression_error(numbers.reshape(len(answers), -1), answers.reshape(len(answers), -1))

    score(sight.output, sight.some)
    samples = {"sample": np.arange(len(labels))}
    return Scorer("number", True, samples, score, *_whole_sketch(sight))


def _positions(sight: _Sight, tokens: torch.Tensor, targets: torch.Tensor, *, classes_second: bool = False) -> Scorer:
    places = next_token_positions(tokens, targets=targets, rng=np.random.default_rng(_SCORED_SEED))

    def logits(output: Any) -> torch.Tensor:
        tensor = sight.tensor(output)
        return tensor.movedim(1, -1).flatten(1, -2) if classes_second else tensor

    width = logits(sight.output).shape[-1]
    first = _some(places, 0, max(1, _SKETCHED // width))

    def scored(among: Callable[[Positions, slice], Positions]) -> tuple[Score, Score]:
        every, sketched = (_OfPart(partial(among, those)) for those in (places, first))

        def score(output: Any, part: slice) -> torch.Tensor:
            tensor = logits(output)
            mine = every.on(tensor.device, part)
            # At least one: the shape of the output is looked at where nothing of these samples is scored, too.
            starts = range(0, max(1, len(mine.sample)), _ROWS_AT_A_TIME)
            return torch.cat([next_token_probability(tensor, _some(mine, start)) for start in starts])

        def rows(output: Any, part: slice) -> torch.Tensor:
            tensor = logits(output)
            mine = sketched.on(tensor.device, part)
            return tensor[mine.sample, mine.place].float().softmax(-1)

        return score, rows

    score, rows = scored(_among)
    score(sight.output, sight.some)
    samples = {"sample": places.sample.numpy(), "position": places.place.numpy(), "label": places.token.numpy()}
    wide = Scorer("position", False, samples, score, *_sketch((len(first.sample), width), rows))
    if classes_second:
        return wide
    score, rows = scored(_alone)
    return replace(wide, narrow=replace(wide, score=score, rows=rows))


class _OfPart(Generic[_Value]):
    """What goes with some of the samples, on the device of their output."""

    def __init__(self, make: Callable[[slice], _Value]) -> None:
        self._make, self._placed = make, Placed()

    def on(self, device: torch.device, part: slice) -> _Value:
        return self._placed.on(device, (part.start, part.stop), lambda: self._make(part))


def _some(places: Positions, start: int, count: int = _ROWS_AT_A_TIME) -> Positions:
    piece = slice(start, start + count)
    return Positions(places.sample[piece], places.place[piece], places.token[piece])


def _among(places: Positions, part: slice) -> Positions:
    """The positions in some of the samples, which are counted from the first of these."""
    there = (places.sample >= part.start) & (places.sample < part.stop)
    return Positions(places.sample[there] - part.start, places.place[there], places.token[there])


def _alone(places: Positions, part: slice) -> Positions:
    """The positions in some of the samples, where the output has these alone, as those of one sample."""
    token = _among(places, part).token
    return Positions(torch.zeros(len(token), dtype=torch.int64), torch.arange(len(token)), token)


def _own(sight: _Sight, function: Callable[[Any, Any], Any]) -> Scorer:
    probe = sight.probe

    def score(output: Any, part: slice) -> torch.Tensor:
        whole = part == slice(0, probe.samples)
        values = torch.as_tensor(function(output, (probe if whole else probe.part(part)).batch))
        if values.ndim != 1:
            raise InputError(f"behaviour= must return one number per sample; it returned shape {tuple(values.shape)}.")
        if not whole and len(values) != part.stop - part.start:
            raise InputError(
                f"with batch=, behaviour= must return one number for each of the {part.stop - part.start} samples that "
                f"it is given; it returned {len(values)}."
            )
        return values

    first = score(sight.output, sight.some)
    scored = len(first) if sight.among == probe.samples else probe.samples
    return Scorer("own", False, {"sample": np.arange(scored)}, score, *_whole_sketch(sight))


def _whole_sketch(sight: _Sight) -> tuple[Score | None, OutputSketch | None]:
    """A sketch of the output as it is, where the model has one."""
    if not sight.has_tensor:
        return None, None

    def flat(output: Any) -> torch.Tensor:
        tensor = sight.tensor(output)
        return tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim == 3 else tensor.reshape(len(tensor), -1)

    each, numbers = len(flat(sight.output)) // sight.among, flat(sight.output).shape[1]
    every = sight.probe.samples * each
    stride = -(-every * numbers // _SKETCHED)

    def rows(output: Any, part: slice) -> torch.Tensor:
        # Every so many rows of all, wherever these begin.
        return flat(output)[-(part.start * each) % stride :: stride].float()

    return _sketch((-(-every // stride), numbers), rows)


def _sketch(shape: tuple[int, int], rows: Score) -> tuple[Score, OutputSketch]:
    return rows, OutputSketch(*shape, rng=np.random.default_rng(_SKETCH_SEED))
