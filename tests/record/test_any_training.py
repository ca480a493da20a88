"""Whatever loop and model people bring, a recorded run comes out, and their training is what it would have been."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError


@pytest.fixture
def probe():
    return torch.randn(24, 10, generator=torch.Generator().manual_seed(2))


def fit(model, steps, *, after=lambda **scalars: [], autocast=False):
    data = torch.Generator().manual_seed(1)
    optimizer = None
    for _ in range(steps):
        x = torch.randn(16, 10, generator=data)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            output = model(x)
            output = output[0] if isinstance(output, tuple) else output
            output = output.value if isinstance(output, Answer) else output
            output = output["logits"] if isinstance(output, dict) else output
            loss = nn.functional.cross_entropy(output.float(), (x[:, 0] > 0).long())
        optimizer = optimizer or torch.optim.Adam(model.parameters(), 1e-2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after(loss=loss.item())
    return model


@dataclasses.dataclass
class Answer:
    note: str
    value: torch.Tensor


class Body(nn.Module):
    def __init__(self, wrap=lambda x: x):
        super().__init__()
        self.first = nn.Linear(10, 12)
        self.drop = nn.Dropout(0.2)
        self.norm = nn.BatchNorm1d(12)
        self.last = nn.Linear(12, 2)
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(self.last(torch.relu(self.norm(self.drop(self.first(x))))))


class Repeats(nn.Module):
    """One module called three times, another shared under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(10, 10)
        self.again = self.first
        self.last = nn.Linear(10, 2)

    def forward(self, x):
        return self.last(self.again(torch.tanh(self.first(torch.tanh(self.first(x))))))


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.LazyLinear(12)
        self.drop = nn.Dropout(0.5)
        self.last = nn.LazyLinear(2)

    def forward(self, x):
        return self.last(self.drop(torch.relu(self.first(x))))


KINDS = {
    "tensor": Body,
    "dict": lambda: Body(lambda x: {"logits": x}),
    "tuple": lambda: Body(lambda x: (x, None)),
    "dataclass": lambda: Body(lambda x: Answer("so", x)),
    "repeats": Repeats,
    "lazy": Lazy,
    "compiled": lambda: torch.compile(Body(), backend="eager"),
    "compiled in part": lambda: nn.Sequential(torch.compile(nn.Linear(10, 12), backend="eager"), nn.Linear(12, 2)),
    "in place": lambda: nn.Sequential(nn.Linear(10, 12), nn.ReLU(inplace=True), nn.Linear(12, 2)),
}


def same(a, b):
    mine, theirs = a.state_dict(), b.state_dict()
    assert list(mine) == list(theirs)
    for name in mine:
        assert torch.equal(mine[name], theirs[name]), name


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bf16 autocast"])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_without_a_recorder(tmp_path, probe, kind, autocast):
    torch.manual_seed(0)
    plain = fit(KINDS[kind](), 200, autocast=autocast)
    torch.manual_seed(0)
    model = KINDS[kind]()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=5) as recorder:
        fit(model, 200, after=recorder.step, autocast=autocast)
    same(plain, model)
    run = gp.open(tmp_path / "run")
    assert len(run.series("stable_rank")) == 40
    assert (run.statuses() == "ok").all().all()


