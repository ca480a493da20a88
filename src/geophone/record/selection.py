"""Which modules of a model are recorded: those that are named, or its blocks and the weight layers outside them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from torch import nn
from torch.nn.parameter import is_lazy

from geophone.errors import InputError
from geophone.record.distributed import whole_shape
from geophone.record.experts import experts_in
from geophone.record.naming import blocks_of, canonical, canonical_names, is_weight_layer, matches
from geophone.record.what import Selector, What
from geophone.signals import ADDED

_SCRIPTED = "is scripted: no hook can be put on it"
_HEAD = "puts out a whole vocabulary, which costs more than all other layers; name it to record it"


@dataclass(frozen=True, slots=True)
class Selection:
    """Modules by path, in the model's own order. Of `outputs` what they put out is recorded, of `updates` what they
    add to their input; `blocks` are those whose updates are recorded where they turn out to be the stream's; `left_out`
    are modules that would have been recorded, each with the reason. `default` says that nobody named them.
    `canonical` has the names that modules have in every architecture, of those that have one."""

    modules: dict[str, nn.Module]
    outputs: frozenset[str]
    updates: frozenset[str] = frozenset()
    blocks: frozenset[str] = frozenset()
    left_out: dict[str, str] = field(default_factory=dict)
    default: bool = False
    canonical: dict[str, str] = field(default_factory=dict)


def selection(model: nn.Module, what: What) -> Selection:
    """What `what` selects in `model`. Raises InputError when that is nothing."""
    chosen = _default(model) if what.selectors is None else _named(model, what.selectors)
    names = canonical_names(model)
    scripted = {name for name, module in chosen.modules.items() if is_scripted(module)}
    left_out = chosen.left_out | dict.fromkeys(sorted(scripted), _SCRIPTED)
    modules = {name: module for name, module in chosen.modules.items() if name not in scripted}
    if not modules:
        raise InputError(_nothing(model, left_out))
    updates, blocks = chosen.updates, chosen.blocks
    if what.updates is not None:
        updates, blocks = (frozenset(blocks or chosen.outputs) if what.updates else frozenset()), frozenset()
    return Selection(modules, chosen.outputs, updates, blocks, left_out, chosen.default, names)


def _nothing(model: nn.Module, left_out: dict[str, str]) -> str:
    """Why nothing of `model` is selected, and what to do."""
    if left_out:
        reasons = "; ".join(f"{name} {why}" for name, why in list(left_out.items())[:4])
        return f"no layer can be recorded by default: {reasons}. Name the modules to record with layers=."
    if not any(len(whole_shape(each)) >= 2 for each in model.parameters(recurse=False) if not is_lazy(each)):
        return "the model has no layer with weights; name the modules to record with layers=."
    named = ', with layers=["0"]' if any(True for _ in model.children()) else ""
    return (
        f"the model is itself one layer ({type(model).__name__}), and what is recorded are a model's parts: give "
        f"torch.nn.Sequential(model){named}, which has the same weights."
    )


def is_scripted(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.jit")


def select_modules(model: nn.Module, select: Iterable[Selector] | Selector) -> dict[str, nn.Module]:
    """Modules of `model` by path, in the model's own order. Text that fits no path is a canonical name, or a glob over
    them. "path.experts.3" is a single expert also where the model holds all in one tensor; a pattern that fits some
    names no other module, and one that ends in "**" no expert. Raises InputError for a selector that matches none."""
    experts = experts_in(model)
    named = {name: module for name, module in model.named_modules() if name} | experts
    known = cache(lambda: canonical_names(model))  # asked for only where a path is not enough
    wanted: set[str] = set()
    for selector in [select] if isinstance(select, str | type | nn.Module) else select:
        hits = {name for name, module in named.items() if _matches(selector, name, module)}
        if not hits and isinstance(selector, str):
            hits = {name for name in named if matches(selector, canonical(name, known()))}
        several = isinstance(selector, str) and selector.endswith("**")
        hits = hits - set(experts) if several else hits & set(experts) or hits
        if not hits:
            label = selector if isinstance(selector, str) else getattr(selector, "__name__", type(selector).__name__)
            also = f" Under canonical names: {some(list(said))}." if (said := known().values()) else ""
            raise InputError(f"no module matches {label!r}; the model has {some(list(named)) or 'no parts'}.{also}")
        wanted |= hits
    return {name: module for name, module in named.items() if name in wanted}


def some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _matches(selector: Selector, name: str, module: nn.Module) -> bool:
    if isinstance(selector, str):
        return matches(selector, name)
    if isinstance(selector, type):
        return isinstance(module, selector)
    return module is selector


def _named(model: nn.Module, selectors: Iterable[Selector]) -> Selection:
    """A path or glob that ends in "+" names updates."""
    several = list(selectors)
    added = [s.removesuffix(ADDED) for s in several if isinstance(s, str) and s.endswith(ADDED)]
    whole = [s for s in several if not (isinstance(s, str) and s.endswith(ADDED))]
    outputs = frozenset(select_modules(model, whole)) if whole else frozenset()
    updates = frozenset(select_modules(model, added)) if added else frozenset()
    return Selection(select_modules(model, outputs | updates), outputs, updates)


def _default(model: nn.Module) -> Selection:
    """What is recorded when nobody says: the blocks of the network, and the weight layers outside them.

    Norms, activations and dropout are neither, and the head of a language model is left out.
    """
    blocks = set(blocks_of(model))
    modules: dict[str, nn.Module] = {}
    left_out: dict[str, str] = {}
    vocabularies = {module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)}
    for name, module in model.named_modules():
        if not name or any(name.startswith(whole + ".") for whole in modules if _holds_all(whole, modules, blocks)):
            continue
        if name in blocks or is_weight_layer(module):
            if name not in blocks and _is_head(module, vocabularies):
                left_out[name] = _HEAD
            else:
                modules[name] = module
    composite = frozenset(name for name in blocks & set(modules) if any(True for _ in modules[name].children()))
    return Selection(modules, frozenset(modules), frozenset(), composite, left_out, True)


def _holds_all(name: str, modules: dict[str, nn.Module], blocks: set[str]) -> bool:
    """Whether what lies inside of a recorded module is recorded with it."""
    return name in blocks or isinstance(modules[name], nn.MultiheadAttention)


def _is_head(module: nn.Module, vocabularies: set[int]) -> bool:
    """Whether `module` puts out as many numbers as an embedding of the model has entries."""
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) or not vocabularies:
        return False
    width = getattr(module, "out_features", None) or getattr(module, "nf", None)
    return width in vocabularies
