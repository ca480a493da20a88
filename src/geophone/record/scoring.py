"""From the network's output on the probe to behaviour, one number per scored sample, and to a sketch of the output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from geophone.errors import InputError
from geophone.record.capture import tensors_in
from geophone.record.probe import Probe
from geophone.record.what import What
from geophone.signals import (
    Concept,
    OutputSketch,
    Positions,
    class_probability,
    concept,
    next_token_positions,
    next_token_probability,
    regression_error,
)

# Positions, projections and folds are drawn once from these seeds, so that two recordings of a network agree.
_SCORED_SEED, _SKETCH_SEED, _CONCEPT_SEED = 0x5C0E, 0x57E7, 0xC0CE
# Of larger outputs some rows are sketched: more would cost time and show the same movement.
_SKETCHED = 2**21
# So many rows of a vocabulary are turned into probabilities at a time.
_ROWS_AT_A_TIME = 64

Score = Callable[[Any], torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What one pass said of the output: `behaviour` (samples,) at half precision, and the `outputs` that are sketched
    (rows, numbers); None where there is no such thing."""

    behaviour: npt.NDArray[np.float32] | None
    outputs: torch.Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """How the output on one probe is scored: the same samples and the same projection at every measurement.

    `kind` is "class", "position", "number", "own" (the caller's function) or "none"; `falling` says that lower is
    better. `samples` has a row per scored sample: its `sample` in the probe, and where there is one its `position` and
    `label`.
    """

    kind: str
    falling: bool
    samples: Mapping[str, npt.NDArray[Any]]
    score: Score | None
    rows: Score | None
    sketch: OutputSketch | None

    def __call__(self, output: Any) -> Scored:
        behaviour = None if self.score is None else _halved(self.score(output))
        return Scored(behaviour, None if self.rows is None else self.rows(output).detach())

    def describe(self) -> dict[str, Any]:
        """What a manifest says of it; nothing where there is no behaviour."""
        scored = len(self.samples.get("sample", ()))
        return {} if self.score is None else {"kind": self.kind, "falling": self.falling, "scored": scored}


def concepts_of(what: What, samples: int) -> dict[str, Concept]:
    """The concepts of `what`, ready to be read. Raises InputError for one that is not a label for each sample."""
    concepts: dict[str, Concept] = {}
    for name, labels in (what.concepts or {}).items():
        values = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
        if values.shape != (samples,):
            raise InputError(
                f"concept {name!r} has shape {values.shape}; give one label for each of {samples} samples."
            )
        concepts[name] = concept(values, rng=np.random.default_rng(_CONCEPT_SEED))
    return concepts


def scorer(output: Any, probe: Probe, mask: torch.Tensor | None, what: What) -> Scorer:
    """How `output`, the model's on `probe`, is scored for `what`; `mask` (samples, positions) is True at real tokens.
    Raises InputError where labels do not fit the output."""
    made = _scorer(output, probe, mask, what)
    return made if what.signals else replace(made, rows=None, sketch=None)


def _scorer(output: Any, probe: Probe, mask: torch.Tensor | None, what: What) -> Scorer:
    if what.behaviour is not None:
        return _own(output, probe, what.behaviour)
    if what.labels is None:
        return Scorer("none", False, {}, None, *_whole_sketch(output, probe))
    if isinstance(what.labels, str):
        return _positions(output, probe, *_next_tokens(probe, mask))
    labels = torch.as_tensor(what.labels)
    if len(labels) != probe.samples:
        raise InputError(f"labels= has {len(labels)} labels, the probe {probe.samples} samples.")
    if labels.is_floating_point():
        return _numbers(output, probe, labels)
    labels = labels.long()
    if labels.ndim == 1:
        return _classes(output, probe, labels)
    # Of images the classes stand on the second axis, of sequences on the last.
    return _positions(
        output, probe, labels.flatten(1), labels.flatten(1), classes_second=_tensor(output, probe).ndim > 3
    )


def _tensor(output: Any, probe: Probe) -> torch.Tensor:
    """The first floating tensor of the output with the probe's samples on its first axis."""
    tensor = _first(output, probe)
    if tensor is None:
        raise InputError(f"the model puts out no tensor with the probe's {probe.samples} samples on its first axis.")
    return tensor.detach()


def _first(output: Any, probe: Probe) -> torch.Tensor | None:
    return next((t for t in tensors_in(output) if t.ndim and len(t) == probe.samples and t.is_floating_point()), None)


def _halved(values: torch.Tensor) -> npt.NDArray[np.float32]:
    """At half precision, in a type that every reader of parquet knows."""
    return values.detach().float().cpu().half().float().numpy()


