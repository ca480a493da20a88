"""A target of a measured language model as a short script for the next tool: revisions, hook names, token positions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geophone.errors import InputError
from geophone.records import ADDED
from geophone.store.run import Run

TOOLS = ("transformer_lens", "nnsight", "saelens")
_MOST = 8  # samples, and layers
_BUFFER = 2**16  # tokens that SAELens mixes; with its own default it refuses its own batches
_BLOCK = re.compile(r"^(?:.*\.)?(?:layers|h|blocks|block|layer)\.(\d+)(?:\.(.+))?$")
_INNER = {"attn": "attn_out", "attention": "attn_out", "self_attn": "attn_out", "mlp": "mlp_out", "ffn": "mlp_out"}


@dataclass(frozen=True, slots=True)
class Handed:
    """What a script is made of: `revisions` by moment, module paths of `layers` in the order of the forward pass, the
    one among them that is `named`, the `contexts` that moved most (token numbers up to the scored position), and the
    right next token after each. `model` is a hub's name, or a folder with one per revision. `length` is the sequences'
    in tokens, as far as positions were scored."""

    said: str
    model: str
    revisions: dict[str, str]
    layers: tuple[str, ...]
    named: str
    features: int
    length: int
    contexts: list[list[int]]
    answers: list[int]

    @property
    def is_folder(self) -> bool:
        return Path(self.model).is_dir()


def handed(run: Run, number: int) -> Handed:
    """What transition `number` of `run` hands on. Raises InputError where the run was not measured on revisions of a
    language model with its answers scored, or has fewer transitions."""
    about = run.manifest.about
    if "model" not in about or "checkpoints" not in about:
        raise InputError(
            f"{run.name} was not measured on revisions of a Hugging Face model; only those can be loaded again by "
            "another tool (geophone measure MODEL --revisions)."
        )
    found = run.transition(number)
    if run.manifest.behaviour.get("kind") != "position":
        raise InputError(f"{run.name} has no scored tokens; measure it again with --text.")
    samples, tokens = run.samples(), run.tokens()
    # What stands before the first real token is padding.
    tokens = tokens[tokens["real"].groupby(tokens["sample"]).cummax()]
    sequences = {sample: rows.set_index("position")["token"] for sample, rows in tokens.groupby("sample")}
    moved = [each.layer.removesuffix(ADDED) for each in found.layers]
    known = {view.name.removesuffix(ADDED): view.features for view in run.layers}
    most = list(dict.fromkeys(moved or known))[:_MOST]
    first = found.samples.head(_MOST)["sample"] if found.own else samples.index[:_MOST]
    rows = samples.iloc[list(first)]
    keys = about["checkpoints"]
    steps = {"before": found.start, "during": found.peak, "after": found.end}
    return Handed(
        said=f"{run.name}, target {number}: {found.kind}, steps {found.start} to {found.end}, fastest at {found.peak}.",
        model=str(Path(about["model"]).resolve()) if Path(about["model"]).is_dir() else about["model"],
        revisions={moment: keys[str(step)] for moment, step in steps.items()},
        layers=tuple(layer for layer in known if layer in most),
        named=most[0],
        features=known[most[0]],
        length=int(samples["position"].max()) + 2,
        contexts=[sequences[row.sample].loc[: row.position].tolist() for row in rows.itertuples()],
        answers=[int(token) for token in rows["label"]],
    )


def hook_name(layer: str) -> str:
    """TransformerLens's name of what module `layer` puts out. Raises InputError for one that has none there."""
    found = _BLOCK.match(layer)
    if found is None:
        if re.search(r"(^|\.)(embed|wte|embed_in|embed_tokens|word_embeddings)$", layer):
            return "hook_embed"
        raise InputError(f"layer {layer!r} has no name in TransformerLens that is known here.")
    block, inner = found.groups()
    if inner is None:
        return f"blocks.{block}.hook_resid_post"
    if inner not in _INNER:
        raise InputError(f"layer {layer!r} has no name in TransformerLens that is known here.")
    return f"blocks.{block}.hook_{_INNER[inner]}"


