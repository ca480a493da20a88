"""What measuring one checkpoint of a language model costs beside a bare forward pass over its probe: time and memory.

    pip install 'geophone[hf]'; python benchmarks/measure_cost.py [--batches 1 8 64] [--rounds 3] [--layers 12]

GPT-2 (124M, random weights from its config), a probe of 64 sequences of 256 tokens with the next token scored at 512
positions, all layers, dimensions and signals. In each round a bare forward pass over the whole probe (as many sequences
at a time, without gradients and cache) and one measurement (`geophone.ingest`'s: digests of the weights, forward pass,
dimensions, changes, behaviour, rows on disk) take turns. Memory is the greatest resident size above that before, each
with the model in memory; Linux only. Prints a table, and by how much the numbers of the micro-batches differ.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import Source
from geophone.record.probe import Probe
from geophone.record.what import What
from geophone.store.run import Run


def resident(kind: str) -> float:
    """GB of this process: "VmRSS" now, "VmHWM" at most since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 2**20


def forget_peak() -> float:
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def network(layers: int) -> torch.nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_layer=layers)).eval()


@torch.no_grad()
def bare(model: torch.nn.Module, ids: torch.Tensor, batch: int) -> None:
    for part in ids.split(batch):
        model(input_ids=part, use_cache=False)


def compare(model: torch.nn.Module, ids: torch.Tensor, batch: int, rounds: int, out: Path) -> dict[str, object]:
    """Seconds and GB of both, the median over rounds after the first, in which what is read is settled."""
    seconds: dict[str, list[float]] = {"bare": [], "measured": []}
    memory: dict[str, list[float]] = {"bare": [], "measured": []}
    began = [0.0, 0.0]

    def turn(key: str, into: torch.nn.Module | None = None) -> torch.nn.Module:
        before, start = forget_peak(), time.perf_counter()
        bare(model, ids, batch)
        seconds["bare"].append(time.perf_counter() - start)
        memory["bare"].append(resident("VmHWM") - before)
        began[:] = forget_peak(), time.perf_counter()
        return model

    def done(step: int, of: int) -> None:
        seconds["measured"].append(time.perf_counter() - began[1])
        memory["measured"].append(resident("VmHWM") - began[0])

    source = Source(tuple((step, str(step)) for step in range(rounds + 1)), turn, {})
    what = What(labels="next-token", batch=batch)
    measure(source, Probe(kwargs={"input_ids": ids}), out=out, what=what, on_step=done)
    ratios = np.array(seconds["measured"][1:]) / np.array(seconds["bare"][1:])
    return {
        "batch": batch,
        "bare s": round(float(np.median(seconds["bare"][1:])), 1),
        "measured s": round(float(np.median(seconds["measured"][1:])), 1),
        "ratio": f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
        "bare GB": round(max(memory["bare"]), 2),
        "measured GB": round(max(memory["measured"]), 2),
    }


def differences(runs: list[Run]) -> pd.Series:
    """The greatest difference of any run from the first, relative to the value where that is above 1, by column."""
    tables = [run.table() for run in runs]
    columns = [name for name in tables[0].select_dtypes("number") if name not in ("index", "step", "depth")]
    first = tables[0][columns]
    off = [((table[columns] - first).abs() / first.abs().clip(lower=1.0)).max() for table in tables[1:]]
    behaviour = max(float((run.behaviour() - runs[0].behaviour()).abs().to_numpy().max()) for run in runs)
    return pd.concat([pd.concat(off, axis=1).max(axis=1), pd.Series({"behaviour": behaviour})])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--length", type=int, default=256)
    options = parser.parse_args()
    model = network(options.layers)
    ids = torch.randint(0, 50257, (options.sequences, options.length), generator=torch.Generator().manual_seed(1))
    rows, runs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for batch in options.batches:
            out = Path(folder) / f"batch-{batch}"
            rows.append(compare(model, ids, batch, options.rounds, out))
            runs.append(Run(out))
            print(rows[-1], flush=True)
        print(pd.DataFrame(rows).to_string(index=False))
        print(f"\n{torch.get_num_threads()} threads")
        if len(runs) > 1:
            print("\nGreatest difference between micro-batches:")
            print(differences(runs).sort_values(ascending=False).to_string())


if __name__ == "__main__":
    main()
