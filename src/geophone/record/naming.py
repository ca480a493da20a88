"""Names of layers that are the same in every architecture, and patterns over names.

`blocks.3` is the stream after block 3, `blocks.3+` what the block adds to it, `blocks.3+attention` and `blocks.3+mlp`
what its attention and its perceptron add (`+cross_attention` where a decoder reads an encoder). `embed` is what the
first block is given, before it there is nothing with weights; `heads` what follows the last one: an unembedding, a
classifier. Where there are several the first embedding and the last head have the plain name, the others `embed.wpe`,
`heads.pooler`. A network of several stacks of blocks has a name before each: `encoder.blocks.3`, `decoder.embed`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from torch import nn

from geophone.record.distributed import whole_shape
from geophone.records import ADDED

# Lists and dicts of modules are never called themselves; what is in them is.
_CONTAINERS = (nn.ModuleList, nn.ModuleDict)
_ATTENTION, _CROSS = ("attn", "attention", "self_attn"), re.compile(r"cross|enc_?dec|encoder_attn", re.IGNORECASE)
_MLP = re.compile(r"(MLP|Mlp|MoE|MoeBlock|FFN|FeedForward)$|^(mlp|ffn|ff|feed_forward|block_sparse_moe|moe)$")
# Blocks that norm what a part put out before they add it (OLMo 2, Gemma 2).
_NORMED = {"attention": "post_attention_layernorm", "mlp": "post_feedforward_layernorm"}
_WILD = {"**": ".*", "*": r"[^.+]*", "?": r"[^.+]"}


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*|\*|\?|\[[^\]]+\])", pattern)
    return re.compile("".join(
        _WILD.get(p) or (p.replace("[!", "[^", 1) if p[:1] == "[" and p[-1:] == "]" else re.escape(p)) for p in pieces
    ))  # fmt: skip


def matches(pattern: str, name: str) -> bool:
    """Whether `name` is `pattern`, or fits it as a glob: `*` and `?` stop at a dot and at "+", `**` does not; [0-3]
    and [!0] are one character."""
    return name == pattern or _expression(pattern).fullmatch(name) is not None


def canonical(layer: str, names: Mapping[str, str]) -> str:
    """The canonical name of a layer such as "h.3@2+" by `canonical_names`, of an expert that of the mixture with
    ".experts.0"; "" where its module has none."""
    module = layer.removesuffix(ADDED).partition("@")[0]
    if module not in names:
        module = module.partition(".experts.")[0]
    return names[module] + layer[len(module) :] if module in names else ""


def canonical_names(model: nn.Module) -> dict[str, str]:
    """The canonical name of every module that has one, by its path; empty for a network without blocks.

    Blocks are those that `blocks_of` finds in lists, and where some of them have parts, those that do. They are
    numbered as in their list, or one after the other where their list is divided into stages. What attention adds is
    what its module puts out, or, where that module holds the residual connection too (T5, BERT), its last projection;
    where the block norms that before adding it (OLMo 2), the norm. Embeddings and heads are what with weights of two
    axes or more the model registers before and after the blocks.
    """
    own = {id(module): path for path, module in model.named_modules()}
    names: dict[str, str] = {}
    heads: list[str] = []
    stacks = _stacks(model)
    every = [path for paths in stacks.values() for path in paths]
    for prefix, paths in stacks.items():
        alone = len({path.rpartition(".")[0] for path in paths}) == 1
        for place, path in enumerate(paths):
            name = f"{prefix}blocks.{path.rpartition('.')[2] if alone else place}"
            names[path] = name
            names |= {f"{path}.{inner}": f"{name}+{part}" for part, inner in _parts(model.get_submodule(path)).items()}
        for first, path in enumerate(_beside(model, paths[0], every, before=True)):
            found = own[id(model.get_submodule(path))]
            names.setdefault(found, f"{prefix}embed" + (f".{_last(path)}" if first else ""))
        heads += [path for path in _beside(model, paths[-1], every, before=False) if path not in heads]
    for place, path in enumerate(reversed([p for p in own.values() if p in heads])):
        names.setdefault(_end(model, path), f"heads.{_last(path)}" if place else "heads")
    return names


def blocks_of(model: nn.Module) -> list[str]:
    """Paths of the blocks: parts with weights of an `nn.ModuleList` or `nn.ModuleDict`, however deep the lists lie in
    one another, and parts of one class that stand in an `nn.Sequential` several times; of a stage, which is nothing
    but a list of such parts, the parts."""
    return list(_blocks(model, "", _in_sequence(model)))


def is_weight_layer(module: nn.Module) -> bool:
    """Whether `module` is one without parts that has a weight of two axes or more, or torch's attention."""
    if isinstance(module, nn.MultiheadAttention):
        return True
    own = [p for p in module.parameters(recurse=False) if nn.parameter.is_lazy(p) or len(whole_shape(p)) >= 2]
    return bool(own) and not any(True for _ in module.children())


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _stacks(model: nn.Module) -> dict[str, list[str]]:
    """The blocks of every stack, by what stands before their names: nothing where there is one stack."""
    paths = [path for path in blocks_of(model) if _last(path).isdigit()]
    whole = [path for path in paths if any(True for _ in model.get_submodule(path).children())]
    stacks: dict[tuple[str, ...], list[str]] = {}
    for path in whole or paths:
        # Of "encoder.stages.0.layers.1" the stack is encoder.stages, of "layer2.0" (one of four stages) it is layer.
        stack = re.split(r"\.?\d+(?=\.|$)", path, maxsplit=1)[0]
        stacks.setdefault(tuple(stack.split(".")), []).append(path)
    apart = list(stacks)
    while len(apart) > 1 and len({key[:1] for key in apart}) == 1 and all(apart):
        apart = [key[1:] for key in apart]
    firsts = [".".join(key[:1]) for key in apart]
    said = firsts if len(set(firsts)) == len(firsts) else [".".join(key) for key in apart]
    prefixes = [f"{each}." if each and len(apart) > 1 else "" for each in said]
    return dict(zip(prefixes, stacks.values(), strict=True))