def test_stepping_inside_autocast_does_not_disturb_the_training(tmp_path, probe):
    """Weights that the probe's forward pass cast without gradients must not be reused by the next step."""

    def trained(attach):
        torch.manual_seed(0)
        model = Body()
        record = attach(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(6):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                record()
                loss = model(torch.randn(16, 10)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model

    plain = trained(lambda model: lambda: None)
    same(plain, trained(lambda model: gp.Recorder(model, probe, out=tmp_path / "run", every=1).step))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp_4_mnist", "cnn_4_mnist", "vit_2_mnist"])
def test_zoo_networks_end_in_the_weights_they_would_have_had(tmp_path, name):
    from geophone._train import train
    from geophone.training import training_of
    from geophone.zoo.catalogue import experiment

    recorded = train(name, out=tmp_path / "run", steps=200)
    training = training_of(experiment(name), seed=0)
    while training.done < 200:
        training.step()
    same(training.model, recorded.at(200))


def test_a_module_called_again_is_a_layer_of_its_own(tmp_path, probe):
    torch.manual_seed(0)
    model = Repeats()
    assert [layer.name for layer in gp.layers(model, probe)] == ["first", "first@2", "first@3", "last"]
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1) as recorder:
        recorder.step()
    with torch.no_grad():
        second = model.first(torch.tanh(model.first(probe)))
    found = gp.open(tmp_path / "run").series("effective_rank")["first@2"].loc[1]
    assert found == pytest.approx(gp.dimensions(second)["effective_rank"], rel=1e-6)


def test_what_a_later_module_overwrites_is_read_before_it_does(tmp_path, probe):
    model = KINDS["in place"]()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1) as recorder:
        recorder.step()
    before_relu = gp.dimensions(model[0](probe).detach())
    found = gp.open(tmp_path / "run").series("mean_fraction")["0"].loc[1]
    assert found == pytest.approx(before_relu["mean_fraction"], rel=1e-5)


def test_a_layer_that_is_skipped_is_absent_not_missing(tmp_path, probe):
    class Skips(Body):
        skip = False

        def forward(self, x):
            x = self.first(x)
            return x[:, :2] if self.skip else self.last(x)

    model = Skips()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1) as recorder:
        recorder.step()
        model.skip = True
        recorder.step()
    statuses = gp.open(tmp_path / "run").statuses()
    assert statuses["last"].tolist() == ["ok", "absent"]
    assert statuses["first"].tolist() == ["ok", "ok"]


def test_layers_by_name_glob_and_type(probe):
    model = nn.Sequential(Body(), nn.ReLU())
    names = lambda **kw: [layer.name for layer in gp.layers(model, probe, **kw)]  # noqa: E731
    assert names(layers=["0.last"]) == ["0.last"]
    assert names(layers="0.*t") == ["0.first", "0.last"]
    assert names(layers=[nn.BatchNorm1d]) == ["0.norm"]
    assert names(layers=model[0].drop) == ["0.drop"]


