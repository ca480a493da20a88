"""What recording costs a training, against what a user would pick instead: all of them in turn, in one run.

    pip install 'geophone[bench]'; python benchmarks/overhead.py [--networks cnn_4_mnist ...] [--every 5 50]
    pip install 'geophone[hf]'; python benchmarks/overhead.py --networks gpt2 --every 5 --rounds 3
    python benchmarks/overhead.py --networks cnn_4_mnist gpt2 --device cuda

Each round trains the same network at its own batch (64, the decoder 16; `gpt2` is GPT-2's 124M shape with random
weights, 8 x 256 tokens) for as many steps plainly and with each recorder, so that a slow spell of the machine falls on
all. `forward`: a bare forward pass over the probe in eval mode and nothing else, which a recorder with a probe cannot
do without; `behind` and `beside`: a geophone Recorder (a held-out probe of the batch's size, all twelve dimensions,
changes, rows to disk) processed behind the training or beside it; `in band`: one that reads the training batch; `hook`:
a plain hook that copies what the same layers put out; `histograms`: what wandb.watch does, a histogram of 64 bins of
every parameter and gradient; `ndtracker`: its HighFrequencyTracker (four metrics, on the training batch); `delve`: its
SaturationTracker (one metric, on the training batch). Prints a Markdown table: milliseconds a step without, and for
each recorder the median over rounds of the time it adds, with quartiles; one that cannot be installed or fails is said.
With OMP_NUM_THREADS=1 on two cores the training leaves a core free; with 2 there is none. On an accelerator the batches
lie there, the training never asks for its loss, and each round ends when the device has done all of it; the megabytes
beside a time are what the recorder adds to the greatest memory in use.
"""

import argparse
import itertools
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geophone.record import Recorder
from geophone.record.probe import Probe
from geophone.training import Training, training_of
from geophone.zoo.catalogue import experiment
from geophone.zoo.tasks import task

NETWORKS = ("mlp_4_mnist", "cnn_4_mnist", "vit_2_mnist", "decoder_2_text")
# So many steps a round at least, and a whole number of measurements.
LEAST = 30
_BATCHES = 50
After = Callable[[float], Any]


@dataclass(frozen=True)
class Setting:
    """A training on `device`, the layers that are looked at, a probe as large as its batch, how often, and where files
    go. `step()` makes one update and gives the loss."""

    model: torch.nn.Module
    step: Callable[[], Any]
    layers: tuple[str, ...]
    probe: Any
    every: int
    folder: Path
    device: torch.device

    def each(self, act: Callable[[], Any]) -> After:
        """`act` at every so many steps."""
        count = iter(range(1, 10**9))
        return lambda loss: act() if next(count) % self.every == 0 else None


def of_the_zoo(name: str, every: int, folder: Path, device: torch.device) -> Setting:
    spec = experiment(name)
    training = training_of(spec, seed=0)
    data = task(spec.task)
    probe = data.probe(spec.batch)[0].to(device)
    step: Callable[[], Any] = partial(_updated, training)
    if device.type != "cpu":
        model, optimizer = training.model.to(device), training.optimizer
        drawn = [data.batch(np.random.default_rng(i), spec.batch) for i in range(_BATCHES)]
        batches = itertools.cycle([(x.to(device), y.to(device)) for x, y in drawn])

        def step() -> torch.Tensor:
            x, y = next(batches)
            optimizer.zero_grad()
            loss = data.loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

    return Setting(training.model, step, tuple(spec.layers), probe, every, folder, device)


def _updated(training: Training) -> float:
    return training.step().loss


def gpt2(every: int, folder: Path, device: torch.device) -> Setting:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config()).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    generator = torch.Generator().manual_seed(1)
    probe, ids = torch.randint(50257, (2, 8, 256), generator=generator).to(device)

    def step() -> Any:
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        return loss.item() if device.type == "cpu" else loss.detach()

    layers = tuple(f"transformer.h.{i}" for i in range(12))
    return Setting(model, step, layers, {"input_ids": probe}, every, folder, device)


def plainly(it: Setting) -> After:
    return lambda loss: None


def forward(it: Setting) -> After:
    probe = Probe(it.probe)

    @torch.no_grad()
    def act() -> None:
        it.model.eval()
        it.model(*probe.args, **probe.kwargs)
        it.model.train()

    return it.each(act)


def geophone(it: Setting, probe: Any, **options: Any) -> After:
    recorder = Recorder(it.model, probe, out=it.folder, every=it.every, layers=it.layers, at_start=False, **options)
    return lambda loss: recorder.step(loss=loss)


def hook(it: Setting) -> After:
    modules = dict(it.model.named_modules())
    kept: dict[str, torch.Tensor] = {}
    hooks: list[Any] = []
    count = iter(range(2, 10**9))

    def listen() -> None:
        for name in it.layers:
            keep = lambda module, args, out, name=name: kept.update({name: _first(out).detach().clone()})  # noqa: E731
            hooks.append(modules[name].register_forward_hook(keep))

    def after(loss: float) -> None:
        while hooks:
            hooks.pop().remove()
        if next(count) % it.every == 0:
            listen()

    return after


def _first(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]


