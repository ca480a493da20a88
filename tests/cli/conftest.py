"""One small study that the tests of the command line share, and the command line called in this process."""

import shutil
import sys
from types import SimpleNamespace

import pytest

from geophone.cli import main

RUN = "mlp_1_digits-seed0"
DIMENSIONS = ["stable_rank", "participation_ratio"]


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A study of one network, gone the whole way to its statistics."""
    from geophone._train import train
    from geophone.dig.run import dig
    from geophone.records import DigOptions
    from geophone.store.documents import DigDocument, write_document
    from geophone.store.places import DIG
    from geophone.study import open_study
    from geophone.study.options import DetectOptions, EvidenceOptions
    from geophone.study.stages import detect_stage, evidence_stage, target_stage

    folder = tmp_path_factory.mktemp("cli") / "study"
    train("mlp_1_digits", out=folder / "runs" / RUN, seed=0, steps=100, probe_samples=64, dimensions=DIMENSIONS)
    study = open_study(folder)
    detect_stage(study, DetectOptions(surrogates=19))
    target_stage(study)
    made = dig(study, 1, options=DigOptions(per_class=10, units=1, steps=1))
    # Its pictures are poor, but it passes for what `geophone dig --naive` asks for, and need not be dug again.
    about = DigDocument(target=made.target, options=DigOptions(per_class=10), code=made.about.code)
    write_document(study.places.dig(made.name) / DIG, about)
    evidence_stage(study, EvidenceOptions(draws=99))
    return folder


@pytest.fixture
def study(whole, tmp_path, monkeypatch):
    """A copy of it, called "study", in an empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(whole, tmp_path / "study")


@pytest.fixture
def geophone(capfd, monkeypatch):
    """The command line as a function: its exit status, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["geophone", *map(str, arguments)])
        capfd.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        out, err = capfd.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return call