def _beside(model: nn.Module, block: str, blocks: Sequence[str], *, before: bool) -> list[str]:
    """Outermost modules with weight layers, and without blocks, that are registered `before` the block beside one of
    the modules around it, of the innermost that has any; or after it, beside any of them."""
    steps = block.split(".")
    found: list[str] = []
    for depth in reversed(range(len(steps))):
        around = steps[:depth]
        children = list(model.get_submodule(".".join(around)).named_children())
        here = [name for name, _ in children].index(steps[depth])
        for name, child in children[:here] if before else children[here + 1 :]:
            path = ".".join([*around, name])
            layers = [m for m in child.modules() if is_weight_layer(m)]
            of_blocks = any(f"{each}.".startswith(f"{path}.") for each in blocks)
            if layers and not of_blocks and (before or not all(isinstance(m, nn.Embedding) for m in layers)):
                found.append(path)
        if before and found:
            break
    return found


def _end(model: nn.Module, path: str) -> str:
    """The last part of a sequence that ends with a weight layer, which puts out what the sequence does."""
    module = model.get_submodule(path)
    while isinstance(module, nn.Sequential) and len(module) and _has_weights(module[-1]):
        path, module = f"{path}.{list(module._modules)[-1]}", module[-1]
    return path


def _parts(block: nn.Module) -> dict[str, str]:
    """The modules of `block` that put out what its attention and its perceptron add; empty without attention."""
    attention: dict[str, nn.Module] = {}
    for path, module in block.named_modules():
        named = type(module).__name__.endswith("Attention") or (path in _ATTENTION and _has_weights(module))
        if path and named and not any(path.startswith(f"{other}.") for other in attention):
            attention[path] = module
    found: dict[str, str] = {}
    for path, module in attention.items():
        inner = any(type(m).__name__.endswith("Attention") for m in module.modules() if m is not module)
        kind = "cross_attention" if _CROSS.search(f"{path} {type(module).__name__}") else "attention"
        found.setdefault(kind, f"{path}.{_projections(module)[-1]}" if inner else path)
    if not found:
        return {}
    children = dict(block.named_children())
    mlps = [n for n, m in children.items() if n not in attention and (_MLP.search(n) or _MLP.search(type(m).__name__))]
    outside = [p for p in _projections(block) if not any(f"{p}.".startswith(f"{other}.") for other in attention)]
    if mlps or outside:
        found["mlp"] = (mlps[:1] or outside[-1:])[0]
    return found | ({k: n for k, n in _NORMED.items() if k in found} if set(_NORMED.values()) <= set(children) else {})


def _projections(module: nn.Module) -> list[str]:
    """Paths of the weight layers of `module` but embeddings."""
    return [p for p, m in module.named_modules() if is_weight_layer(m) and not isinstance(m, nn.Embedding)]


def _blocks(module: nn.Module, name: str, several: set[type]) -> Iterator[str]:
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}" if name else child_name
        if isinstance(child, _CONTAINERS):
            yield from _blocks(child, path, several)
        elif isinstance(module, _CONTAINERS) and _has_weights(child):
            yield from (f"{path}.{inner}" for inner in _inside(child)) if _inside(child) else [path]
        elif isinstance(module, nn.Sequential) and type(child) in several and not _holds_several(child, several):
            yield path
        else:
            yield from _blocks(child, path, several)


def _inside(stage: nn.Module) -> list[str]:
    """The blocks of a module that calls itself a stage and has one list of them."""
    if "stage" not in type(stage).__name__.lower():
        return []
    lists = [(n, m) for n, m in stage.named_children() if isinstance(m, nn.ModuleList | nn.Sequential) and len(m)]
    return [f"{name}.{i}" for name, parts in lists for i, _ in parts.named_children()] if len(lists) == 1 else []


def _in_sequence(model: nn.Module) -> set[type]:
    """Classes of composite modules of which two or more stand in an `nn.Sequential`, anywhere in the model."""
    counts = Counter(
        type(child)
        for module in model.modules()
        if isinstance(module, nn.Sequential)
        for child in module.children()
        if not isinstance(child, nn.Sequential | nn.MultiheadAttention) and any(True for _ in child.children())
    )
    return {kind for kind, count in counts.items() if count > 1}


def _holds_several(module: nn.Module, several: set[type]) -> bool:
    """Whether `module` holds a sequence of blocks itself, whose parts say more than the whole."""
    sequences = (m for m in module.modules() if isinstance(m, nn.Sequential))
    return any(type(child) in several for sequence in sequences for child in sequence.children())


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())
