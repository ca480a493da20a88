"""The plain, deterministic training loop; any step of any run can be had again."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn

from geophone.errors import InputError, ReplayError, StoreError
from geophone.record.checkpoints import checkpoint_path, load_state, load_weights, state_path, weights_digest
from geophone.record.recorder import Recorder
from geophone.record.schedule import Schedule
from geophone.signals import LAGS
from geophone.store.check import good_until
from geophone.store.documents import read_json
from geophone.store.run import Run
from geophone.store.tables import write_text
from geophone.training import Training, held_out_accuracy, own_state, training_of
from geophone.zoo.catalogue import Experiment, experiment
from geophone.zoo.tasks import Task, task

CHECKPOINT_EVERY = 100
PROBE_SAMPLES = 256
SEQUENCE_SAMPLES = 64
LONGEST_LAG = max(LAGS.values())
# Digests of the weights that an interrupted run had at its checkpoints; it is there only while the run goes on.
EXPECTED = "expected.json"


def train(
    name: str,
    *,
    out: Path | str,
    seed: int = 0,
    steps: int | None = None,
    every: int | Schedule = 5,
    probe_samples: int | None = None,
    dimensions: Sequence[str] | None = None,
    noise_every: int | None = None,
    resume: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Run:
    """Train the experiment `name` of the zoo, recording as it goes, and return the run.

    Scalars at every step: loss and accuracy of the batch; at measured steps also gradient, weight and update
    norm (Euclidean, over all parameters). Behaviour is the probability of the right answer. Checkpoints at step 0,
    every 100 steps and at the end. The probe has 256 samples by default, 64 of tasks on sequences; with `noise_every` a
    second, disjoint probe is read at every so many measurements. `resume` continues an interrupted run in `out` from
    its last good checkpoint, and ends in the same rows as if nothing had happened.
    `on_step(done, steps)` is called after each update. Raises
    InputError for an unknown name or fewer than 1 step, ReplayError when a resumed run takes another course.
    """
    spec = experiment(name)
    steps = spec.steps if steps is None else steps
    if steps < 1:
        raise InputError(f"steps={steps}: give 1 or more.")
    samples, data = probe_size(spec, probe_samples), task(spec.task)
    with own_state():
        training, expected = _beginning(Path(out), name, seed) if resume else (training_of(spec, seed=seed), {})
        x, y = data.probe(samples)
        recorder = Recorder(
            training.model,
            x,
            out=out,
            every=every,
            labels=y,
            layers=spec.layers,
            dimensions=dimensions,
            noise_probe=None if noise_every is None else data.probe(samples, second=True)[0],
            noise_every=noise_every or 1,
            alarms=False,
            sync=True,
            name=f"{spec.name}-seed{seed}",
            about=about(spec, name=name, seed=seed, steps=steps),
            start=training.done,
            resume=resume,
        )
        return _train_on(training, recorder, steps, data=data, expected=expected, on_step=on_step)


def fork(
    run: Run,
    *,
    at: int,
    index: int,
    steps: int,
    out: Path | str,
    resume: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Run:
    """Train `run` on from its state after `at` updates with other minibatches, for `steps` more; everything else,
    and everything that is recorded, stays the same.

    Fork `index` has its own order of minibatches, so that the spread over forks is the noise of SGD itself. Otherwise
    as `train`. A fork is a run of its own, with steps counted on from `at`, and can be replayed. Raises InputError for
    a negative index, fewer than 1 step, and a run that geophone did not train to `at`.
    """
    if index < 0 or steps < 1:
        raise InputError(f"fork {index} of {steps} steps: give an index of 0 or more and 1 or more steps.")
    manifest = run.manifest
    name, seed = manifest.about.get("experiment"), manifest.about.get("seed")
    if name is None or seed is None or not 0 <= at <= manifest.about["total_steps"]:
        raise InputError(f"{run.name} cannot be forked at step {at}: geophone did not train it to there.")
    data = task(experiment(name).task)
    with own_state(threads=manifest.threads):
        expected: dict[int, str] = {}
        if resume:
            training, expected = _beginning(Path(out), name, seed)
        else:
            training = trained_to(run, at)
            training.fork = index
        x, y = data.probe(manifest.probe["samples"])
        recorder = Recorder(
            training.model,
            x,
            out=out,
            labels=y,
            every=Schedule(**{k: v for k, v in manifest.schedule.items() if k != "passed_over"}),
            layers=[layer.name for layer in run.layers],
            views={layer.name: layer.view for layer in run.layers},
            rows=manifest.rows,
            dimensions=run.dimensions,
            alarms=False,
            sync=True,
            name=f"{run.name}-step{at}-fork{index}",
            about=manifest.about | {"total_steps": at + steps, "fork": {"of": run.name, "at": at, "index": index}},
            start=training.done,
            resume=resume,
        )
        return _train_on(training, recorder, at + steps, data=data, expected=expected, on_step=on_step)


def _train_on(
    training: Training,
    recorder: Recorder,
    steps: int,
    *,
    data: Task,
    expected: Mapping[int, str],
    on_step: Callable[[int, int], None] | None,
) -> Run:
    """Train and record up to `steps`; where the run was before, its weights must be the `expected` ones again."""
    with recorder:
        if recorder.resumed:
            _recall(recorder, training.model)
        else:
            recorder.checkpoint(training.optimizer)
        for step in range(training.done + 1, steps + 1):
            recorder.step(**training.step().scalars)
            if step % CHECKPOINT_EVERY == 0 or step == steps:
                digest = weights_digest(training.model)
                if expected.get(step, digest) != digest:
                    raise ReplayError(_other(recorder.folder.name, step, digest, expected[step]))
                recorder.checkpoint(training.optimizer)
            if on_step is not None:
                on_step(step, steps)
        recorder.close(results={"test_accuracy": held_out_accuracy(training.model, data), "chance": data.chance})
    (recorder.folder / EXPECTED).unlink(missing_ok=True)
    return Run(recorder.folder, replay=replay)


def _recall(recorder: Recorder, model: nn.Module) -> None:
    """Let the recorder see once more what it had seen last, since changes are told from what was before."""
    run = Run(recorder.folder)
    if not run.has_series:
        return
    steps = sorted({int(step) for step in run.table(columns=["step"])["step"]})[-LONGEST_LAG:]
    networks = replays(run, steps)
    now = copy.deepcopy(model.state_dict())
    for step in steps:
        model.load_state_dict(networks[step].state_dict())
        recorder.recall(step)
    model.load_state_dict(now)


def _beginning(folder: Path, name: str, seed: int) -> tuple[Training, dict[int, str]]:
    """The training of the unfinished run in `folder` at its last good checkpoint, and all digests it ever had.

    Those go into a file of their own, since going on drops the later ones from the manifest: a course that was refused
    once is refused again.
    """
    run = Run(folder)
    if run.manifest.about.get("experiment") != name or run.manifest.about.get("seed") != seed:
        raise InputError(f"{folder} holds {run.name}, not {name} with seed {seed}; nothing was touched.")
    step = good_until(folder, run.manifest)
    if step is None:
        raise ReplayError(f"{folder} has no checkpoint to go on from; remove it to train the run anew.")
    expected = _remembered(folder / EXPECTED) | dict(run.manifest.checkpoints)
    write_text(folder / EXPECTED, json.dumps(expected, indent=1) + "\n")
    return resume(run, step), expected


def _remembered(place: Path) -> dict[int, str]:
    if not place.is_file():
        return {}
    kept = read_json(place)
    if not isinstance(kept, dict) or not all(s.isdecimal() and isinstance(d, str) for s, d in kept.items()):
        raise StoreError(f"{place} is damaged; without it, the run is trained on unchecked.")
    return {int(step): digest for step, digest in kept.items()}


def probe_size(spec: Experiment, asked: int | None) -> int:
    """How many samples the probe of an experiment has: as many as `asked`, or what its task has by default."""
    return asked or (SEQUENCE_SAMPLES if task(spec.task).kind == "sequence" else PROBE_SAMPLES)


def about(spec: Experiment, *, name: str, seed: int, steps: int) -> dict:
    """What a manifest says of an experiment; enough to train it again."""
    return {
        "experiment": name,
        "architecture": spec.architecture,
        "task": task(spec.task).name,
        "seed": seed,
        "total_steps": steps,
        "batch": spec.batch,
        "optimizer": spec.optimizer,
        "learning_rate": spec.lr,
        "weight_decay": spec.weight_decay,
    }


def replay(run: Run, step: int, model: nn.Module | None = None) -> nn.Module:
    """The network of `run` exactly as it was after `step` updates, in eval mode.

    Trains on from the nearest earlier checkpoint with the run's own batches, optimizer and number of threads,
    and compares the weights' digest wherever the run kept one. For a run of the user's own loop, `model` is a
    network of the same shape and `step` one of the checkpointed steps. Raises InputError for a step outside the
    run, ReplayError when the step cannot be had or came out different.
    """
    if run.manifest.about.get("experiment") is None:
        return _checkpointed(run, step, model)
    first, total = run.manifest.about.get("fork", {}).get("at", 0), run.manifest.about["total_steps"]
    if not first <= step <= total:
        raise InputError(f"{run.name} ran from step {first} to {total}; got step {step}.")
    with own_state(threads=run.manifest.threads):
        return trained_to(run, step).model.eval()


def replays(run: Run, steps: Sequence[int]) -> dict[int, nn.Module]:
    """`replay` at each of `steps`; neighbouring ones share the training between them."""
    networks: dict[int, nn.Module] = {}
    training: Training | None = None
    with own_state(threads=run.manifest.threads):
        for step in sorted(set(steps)):
            nearest = max((s for s in run.manifest.checkpoints if s <= step), default=None)
            if training is None or nearest is None or nearest > training.done:
                training = trained_to(run, step)
            while training.done < step:
                training.step()
            _compare(run, step, training.model)
            networks[step] = copy.deepcopy(training.model).eval()
    return networks


def trained_to(run: Run, step: int) -> Training:
    """The training of `run` after `step` updates, from the nearest earlier checkpoint; the digest is compared.

    Trains with as many threads as torch has, and leaves the training's random state in torch: call it inside of
    `own_state(threads=run.manifest.threads)`.
    """
    earlier = [s for s in run.manifest.checkpoints if s <= step]
    if not earlier:
        raise ReplayError(f"{run.name} has no checkpoint at or before step {step}.")
    training = resume(run, max(earlier))
    while training.done < step:
        training.step()
    _compare(run, step, training.model)
    return training


def resume(run: Run, step: int) -> Training:
    """The training of `run` as it stood at the checkpoint of `step`, ready for the next update."""
    training = training_of(experiment(run.manifest.about["experiment"]), seed=run.manifest.about["seed"])
    load_weights(checkpoint_path(run.folder, step), training.model)
    _compare(run, step, training.model)
    load_state(state_path(run.folder, step), training.optimizer)
    training.done = step
    training.fork = run.manifest.about.get("fork", {}).get("index")
    return training


def _checkpointed(run: Run, step: int, model: nn.Module | None) -> nn.Module:
    kept = sorted(run.manifest.checkpoints)
    if step not in kept:
        raise ReplayError(
            f"{run.name} was not trained by geophone, so only checkpointed steps can be had: {kept or 'none'}."
        )
    if model is None:
        raise ReplayError(f"{run.name} was not trained by geophone; pass model=, a network of the same shape.")
    load_weights(checkpoint_path(run.folder, step), model)
    _compare(run, step, model)
    return model.eval()


def _compare(run: Run, step: int, model: nn.Module) -> None:
    expected = run.manifest.checkpoints.get(step)
    found = weights_digest(model)
    if expected is not None and found != expected:
        raise ReplayError(_other(run.name, step, found, expected))


def _other(name: str, step: int, found: str, expected: str) -> str:
    return (
        f"{name} at step {step} came out with weights {found}, the run had {expected}. Other versions, another "
        "number of threads or another processor can differ in the last bit; its manifest says what made it."
    )
