import shutil

import pytest
from small_study import make_study

from geophone.paper import write_paper
from geophone.store.study import Study


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A study in which there is nothing to be found, with its paper."""
    study = make_study(tmp_path_factory.mktemp("paper") / "study")
    write_paper(study)
    return study.folder


@pytest.fixture
def study(whole, tmp_path):
    return Study(shutil.copytree(whole, tmp_path / "study"))
