"""A small study and files of others, whole: what the mutants are made of."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

from geophone._train import train
from geophone.evidence.statistics import statistics
from geophone.records import DigOptions
from geophone.rows.evidence import as_table
from geophone.store.documents import DigDocument, write_document
from geophone.store.places import DIG
from geophone.store.study import Study
from geophone.store.tables import write_table
from geophone.study.memo import Memo
from geophone.study.stages import STAGES, target_stage

NETWORK = "mlp_1_digits"
RUN = f"{NETWORK}-seed0"
STUDY = f"""
name = "small"
networks = ["{NETWORK}", "cnn_3_*"]
seeds = [0, 1]
steps = 60
threads = 1
probe_samples = 32
noise_every = 4
dimensions = ["stable_rank", "participation_ratio"]
[schedule]
every = 1
[forks]
of = ["mlp*"]
at = [20]
steps = 10
[detect]
surrogates = 29
headline = ["stable_rank"]
[target]
dimension = "stable_rank"
method = "naive"
[dig]
per_class = 10
units = 2
[evidence]
draws = 99
"""


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


def make_corpus(root: Path, *, guests: bool) -> None:
    """Write the study to root/study and the files of others to root/theirs; `guests`: a Hugging Face model as well."""
    study = root / "study"
    train(NETWORK, out=study / "runs" / RUN, steps=60, every=1, probe_samples=32,
          dimensions=["stable_rank", "participation_ratio"], noise_every=4)  # fmt: skip
    (study / "study.toml").write_text(STUDY)
    made = Study(study)
    for kind, table in _phenomena(made).items():
        made.write(f"phenomena/{kind}", table)
    target_stage(made)
    _dug(made)
    Memo(Study(study)).keep(next(stage for stage in STAGES if stage.name == "target"), "abc")
    _theirs(root / "theirs")
    if guests:
        _model(root / "theirs" / "model" / "step10")


def _phenomena(study: Study) -> dict[str, pd.DataFrame]:
    layers = [layer.name for layer in study.runs[0].layers]
    keys = {"run": RUN, "dimension": "stable_rank", "mode": "naive"}
    places = [keys | {"layer": layer, "depth": i} for i, layer in enumerate(layers)]
    steps = (10, 30, 50)
    jumps = [
        place | {"index": step - 1, "step": step, "magnitude": 1.0, "log_ratio": 0.5 + i, "speed": 0.1,
                 "phase": step / 60, "sign": 1, "score": 3.0, "p": 0.01, "layers": 2.0, "log_phase": 0.9,
                 "relative_depth": 0.5, "expected_false": 0.1}
        for place in places for i, step in enumerate(steps)
    ]  # fmt: skip
    return {
        "jumps": pd.DataFrame(jumps),
        "critical": pd.DataFrame([p | {"start": 5, "stop": 12, "peak": 7, "expected_false": 1.0} for p in places]),
        "detection": pd.DataFrame([p | {"detected": 3, "expected_false": 1.0, "status": "ok"} for p in places]),
        "order": pd.DataFrame(
            [keys | {"rho": 0.7, "p": 0.2, "verdict": "bottom-up", "tau": 0.6, "layers": float(len(layers))}]
        ),
        "bottom_up": pd.DataFrame([keys | {"rho": 0.7, "p": 0.2, "verdict": "bottom-up", "tau": 0.6, "layers": 2.0}]),
        "type_members": pd.DataFrame(
            [p | {"step": step, "type": 0, "representative": step == 30} for p in places for step in steps]
        ),
        "types": pd.DataFrame(
            [{"dimension": "stable_rank", "mode": "naive", "type": 0, "name": "mid refinement", "jumps": 3,
            "phase": 0.5,
              "magnitude": 0.5, "depth": 0.5, "status": "ok", "stability": 0.8, "of": 1}]
        ),
    }  # fmt: skip


def _dug(study: Study) -> None:
    target = study.target(1)
    folder = study.places.dig(target.name)
    where = [{"role": role, "moment": m, "step": 10 * i} for role in ("target", "control")
             for i, m in enumerate(("before", "during", "after"))]  # fmt: skip
    numbers = {"selectivity": 0.3, "sparsity": 0.5, "types": 3, "new_types": 1}
    write_table(folder / "moments.parquet", pd.DataFrame([w | numbers for w in where]))
    lost = {"layer": target.layer, "kind": "resample", "accuracy": 0.5, "baseline_accuracy": 0.9, "loss": 2.0,
            "baseline_loss": 1.0}  # fmt: skip
    write_table(folder / "ablation.parquet", pd.DataFrame([w | lost for w in where]))
    write_table(folder / "composition.parquet", pd.DataFrame([w | {"compositional_depth": 2} for w in where]))
    write_document(folder / DIG, DigDocument(target=target, options=DigOptions(), code="abc"))
    (folder / "notes.md").write_text("# notes\n\n**Observation:** nothing.\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = statistics(as_table([]), order=study.phenomena("order"), detection=study.phenomena("detection"))
    (study.folder / "statistics.json").write_text(json.dumps(found))


def _theirs(folder: Path) -> None:
    folder.mkdir()
    torch.manual_seed(0)
    weights = build().state_dict()
    save_file(weights, folder / "step-100.safetensors")
    torch.save({"state_dict": weights, "epoch": 3}, folder / "step-200.pt")
    torch.save(weights, folder / "step-300.pth", _use_new_zipfile_serialization=False)
    np.savez(folder / "probe.npz", x=np.ones((4, 6), dtype=np.float32))
    np.save(folder / "probe.npy", np.ones((4, 6), dtype=np.float32))
    values = np.random.default_rng(0).normal(5.0, 0.1, size=40)
    wide = pd.DataFrame({"step": range(0, 200, 5), "conv1": values, "conv2": values + 3})
    wide.to_csv(folder / "wide.csv", index=False)
    long = wide.melt("step", var_name="layer").assign(dimension="stable_rank")
    long.head(30).to_csv(folder / "long.csv", index=False)
    write_table(folder / "wide.parquet", wide)


def _model(folder: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    GPT2Model(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=30, n_positions=16)).save_pretrained(folder)
