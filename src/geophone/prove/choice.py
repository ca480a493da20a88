"""What development seeds choose of the rivals, and the packaged file that freezes it."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from geophone.dimensions import NAMES
from geophone.errors import StoreError
from geophone.point.kernels import Kernel
from geophone.point.moments import pick
from geophone.point.score import joined
from geophone.prove.events import ANY
from geophone.prove.rivals import Part, Rival, candidates, ending, name_layers, part_score, pilots, rival_score
from geophone.prove.targeting import Moments, listed, recall
from geophone.prove.trials import BEHAVIOUR, GROUPS, PRIMARY, TrialRun
from geophone.signals import ADDED
from geophone.store.tables import write_text

FROZEN = Path(__file__).with_name("rivals.json")
MOST_PARTS = 3
JOIN, DIMENSIONS = "join", "dimensions"
KINDS = ("behaviour", "hidden")
SHARES = np.round(np.geomspace(0.02, 0.9, 16), 3)
# What can be had without geophone; what a ridge could read is its own signal, and scored as a part of it.
OWN = ("readable_change", "readable_gain")
_JOINING = (
    "loss", "loss_falls", "probe_loss", "mean_p", "gradient_norm", "weight_norm", "update_norm", "layer_gradient_norm",
    "layer_update_norm", "layer_weight_norm", "output_components", "output_speed", "output_concentration",
    "sample_steepest", "sample_clusters", "cka_change_4", "subspace_change",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """The frozen rivals by name, among them the best joins: of all primary testbeds ("join"), and of those of each kind
    of events ("join, behaviour", "join, hidden"). `best` names the best one for each kind, on development seeds;
    `shares` says at which share of its greatest score each one's own list ends; `where` in which form each layer signal
    names a layer; `recall` is that at k = E on those `seeds`, the mean over the primary testbeds (of its kind, for a
    join of one kind)."""

    rivals: Mapping[str, Rival]
    shares: Mapping[str, float]
    where: Mapping[str, Part]
    best: Mapping[str, str]
    seeds: tuple[int, ...]
    recall: Mapping[str, float]


def by_bed(runs: Sequence[TrialRun], values: Iterable[float]) -> float:
    """The mean over testbeds of the mean over each one's runs; NaN runs are left out."""
    beds, numbers = np.array([run.bed for run in runs]), np.fromiter(values, dtype=np.float64)
    there = np.isfinite(numbers)
    return float(np.mean([numbers[there & (beds == bed)].mean() for bed in dict.fromkeys(beds[there].tolist())]))


def choose(runs: Sequence[TrialRun]) -> Choice:
    """Tune every single rival, then the best join of at most three, by recall at k = E: over all primary testbeds, and
    again over those of each kind of events alone. Where each one's list ends goes by F1 over all testbeds, layers by
    the share named at the true times. Ties go to what comes first, and to fewer parts."""
    runs = [run for run in runs if run.truth.events]
    primary = [run for run in runs if run.bed in PRIMARY]
    rivals, recalls = _tuned(primary, JOIN)
    best: dict[str, str] = {}
    for kind in KINDS:
        those = [run for run in primary if run.trial.kind == kind]
        name = f"{JOIN}, {kind}"
        special, values = _tuned(those, name)
        here = {
            key: _recall(those, [rival_score(run.signals, rival) for run in those]) for key, rival in rivals.items()
        }
        rivals[name], recalls[name], here[name] = special[name], values[name], values[name]
        best[kind] = max((key for key in here if key not in OWN), key=lambda key: here[key])
    covered = [run for run in runs if run.bed in (*BEHAVIOUR, *GROUPS["hidden"])]
    return Choice(
        rivals=rivals,
        shares={name: _share(covered, rival) for name, rival in rivals.items()},
        where={name: _where(runs, forms) for name, forms in candidates().items() if forms[0].pool},
        best=best,
        seeds=tuple(sorted({run.seed for run in runs})),
        recall=recalls,
    )