class TestInBand:
    def test_reads_the_training_batch_itself(self, tmp_path):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(10, 12), nn.ReLU(inplace=True), nn.Linear(12, 2))
        x = torch.randn(32, 10)
        expected = gp.dimensions(model[0](x).detach())
        with gp.Recorder(model, "batch", out=tmp_path / "run", every=1) as recorder:
            model(x).sum().backward()
            model.eval()
            model(torch.zeros(32, 10))
            model.train()
            recorder.step()
        run = gp.open(tmp_path / "run")
        assert run.series("stable_rank")["0"].loc[1] == pytest.approx(expected["stable_rank"], rel=1e-5)
        assert run.series("mean_fraction")["0"].loc[1] == pytest.approx(expected["mean_fraction"], rel=1e-5)

    def test_weights_are_those_without(self, tmp_path):
        torch.manual_seed(0)
        plain = fit(Body(), 60)
        torch.manual_seed(0)
        model = Body()
        with gp.Recorder(model, "batch", out=tmp_path / "run", every=7) as recorder:
            fit(model, 60, after=recorder.step)
        same(plain, model)
        assert list(gp.open(tmp_path / "run").series("stable_rank").index) == list(range(7, 61, 7))
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

    def test_a_batch_of_another_size_is_absent(self, tmp_path):
        model = nn.Linear(10, 4)
        model = nn.Sequential(model)
        with gp.Recorder(model, "batch", out=tmp_path / "run", every=1) as recorder:
            for size in (32, 8, 32):
                model(torch.randn(size, 10)).sum().backward()
                recorder.step()
        assert gp.open(tmp_path / "run").statuses()["0"].tolist() == ["ok", "absent", "ok"]

    def test_compiled_models_and_noise_probes_are_refused(self, tmp_path, probe):
        with pytest.raises(InputError, match="hooks"):
            gp.Recorder(KINDS["compiled"](), "batch", out=tmp_path / "run")
        with pytest.raises(InputError, match="in-band"):
            gp.Recorder(Body(), "batch", noise_probe=probe, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


class TestNoiseProbe:
    def test_gives_the_measurement_noise(self, tmp_path):
        generator = torch.Generator().manual_seed(0)
        a, b = (torch.randn(64, 10, generator=generator) for _ in "ab")
        model = nn.Sequential(nn.Linear(10, 30))
        with gp.Recorder(model, a, noise_probe=b, noise_every=2, out=tmp_path / "run", every=1) as recorder:
            for _ in range(6):
                recorder.step()
        run = gp.open(tmp_path / "run")
        assert list(run.series("stable_rank", probe="noise").index) == [1, 3, 5]
        with torch.no_grad():
            one, two = (gp.dimensions(model(x))["stable_rank"] for x in (a, b))
        assert run.noise().loc["0", "stable_rank"] == pytest.approx(abs(np.log(one / two)) / np.sqrt(2), rel=1e-5)

    def test_must_be_other_samples_of_the_same_number(self, tmp_path, probe):
        with pytest.raises(InputError, match=r"3 sample\(s\) are in both"):
            other = torch.cat([torch.randn(21, 10), probe[:3]])
            gp.Recorder(Body(), probe, noise_probe=other, out=tmp_path / "run")
        with pytest.raises(InputError, match="do not compare"):
            gp.Recorder(Body(), probe, noise_probe=torch.randn(5, 10), out=tmp_path / "run")


def rotate_at(model, step, *, at):
    """A network whose first layer collapses to one direction at one step, with a little noise at every other."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        model[0].weight += 0.003 * torch.randn(model[0].weight.shape, generator=generator)
        if step == at:
            model[0].weight[:] = torch.outer(torch.ones(30), model[0].weight[0]) + 0.1 * model[0].weight


class TestAlarms:
    def run(self, tmp_path, probe, **options):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(10, 30))
        raised, told = [], []
        with gp.Recorder(model, probe, out=tmp_path / "run", every=1, on_record=told.append, **options) as recorder:
            for step in range(1, 121):
                rotate_at(model, step, at=80)
                raised += recorder.step(loss=1.0)
        return gp.open(tmp_path / "run"), raised, told, model

    def test_a_planted_collapse_sounds_soon_and_nothing_else_does(self, tmp_path, probe):
        _, raised, _, _ = self.run(tmp_path, probe)
        assert (raised[0].kind, raised[0].layer) == ("learned", "0")  # by the outputs: there are no labels
        assert 80 <= raised[0].step <= 84 and raised[0].deviations >= 6
        assert all(alarm.step >= 80 for alarm in raised)

    def test_no_alarms_when_none_are_asked_for(self, tmp_path, probe):
        assert self.run(tmp_path, probe, alarms=False)[1] == []

    def test_on_record_gets_flat_numbers(self, tmp_path, probe):
        run, _, told, _ = self.run(tmp_path, probe)
        assert len(told) == 120
        assert told[9]["step"] == 10 and told[9]["loss"] == 1.0
        assert told[9]["stable_rank/0"] == run.series("stable_rank")["0"].loc[10]
        assert all(isinstance(value, int | float) for value in told[9].values())

    def test_weights_before_during_and_after_are_kept(self, tmp_path, probe):
        run, raised, _, _ = self.run(tmp_path, probe, snapshots=gp.Snapshots(count=6))
        first = raised[0].step
        kept = sorted(run.manifest.checkpoints)
        assert {first - 6, first, first + 6} <= set(kept)
        torch.manual_seed(0)
        again = nn.Sequential(nn.Linear(10, 30))
        for step in range(1, first - 6 + 1):
            rotate_at(again, step, at=80)
        same(run.at(first - 6, model=nn.Sequential(nn.Linear(10, 30))), again)

    def test_disk_is_bounded(self, tmp_path, probe):
        size = (30 * 10 + 30) * 4 / 1e6
        run, raised, _, _ = self.run(tmp_path, probe, snapshots=gp.Snapshots(count=6, disk_mb=1.5 * size))
        assert raised and len(run.manifest.checkpoints) == 1


def test_an_overhead_limit_stretches_the_interval_and_says_so(tmp_path, probe):
    model = Body()
    schedule = gp.Schedule(every=1, overhead=0.02)
    with gp.Recorder(model, probe, out=tmp_path / "run", every=schedule) as recorder:
        fit(model, 60, after=recorder.step)
    run = gp.open(tmp_path / "run")
    assert run.manifest.measurements < 60
    assert run.manifest.schedule["passed_over"] == 60 - run.manifest.measurements
    assert run.scalars()["index"].notna().sum() == run.manifest.measurements


def test_a_step_0_is_the_network_before_training(tmp_path, probe):
    torch.manual_seed(0)
    model = Body()
    untrained = gp.dimensions(model.first(probe).detach())["rankme"]
    with gp.Recorder(model, probe, out=tmp_path / "run", every=gp.Schedule(steps=(0, 2))) as recorder:
        fit(model, 3, after=recorder.step)
    series = gp.open(tmp_path / "run").series("rankme")["first"]
    assert list(series.index) == [0, 2]
    assert series.loc[0] == pytest.approx(untrained, rel=1e-6)


def test_a_nan_loss_is_recorded_and_the_run_goes_on(tmp_path, probe):
    model = Body()
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1) as recorder:
        recorder.step(loss=float("nan"))
        recorder.step(loss=2.0)
    scalars = gp.open(tmp_path / "run").scalars()["loss"]
    assert np.isnan(scalars.loc[1]) and scalars.loc[2] == 2.0


KILLED = """
import signal, sys, time, torch
import geophone as gp
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that Ctrl-C is ignored
model = torch.nn.Sequential(torch.nn.Linear(10, 4))
recorder = gp.Recorder(model, torch.randn(20, 10), out=sys.argv[1], every=1)
for step in range(10**6):
    recorder.step(loss=float(step))
    if step == 250:
        print("ready", flush=True)
    if step > 250:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_what_was_flushed_is_there(tmp_path, how):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        assert gp.open(tmp_path / "run").status == "running"
        os.kill(process.pid, how)
        process.wait(timeout=30)
    finally:
        process.kill()
    run = gp.open(tmp_path / "run")
    assert run.status == "interrupted"
    series = run.series("stable_rank")
    assert list(series.index) == list(range(1, len(series) + 1)) and len(series) >= 200


DISTRIBUTED = """
import os, sys, torch
import torch.distributed as dist
from torch import nn
import geophone as gp
rank, world, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
if world > 1:
    dist.init_process_group("gloo", init_method="file://" + sys.argv[4], rank=rank, world_size=world)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(10, 12), nn.ReLU(), nn.Linear(12, 2)).double()
wrapped = nn.parallel.DistributedDataParallel(model) if world > 1 else model
optimizer = torch.optim.SGD(wrapped.parameters(), 0.1)
data = torch.Generator().manual_seed(1)
probe = torch.randn(20, 10, generator=data, dtype=torch.float64)
with gp.Recorder(wrapped, probe, out=out, every=5) as recorder:
    for _ in range(30):
        x = torch.randn(32, 10, generator=data, dtype=torch.float64)
        mine = x[rank * 32 // world : (rank + 1) * 32 // world]
        loss = nn.functional.cross_entropy(wrapped(mine), (mine[:, 0] > 0).long())
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        recorder.step(loss=loss.item())
del wrapped, recorder  # a wrapped model that outlives its process group can end the interpreter with SIGABRT
if world > 1:
    dist.barrier(); dist.destroy_process_group()
"""


def test_under_data_parallelism_rank_0_records_what_one_process_would(tmp_path):
    def start(rank, world, out):
        arguments = [str(a) for a in (rank, world, tmp_path / out, tmp_path / "rendezvous")]
        return subprocess.Popen([sys.executable, "-c", DISTRIBUTED, *arguments])

    processes = [start(0, 2, "two"), start(1, 2, "other"), start(0, 1, "one")]
    assert [p.wait(timeout=120) for p in processes] == [0, 0, 0]
    assert not (tmp_path / "other").exists()
    one, two = gp.open(tmp_path / "one"), gp.open(tmp_path / "two")
    assert [layer.name for layer in two.layers] == ["0", "2"]
    for name in one.dimensions:
        np.testing.assert_allclose(two.series(name), one.series(name), rtol=1e-9)