def histograms(it: Setting) -> After:
    def act() -> None:
        for parameter in it.model.parameters():
            for tensor in (parameter.detach(), parameter.grad):
                if tensor is not None:
                    low, high = float(tensor.min()), float(tensor.max())
                    torch.histc(tensor.float().flatten(), bins=64, min=low, max=high).tolist()

    return it.each(act)


def ndtracker(it: Setting) -> After:
    from ndt.core.tracker import HighFrequencyTracker

    class Tracker(HighFrequencyTracker):
        """ndtracker 2.0.0 calls view() on what convolutions put out, which is not contiguous on a CPU: it then logs an
        error and records nothing. A copy first lets it take part."""

        def _prepare_activation_matrix(self, activation):
            return super()._prepare_activation_matrix(activation.contiguous())

    modules = dict(it.model.named_modules())
    layers = [modules[name] for name in it.layers]
    tracker = Tracker(it.model, layers=layers, layer_names=list(it.layers), sampling_frequency=it.every)
    count = iter(range(1, 10**9))
    return lambda loss: tracker.log(next(count), loss)


def delve(it: Setting) -> After:
    from delve import SaturationTracker

    tracker = SaturationTracker(
        str(it.folder), save_to="csv", modules=it.model, log_interval=it.every, device=it.device
    )
    return it.each(tracker.add_saturations)


RECORDERS: dict[str, Callable[[Setting], After]] = {
    "forward": forward,
    "behind": lambda it: geophone(it, it.probe, sync=False),
    "beside": lambda it: geophone(it, it.probe, sync=True),
    "in band": lambda it: geophone(it, "batch"),
    "hook": hook,
    "histograms": histograms,
    "ndtracker": ndtracker,
    "delve": delve,
}


@dataclass(slots=True)
class Cost:
    """Of one recorder: seconds a step of each round, and on CUDA bytes: what it holds all the time, and how far memory
    rises within a round."""

    seconds: list[float] = field(default_factory=list)
    held: int = 0
    rise: int = 0


def compare(
    name: str, labels: list[str], every: int, rounds: int, device: torch.device
) -> tuple[dict[str, Cost], dict[str, str]]:
    """What a step costs by recorder, "without" among them, and why a recorder could not take part."""
    absent: dict[str, str] = {}
    costs: dict[str, Cost] = {}
    few = name == "gpt2" and device.type == "cpu"
    steps = every if few else every * max(1, -(-LEAST // every))
    with tempfile.TemporaryDirectory() as folder:
        running = {}
        for label in ("without", *labels):
            it = (gpt2 if name == "gpt2" else partial(of_the_zoo, name))(every, Path(folder) / label, device)
            try:
                _train(it, plainly(it), every)
                before = _allocated(device)
                after = RECORDERS.get(label, plainly)(it)
                _train(it, after, every if few else 2 * every)
            except Exception as error:  # a rival may fail in any way; the table says how
                absent[label] = f"{type(error).__name__}: {error}"
                continue
            running[label], costs[label] = (it, after), Cost(held=_allocated(device) - before)
        for _ in range(rounds):
            for label, (it, after) in running.items():
                start = _allocated(device, anew=True)
                costs[label].seconds.append(_train(it, after, steps))
                costs[label].rise = max(costs[label].rise, _peak(device) - start)
    return costs, absent


def _train(it: Setting, after: After, steps: int) -> float:
    _until_done(it)
    start = time.perf_counter()
    for _ in range(steps):
        after(it.step())
    _until_done(it)
    return (time.perf_counter() - start) / steps


def _allocated(device: torch.device, *, anew: bool = False) -> int:
    if device.type != "cuda":
        return 0
    if anew:
        torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _cell(cost: Cost, without: Cost, device: torch.device) -> str:
    shares = np.array(cost.seconds) / np.array(without.seconds)
    low, middle, high = 100 * (np.quantile(shares, [0.25, 0.5, 0.75]) - 1)
    more = cost.held + max(0, cost.rise - without.rise)
    memory = f", {more / 1e6:.0f} MB" if device.type == "cuda" else ""
    return f"{middle:.1f} % ({low:.1f} to {high:.1f}){memory}"


def _until_done(it: Setting) -> None:
    if it.device.type != "cpu":
        torch.accelerator.synchronize(it.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="of the zoo, or gpt2")
    parser.add_argument("--every", nargs="+", type=int, default=[5, 50])
    parser.add_argument("--recorders", nargs="+", choices=list(RECORDERS), default=list(RECORDERS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    logging.disable(logging.INFO)
    given = parser.parse_args()
    card = torch.cuda.get_device_name(given.device) if given.device.type == "cuda" else str(given.device)
    print(f"torch {torch.__version__}, {card}, {torch.get_num_threads()} threads, {given.rounds} rounds\n")
    heads = ["network", "every", "ms a step", *given.recorders]
    print("| " + " | ".join(heads) + " |\n|---|" + "---:|" * (len(heads) - 1))
    for name in given.networks:
        for every in given.every:
            costs, absent = compare(name, given.recorders, every, given.rounds, given.device)
            without = costs["without"]
            cells = [
                f"does not run ({absent[label][:80]})"
                if label in absent
                else _cell(costs[label], without, given.device)
                for label in given.recorders
            ]
            cells = [f"`{name}`", str(every), f"{1e3 * np.median(without.seconds):.2f}", *cells]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