def _tuned(runs: Sequence[TrialRun], join: str) -> tuple[dict[str, Rival], dict[str, float]]:
    """Every single rival in its best form, the best join (named `join`), the best of dimensions, and what was frozen
    before; and the recall of each."""
    rivals: dict[str, Rival] = {}
    scores: dict[str, list[np.ndarray]] = {}
    for name, forms in candidates().items():
        # Run by run: the kernels of one run's steps are made once.
        tried = [[part_score(run.signals, form) for form in forms] for run in runs]
        best = int(np.argmax([_recall(runs, each) for each in zip(*tried, strict=True)]))
        rivals[name], scores[name] = Rival(name, (forms[best],)), [each[best] for each in tried]
    rivals[join] = _best_join(runs, rivals, scores, _JOINING, join)
    rivals[DIMENSIONS] = _best_join(runs, rivals, scores, NAMES[:9], DIMENSIONS)
    rivals |= {rival.name: rival for rival in pilots()}
    return rivals, {name: _recall(runs, [rival_score(run.signals, r) for run in runs]) for name, r in rivals.items()}


def _recall(runs: Sequence[TrialRun], scores: Sequence[np.ndarray]) -> float:
    moments = (Moments(pick(score, run.signals.steps)) for run, score in zip(runs, scores, strict=True))
    return by_bed(runs, (recall(m, run.truth) for run, m in zip(runs, moments, strict=True)))


def _best_join(
    runs: Sequence[TrialRun],
    singles: Mapping[str, Rival],
    scores: Mapping[str, list[np.ndarray]],
    pool: Sequence[str],
    name: str,
) -> Rival:
    best, chosen = -1.0, tuple(pool[:1])
    for count in range(1, MOST_PARTS + 1):
        for names in combinations(pool, count):
            together = [joined([scores[n][i] for n in names]) for i in range(len(runs))]
            value = _recall(runs, together)
            if value > best + 1e-12:
                best, chosen = value, names
    return Rival(name, tuple(singles[n].parts[0] for n in chosen))


def _share(runs: Sequence[TrialRun], rival: Rival) -> float:
    scores = [rival_score(run.signals, rival) for run in runs]
    picked = [pick(score, run.signals.steps) for run, score in zip(runs, scores, strict=True)]

    def f1(share: float) -> float:
        counts = [ending(score, index, share) for score, index in zip(scores, picked, strict=True)]
        lists = (Moments(index, count=count) for index, count in zip(picked, counts, strict=True))
        return by_bed(runs, (listed(moments, run.truth).f1 for run, moments in zip(runs, lists, strict=True)))

    return float(max(SHARES, key=f1))


def _where(runs: Sequence[TrialRun], forms: Sequence[Part]) -> Part:
    return max(forms, key=lambda form: by_bed(runs, (named_at_times(run, form) for run in runs)))


def named_at_times(run: TrialRun, form: Part) -> float:
    """The share of a run's events with a known layer whose layer `form` names at their true times; NaN without any."""
    known = [event for event in run.truth.events if event.layer != ANY]
    if not known:
        return float("nan")
    index = [int(np.abs(run.truth.steps - event.t50).argmin()) for event in known]
    names = name_layers(run.signals, form, index)
    return float(np.mean([n.removesuffix(ADDED) == e.layer for n, e in zip(names, known, strict=True)]))


def freeze(choice: Choice, path: Path) -> str:
    """Write `choice` with the SHA-256 of its content beside it; returns the digest."""
    content = json.loads(json.dumps(asdict(choice)))
    digest = _digest(content)
    write_text(path, json.dumps({"choice": content, "digest": digest}, indent=1) + "\n")
    return digest


def frozen(path: Path = FROZEN) -> Choice:
    """The choice in a file that `freeze` wrote, the package's own by default. Raises StoreError when it is missing or
    was changed since."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        content, digest = document["choice"], document["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not a frozen choice: {error}.") from error
    if _digest(content) != digest:
        raise StoreError(f"{path} was changed after it was frozen: its digest is not {digest[:12]}. Nothing was run.")
    rivals = {
        name: Rival(name, tuple(map(_part, rival["parts"])), rival["join"]) for name, rival in content["rivals"].items()
    }
    where = {name: _part(part) for name, part in content["where"].items()}
    return Choice(rivals, content["shares"], where, content["best"], tuple(content["seeds"]), content["recall"])


def _part(read: dict) -> Part:
    return Part(**{**read, "kernel": Kernel(**read["kernel"])})


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
