"""The training step that a checkpoint's name says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from geophone.errors import InputError

_SCALE = {"": 1, "k": 1_000, "m": 1_000_000}
_COUNT = r"(?<!\d)(?<!\d\.)(\d+)([km]?)(?![\d.]*\d|[a-z])"


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way in which names say their step: `pattern` has a group for the number and one for "k" or "m"."""

    pattern: re.Pattern[str]
    example: str


def _scheme(pattern: str, example: str) -> Scheme:
    return Scheme(re.compile(pattern, re.IGNORECASE), example)


# The first that matches counts, and in a name its last match. An epoch is a step only where nothing better is there.
SCHEMES = (
    _scheme(rf"(?<![a-z])(?:global[-_]?)?steps?[-_=:. ]*{_COUNT}", "step1000-tokens4B, epoch=3-step=1200, step_20k"),
    _scheme(
        rf"(?<![a-z])(?:iters?|iterations?|it|updates?|ba|batch(?:es)?)[-_=:. ]*{_COUNT}", "iter_0005000, ep0-ba100"
    ),
    _scheme(rf"(?<![a-z])(?:checkpoint|ckpt)[-_=. ]?{_COUNT}$", "checkpoint-500, ckpt_10k"),
    _scheme(rf"(?<![a-z])(?:checkpoint|ckpt)[-_]\d+[-_]{_COUNT}", "checkpoint_7_5500 (epoch, updates)"),
    _scheme(rf"(?<![a-z])(?:epochs?|ep)[-_=:. ]*{_COUNT}", "epoch_1_loss_0.93"),
    _scheme(r"(?<![a-z\d])(?<!\d\.)(\d+)(k?)(?![\d.]*\d|[a-z])", "model-400, 10k"),
)
_SUFFIX = re.compile(r"\.(?:safetensors|pt|pth|bin|ckpt|tar)$", re.IGNORECASE)
# What a name may hold beside its step: a version, a shard, a random seed, how many tokens, a metric's value.
_ASIDE = re.compile(
    r"[-_. ]v\d+(?=$|[-_.])|[-_]?\d+-of-\d+|seed[-_=]?\d+|\d+[bt][-_]?tokens?|tokens?[-_=]?\d+(?:\.\d+)?[kmbt]?"
    r"|(?:loss|acc|accuracy|ppl|perplexity|auc|f1|lr|score|mse|metric)[-_=:]*\d+(?:\.\d+)?(?:e-?\d+)?|\d+\.\d+(?:e-?\d+)?|\d+e-?\d+",
    re.IGNORECASE,
)


def step_of(name: str, *, pattern: str | None = None) -> int | None:
    """The training step in `name`, the name of a file, folder or revision; None where it says none.

    With `pattern`, a regular expression, it is the whole number in its group "step", or in its first group; otherwise
    the number after "step", "iteration", "update" or "checkpoint", after "epoch" where there is no other, or the last
    whole number that stands alone. "10k" is 10,000. Losses, versions, shards, random seeds and counts of tokens are
    not steps. Raises InputError for a pattern that is no regular expression or has no group.
    """
    if pattern is not None:
        return _by_pattern(name, pattern)
    bare = _ASIDE.sub(" ", without_suffix(name))
    for scheme in SCHEMES:
        if matches := scheme.pattern.findall(bare.strip(" -_.")):
            number, scale = matches[-1]
            return int(number) * _SCALE[scale.lower()]
    return None


def without_suffix(name: str) -> str:
    """`name` without what says the kind of its file."""
    return _SUFFIX.sub("", name)


def steps_of(names: Mapping[str, str], *, pattern: str | None = None) -> tuple[dict[str, int], list[str]]:
    """The step of every key of `names`, whose values are what says it, and the keys whose names say none.

    Raises InputError where two say the same step.
    """
    steps: dict[str, int] = {}
    without: list[str] = []
    first: dict[int, str] = {}
    for key, name in names.items():
        step = step_of(name, pattern=pattern)
        if step is None:
            without.append(key)
            continue
        if step in first:
            raise InputError(
                f"{first[step]} and {key} both say step {step}; keep one of them, or say where the step stands with "
                "--step-pattern, such as 'it(\\d+)'."
            )
        first[step], steps[key] = key, step
    return steps, without


def _by_pattern(name: str, pattern: str) -> int | None:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--step-pattern {pattern!r} is no regular expression: {error}.") from error
    if not compiled.groups:
        raise InputError(f"--step-pattern {pattern!r} has no group for the step; write 'step(\\d+)', for example.")
    match = compiled.search(name)
    if match is None:
        return None
    number = match.group("step") if "step" in compiled.groupindex else match.group(1)
    if not number.isdecimal():
        raise InputError(f"--step-pattern {pattern!r} reads {number!r} from {name}, which is no whole number.")
    return int(number)