def module_expression(layer: str) -> str:
    """The module path `layer` as Python reads it: "h.3.mlp" is h[3].mlp."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", layer)


def check_tool(tool: str) -> None:
    """Raises InputError for one that is not among `TOOLS`."""
    if tool not in TOOLS:
        raise InputError(f"--to {tool}: known are {', '.join(TOOLS)}.")


def script(it: Handed, tool: str) -> str:
    """The script for `tool`, one of `TOOLS`. Raises InputError for another, and for layers that it has no name for."""
    check_tool(tool)
    head = f'"""{it.said}"""\n\n'
    what = f"MODEL = {it.model!r}\nREVISIONS = {it.revisions!r}\n"
    if tool == "saelens":
        sizes = {"features": it.features, "length": it.length, "batches": -(-_BUFFER // it.length)}
        hub = {"name": "MODEL", "arguments": '{"revision": REVISIONS[moment]}'}
        asked = {"name": _INSIDE, "arguments": "{}"} if it.is_folder else hub
        return head + _SAELENS.format(what=what, layer=it.named, **sizes, **asked)
    where = _INSIDE if it.is_folder else "MODEL, revision=REVISIONS[moment]"
    samples = f"CONTEXTS = {_listed(it.contexts)}\nANSWERS = {it.answers!r}  # the right next token after each\n"
    if tool == "transformer_lens":
        hooks = _listed([hook_name(layer) for layer in it.layers])
        return head + _TRANSFORMER_LENS.format(what=what, where=where, hooks=hooks, samples=samples)
    saved = ", ".join(f"{layer!r}: first(model.{module_expression(layer)}.output)" for layer in it.layers)
    return head + _NNSIGHT.format(what=what, where=where, saved="{" + saved + "}", samples=samples)


def _listed(rows: Sequence[object]) -> str:
    return "[\n" + "".join(f"    {row!r},\n" for row in rows) + "]"


_INSIDE = 'f"{MODEL}/{REVISIONS[moment]}"'
_TRANSFORMER_LENS = '''import torch
from transformer_lens.model_bridge import TransformerBridge

{what}HOOKS = {hooks}
{samples}

def read(moment):
    """For every sample the probability of its answer, and the last position's activations by hook."""
    model = TransformerBridge.boot_transformers({where})
    found = []
    for context, answer in zip(CONTEXTS, ANSWERS):
        with torch.no_grad():
            logits, cache = model.run_with_cache(torch.tensor([context]))
        p = logits[0, -1].softmax(-1)[answer].item()
        found.append((p, {{hook: cache[hook][0, -1] for hook in HOOKS}}))
    return found


if __name__ == "__main__":
    before, after = read("before"), read("after")
    for (p, old), (q, new) in zip(before, after):
        moved = {{hook: 1 - torch.cosine_similarity(old[hook], new[hook], dim=0).item() for hook in HOOKS}}
        print(f"p {{p:.3f}} -> {{q:.3f}}", {{hook: round(value, 3) for hook, value in moved.items()}})
'''

_NNSIGHT = '''import torch
from nnsight import NNsight, save
from transformers import AutoModelForCausalLM

{what}{samples}

def first(output):
    """Blocks of some models put out a tuple."""
    return output[0] if isinstance(output, tuple) else output


def read(moment):
    """For every sample the probability of its answer, and the last position's activations by layer."""
    model = NNsight(AutoModelForCausalLM.from_pretrained({where}).eval())
    found = []
    for context, answer in zip(CONTEXTS, ANSWERS):
        with torch.no_grad(), model.trace(torch.tensor([context])):
            kept = save({saved})
            logits = save(model.output.logits)
        p = logits[0, -1].softmax(-1)[answer].item()
        found.append((p, {{layer: value[0, -1] for layer, value in kept.items()}}))
    return found


if __name__ == "__main__":
    before, after = read("before"), read("after")
    for (p, old), (q, new) in zip(before, after):
        moved = {{layer: 1 - torch.cosine_similarity(old[layer], new[layer], dim=0).item() for layer in old}}
        print(f"p {{p:.3f}} -> {{q:.3f}}", {{layer: round(value, 3) for layer, value in moved.items()}})
'''

_SAELENS = '''import sys

from sae_lens import LanguageModelSAERunnerConfig, LanguageModelSAETrainingRunner, StandardTrainingSAEConfig

{what}LAYER = "{layer}"  # the layer that moved most


def config(moment, dataset, tokens):
    """A sparse autoencoder of LAYER at one moment; train one of "before" and one of "after" to compare them."""
    return LanguageModelSAERunnerConfig(
        sae=StandardTrainingSAEConfig(d_in={features}, d_sae=8 * {features}, l1_coefficient=5.0),
        model_name={name},
        model_class_name="AutoModelForCausalLM",
        model_from_pretrained_kwargs={arguments},
        hook_name=LAYER,
        dataset_path=dataset,
        is_dataset_tokenized=False,
        training_tokens=tokens,
        context_size={length},
        n_batches_in_buffer={batches},
        output_path=f"saes/{{moment}}",
    )


if __name__ == "__main__":
    # python SCRIPT DATASET TOKENS, such as NeelNanda/pile-10k 4000000
    for moment in ("before", "after"):
        LanguageModelSAETrainingRunner(config(moment, sys.argv[1], int(sys.argv[2]))).run()
'''
