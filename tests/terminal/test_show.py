"""What stands on stdout: columns aligned, numbers right, nothing cut, and the per-run table that the tables make."""

import pandas as pd
import pytest
import torch

import geophone as gp
from geophone.store.study import Study
from geophone.terminal.show import say, show
from geophone.terminal.words import by_run, say_summary


def test_columns_are_aligned_and_nothing_is_cut(capsys):
    long = "a[bold]name " + "x" * 200
    frame = pd.DataFrame({"run": ["b", long], "n": [7, 12345], "value": [1234.5678, None], "flag": [True, False]})
    show(frame, indent=2)
    head, first, second = capsys.readouterr().out.splitlines()
    assert long in second and second.split()[-3:] == ["12345", "-", "False"]
    assert first.split() == ["b", "7", "1235", "True"]
    # A number ends where its column's head ends; a name begins where its head begins.
    assert first.index("7") + 1 == second.index("12345") + 5 == head.index(" n ") + 2
    assert head.index("run") == first.index("b") == second.index("a[bold]") == 2


@pytest.mark.parametrize(("value", "shown"), [(3.0, "3"), (0.123456, "0.1235"), (float("nan"), "-"), (1e20, "1e+20")])
def test_numbers_have_four_significant_digits(capsys, value, shown):
    show(pd.DataFrame({"v": [value, 0.5]}))
    assert capsys.readouterr().out.splitlines()[1].strip() == shown


def test_sentences_are_wrapped_under_their_own_indent(capsys):
    say(["", "  " + "word " * 40, "short"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "" and lines[1].startswith("  word") and lines[2].startswith("    word") and lines[-1] == "short"
    assert max(map(len, lines)) <= 80


def test_the_table_of_runs_has_orders_and_jumps_beside_chance():
    order = pd.DataFrame(
        [{"run": "a", "mode": mode, "rho": rho, "verdict": verdict, "dimension": "d"}
         for mode, rho, verdict in (("naive", 0.9, "bottom-up"), ("calibrated", None, "undefined"))]
    )  # fmt: skip
    detection = pd.DataFrame(
        [{"run": "a", "mode": mode, "detected": n, "expected_false": e, "dimension": "d"}
         for mode, n, e in (("naive", 3, 1.25), ("naive", 4, 1.25), ("calibrated", 1, 0.1))]
    )  # fmt: skip
    table = by_run({"order": order, "detection": detection}, "d")
    assert table.to_numpy().tolist() == [["a", "+0.90 up", "7 / 2.5", "-", "1 / 0.1"]]


def test_a_study_names_the_runs_whose_layers_were_not_finite(tmp_path, capsys):
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    for name, bad in (("sound", ()), ("broken", range(3, 12))):
        with gp.Recorder(model, torch.randn(8, 4), out=tmp_path / "runs" / name, every=1) as recorder:
            for step in range(1, 12):
                model[1].weight.data.fill_(float("nan") if step in bad else 0.5)
                model[1].weight.data[0, 0] += 0.1 * step
                recorder.step()
    say_summary(Study(tmp_path))
    out = " ".join(capsys.readouterr().out.split())
    assert "broken: NaN or infinite activations at steps 3, 4, 5, 6, 7, 8 and 3 more up to 11, in 1" in out
    assert "sound: NaN" not in out
