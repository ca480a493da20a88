"""Study files: what they may say, and what is said of one that cannot be used."""

from pathlib import Path

import pytest

from geophone.errors import InputError
from geophone.study import DEMO, parse_study, read_study_file
from geophone.study.options import stage_settings
from geophone.zoo.catalogue import names

STUDIES = Path(__file__).parents[2] / "studies"

GOOD = """
name = "mine"
networks = ["mlp_4_mnist", "cnn_*_digits"]
seeds = [0, 1]
steps = 100

[schedule]
every = 10

[forks]
at = [50]
"""


def test_names_and_globs_become_networks_in_the_catalogues_order():
    study = parse_study(GOOD, where="here")
    assert study.networks == ("mlp_4_mnist", "cnn_3_digits")
    assert study.forks.replicates == 3 and study.detect.surrogates == 999


def test_the_studies_that_ship():
    catalogue, _ = read_study_file(STUDIES / "catalogue.toml")
    assert list(catalogue.networks) == names() and len(names()) == 44 and catalogue.steps == 2000
    assert (STUDIES / "demo.toml").read_text() == DEMO


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("mlp_4_mnist", "mlp_4_mnst", 3, "did you mean mlp_4_mnist"),
        ('"cnn_*_digits"', '"rnn_*"', 3, "no network of the zoo matches 'rnn_*'"),
        ("steps = 100", "step = 100", 5, "did you mean steps"),
        ("steps = 100", "steps = 0", 5, "greater than or equal to 1; got 0"),
        ("seeds = [0, 1]", "seeds = []", 4, "at least 1"),
        ("seeds = [0, 1]", "seeds = -1", 4, "give how many seeds, 1 or more, or a list of them; got -1."),
        ("every = 10", "every = 101", 8, "no measurement falls within the 100 steps of mlp_4_mnist"),
        ("every = 10", "steps = [200]", 8, "no measurement falls within the 100 steps"),
        ("every = 10", "evry = 10", 7, "evry"),
        ("every = 10", "every = 0", 7, "every"),
        ("at = [50]", "replicates = 2", 10, "forks.at: Field required"),
        ("at = [50]", "at = [50]\nmany = 2", 12, "known are of, at, replicates, steps"),
        ('name = "mine"', 'name = "../mine"', 2, "name"),
        ("steps = 100", 'dimensions = ["stable_rnk"]', 5, "stable_rank"),
        ("steps = 100", 'networks = ["nomodule_here:build"]', 5, "not TOML"),
        ('networks = ["mlp_4_mnist", "cnn_*_digits"]', 'networks = ["nomodule_here:build"]', 3, "no module"),
        ("[schedule]", "[schedule", 7, "not TOML"),
        ("at = [50]", "at = [50, 80, 50]", 11, "a step is there twice"),
        ("[forks]", '[detect]\nheadline = ["stable_rnk"]\n[forks]', 11, "stable_rank"),
        ("[forks]", '[target]\nmethod = "robst"\n[forks]', 11, "'calibrated', 'pelt' or 'online'; got 'robst'"),
        (
            "[schedule]",
            'dimensions = ["pcs_90"]\n[target]\ndimension = "stable_rank"\n[schedule]',
            9,
            "'stable_rank', which is not among the dimensions recorded (pcs_90)",
        ),
    ],
)
def test_errors_name_the_line_and_the_fix(old, new, line, says):
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        parse_study(GOOD.replace(old, new), where="study.toml")
    said = str(caught.value)
    assert says in said and "\n" not in said
    assert said.startswith(f"study.toml, line {line}:") or (says == "not TOML" and f"at line {line}" in said), said


def test_stages_are_told_what_the_file_says_of_them_and_nothing_else_is_looked_at(tmp_path):
    assert stage_settings(tmp_path).detect.surrogates == 999
    (tmp_path / "study.toml").write_text(
        'networks = ["gone:module"]\n[detect]\nsurrogates = 19\n[target]\nmethod = "calibrated"\n[dig]\nunits = 3\n'
    )
    found = stage_settings(tmp_path)
    assert (found.detect.surrogates, found.target.method, found.dig.units) == (19, "calibrated", 3)
    (tmp_path / "study.toml").write_text("[dig]\nunts = 3\n")
    with pytest.raises(InputError, match="line 2: dig.unts: there is no such setting; did you mean units"):
        stage_settings(tmp_path)