def _classes(output: Any, probe: Probe, labels: torch.Tensor) -> Scorer:
    def logits(output: Any) -> torch.Tensor:
        tensor = _tensor(output, probe)
        flat = tensor.reshape(len(tensor), -1) if tensor.ndim == 1 or tensor.shape[1:].numel() == 1 else tensor
        # One number is the logit of the second of two classes.
        return torch.cat([torch.zeros_like(flat), flat], 1) if flat.shape[1] == 1 else flat

    def score(output: Any) -> torch.Tensor:
        return class_probability(logits(output), labels)

    score(output)
    samples = {"sample": np.arange(len(labels)), "label": labels.numpy()}
    return Scorer("class", False, samples, score, *_sketch(output, lambda o: logits(o).float().softmax(-1)))


def _numbers(output: Any, probe: Probe, labels: torch.Tensor) -> Scorer:
    def numbers(output: Any) -> torch.Tensor:
        tensor = _tensor(output, probe)
        return tensor.reshape(labels.shape) if tensor.numel() == labels.numel() else tensor

    def score(output: Any) -> torch.Tensor:
        return regression_error(numbers(output).reshape(len(labels), -1), labels.reshape(len(labels), -1))

    score(output)
    samples = {"sample": np.arange(len(labels))}
    return Scorer("number", True, samples, score, *_whole_sketch(output, probe))


def _next_tokens(probe: Probe, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The probe's tokens, and the right next token at each place: -100 at the last one and before what is masked."""
    tokens = next(
        (t for t in probe.tensors if t.ndim == 2 and not t.is_floating_point() and t.dtype != torch.bool), None
    )
    if tokens is None:
        raise InputError('labels="next-token" wants token numbers (samples, positions) in the probe; there are none.')
    targets = torch.full_like(tokens, -100, dtype=torch.int64)
    targets[:, :-1] = tokens[:, 1:]
    if mask is not None and mask.shape == tokens.shape:
        targets[:, :-1][~mask[:, 1:]] = -100
        targets[~mask] = -100
    return tokens, targets


def _positions(
    output: Any, probe: Probe, tokens: torch.Tensor, targets: torch.Tensor, *, classes_second: bool = False
) -> Scorer:
    places = next_token_positions(tokens, targets=targets, rng=np.random.default_rng(_SCORED_SEED))

    def logits(output: Any) -> torch.Tensor:
        tensor = _tensor(output, probe)
        return tensor.movedim(1, -1).flatten(1, -2) if classes_second else tensor

    def score(output: Any) -> torch.Tensor:
        tensor, pieces = logits(output), range(0, len(places.sample), _ROWS_AT_A_TIME)
        return torch.cat([next_token_probability(tensor, _some(places, start)) for start in pieces])

    def rows(output: Any) -> torch.Tensor:
        tensor = logits(output)
        few = max(1, _SKETCHED // tensor.shape[-1])
        return tensor[places.sample[:few], places.place[:few]].float().softmax(-1)

    score(output)
    samples = {"sample": places.sample.numpy(), "position": places.place.numpy(), "label": places.token.numpy()}
    return Scorer("position", False, samples, score, *_sketch(output, rows))


def _some(places: Positions, start: int) -> Positions:
    piece = slice(start, start + _ROWS_AT_A_TIME)
    return Positions(places.sample[piece], places.place[piece], places.token[piece])


def _own(output: Any, probe: Probe, function: Callable[[Any, Any], Any]) -> Scorer:
    def score(output: Any) -> torch.Tensor:
        values = torch.as_tensor(function(output, probe.batch))
        if values.ndim != 1:
            raise InputError(f"behaviour= must return one number per sample; it returned shape {tuple(values.shape)}.")
        return values

    scored = len(score(output))
    return Scorer("own", False, {"sample": np.arange(scored)}, score, *_whole_sketch(output, probe))


def _whole_sketch(output: Any, probe: Probe) -> tuple[Score | None, OutputSketch | None]:
    """A sketch of the output as it is, where the model has one."""

    def rows(output: Any) -> torch.Tensor:
        tensor = _tensor(output, probe).float()
        flat = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim == 3 else tensor.reshape(len(tensor), -1)
        stride = -(-flat.numel() // _SKETCHED)
        return flat[::stride]

    return (None, None) if _first(output, probe) is None else _sketch(output, rows)


def _sketch(output: Any, rows: Score) -> tuple[Score, OutputSketch]:
    shape = rows(output).shape
    return rows, OutputSketch(shape[0], shape[1], rng=np.random.default_rng(_SKETCH_SEED))
