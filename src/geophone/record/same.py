"""Whether a run may be gone on with: what it was recorded as, held against what is asked for now."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geophone.errors import InputError
from geophone.record.layers import Plan
from geophone.record.scoring import concept_values, label_tensor
from geophone.record.what import What
from geophone.store.manifest import Manifest

_SAID = {"nothing": "nothing", "labels": "labels=", "next-token": 'labels="next-token"', "behaviour": "behaviour="}
# What a manifest from before it said so tells of how samples were scored, by the kind that they were scored as.
_FORMER = {
    "class": ("labels",), "number": ("labels",), "position": ("labels", "next-token"), "own": ("behaviour",),
}  # fmt: skip


def asked(what: What) -> dict[str, Any]:
    """What a manifest says of what is asked of the samples: what they are scored by, digests of labels and concepts,
    and whether signals are recorded. Two functions cannot be told apart. Raises InputError for labels that are none."""
    facts: dict[str, Any] = {"scored_by": "nothing", "signals": what.signals}
    if what.behaviour is not None:
        facts["scored_by"] = "behaviour"
    elif isinstance(what.labels, str):
        facts["scored_by"] = what.labels
    elif what.labels is not None:
        labels = label_tensor(what.labels)
        facts["scored_by"] = "labels"
        facts["labels_digest"] = _digest((labels.double() if labels.is_floating_point() else labels).numpy())
    if what.concepts:
        facts["concept_digests"] = {name: _digest(concept_values(each)) for name, each in what.concepts.items()}
    return facts


def check_same(manifest: Manifest, what: What, samples: Mapping[str, Any], folder: Path) -> None:
    """Raises InputError unless the run of `manifest` was recorded as `what`, on these `samples` (as a reader describes
    them). Of a run from before a manifest said it all, what it says is compared."""
    if manifest.definitions != what.definitions:
        raise InputError(_other(manifest, folder))
    for key, name in (("digest", "probe"), ("noise_digest", "noise probe")):
        if manifest.probe.get(key) != samples.get(key):
            raise InputError(
                f"{folder} was read on another {name}; values of different samples do not compare. Resume with the "
                "same one, or give a new folder."
            )
    if difference := _otherwise(manifest, samples):
        raise InputError(f"{folder} {difference}; one run has one meaning. Resume with the same, or give a new folder.")


def check_layers(manifest: Manifest, plan: Plan, folder: Path) -> None:
    """Raises InputError unless the run of `manifest` has the layers of `plan`, or none yet."""
    # A run from before layers had canonical names is the same run.
    unnamed = [tuple(replace(layer, canonical="") for layer in layers) for layers in (manifest.layers, plan.layers)]
    if manifest.layers and unnamed[0] != unnamed[1]:
        raise InputError(_other(manifest, folder))


def _otherwise(manifest: Manifest, now: Mapping[str, Any]) -> str:
    """How what was asked of the samples differs from what is asked `now`, in words; empty where it does not."""
    then, by = manifest.probe, now["scored_by"]
    told = "scored_by" in then
    scored = (then["scored_by"],) if told else _FORMER.get(manifest.behaviour.get("kind", ""), ())
    if scored and by not in scored:
        return f"was scored by {_SAID.get(scored[0], scored[0])}, and now by {_SAID[by]}"
    if not told:
        return ""
    if then.get("labels_digest") != now.get("labels_digest"):
        return "was scored by other labels"
    concepts = [each.get("concept_digests", {}) for each in (then, now)]
    if names := sorted(n for n in concepts[0].keys() | concepts[1].keys() if concepts[0].get(n) != concepts[1].get(n)):
        return f"was recorded with other concepts ({', '.join(names[:4])})"
    if then.get("signals") != now["signals"]:
        return f"was recorded with signals={then.get('signals')}, and now signals={now['signals']}"
    return ""


def _digest(values: npt.NDArray[Any]) -> str:
    """Of labels, whatever the width of their numbers."""
    even = values.astype({"f": np.float64, "i": np.int64, "u": np.int64, "b": np.int64}.get(values.dtype.kind, str))
    content = "\0".join(even.ravel().tolist()).encode() if even.dtype.kind == "U" else even.tobytes()
    return hashlib.sha256(f"{even.shape} {even.dtype.kind} ".encode() + content).hexdigest()[:16]


def _other(manifest: Manifest, folder: Path) -> str:
    return (
        f"{folder} holds a run of other layers or dimensions ({len(manifest.layers)} layers, "
        f"{len(manifest.definitions)} dimensions); resume with the same model and settings, or give a new folder."
    )
