"""What the revisions of a Hugging Face model are, and whether one is of the same architecture as the others."""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from geophone.errors import StoreError, first_line
from geophone.store.documents import read_json

_MOST = 2_000
QUANTISED = "its weights are quantised, and dimensions of rounded weights are not the network's own"
# The file that weights are in, or that says in which; the first that a revision has is read.
_WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
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


def hub_answers() -> bool:
    """Whether the hub may be asked: it is, unless HF_HUB_OFFLINE says otherwise or its library is missing."""
    try:
        from huggingface_hub import constants
    except ModuleNotFoundError:
        return False
    return not constants.HF_HUB_OFFLINE


class Fetching:
    """Revisions of a hub model on their way into the cache: the next one of `keys` is fetched while one is measured.

    With `most` bytes, revisions that were fetched here are taken out of the cache again, the oldest first, where the
    whole cache is larger; never the one that was read last or is being fetched, and nothing that was there before.
    What cannot be fetched is left to whoever reads it, who says why.
    """

    def __init__(self, model: str, keys: Sequence[str], most: int | None = None) -> None:
        self._model, self._keys, self._most = model, tuple(keys), most
        self._own: dict[str, None] = {}
        self._coming: tuple[str, threading.Thread] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """In another process it begins anew; a thread stays where it is."""
        return self.__dict__ | {"_coming": None, "_own": {}}

    def awaited(self, key: str) -> None:
        """Wait for `key` where it is on its way; where it is not in the cache, whoever reads it next fetches it."""
        if self._coming is not None and self._coming[0] == key:
            self._coming[1].join()
            self._coming = None
        elif not self._is_there(key):
            self._own[key] = None

    def was_read(self, key: str) -> None:
        """`key` has been read: make room, and fetch the one after it."""
        place = self._keys.index(key) + 1
        if self._most is not None:
            self._make_room(key)
        if place < len(self._keys) and self._coming is None and not self._is_there(self._keys[place]):
            self._own[self._keys[place]] = None
            thread = threading.Thread(target=self._fetch, args=(self._keys[place],), daemon=True)
            thread.start()
            self._coming = (self._keys[place], thread)

    def _is_there(self, key: str) -> bool:
        from huggingface_hub import try_to_load_from_cache

        return any(isinstance(try_to_load_from_cache(self._model, name, revision=key), str) for name in _WEIGHTS)

    def _fetch(self, key: str) -> None:
        from huggingface_hub import HfApi, snapshot_download

        with suppress(Exception):  # said by whoever reads this revision
            files = HfApi().list_repo_files(self._model, revision=key)
            kind = next(name for name in _WEIGHTS if name in files)
            weights = kind.removesuffix(".index.json").rpartition(".")
            wanted = [kind, f"{weights[0]}-*.{weights[2]}", "*.json"]
            snapshot_download(self._model, revision=key, allow_patterns=wanted)

    def _make_room(self, key: str) -> None:
        from huggingface_hub import scan_cache_dir

        cache = scan_cache_dir()
        mine = next((repo for repo in cache.repos if (repo.repo_id, repo.repo_type) == (self._model, "model")), None)
        commits = {ref: each.commit_hash for each in (mine.revisions if mine else ()) for ref in each.refs}
        size, going = cache.size_on_disk, list[str]()
        busy = {key} | ({self._coming[0]} if self._coming else set())
        kept = {commit for ref, commit in commits.items() if ref not in self._own or ref in busy}
        for each in [each for each in self._own if each not in busy and commits.get(each) not in kept]:
            if size <= (self._most or 0) or each not in commits:
                continue
            going.append(commits[each])
            size = cache.size_on_disk - cache.delete_revisions(*going).expected_freed_size
            del self._own[each]
        if going:
            cache.delete_revisions(*going).execute()


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
        raise StoreError(QUANTISED)
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
