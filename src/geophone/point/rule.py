"""The frozen rule: which parts make the scores, and where the list of transitions ends. Chosen on development seeds."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from geophone.errors import StoreError
from geophone.point.kernels import Kernel

_HOME, _FILE = "geophone.point", "frozen.json"


@dataclass(frozen=True, slots=True)
class ScorePart:
    """A part of a score that is computed of the run as a whole: a function of `point.score` by name, and its kernel."""

    name: str
    kernel: Kernel


@dataclass(frozen=True, slots=True)
class LayerPart:
    """A part that is read layer by layer: a signal of `RunSignals.series`, its kernel, the `columns` it is read on
    ("streams", "updates", or "both"; layers where it has no value are left out), and how layers are pooled ("mean" or
    "max")."""

    signal: str
    kernel: Kernel
    columns: str
    pool: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`behaviour`: the score of what is learned; `outputs`: its stand-in for a run without behaviour; `hidden`: that of
    what became readable inside, `faded` of what no longer is; `where`: what layers are named by. A learned transition
    that makes up less than `share` of the area under the score is not listed, nor is any that its null explains.
    `seeds` are those on which all this was chosen, `digest` is the rule's own."""

    behaviour: tuple[ScorePart, ...]
    outputs: tuple[ScorePart, ...]
    hidden: tuple[LayerPart, ...]
    faded: tuple[LayerPart, ...]
    where: tuple[LayerPart, ...]
    share: float
    seeds: tuple[int, ...]
    digest: str


@cache
def frozen_rule() -> Rule:
    """The rule that ships with the package. Raises StoreError where its file does not match its digest."""
    document = json.loads(files(_HOME).joinpath(_FILE).read_text(encoding="utf-8"))
    if rule_digest(document) != document.get("digest"):
        raise StoreError(f"{_FILE} of geophone.point does not match its digest: the frozen rule was changed by hand.")
    return Rule(
        behaviour=tuple(_part(p) for p in document["behaviour"]),
        outputs=tuple(_part(p) for p in document["outputs"]),
        hidden=tuple(_layer_part(p) for p in document["hidden"]),
        faded=tuple(_layer_part(p) for p in document["faded"]),
        where=tuple(_layer_part(p) for p in document["where"]),
        share=float(document["share"]),
        seeds=tuple(document["seeds"]),
        digest=document["digest"],
    )


def rule_digest(document: dict[str, object]) -> str:
    """SHA-256 of the rule's document without its digest, keys sorted; the first 16 hexadecimal digits."""
    rest = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def _part(entry: dict[str, object]) -> ScorePart:
    return ScorePart(str(entry["name"]), _kernel(entry))


def _layer_part(entry: dict[str, object]) -> LayerPart:
    return LayerPart(str(entry["signal"]), _kernel(entry), str(entry["columns"]), str(entry["pool"]))


def _kernel(entry: dict[str, object]) -> Kernel:
    return Kernel(str(entry["axis"]), float(str(entry["width"])))
