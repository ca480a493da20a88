"""Was the forming of induction heads in a GPT-NeoX found from its revisions: when, in which block, by which heads, on
which tokens? Holds a run that `geophone measure` made of `benchmarks/neox.py`'s revisions against what that file knows.

    HF_HUB_CACHE=FOLDER/hub HF_HUB_OFFLINE=1 python benchmarks/neox_proof.py FOLDER RUN
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from neox import LENGTH, MODEL, SEQUENCES
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForCausalLM, AutoTokenizer

import geophone as gp
from geophone.ingest.probes import text_probe
from geophone.point.swap import Pair, Piece, parts_of, swap_test
from geophone.record.anatomy import anatomy_of
from geophone.records import Transition
from geophone.signals import Positions, next_token_probability

LEAST_AUC = 0.85


def load(step: int):
    return AutoModelForCausalLM.from_pretrained(MODEL, revision=f"step{step}").eval()


def second(tokens: list[int], label: int) -> bool:
    """Whether the last two tokens and the right next one came before, after the last end of text."""
    start = max((i for i, token in enumerate(tokens) if token == 0), default=-1) + 1
    ending = [*tokens[-2:], label]
    return any(tokens[i : i + 3] == ending for i in range(start, len(tokens) - 2))


def seen(run: gp.Run) -> tuple[int, Transition, float]:
    """The rank of the first transition whose samples are second occurrences, and the AUC; else the best."""
    sequences = run.tokens().groupby("sample")["token"].apply(list)
    rows = run.samples().itertuples()
    known = np.array([second(sequences[row.sample][: row.position + 1], row.label) for row in rows])
    areas = {}
    for number, found in ((int(n), run.transition(int(n))) for n in run.transitions()["rank"].dropna()):
        if found.own:
            areas[number] = roc_auc_score(known[found.samples["sample"]], found.samples["change"])
    number = next((k for k, area in areas.items() if area >= LEAST_AUC), max(areas, key=areas.__getitem__))
    return number, run.transition(number), areas[number]


def swaps(run: gp.Run, found: Transition, folder: Path):
    """The swap test between the checkpoints around the transition: of blocks, and of heads."""
    samples = run.samples()
    probe = text_probe(folder / "probe.txt", AutoTokenizer.from_pretrained(MODEL), samples=SEQUENCES, length=LENGTH)
    places = Positions(*(torch.tensor(samples[c].to_numpy()) for c in ("sample", "position", "label")))
    network = load(found.end)

    def answers(weights):
        with torch.no_grad():
            logits = torch.func.functional_call(network, dict(weights), (probe.kwargs["input_ids"],)).logits
            return next_token_probability(logits, places).numpy()

    pair = Pair(load(found.start).state_dict(), load(found.end).state_dict())
    own = found.samples["sample"].head(found.own).to_numpy(int)
    anatomy = anatomy_of(network)
    heads = [
        Piece(f"{layer}, head {head}", rows)
        for layer in anatomy.heads(network)
        for head, rows in enumerate(anatomy.head_rows(network, layer))
    ]
    blocks = parts_of([layer.name for layer in run.layers], pair.after)
    return [swap_test(pair, answers, parts, own=own) for parts in (blocks, heads)]


def proof(run: gp.Run, folder: Path) -> bool:
    clock = pd.read_csv(folder / "clock.csv")
    p = clock.groupby("step")["p"].first()
    steps = list(p.index)
    known = int(p[p >= (p.iloc[0] + p.max()) / 2].index[0])
    truth = clock[clock["step"] == steps[-1]].groupby("layer")["induction"].max().idxmax()
    number, found, area = seen(run)
    off = abs(steps.index(found.peak) - steps.index(known))
    blocks, heads = swaps(run, found, folder)
    scores = run.heads().query("step == @found.end").sort_values("induction", ascending=False)
    leading, previous = scores.iloc[0]["layer"], scores.loc[scores["previous"].idxmax(), "layer"]
    circuit = {f"gpt_neox.layers.{truth}", previous.removesuffix(".attention")}
    most = sorted(blocks.swaps, key=lambda swap: -swap.share)[: len(circuit)]
    lines = {
        f"target {number} is the forming of induction (aim: 1 or 2)": number <= 2,
        f"fastest at {found.peak}, the clock at {known}: {off} checkpoints apart (aim: 1)": off <= 1,
        f"its tokens are second occurrences: AUC {area:.2f} (aim: {LEAST_AUC})": area >= LEAST_AUC,
        f"the head of greatest induction score is in {leading}, truth block {truth}": f".{truth}." in leading,
        f"most goes with {' and '.join(swap.part for swap in most)}, where the induction heads and the head that "
        "attends to the token before are": {swap.part for swap in most} == circuit,
    }
    print(
        f"{run.name}: {found.kind}, steps {found.start} to {found.end}, {found.own} of {len(run.samples())} positions"
    )
    for line, holds in lines.items():
        print(f"  {'holds' if holds else 'FAILS'}: {line}")
    for test in (blocks, heads):
        print("  swapped: " + ", ".join(f"{swap.part} {swap.share:.2f}" for swap in test.swaps))
        print(f"  together {test.together_share:.2f}: {', '.join(test.together)}")
    print(scores.head()[["layer", "head", "induction", "previous"]].round(2).to_string(index=False))
    return all(lines.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    sys.exit(0 if proof(gp.open(given.run), given.folder) else 1)


if __name__ == "__main__":
    main()
