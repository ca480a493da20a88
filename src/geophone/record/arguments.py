"""What a caller may give a recorder, and what is said where it will not do."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from geophone.errors import InputError
from geophone.record.probe import Probe

LISTENED = "participation_ratio"


def several(layers) -> Iterable[str | type | nn.Module]:
    return [layers] if isinstance(layers, str | type | nn.Module) else layers


def is_batch(probe) -> bool:
    if isinstance(probe, str) and probe != "batch":
        raise InputError(f"probe={probe!r}: give a batch of inputs, or 'batch' for in-band recording.")
    return isinstance(probe, str)


def is_lazy(model: nn.Module) -> bool:
    """Lazily built modules take shape in the user's first forward pass, not in one of ours: that would draw their
    initial weights at another place in the random stream."""
    return any(nn.parameter.is_lazy(p) for p in model.parameters())


def listened(alarms: str | None, names: Sequence[str]) -> str | None:
    if alarms == "auto":
        return LISTENED if LISTENED in names else None
    if alarms is not None and alarms not in names:
        raise InputError(f"alarms={alarms!r} is not recorded; recorded are {', '.join(names)}.")
    return alarms


def second_probe(batch, probe: Probe | None) -> Probe | None:
    if batch is None:
        return None
    if probe is None:
        raise InputError("a noise probe goes with a probe batch; in-band recording has none to compare it with.")
    noise = Probe(batch)
    if noise.samples != probe.samples:
        raise InputError(
            f"the noise probe has {noise.samples} samples, the probe {probe.samples}; readings of different sizes "
            "do not compare."
        )
    if shared := len(noise.digests() & probe.digests()):
        raise InputError(f"{shared} sample(s) are in both probes; the noise probe must be disjoint.")
    return noise


def plain(about: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(dict(about)))
    except (TypeError, ValueError) as error:
        raise InputError(f"about= goes into a JSON file: {error}.") from error


def floats(scalars: Mapping[str, float]) -> dict[str, float]:
    reserved = sorted({"index", "step"} & set(scalars))
    if reserved:
        raise InputError(f"scalars cannot be called {', '.join(reserved)}; the recorder counts those itself.")
    try:
        return {name: float(value) for name, value in scalars.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        kinds = {name: type(value).__name__ for name, value in scalars.items()}
        raise InputError(f"every scalar must be one number; got {kinds}.") from error
