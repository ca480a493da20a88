import shutil

import pytest
from small_study import make_study

from geophone.store.study import Study


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A study in which there is nothing to be found."""
    return make_study(tmp_path_factory.mktemp("findings") / "study").folder


@pytest.fixture
def study(whole, tmp_path):
    return Study(shutil.copytree(whole, tmp_path / "study"))
