"""What the revisions of a Hugging Face model are, and whether one is of the same architecture as the others."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geophone.errors import StoreError, first_line
from geophone.store.documents import read_json

_MOST = 2_000
# What a configuration may say otherwise without another network: how it was written, trained, or is called in a loop.
_ASIDE = re.compile(
    r"_.*|architectures|transformers_version|(torch_)?dtype|use_cache|.*_token_ids?|.*dropout.*|.*pdrop|initializer_.*"
    r"|gradient_checkpointing|output_.*|return_dict|pretraining_tp|id2label|label2id|problem_type|auto_map"
)


def revisions_on_hub(model: str) -> list[str]:
    """Branches and tags of a hub model; those in the local cache where the hub does not answer."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        refs = HfApi().list_repo_refs(model)
        return [ref.name for ref in (*refs.branches, *refs.tags)]
    except (OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        folder = Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "refs"
        if not folder.is_dir():
            raise StoreError(f"the hub does not say which revisions {model} has: {first_line(error)}.") from error
        return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@contextmanager
def quiet() -> Iterator[None]:
    """Without the bar and the report that Transformers prints per checkpoint."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def configuration(model: str, **revision: str) -> dict[str, Any]:
    """What decides the network of one revision: its configuration without how it was written and trained.

    Raises StoreError for one of so many layers or labels that building it would not end, and for weights that are
    stored in fewer bits than they stand for.
    """
    from transformers import AutoConfig
    from transformers.utils import cached_file

    config = read_json(Path(cached_file(model, "config.json", **revision) or "config.json"))
    if config.get("quantization_config"):
        raise StoreError("its weights are quantised, and dimensions of rounded weights are not the network's own")
    for key, value in config.items():
        if re.search(r"layer|labels", key) and isinstance(value, int | float) and value > _MOST:
            raise StoreError(f"{key} is {value}; more than {_MOST} are not believed")
    whole = AutoConfig.from_pretrained(model, trust_remote_code=False, **revision).to_dict()
    return {key: value for key, value in whole.items() if not _ASIDE.fullmatch(key)}


def agreed(configurations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The configuration that most of them have; of several the first."""
    counted = Counter(repr(sorted(each.items())) for each in configurations)
    most = counted.most_common(1)[0][0]
    return next(each for each in configurations if repr(sorted(each.items())) == most)


def difference(own: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    """In which of their fields two configurations differ, the kind of model before all others; "" where in none."""
    apart = [key for key in sorted(own.keys() | others.keys()) if own.get(key) != others.get(key)]
    apart = ["model_type"] if "model_type" in apart else apart
    return ", ".join(f"{key} is {own.get(key)}, not {others.get(key)}" for key in apart[:2])
