"""What recording a large network takes beside its training: memory and processor time.

    pip install 'geophone[hf]'; python benchmarks/memory.py [--steps 10] [--modes ...] [--layers 12]

GPT-2 (124M, random weights from its config) is trained with AdamW on 8 x 256 tokens in a process per mode: with nothing
("without"), and with a recorder of the blocks and their updates that measures at every step but the first, so that the
earlier measurements which changes are compared with are all there: over a probe of 8 x 256 tokens whose next tokens
are scored ("beside" and "behind" training), in band ("band"). Memory is the greatest resident size of the training's
process and, on top, the greatest of what a process behind it has of its own, less that of "without"; the allocator
gives back what is freed (MALLOC_MMAP_THRESHOLD_), or fragments of its heap would drown the difference. Processor time
is that of all of them in runs of their own, without that, for one step; the first two, in which optimizer and plan are
made, do not count. Linux only. Prints a Markdown table.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MODES = ("without", "beside", "behind", "band")
SAMPLES, LENGTH, VOCABULARY = 8, 256, 50257


def beside(process: int) -> float:
    """MB that the processes started by `process` have of their own: shared memory is counted with `process`."""
    total = 0.0
    try:
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            parts = [line.split() for line in Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()]
            total += sum(int(p[1]) for p in parts if p[0] in ("Pss_Anon:", "Pss_File:")) / 1000
    except OSError:  # it has ended
        pass
    return total


def train(mode: str, steps: int, blocks: int, threads: int, folder: Path) -> None:
    """One training in this process; prints its MB at most and the processor seconds of a step after the second, with
    those of what it started."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    import geophone as gp

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_layer=blocks)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    generator = torch.Generator().manual_seed(1)
    probe = {"input_ids": torch.randint(VOCABULARY, (SAMPLES, LENGTH), generator=generator)}
    what = {"layers": [f"transformer.h.{i}" for i in range(blocks)], "updates": True}
    scored = {} if mode == "band" else {"labels": "next-token"}
    recorder = None
    if mode != "without":
        recorder = gp.Recorder(
            model, "batch" if mode == "band" else probe, out=folder / "run", at_start=False,
            every=gp.Schedule(steps=range(2, steps + 1)),
            sync=mode == "beside" or (None if mode == "band" else False), **what, **scored,
        )  # fmt: skip
    start = 0.0
    for step in range(steps):
        if step == 2:
            start = spent(resource.RUSAGE_SELF)
        ids = torch.randint(VOCABULARY, (SAMPLES, LENGTH), generator=generator)
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        if recorder is not None:
            recorder.step(loss=loss.item())
    if recorder is not None:
        recorder.close()
    children = spent(resource.RUSAGE_CHILDREN) * (steps - 2) / steps
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(most, (spent(resource.RUSAGE_SELF) - start + children) / (steps - 2))


def spent(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def watched(mode: str, options: argparse.Namespace, **environment: str) -> tuple[float, float]:
    """MB at most and processor seconds a step of one mode."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--mode", mode, "--folder", folder, "--steps", str(options.steps)]
        command += ["--layers", str(options.layers), "--threads", str(options.threads)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
        most = 0.0
        while process.poll() is None:
            most = max(most, beside(process.pid))
            time.sleep(0.2)
        if process.returncode:
            raise SystemExit(f"{mode} failed")
        assert process.stdout is not None
        own, seconds = map(float, process.stdout.read().split()[-2:])
        return own + most, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        train(options.mode, options.steps, options.layers, options.threads, options.folder)
        return
    seen: dict[str, list[tuple[float, float]]] = {mode: [] for mode in options.modes}
    for _ in range(options.rounds):
        for mode in options.modes:
            most, _ = watched(mode, options, MALLOC_MMAP_THRESHOLD_="1000000")
            seen[mode].append((most, watched(mode, options)[1]))
            print(mode, seen[mode][-1], file=sys.stderr, flush=True)
    middle = {mode: np.median(values, axis=0) for mode, values in seen.items()}
    print("| mode | MB at most | over training | processor s a step | over training |\n|---|---:|---:|---:|---:|")
    memory, seconds = middle[options.modes[0]]
    for mode, (most, each) in middle.items():
        print(f"| {mode} | {most:.0f} | {most - memory:+.0f} | {each:.2f} | {100 * (each / seconds - 1):+.1f} % |")


if __name__ == "__main__":
    main()
